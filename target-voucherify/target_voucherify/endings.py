"""How a run that did not end well is told: one sentence in the log, and an exit code."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from singer_sdk.exceptions import SingerSDKError

from target_voucherify.errors import StopSignalError, VoucherifyError

if TYPE_CHECKING:
    import logging


def exit_code(error: Exception, log: logging.Logger) -> int:
    """Tell what ended the run and give the code to exit with: 1, or 128 plus the signal."""
    if isinstance(error, StopSignalError):
        log.warning("%s", error)
        return error.exit_code
    log.critical("%s", in_words(error))
    # Without the messages of exceptions, which may quote a record or a key.
    log.debug("Where it happened:\n%s", "".join(traceback.format_tb(error.__traceback__)))
    return 1


def in_words(error: Exception) -> str:
    """The sentence for an error; of a bug only where it is, for its message may quote a record."""
    if isinstance(error, VoucherifyError | SingerSDKError | OSError):
        return str(error)
    # Lines of the input never come this far, so it is the configuration. The SDK takes the class
    # from one of two libraries, so it is known by its name.
    if type(error).__name__ == "JSONDecodeError":
        line = getattr(error, "lineno", "?")
        return f"The configuration is not JSON from line {line} on: correct it."
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"Unexpected {type(error).__name__} in {where.name}, line {where.lineno}: report this line "
        "to the maintainers."
    )
