"""The command `tap-voucherify`."""

from __future__ import annotations

import sys

from tap_voucherify.tap import TapVoucherify
from tap_voucherify.voucherify_client.exit_status import exit_status


def main() -> None:
    """Run the tap; an error is one sentence in the log, and the exit status."""
    try:
        TapVoucherify.cli()
    except Exception as error:  # noqa: BLE001 - a traceback helps no user
        sys.exit(exit_status(error, TapVoucherify.logger))


if __name__ == "__main__":
    main()
