"""Several requests at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

from target_voucherify.voucherify_client.errors import RefusedRequestError, VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from target_voucherify.voucherify_client.shutdown import Shutdown

REQUESTS_IN_FLIGHT = 8
"""Requests in flight at most: at 200 ms each, that is all of a plan of 2,000 calls a minute."""

Item = TypeVar("Item")


class RequestBatch(Generic[Item]):
    """One list of requests and how they ended.

    `done` and `refused` are in the order of the list. `error` is what cut the work short, if
    anything did: then nothing further was sent, and what was in flight was awaited, because it may
    have been applied.
    """

    def __init__(self, send: Callable[[Item], object], shutdown: Shutdown) -> None:
        self._send = send
        self._shutdown = shutdown
        self.done: list[Item] = []
        self.refused: list[tuple[Item, RefusedRequestError]] = []
        self.error: VoucherifyError | None = None

    def run(self, items: Iterable[Item], pool: ThreadPoolExecutor) -> None:
        """Send every item."""
        work = list(items)
        for item, refusal in zip(work, pool.map(self._attempt, work), strict=True):
            if isinstance(refusal, RefusedRequestError):
                self.refused.append((item, refusal))
            elif refusal is None:
                self.done.append(item)

    def _attempt(self, item: Item) -> VoucherifyError | None:
        """`None` when the item was accepted; runs in a thread."""
        if self.error is not None:
            return self.error
        try:
            self._shutdown.check()
            self._send(item)
        except RefusedRequestError as refusal:
            return refusal
        except VoucherifyError as error:
            self.error = error
            return error
        return None


class RequestPool:
    """Threads that send requests; none is started before there is work."""

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._pool: ThreadPoolExecutor | None = None

    def send(self, items: Iterable[Item], send: Callable[[Item], object]) -> RequestBatch[Item]:
        """Send every item and wait for all responses."""
        self._pool = self._pool or ThreadPoolExecutor(REQUESTS_IN_FLIGHT)
        this = RequestBatch(send, self._shutdown)
        try:
            this.run(items, self._pool)
        finally:
            self._shutdown.recover()
        return this

    def close(self) -> None:
        """Let the threads end."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
