"""Sends one request and reads its response: connections, proxies, certificates and deadlines.

`requests` finds the way to a host, through the proxies and with the certificates of the
environment, once. Each request then goes straight to `urllib3`, which holds the connections: what a
session does for every single request costs more than the request's own work, and does nothing that
an API with keys in headers needs: no cookies, no netrc file, no redirects. A redirect would carry
the keys to whatever host it names.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from typing_extensions import override
from urllib3 import Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as TransferTimeoutError
from urllib3.util import Retry, make_headers

from . import response_body, temporary_files
from .responses import Response, read
from .urls import is_loopback
from .watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
"""Seconds between two bytes of a response at most."""

NO_RETRIES = Retry(total=False)

TIME_OUT = "time-out"
INSECURE = "no secure connection"
"""Why no response came, as the log says it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` is a template and may be logged; `url` may hold ids and secrets.

    With a `file`, the body of the response goes there. `is_repeatable` says whether sending it
    twice leaves what sending it once does.
    """

    method: str
    path: str
    url: str = field(repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    decode: Callable[[bytes], Any] = msgspec.json.decode
    file: IO[bytes] | None = None
    is_repeatable: bool = True

    @property
    def operation(self) -> str:
        """Method and path template, for the log."""
        return f"{self.method} {self.path}"


class Transport:
    """Connections to the hosts of one project, for any number of threads.

    Args:
        user_agent: what the requests call themselves.
        max_concurrency: threads that make requests besides the main one.
    """

    def __init__(self, *, user_agent: str, max_concurrency: int) -> None:
        self._adapter = _Adapter(pool_maxsize=max_concurrency + 1)
        self._headers = {
            "Accept": "application/json",
            **make_headers(keep_alive=True, accept_encoding=True, user_agent=user_agent),
        }
        self._pools: dict[str, Any] = {}
        self._watchdog = Watchdog()

    def exchange(self, request: Request, headers: Mapping[str, str], seconds: float) -> Response:
        """The response to one request; what went wrong on the way becomes part of it.

        Args:
            request: to send.
            headers: that prove who sends it.
            seconds: for all of it, however steadily single bytes arrive.

        Raises:
            VoucherifyError: the body is larger than any that Voucherify sends.
        """
        exchange = _in_thread.exchange = _Exchange()
        try:
            with self._watchdog.limit(seconds, exchange.expire):
                return self._transfer(request, headers)
        except (requests.RequestException, HTTPError) as error:
            return Response(None, failure=TIME_OUT if exchange.is_expired else _failure(error))

    def close(self) -> None:
        """Close the connections that no request uses."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        self._adapter.close()

    def _transfer(self, request: Request, headers: Mapping[str, str]) -> Response:
        url, body = urlsplit(request.url), request.body
        headers = {**self._headers, **headers}
        if request.form is not None:
            body = urlencode(request.form).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif body is not None:
            headers["Content-Type"] = "application/json"
        query = urlencode(request.params, doseq=True) if request.params else url.query
        received: Any = self._pool(f"{url.scheme}://{url.netloc}").urlopen(
            request.method,
            f"{url.path or '/'}?{query}" if query else url.path or "/",
            body=body,
            headers=headers,
            retries=NO_RETRIES,
            redirect=False,
            assert_same_host=False,
            timeout=Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            preload_content=False,
        )
        try:
            return _read_response(received, request)
        finally:
            # What was not read to its end is cut off with its connection.
            received.close()
            received.release_conn()

    def _pool(self, origin: str) -> Any:
        """The connections to scheme and host, as the environment says at the first request.

        A proxy is no way to this machine: it would read the keys.
        """
        if origin not in self._pools:
            session = requests.Session()
            session.trust_env = not is_loopback(origin)
            settings = session.merge_environment_settings(origin, {}, None, None, None)
            certificates = settings["verify"]
            self._pools[origin] = self._adapter.get_connection_with_tls_context(
                requests.Request("GET", origin).prepare(),
                DEFAULT_CA_BUNDLE_PATH if certificates is True else certificates,
                proxies=settings["proxies"],
            )
        return self._pools[origin]


class _Exchange:
    """One exchange that may be cut off from outside."""

    def __init__(self) -> None:
        self.connection: HTTPConnection | None = None
        self.is_expired = False

    def expire(self) -> None:
        """Close the connection under the thread that waits for it."""
        self.is_expired = True
        sock = None if self.connection is None else self.connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


_in_thread = threading.local()
"""`exchange`: the exchange of this thread."""


class _Connection(HTTPConnection):
    """A connection that its exchange knows from before the first byte."""

    @override
    def connect(self) -> None:
        _in_thread.exchange.connection = self
        super().connect()

    @override
    def request(self, *arguments: Any, **options: Any) -> None:
        _in_thread.exchange.connection = self
        super().request(*arguments, **options)


class _TlsConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Pools of connections that can be cut off; `urllib3` documents both attributes."""

    @override
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    @override
    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = POOLS
        return manager


POOLS = {"http": _Pool, "https": _TlsPool}


def _failure(error: Exception) -> str:
    """Why there is no response."""
    if isinstance(error, NameResolutionError):
        return "unknown host"
    if isinstance(error, NewConnectionError):
        is_refused = isinstance(error.__cause__, ConnectionRefusedError)
        return "connection refused" if is_refused else "no connection"
    if isinstance(error, TransferTimeoutError):
        return TIME_OUT
    if isinstance(error, ProxyError):
        return "no connection through the proxy"
    return INSECURE if isinstance(error, SSLError) else "cut connection"


def _read_response(received: Any, request: Request) -> Response:
    """The response, its body read within bounds; that of a download goes to the file, whole."""
    if request.file is None:
        body = response_body.read_bounded(received, response_body.MOST_JSON, request.operation)
        return read(received.status, received.headers, b"".join(body), request.decode)
    if received.status == HTTPStatus.OK:
        with temporary_files.usable():
            request.file.seek(0)
            request.file.truncate()
        most = response_body.MOST_FILE
        for piece in response_body.read_bounded(received, most, request.operation):
            temporary_files.write_all(request.file, piece)
    return Response(received.status, received.headers)
