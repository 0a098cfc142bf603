"""The command `target-voucherify`."""

from __future__ import annotations

import sys

from target_voucherify.target import TargetVoucherify
from target_voucherify.voucherify_client.exit_status import exit_status


def main() -> None:
    """Run the target; an error becomes one sentence in the log and an exit status."""
    try:
        TargetVoucherify.cli()
    except Exception as error:  # noqa: BLE001 - no traceback for users
        sys.exit(exit_status(error, TargetVoucherify.logger))


if __name__ == "__main__":
    main()
