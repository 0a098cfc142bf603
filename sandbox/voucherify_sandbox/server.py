"""The HTTP server: sockets, requests, responses, and the faults of a connection."""

from __future__ import annotations

import gzip
import json
import os
import socket
import struct
import sys
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from voucherify_sandbox.faults import Fault
    from voucherify_sandbox.service import Service

LOOPBACK = "127.0.0.1"
# A body above this is not even read: far above the 10 MB that any endpoint takes.
MAX_BODY_BYTES = 64 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
PIECES, PAUSE = 10, 0.002
"""Pieces of the head and of the body of a slow response, and the seconds between two."""

_HEADERS = {
    "no_date": {"Date": ""},
    "malformed_header": {"A line that is no header\r\nX-Next": "header"},
}
"""What some faults of the headers set; an empty text leaves the header out."""
_UNUSABLE_AFTER = frozenset(("cut_body", "short_length", "malformed_header"))
"""Faults after which a client cannot tell where the next response begins."""


class Server(ThreadingHTTPServer):
    """A listening socket on the loopback interface, and the connections it took."""

    request_queue_size = 128
    daemon_threads = False

    def __init__(self, port: int, service: Service, refuse: Callable[[float], None]) -> None:
        """Listen; `refuse` is called to refuse connections for some seconds."""
        self.service = service
        self.refuse = refuse
        self.stopping = Event()
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        super().__init__((LOOPBACK, port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that it can be closed from here."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an exception, unless the client closed the connection."""
        # socketserver calls this while it handles the exception.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop listening and close every connection."""
        self.stopping.set()
        self.shutdown()
        with self._lock:
            for connection in self._open:
                _hang_up(connection)
        self.server_close()


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # The client has closed it already.


class Handler(BaseHTTPRequestHandler):
    """One persistent connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    # Without these two each response waits 40 ms (Nagle and delayed ACK), because header and body
    # go out as two packets.
    disable_nagle_algorithm = True
    wbufsize = -1

    def _serve(self) -> None:
        body = self._body()
        if body is None:
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        outcome = self.server.service.serve(self.command, self.path, headers, body)
        fault = outcome.fault
        if outcome.response is None or (fault and fault.kind == "cut_after"):
            self._break_off(fault)
        else:
            self._send(outcome.response, fault)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815 - http.server's names

    def _body(self) -> bytes | None:
        """The body; `None` if it is too large and 413 was sent."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = self._chunks()
        else:
            length = self.headers.get("Content-Length", "0")
            small = length.isdigit() and int(length) <= MAX_BODY_BYTES
            body = self.rfile.read(int(length)) if small else None
        if body is None:
            self._refuse_body()
        return body

    def _chunks(self) -> bytes | None:
        """A body in chunked transfer encoding; `None` if it is too large."""
        chunks: list[bytes] = []
        left = MAX_BODY_BYTES
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            left -= size
            if left < 0:
                return None
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _refuse_body(self) -> None:
        self.close_connection = True
        text = "Request Entity Too Large"
        body = {"statusCode": 413, "error": text, "message": text}
        self._send(Response(413, raw=json.dumps(body).encode()), None)

    def _break_off(self, fault: Fault | None) -> None:
        """Close the connection without a response; `reset` and `refuse` send RST."""
        self.close_connection = True
        kind = fault.kind if fault else ""
        if kind == "refuse" and fault is not None:
            self.server.refuse(fault.seconds)
        if kind in {"reset", "refuse"}:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())

    def _send(self, response: Response, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        content, declared, headers = _spoil(response.raw or b"", kind)
        if fault is not None and kind == "huge_body":
            declared = fault.size
        if fault is not None:
            self.server.stopping.wait(fault.delay + (kind == "slow_headers") * fault.seconds)
        self._send_head(response, declared, headers)
        self._send_body(content, fault)

    def _send_body(self, content: bytes, fault: Fault | None) -> None:
        if fault is not None and fault.kind == "huge_body":
            self._send_spaces(fault.size)
            return
        if fault is not None and fault.kind == "slow_body":
            half = len(content) // 2
            self.wfile.write(content[:half])
            self.wfile.flush()
            self.server.stopping.wait(fault.seconds)
            content = content[half:]
        self._write(content)
        if fault is not None and fault.kind in _UNUSABLE_AFTER:
            self.close_connection = True

    def _send_spaces(self, size: int) -> None:
        """Send a body of spaces without holding it in memory."""
        while size > 0 and not self.server.stopping.is_set():
            self.wfile.write(b" " * min(size, _CHUNK_BYTES))
            size -= _CHUNK_BYTES

    def _send_head(self, response: Response, declared: int, headers: dict[str, str]) -> None:
        dialect = self.server.service.dialect
        self.send_response_only(response.status)
        now = self.server.service.clock.now()
        sent = {"Date": format_datetime(now, usegmt=True), **response.headers, **headers}
        if response.status != 204:  # noqa: PLR2004 - No Content has no length either
            sent |= {"Content-Type": response.content_type, "Content-Length": str(declared)}
        # A client that stops at the broken line cannot tell where the body ends.
        self.close_connection = self.close_connection or dialect.headers == "broken"
        if self.close_connection:
            sent["Connection"] = "close"
        lines = dialect.lines([(name, value) for name, value in sent.items() if value])
        head = "".join(f"{line}\r\n" for line in [*lines, ""])
        self.flush_headers()
        self._write(head.encode("latin-1"))

    def _write(self, content: bytes) -> None:
        """Write at once, or in pieces where responses are slow."""
        if self.server.service.dialect.headers != "slow":
            self.wfile.write(content)
            return
        size = max(1, len(content) // PIECES)
        for begin in range(0, len(content), size):
            self.wfile.write(content[begin : begin + size])
            self.wfile.flush()
            self.server.stopping.wait(PAUSE)

    def log_message(self, *_: object) -> None:
        """Log nothing: `Sandbox.requests` holds every request."""


def _spoil(content: bytes, kind: str) -> tuple[bytes, int, dict[str, str]]:
    """The bytes to send, the `Content-Length` and extra headers under a fault of the body."""
    half = content[: len(content) // 2]
    if kind == "gzip":
        content = gzip.compress(content)
        return content, len(content), {"Content-Encoding": "gzip"}
    if kind in _HEADERS:
        return content, len(content), _HEADERS[kind]
    if kind == "truncated_json":
        return half, len(half), {}
    if kind == "cut_body":
        return half, len(content), {}
    if kind == "short_length":
        return content, len(half), {}
    return content, len(content), {}
