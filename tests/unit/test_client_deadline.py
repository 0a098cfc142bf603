"""A whole exchange has one deadline, wherever a server lets single bytes drip."""

from __future__ import annotations

import logging
import socket
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from itertools import chain, repeat
from typing import TYPE_CHECKING

import pytest

from tap_voucherify.voucherify_client.client import Client, Connection
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.shutdown import Shutdown
from tap_voucherify.voucherify_client.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

DRIPS: dict[str, Iterable[bytes]] = {
    "the status line": chain([b"HTTP/1.1 200 "], repeat(b"O")),
    "a header's value": chain([OK, b"X-Long: "], repeat(b"x")),
    "many headers": chain([OK], repeat(b"X: y\r\n")),
    "informational responses": repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the body": chain([OK, b"Content-Length: 100000\r\n\r\n{"], repeat(b" ")),
    "the length of a chunk": chain([CHUNKED], repeat(b"0")),
    "the extension of a chunk": chain([CHUNKED, b"5;x="], repeat(b"y")),
}


@contextmanager
def server(parts: Iterable[bytes]) -> Iterator[str]:
    """Answers every connection with these parts, twenty a second."""
    listening = socket.create_server(("127.0.0.1", 0))
    parts = [part for part, _ in zip(parts, range(2_000), strict=False)]

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=drip, args=[connection], daemon=True).start()

    def drip(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(65_536)
            for part in parts:
                connection.sendall(part)
                time.sleep(0.05)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()


def client_of(url: str) -> Client:
    client = Client(
        Connection(url, "id", "key"),
        shutdown=Shutdown(),
        log=logging.getLogger("test"),
        max_concurrency=1,
        max_calls=3,
    )
    client.exchange_seconds = 0.5
    return client


@pytest.mark.parametrize("parts", DRIPS.values(), ids=DRIPS.keys())
def test_bytes_that_drip_for_ever_are_a_time_out(parts: Iterable[bytes]) -> None:
    with server(parts) as url:
        began = time.monotonic()
        with pytest.raises(VoucherifyError) as raised:
            client_of(url).get("/v1/customers")
    assert time.monotonic() - began < 10
    assert "time-out" in str(raised.value) or "max_calls" in str(raised.value)


def test_a_download_has_a_longer_deadline_than_other_exchanges() -> None:
    assert (Client.exchange_seconds, Client.download_seconds) == (300, 2 * 60 * 60)
    with server(chain([CHUNKED], repeat(b"1\r\nx\r\n"))) as url, tempfile.TemporaryFile() as file:
        client = client_of(url)
        client.exchange_seconds, client.download_seconds = 0.1, 1.0
        with pytest.raises(VoucherifyError, match="time-out"):
            client.download(f"{url}/v1/exports/e?token=t", file)
        assert (client.usage.calls, client.usage.retries) == (3, 2)


def test_trailers_that_drip_for_ever_hold_up_no_body_that_is_whole() -> None:
    with server(chain([CHUNKED, b"2\r\n{}\r\n0\r\n"], repeat(b"X: y\r\n"))) as url:
        began = time.monotonic()
        assert client_of(url).get("/v1/customers") == {}
    assert time.monotonic() - began < 10


def test_a_slow_response_that_ends_in_time_is_read() -> None:
    whole = [OK, b"Content-Length: 2\r\n\r\n", b"{", b"}"]
    with server(whole) as url:
        assert client_of(url).get("/v1/customers") == {}


def test_only_blocks_that_are_late_expire() -> None:
    watchdog, expired = Watchdog(), list[str]()
    with watchdog.limit(60, lambda: expired.append("in time")):
        with watchdog.limit(0.1, lambda: expired.append("late")):
            time.sleep(1.2)
        with watchdog.limit(0.1, lambda: expired.append("left at once")):
            pass
        time.sleep(1.2)
    assert expired == ["late"]
