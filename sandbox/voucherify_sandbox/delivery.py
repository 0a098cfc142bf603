"""Delivery of webhooks: threads, persistent connections, and a queue ordered by due time."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from urllib.parse import urlsplit

WORKERS = 8
"""Threads, and so requests in flight at most."""

Attempt = Callable[[bytes, int], float | None]
"""Sends a body for the n-th time; returns when to retry, in seconds after the first attempt."""


@dataclass(order=True)
class _Parcel:
    due: float
    number: int
    make: Callable[[], bytes] = field(compare=False)
    attempt: Attempt = field(compare=False)
    content: bytes | None = field(default=None, compare=False)
    began: float = field(default=0, compare=False)
    tries: int = field(default=0, compare=False)


class Courier:
    """Sends queued requests when they are due, and again where an attempt asks for a retry."""

    def __init__(self) -> None:
        """Create an empty queue; threads start with the first entry."""
        self._changed = threading.Condition()
        self._due: list[_Parcel] = []
        self._numbers = self._carried = 0
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._kept = threading.local()

    @property
    def waiting(self) -> int:
        """Deliveries that are queued or in flight."""
        return len(self._due) + self._carried

    def take(self, make: Callable[[], bytes], attempt: Attempt, delay: float) -> None:
        """Queue a delivery: after `delay` seconds `make` returns its body."""
        with self._changed:
            self._numbers += 1
            heappush(self._due, _Parcel(time.monotonic() + delay, self._numbers, make, attempt))
            if len(self._threads) < WORKERS:
                thread = threading.Thread(target=self._carry, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def wait(self, seconds: float) -> bool:
        """Wait until all deliveries are done; `False` if that takes longer than `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.waiting, seconds)

    def stop(self) -> None:
        """Drop the queue and end the threads."""
        with self._changed:
            self._stopping = True
            self._due.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def post(self, url: str, body: bytes, headers: dict[str, str], timeout: float) -> bool:
        """POST once over the thread's persistent connection; whether 2xx came in time."""
        parts = urlsplit(url)
        kept: dict[str, http.client.HTTPConnection] = vars(self._kept).setdefault("open", {})
        connection = kept.pop(parts.netloc, None)
        if connection is not None:
            try:
                return self._sent(connection, url, (body, headers, timeout), kept)
            except (ConnectionError, http.client.HTTPException):
                connection.close()  # the server closed it while it was idle
            except OSError:
                connection.close()
                return False
        connection = http.client.HTTPConnection(parts.netloc)
        try:
            return self._sent(connection, url, (body, headers, timeout), kept)
        except (OSError, http.client.HTTPException):
            connection.close()
            return False

    def _sent(
        self,
        connection: http.client.HTTPConnection,
        url: str,
        what: tuple[bytes, dict[str, str], float],
        kept: dict[str, http.client.HTTPConnection],
    ) -> bool:
        """POST on this connection and keep it; whether the response is 2xx."""
        body, headers, connection.timeout = what
        parts = urlsplit(url)
        connection.request("POST", parts.path or "/", body, headers)
        response = connection.getresponse()
        response.read()
        kept[parts.netloc] = connection
        return response.status // 100 == 2  # noqa: PLR2004 - 2xx

    def _carry(self) -> None:
        while (parcel := self._next()) is not None:
            if parcel.content is None:
                parcel.content, parcel.began = parcel.make(), time.monotonic()
            parcel.tries += 1
            again = parcel.attempt(parcel.content, parcel.tries)
            with self._changed:
                self._carried -= 1
                if again is not None and not self._stopping:
                    parcel.due = parcel.began + again
                    heappush(self._due, parcel)
                self._changed.notify_all()
        for connection in vars(self._kept).get("open", {}).values():
            connection.close()

    def _next(self) -> _Parcel | None:
        """The next delivery once it is due; `None` after `stop`."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                if self._due and self._due[0].due <= now:
                    self._carried += 1
                    return heappop(self._due)
                self._changed.wait(self._due[0].due - now if self._due else None)
            return None
