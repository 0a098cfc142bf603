"""Being asked to stop: what SIGTERM and SIGINT set, and what every wait looks at."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from target_voucherify.errors import StopSignalError

if TYPE_CHECKING:
    from collections.abc import Callable

GRACE = 30.0
"""Seconds that all queued jobs have together after a signal."""

SLICE = 0.1
"""Seconds a wait sleeps at most before it looks at the signal again."""


class Stopping:
    """The one place that knows whether the run was asked to stop, and until when it may tidy up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start unasked. `clock` counts seconds and never goes back."""
        self._clock = clock
        self.signal = 0
        self.waiting_for_input = False
        self._deadline = 0.0
        self._tidying = False
        self.waits_end_with: Exception | None = None
        """What ended requests side by side: those of them that wait have nothing to wait for."""

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after SIGTERM, as a shell reports a process that they ended."""
        return 128 + self.signal

    def request(self, signum: int) -> None:
        """Note the signal; a second one changes nothing, because the first set the deadline.

        Raises:
            StopSignalError: the run is only waiting for input, so nothing can be half done.
        """
        if not self.signal:
            self.signal = signum
            self._deadline = self._clock() + GRACE
            self._end_for_certain()
        if self.waiting_for_input:
            self.waiting_for_input = False
            raise StopSignalError("Stopped while waiting for input.")

    def tidy_up(self) -> None:
        """From now on waits are allowed again, until the deadline."""
        self._tidying = True

    def check(self) -> None:
        """Unwind when asked to stop.

        Raises:
            StopSignalError: a signal came, or its deadline passed while tidying up.
        """
        if self.signal and not (self._tidying and self._clock() < self._deadline):
            raise StopSignalError("Stopped by a signal.")

    def pause(self, seconds: float) -> None:
        """Sleep, but wake up for a signal, or for an error of another thread.

        Raises:
            StopSignalError: as `check`.
            Exception: what `waits_end_with` holds.
        """
        until = self._clock() + seconds
        self._check_wait()
        while (left := until - self._clock()) > 0:
            time.sleep(min(left, SLICE))
            self._check_wait()

    def _check_wait(self) -> None:
        self.check()
        if self.waits_end_with is not None:
            raise self.waits_end_with

    def _end_for_certain(self) -> None:
        """A request that hangs past the deadline must not keep the process alive.

        What is confirmed was printed when it was confirmed, so ending here acknowledges nothing.
        """
        watchdog = threading.Timer(GRACE + 2, os._exit, (self.exit_code,))
        watchdog.daemon = True
        watchdog.start()
