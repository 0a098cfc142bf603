"""The command `voucherify-webhooks`, or how to install what it needs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; its libraries come with the extra `webhooks`."""
    try:
        from tap_voucherify.webhooks.command import serve  # noqa: PLC0415 - only with the extra
    except ModuleNotFoundError as missing:
        sys.exit(f"{missing.name} is missing: install tap-voucherify[webhooks].")
    sys.exit(serve())


if __name__ == "__main__":
    main()
