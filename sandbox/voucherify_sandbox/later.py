"""Effects that follow a request some seconds later (reference §4.2, §10.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.readings import Readings


@dataclass
class Later:
    """What is still to come, oldest first."""

    clock: Clock
    readings: Readings
    pending: list[tuple[datetime, Callable[[datetime], None]]] = field(default_factory=list)

    def after_settling(self, effect: Callable[[datetime], None]) -> None:
        """Do `effect` once the settle delay is over; it is told the instant it happens at."""
        due = self.clock.now() + timedelta(seconds=self.readings.settle_seconds)
        self.pending.append((due, effect))
        self.catch_up()

    def catch_up(self, *, everything: bool = False) -> int:
        """Do what is due, or all there is, and say how many effects that were."""
        now = self.clock.now()
        due = [one for one in self.pending if everything or one[0] <= now]
        self.pending = [one for one in self.pending if not (everything or one[0] <= now)]
        for moment, effect in due:
            effect(min(moment, now))
        return len(due)
