"""What ends a run early: a signal, or an error that makes waiting pointless."""

from __future__ import annotations

import time

from tap_voucherify.errors import StoppedError

SECONDS_BETWEEN_CHECKS = 0.1
"""A wait sleeps no longer than this before it checks again whether the run is to end."""


class StopRequest:
    """Whether the run is to end, seen by every thread and by every wait."""

    def __init__(self) -> None:
        # Plain attributes: a lock could be held by the very code that a signal interrupts.
        self._signal_number = 0
        self._failure: Exception | None = None

    @property
    def exit_code(self) -> int:
        """128 plus the signal that asked the run to stop; 0 without one."""
        return 128 + self._signal_number if self._signal_number else 0

    def ask(self, signal_number: int) -> None:
        """Ask the run to stop; safe inside a signal handler."""
        self._signal_number = signal_number

    def fail(self, error: Exception) -> None:
        """End every wait, in all threads, with the first error that ends the run."""
        self._failure = self._failure or error

    def wait(self, seconds: float) -> None:
        """Sleep.

        Raises:
            StoppedError: the run was asked to stop.
            Exception: another thread met the error that ends the run.
        """
        until = time.monotonic() + seconds
        self.raise_if_waiting_is_pointless()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, SECONDS_BETWEEN_CHECKS))
            self.raise_if_waiting_is_pointless()

    def raise_if_asked(self) -> None:
        """Raise StoppedError once the run was asked to stop."""
        if self._signal_number:
            raise StoppedError(self._signal_number)

    def raise_if_waiting_is_pointless(self) -> None:
        """Raise what ends the run, if anything does."""
        self.raise_if_asked()
        if self._failure is not None:
            raise self._failure
