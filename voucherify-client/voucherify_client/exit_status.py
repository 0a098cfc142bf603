"""How a run that did not end well is reported: one sentence in the log, and an exit status."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from singer_sdk.exceptions import SingerSDKError

from .errors import StopSignalError, VoucherifyError

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from singer_sdk.plugin_base import PluginBase


def command(plugin: type[PluginBase]) -> Callable[[], None]:
    """The command of a plugin; an error is one sentence in the log, and the exit status."""

    def main() -> None:
        try:
            plugin.cli()
        except Exception as error:  # noqa: BLE001 - a traceback helps no user
            sys.exit(exit_status(error, plugin.logger))

    return main


def exit_status(error: Exception, log: logging.Logger) -> int:
    """Log what ended the run; the status to exit with: 1, or that of a signal."""
    if isinstance(error, StopSignalError):
        log.warning("%s", error)
        return status_of_signal(error.signal_number)
    log.critical("%s", message_for(error))
    # Without the messages of exceptions, which may quote a record or a key.
    log.debug("Where it happened:\n%s", "".join(traceback.format_tb(error.__traceback__)))
    return 1


def status_of_signal(number: int) -> int:
    """The status after a signal, as a shell reports it: 143 for SIGTERM, 130 for SIGINT."""
    return 128 + number


def message_for(error: Exception) -> str:
    """Log message for an error.

    Unexpected exceptions show only their location: the message may contain record data.
    """
    if isinstance(error, BrokenPipeError):
        return "Whatever read the output ended before it was complete: its own log says why."
    if isinstance(error, VoucherifyError | SingerSDKError | OSError):
        return str(error)
    # The SDK takes the class from one of two libraries, so it is known by its name.
    if type(error).__name__ == "JSONDecodeError":
        line = getattr(error, "lineno", "?")
        return f"The configuration, catalog or state is not JSON from line {line} on: correct it."
    where = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"Unexpected {type(error).__name__} in {where.name}, line {where.lineno}: report this line "
        "to the maintainers."
    )
