"""The commands `source-voucherify` and `destination-voucherify`.

Airbyte takes the exit code of a signal for success, so a signal must end the process with 1 from
its first moment on, even while modules are imported.
"""

from __future__ import annotations

import os
import signal


def source() -> None:
    """Run the source."""
    fail_at_signals()
    from airbyte_voucherify.source import main  # noqa: PLC0415

    main()


def destination() -> None:
    """Run the destination."""
    fail_at_signals()
    from airbyte_voucherify.destination import main  # noqa: PLC0415

    main()


def fail_at_signals() -> None:
    """End the process with 1 at a signal."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(1))
