"""When to look at the oldest job on its way: early enough for short jobs, rarely at long ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_LOOK = 0.25
LONGEST_LOOK = 20.0
"""Seconds between two looks: as long again as the job already took, between these two."""

JUST_NOW = 0.1
"""Seconds. A job that ended just as it was looked at teaches nothing: a queue that moves when it is
looked at would stretch the waits without end."""


class PollSchedule:
    """Learns how long jobs take, so that most of them need one look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without experience. `clock` counts seconds and never goes back."""
        self._clock = clock
        self._expected = FIRST_LOOK
        self._started = 0.0
        self._ended = 0.0
        self._due = 0.0

    @property
    def wait(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._due - self._clock())

    @property
    def running(self) -> float:
        """Seconds since nothing was before the oldest job any more."""
        return self._clock() - self._started

    def begin(self, sent_at: float) -> None:
        """A job is now the oldest: it runs since it was sent, or since the one before it ended."""
        self._started = max(sent_at, self._ended)
        self._due = self._started + self._expected

    def still_running(self) -> None:
        """The look came too early."""
        self._due = self._clock() + min(LONGEST_LOOK, max(FIRST_LOOK, self.running))

    def end(self, sent_at: float, processing_ms: object) -> None:
        """The oldest job has ended: expect a little more than it took of the next one.

        Args:
            sent_at: when the job was sent, by the clock of this table.
            processing_ms: `processing_time` of the job. In the samples it counts from the job's
                creation to its end, so together with `sent_at` it tells when the job really ended,
                which is usually before anybody looked.
        """
        now = self._clock()
        ended = sent_at + processing_ms / 1000 if isinstance(processing_ms, int) else now
        self._ended = min(now, max(ended, self._started))
        if now - self._ended > JUST_NOW:
            self._expected = min(LONGEST_LOOK, 1.1 * (self._ended - self._started))
