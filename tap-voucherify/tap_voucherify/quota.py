"""How many calls may be on their way at once, as the answers tell it (reference §2.2).

Where several threads meet the end of a period together, each would be refused once. So no more
calls are on their way than the last answers say are left, and always one: that one finds out when
the next period begins, or is told how long everybody has to wait.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tap_voucherify.stopping import SECONDS_BETWEEN_CHECKS

if TYPE_CHECKING:
    from tap_voucherify.stopping import StopRequest


class Quota:
    """Lets calls go, or lets them wait for each other.

    Args:
        stop: ends every wait.
    """

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._changed = threading.Condition()
        self._on_their_way = self._answered = 0
        self._left: int | None = None
        self._not_before = 0.0

    def enter(self) -> int:
        """Wait until one more call may be made, and count it as on its way.

        Returns:
            How many calls were answered before this one was made, which `leave` takes.

        Raises:
            StoppedError: the run was asked to stop.
            Exception: while this waited, another thread met the error that ends the run.
        """
        self._stop.raise_if_asked()
        while (answered := self._entered()) is None:
            self._stop.wait(self._not_before - time.monotonic())
        return answered

    def leave(self, entered: int, left: int | None, wait: float = 0.0) -> None:
        """A call is answered, or never will be.

        Args:
            entered: what `enter` gave for this call.
            left: calls left in the period, as the answer says; none where it does not.
            wait: seconds that everybody has to wait, because a limit is reached.
        """
        with self._changed:
            if wait:
                self._not_before = max(self._not_before, time.monotonic() + wait)
                self._left = None
            elif left is not None:
                others = self._answered - entered + self._on_their_way - 1
                self._note(left, others)
            self._on_their_way -= 1
            self._answered += 1
            self._changed.notify_all()

    def _entered(self) -> int | None:
        """Take a place among the calls on their way; none if it is too early for any."""
        with self._changed:
            while self._on_their_way >= max(1, self._left or 0) and self._left is not None:
                self._changed.wait(SECONDS_BETWEEN_CHECKS)
                self._stop.raise_if_waiting_is_pointless()
            if time.monotonic() < self._not_before:
                return None
            self._on_their_way += 1
            return self._answered

    def _note(self, left: int, others: int) -> None:
        """Keep the least that answers of one period say, for they may overtake each other.

        Args:
            left: what the answer says.
            others: calls that may have been counted after this one: those answered while it was
                on its way, which are any number where a thread waits for a core, and those that
                are on their way still. In one period no answer says more than so many above
                another.
        """
        begins_anew = self._left is None or left > self._left + others
        self._left = left if begins_anew else min(left, self._left or 0)
