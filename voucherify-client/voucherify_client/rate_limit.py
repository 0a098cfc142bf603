"""How many requests may be in flight, by what responses say of the quota.

Where several threads meet the end of a period together, each would be refused once. So no more
requests are in flight than the last responses say are left, and always one: that one finds out when
the next period begins, or how long all have to wait.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from .shutdown import CHECK_INTERVAL

if TYPE_CHECKING:
    from .shutdown import Shutdown


class RateLimit:
    """Lets requests go, or lets them wait for each other.

    Args:
        shutdown: ends every wait.
    """

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._changed = threading.Condition()
        self._in_flight = self._answered = 0
        self._left: int | None = None
        self._not_before = 0.0

    def enter(self) -> int:
        """Wait until one more request may be sent, and count it as in flight.

        Returns:
            How many requests were answered before, which `leave` takes.

        Raises:
            StopSignalError: the run is to end.
            Exception: while this waited, another thread met the error that ends the run.
        """
        self._shutdown.check()
        while (answered := self._try_enter()) is None:
            self._shutdown.wait(self._not_before - time.monotonic())
        return answered

    def leave(self, entered: int, left: int | None, delay: float = 0.0) -> None:
        """A request is answered, or never will be.

        Args:
            entered: what `enter` returned for this request.
            left: calls left in the period; `None` where the response does not say.
            delay: seconds that all requests have to wait because a limit is reached.
        """
        with self._changed:
            if delay:
                self._not_before = max(self._not_before, time.monotonic() + delay)
                self._left = None
            elif left is not None:
                others = self._answered - entered + self._in_flight - 1
                self._update(left, others)
            self._in_flight -= 1
            self._answered += 1
            self._changed.notify_all()

    def _try_enter(self) -> int | None:
        """Take a place among the requests in flight; `None` if it is too early for any."""
        with self._changed:
            while self._in_flight >= max(1, self._left or 0) and self._left is not None:
                self._changed.wait(CHECK_INTERVAL)
                self._shutdown.check_waiting()
            if time.monotonic() < self._not_before:
                return None
            self._in_flight += 1
            return self._answered

    def _update(self, left: int, others: int) -> None:
        """Keep the least that responses of one period say, for they may overtake each other.

        Args:
            left: what the response says.
            others: requests that may have been counted after this one: those answered while it was
                in flight, which are any number where a thread waits for a core, and those that are
                in flight still. In one period no response says more than so many above another.
        """
        begins_anew = self._left is None or left > self._left + others
        self._left = left if begins_anew else min(left, self._left or 0)
