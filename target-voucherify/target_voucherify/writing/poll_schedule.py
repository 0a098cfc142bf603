"""When to poll the oldest job in flight: early enough for short jobs, rarely for long ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_INTERVAL = 0.25
MAX_INTERVAL = 20.0
"""Seconds between two polls: as long again as the job already took, between these two."""

MAX_PROCESSING_MS = 10**9
"""A job that claims to have taken longer, eleven days, tells nothing."""

JUST_NOW = 0.1
"""Seconds. A job that ended this short before its poll teaches nothing: where a queue moves only
when it is polled, learning from it would stretch the intervals without end."""


class PollSchedule:
    """Learns how long jobs take, so that most of them need one poll.

    Args:
        clock: seconds that only move forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._expected = MIN_INTERVAL
        self._started = 0.0
        self._ended = 0.0
        self._due = 0.0

    @property
    def wait(self) -> float:
        """Seconds until the next poll."""
        return max(0.0, self._due - self._clock())

    @property
    def running(self) -> float:
        """Seconds since the oldest job became the oldest."""
        return self._clock() - self._started

    def begin(self, sent_at: float) -> None:
        """Note the oldest job: it runs since it was sent, or since the one before it ended."""
        self._started = max(sent_at, self._ended)
        self._due = self._started + self._expected

    def still_running(self) -> None:
        """Note that the poll came too early."""
        self._due = self._clock() + min(MAX_INTERVAL, max(MIN_INTERVAL, self.running))

    def end(self, sent_at: float, processing_ms: object) -> None:
        """Note that the oldest job has ended: the next one is expected to take a little longer.

        Args:
            sent_at: when the job was sent, by the clock of this schedule.
            processing_ms: `processing_time` of the job. In Voucherify's samples it counts from the
                job's creation to its end, so together with `sent_at` it tells when the job really
                ended, which is usually before it was polled.
        """
        now = self._clock()
        ended = now
        if isinstance(processing_ms, int) and 0 <= processing_ms < MAX_PROCESSING_MS:
            ended = sent_at + processing_ms / 1000
        self._ended = min(now, max(ended, self._started))
        if now - self._ended > JUST_NOW:
            self._expected = min(MAX_INTERVAL, 1.1 * (self._ended - self._started))
