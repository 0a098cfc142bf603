"""Write the events of concurrent requests to the store, many per transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tap_voucherify.webhooks.envelopes import Event
    from tap_voucherify.webhooks.store import Store

MAX_BATCH = 500
"""Events in one transaction. A sync costs the same for one and for hundreds."""


@dataclass
class _PendingEvent:
    """An event, and the future of the request that waits until it is on disk."""

    event: Event
    done: asyncio.Future[bool]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def settle(self, result: bool | Exception) -> None:  # noqa: FBT001 - what the future gets
        """Let the request go on: whether the event was new, or why it is not on disk."""
        # The loop may have ended meanwhile, and with it all requests.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._settle, result)

    def _settle(self, result: bool | Exception) -> None:  # noqa: FBT001 - as above
        if self.done.done():
            return
        if isinstance(result, Exception):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


class StoreWriter:
    """A thread that writes all pending events in one transaction, again and again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[_PendingEvent | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer")
        self._thread.start()
        self.works = True
        """Whether the last transaction succeeded."""

    async def add(self, event: Event) -> bool:
        """Wait until the event is on disk; False if it was there before.

        Raises:
            sqlite3.Error: it is not on disk.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.put(_PendingEvent(event, done))
        return await done

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

    def _more(self, first: _PendingEvent) -> tuple[list[_PendingEvent], bool]:
        pending = [first]
        with suppress(queue.Empty):
            while len(pending) < MAX_BATCH:
                another = self._queue.get_nowait()
                if another is None:
                    return pending, True
                pending.append(another)
        return pending, False

    def _write(self, pending: list[_PendingEvent]) -> None:
        try:
            are_new: list[bool] = self._store.add([one.event for one in pending])
        except Exception as error:  # noqa: BLE001 - the requests must fail, whatever the error
            self.works = False
            for one in pending:
                one.settle(error)
            return
        self.works = True
        for one, new in zip(pending, are_new, strict=True):
            one.settle(new)
