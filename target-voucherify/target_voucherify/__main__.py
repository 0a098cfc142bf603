"""The command line: runs the target, and turns what ends it into one sentence and an exit code."""

from __future__ import annotations

import logging
import sys
import traceback

from singer_sdk.exceptions import SingerSDKError

from target_voucherify.errors import StopSignalError, VoucherifyError
from target_voucherify.target import TargetVoucherify


def main() -> None:
    """Run `target-voucherify`."""
    sys.exit(exit_code())


def exit_code() -> int:
    """Run the command, and say in one sentence what ended it if it did not end well."""
    log = logging.getLogger("target-voucherify")
    try:
        TargetVoucherify.cli()
    except StopSignalError as stop:
        log.warning("%s", stop)
        return stop.exit_code
    except Exception as error:
        log.error("%s", in_words(error))  # noqa: TRY400 - users have no use for the code
        log.debug("Where it happened", exc_info=True)
        return 1
    return 0


def in_words(error: Exception) -> str:
    """The sentence for an error; of a bug only where it is, for its message may quote a record."""
    if isinstance(error, VoucherifyError | SingerSDKError | OSError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    if type(error).__name__ == "JSONDecodeError":
        # Lines of the input never come this far, so it is the configuration. The class is looked
        # at by its name, because the SDK takes it from one of two libraries.
        return f"The configuration is not JSON from line {getattr(error, 'lineno', '?')} on."
    return (
        f"Unexpected {type(error).__name__} in {where.name}, line {where.lineno}: please report "
        "this line."
    )


if __name__ == "__main__":
    main()
