"""A signal's wish that the run should end."""

from __future__ import annotations

import threading

from tap_voucherify.errors import StoppedError


class StopRequest:
    """The wish that the run should end, seen by every thread and by every wait."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._signal_number = 0

    def ask(self, signal_number: int) -> None:
        """Ask the run to stop; safe inside a signal handler."""
        self._signal_number = signal_number
        self._asked.set()

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than until the run is asked to stop."""
        self._asked.wait(seconds)

    def raise_if_asked(self) -> None:
        """Raise StoppedError once the run was asked to stop."""
        if self._asked.is_set():
            raise StoppedError(self._signal_number)
