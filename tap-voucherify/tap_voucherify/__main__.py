"""The command `tap-voucherify`."""

from __future__ import annotations

import sys

from tap_voucherify.errors import StoppedError, VoucherifyError
from tap_voucherify.tap import TapVoucherify


def main() -> None:
    """Run the tap; what went wrong is one sentence in the log, and the exit code tells the rest."""
    try:
        TapVoucherify.cli()
    except StoppedError as stopped:
        TapVoucherify.logger.warning("%s", stopped)
        sys.exit(stopped.exit_code)
    except VoucherifyError as error:
        TapVoucherify.logger.critical("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
