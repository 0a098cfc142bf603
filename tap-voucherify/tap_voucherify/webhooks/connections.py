"""Bounds on connections that send no complete request headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

HEADER_SECONDS = 10.0
"""Time for a connection to send the headers of a request."""

MAX_WAITING = 500
"""Connections without complete headers; a new one closes the oldest, so that none is refused."""

LAST_SECONDS = 0.5
"""Time for the oldest to complete its headers: they may have come and not been read yet."""


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with a deadline for headers, which uvicorn does not have."""

    _waiting: dict[BoundedProtocol, asyncio.TimerHandle] = {}  # noqa: RUF012 - of all connections
    _closing: dict[BoundedProtocol, asyncio.TimerHandle] = {}  # noqa: RUF012 - as above

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_or_stop()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_or_stop()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close the connection at once."""
        self._stop_waiting()
        self.transport.abort()

    def drop_soon(self) -> None:
        """Close the connection if its headers are not complete by then."""
        self._stop_waiting()
        self._closing[self] = self.loop.call_later(LAST_SECONDS, self.drop)

    def _wait_or_stop(self) -> None:
        is_answering = not getattr(self.cycle, "response_complete", True)
        if is_answering:
            self._stop_waiting()
        elif self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]:
            self._wait()

    def _wait(self) -> None:
        if self in self._waiting or self in self._closing or self.transport.is_closing():
            return
        self._waiting[self] = self.loop.call_later(HEADER_SECONDS, self.drop)
        if len(self._waiting) > MAX_WAITING:
            next(iter(self._waiting)).drop_soon()

    def _stop_waiting(self) -> None:
        for timers in (self._waiting, self._closing):
            timer = timers.pop(self, None)
            if timer is not None:
                timer.cancel()
