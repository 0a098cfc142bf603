"""From many requests at once to one transaction after the other."""

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

AT_ONCE = 500
"""Events that share a transaction at most. A sync costs the same for one and for hundreds."""

Answer = bool | Exception
"""Whether the event was new, or why it is not on disk."""


@dataclass
class _Waiting:
    """An event, and who wants to know when it is on disk."""

    event: Event
    done: asyncio.Future[bool]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def tell(self, answer: Answer) -> None:
        # The loop may have ended meanwhile, and with it everybody who waited.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._settle, answer)

    def _settle(self, answer: Answer) -> None:
        if self.done.done():
            return
        if isinstance(answer, Exception):
            self.done.set_exception(answer)
        else:
            self.done.set_result(answer)


class Writer:
    """A thread that writes what is waiting, all of it in one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
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
        self._queue.put(_Waiting(event, done))
        return await done

    def close(self) -> None:
        """Write what is waiting, and end."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            waiting, ends = self._more(first)
            self._write(waiting)
            if ends:
                return

    def _more(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        waiting = [first]
        with suppress(queue.Empty):
            while len(waiting) < AT_ONCE:
                another = self._queue.get_nowait()
                if another is None:
                    return waiting, True
                waiting.append(another)
        return waiting, False

    def _write(self, waiting: list[_Waiting]) -> None:
        try:
            answers: list[bool] = self._store.add([one.event for one in waiting])
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            self.works = False
            for one in waiting:
                one.tell(error)
            return
        self.works = True
        for one, new in zip(waiting, answers, strict=True):
            one.tell(new)
