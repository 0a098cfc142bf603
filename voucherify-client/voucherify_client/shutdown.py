"""What ends a run early: a signal, or an error that makes waiting pointless."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from .errors import StopSignalError
from .exit_status import status_of_signal

if TYPE_CHECKING:
    from collections.abc import Callable

CHECK_INTERVAL = 0.1
"""Seconds that a wait sleeps at most before it checks again whether the run is to end."""

LAST_WORDS = 1.0
"""Seconds that `before_exit` may take."""

HANG_MARGIN = 2.0
"""Seconds after the grace period that a request may hang before the process is ended."""


class Shutdown:
    """Stop flag set by the signal handler, seen by every thread and every wait.

    The attributes are plain: a lock could be held by the very code that a signal interrupts.

    Args:
        grace: seconds after a signal in which `begin_grace` allows waits; a little later the
            process ends, whatever it waits for. 0: neither.
        clock: seconds that only move forward.
    """

    def __init__(self, grace: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.signal_number = 0
        self.is_interruptible = False
        """Whether a signal may raise where it arrives, because nothing can be half done there."""
        self.before_exit: Callable[[], None] = lambda: None
        """Called before the process is ended although something still hangs."""
        self._grace = grace
        self._clock = clock
        self._deadline = 0.0
        self._in_grace = False
        self._failure: Exception | None = None

    @property
    def exit_status(self) -> int:
        """The status to exit with after a signal; 0 without one."""
        return status_of_signal(self.signal_number) if self.signal_number else 0

    def request(self, signal_number: int) -> None:
        """Ask the run to stop; called by the signal handler. Only the first signal counts.

        Raises:
            StopSignalError: `is_interruptible` is set.
        """
        if not self.signal_number:
            self.signal_number = signal_number
            self._deadline = self._clock() + self._grace
            if self._grace:
                self._end_for_certain()
        if self.is_interruptible:
            self.is_interruptible = False
            raise StopSignalError(self.signal_number)

    def begin_grace(self) -> None:
        """Allow waits again until the grace period ends: what is in flight can be confirmed."""
        self._in_grace = True

    def fail(self, error: Exception) -> None:
        """End the waits of all threads with the first error that ends the run."""
        self._failure = self._failure or error

    def recover(self) -> None:
        """Allow waits again after `fail`, for what is still to be confirmed."""
        self._failure = None

    def check(self) -> None:
        """Raise if the run is asked to stop.

        Raises:
            StopSignalError: a signal came, and there is no grace, or no more of it.
        """
        if self.signal_number and not (self._in_grace and self._clock() < self._deadline):
            raise StopSignalError(self.signal_number)

    def check_waiting(self) -> None:
        """Raise if waiting is pointless.

        Raises:
            StopSignalError: as `check`.
            Exception: another thread met the error that ends the run.
        """
        self.check()
        if self._failure is not None and not self.signal_number:
            raise self._failure

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the moment when waiting becomes pointless.

        Raises:
            StopSignalError, Exception: as `check_waiting`.
        """
        until = self._clock() + seconds
        self.check_waiting()
        while (left := until - self._clock()) > 0:
            time.sleep(min(left, CHECK_INTERVAL))
            self.check_waiting()

    def _end_for_certain(self) -> None:
        """A request that hangs past the grace period must not keep the process alive.

        What is confirmed was printed when it was confirmed, so this acknowledges nothing.
        """
        watchdog = threading.Timer(self._grace + HANG_MARGIN, self._exit)
        watchdog.daemon = True
        watchdog.start()

    def _exit(self) -> None:
        last = threading.Thread(target=self.before_exit, daemon=True)
        last.start()
        last.join(LAST_WORDS)
        os._exit(self.exit_status)
