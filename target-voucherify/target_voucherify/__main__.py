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
    except (VoucherifyError, SingerSDKError) as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence for users, who have no use for the code
        return 1
    except OSError as error:
        log.error("%s: %s", error.filename or "Input or output", error.strerror)  # noqa: TRY400 - as above
        return 1
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        log.critical(
            "Unexpected %s in %s, line %d: please report this line",
            type(error).__name__,
            where.name,
            where.lineno or 0,
        )
        log.debug("Where it happened", exc_info=True)
        return 1
    return 0


if __name__ == "__main__":
    main()
