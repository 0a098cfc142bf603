"""Effects seconds after a request: Voucherify documents that points and webhooks follow later."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.readings import Readings


@dataclass
class DelayedEffects:
    """Pending effects, ordered by due time, then by age."""

    clock: Clock
    readings: Readings
    pending: list[tuple[datetime, int, Callable[[datetime], None]]] = field(default_factory=list)
    _count: int = 0

    def after_settling(self, effect: Callable[[datetime], None]) -> None:
        """Call `effect` after `settle_seconds`, with the time at which it happens."""
        due = self.clock.now() + timedelta(seconds=self.readings.settle_seconds)
        self._count += 1
        heappush(self.pending, (due, self._count, effect))
        self.catch_up()

    def catch_up(self, *, everything: bool = False) -> int:
        """Call the effects that are due, or all of them, and return their number."""
        now, done = self.clock.now(), 0
        while self.pending and (everything or self.pending[0][0] <= now):
            due, _, effect = heappop(self.pending)
            effect(min(due, now))
            done += 1
        return done
