"""Carries send-outs to where they go: threads, kept connections, a heap of what is due when."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from urllib.parse import urlsplit

CARRIERS = 8
"""Send-outs on their way at once."""

Attempt = Callable[[bytes, int], float | None]
"""Tries a body for the n-th time; gives seconds after the first attempt to try again, or None."""


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
    """Takes send-outs and tries each when it is due; the same one may be tried many times."""

    def __init__(self) -> None:
        """Start no thread before there is something to carry."""
        self._changed = threading.Condition()
        self._due: list[_Parcel] = []
        self._numbers = self._carried = 0
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._kept = threading.local()

    @property
    def waiting(self) -> int:
        """Send-outs that are not over."""
        return len(self._due) + self._carried

    def take(self, make: Callable[[], bytes], attempt: Attempt, delay: float) -> None:
        """Carry what `make` makes, beginning after `delay` seconds."""
        with self._changed:
            self._numbers += 1
            heappush(self._due, _Parcel(time.monotonic() + delay, self._numbers, make, attempt))
            if len(self._threads) < CARRIERS:
                thread = threading.Thread(target=self._carry, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is left; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.waiting, seconds)

    def stop(self) -> None:
        """Let go of everything."""
        with self._changed:
            self._stopping = True
            self._due.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def post(self, url: str, body: bytes, headers: dict[str, str], timeout: float) -> bool:
        """POST once over the thread's kept connection; whether the answer was 2xx in time."""
        parts = urlsplit(url)
        kept: dict[str, http.client.HTTPConnection] = vars(self._kept).setdefault("open", {})
        connection = kept.pop(parts.netloc, None)
        if connection is not None:
            try:
                return self._sent(connection, url, (body, headers, timeout), kept)
            except (ConnectionError, http.client.HTTPException):
                connection.close()  # the other side let go of it while it was not used
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
        """Whether the answer on this connection was 2xx; the connection is kept then or not."""
        body, headers, connection.timeout = what
        parts = urlsplit(url)
        connection.request("POST", parts.path or "/", body, headers)
        answer = connection.getresponse()
        answer.read()
        kept[parts.netloc] = connection
        return answer.status // 100 == 2  # noqa: PLR2004 - 2xx

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
        """The next parcel once it is due; None when there will be no more."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                if self._due and self._due[0].due <= now:
                    self._carried += 1
                    return heappop(self._due)
                self._changed.wait(self._due[0].due - now if self._due else None)
            return None
