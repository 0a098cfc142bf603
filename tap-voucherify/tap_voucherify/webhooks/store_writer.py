"""Write the events of concurrent requests to the store, many per transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from tap_voucherify.webhooks.store import StoreLostError

if TYPE_CHECKING:
    from tap_voucherify.webhooks.envelopes import Event
    from tap_voucherify.webhooks.store import Store

    PendingEvent = tuple[Event, Future[bool]]

MAX_BATCH = 500
"""Events in one transaction. A sync costs the same for one and for hundreds."""


class StoreWriter:
    """A thread that writes all pending events in one transaction, again and again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[PendingEvent | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer")
        self._thread.start()
        self.works = True
        """Whether the last transaction succeeded."""
        self.has_lost_store = False

    async def add(self, event: Event) -> bool:
        """Wait until the event is on disk; False if it was there before.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        done: Future[bool] = Future()
        self._queue.put((event, done))
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Write the pending events and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            pending, ends = self._more(first)
            self._write(pending)
            if ends:
                return

    def _more(self, first: PendingEvent) -> tuple[list[PendingEvent], bool]:
        pending = [first]
        with suppress(queue.Empty):
            while len(pending) < MAX_BATCH:
                another = self._queue.get_nowait()
                if another is None:
                    return pending, True
                pending.append(another)
        return pending, False

    def _write(self, pending: list[PendingEvent]) -> None:
        # An event is written although its request is gone; from here on none can cancel its future.
        awaited = [done.set_running_or_notify_cancel() for _, done in pending]
        futures = [done for _, done in pending]
        try:
            are_new = self._store.add([event for event, _ in pending])
        except Exception as error:  # noqa: BLE001 - the requests must fail, whatever the error
            self.works = False
            self.has_lost_store = isinstance(error, StoreLostError)
            for done, is_awaited in zip(futures, awaited, strict=True):
                if is_awaited:
                    done.set_exception(error)
            return
        self.works = True
        for done, is_awaited, new in zip(futures, awaited, are_new, strict=True):
            if is_awaited:
                done.set_result(new)
