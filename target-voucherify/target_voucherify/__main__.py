"""The command `target-voucherify`."""

from __future__ import annotations

import sys

from target_voucherify.endings import exit_code
from target_voucherify.target import TargetVoucherify


def main() -> None:
    """Run the target; what went wrong is one sentence in the log, the exit code tells the rest."""
    try:
        TargetVoucherify.cli()
    except Exception as error:  # noqa: BLE001 - users have no use for a traceback
        sys.exit(exit_code(error, TargetVoucherify.logger))


if __name__ == "__main__":
    main()
