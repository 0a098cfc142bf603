"""A server other than Voucherify, which records requests and sends given responses."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

ELSEWHERE = "127.0.0.2"
"""A loopback host other than the sandbox's 127.0.0.1."""


def silence() -> Iterable[bytes]:
    """No response."""
    return ()


class Stranger:
    """A listening socket that records what it received and how much of a response was read.

    Args:
        answer: yields the bytes of the response to each connection, headers included.
        host: to listen on.
    """

    def __init__(
        self, answer: Callable[[], Iterable[bytes]] = silence, host: str = ELSEWHERE
    ) -> None:
        self._answer = answer
        self._listening = socket.create_server((host, 0))
        self._thread = threading.Thread(target=self._serve)
        self.received: list[bytes] = []
        self.sent = 0
        self.url = f"http://{host}:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return  # Closed by `__exit__`.
            with connection:
                self._meet(connection)

    def _meet(self, connection: socket.socket) -> None:
        try:
            self.received.append(connection.recv(65_536))
            for piece in self._answer():
                connection.sendall(piece)
                self.sent += len(piece)
        except OSError:
            return  # The client closed the connection.
