"""A proxy that records requests and responses of the sandbox."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from loopback import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Mapping

UPSTREAM_SECONDS = 120
"""Time for a response; Prism takes long over the first one of an operation."""

OF_A_CONNECTION = {"connection", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Exchange:
    """One request and its response; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    kind: str
    answer: bytes
    violations: str = ""
    """What Prism, which may stand between, finds wrong with it."""

    @property
    def answered(self) -> Any:
        """The body of the response as JSON; `None` without one."""
        return json.loads(self.answer) if self.kind == "application/json" and self.answer else None


class Recorder(LoopbackServer):
    """Keeps every exchange, in the order of the responses.

    Attributes:
        upstream: the address of the sandbox, or of what stands before it.
        host: the header Host to send; `None` keeps that of the request.
    """

    def __init__(self, sandbox: str) -> None:
        self.exchanges: list[Exchange] = []
        self.upstream = sandbox
        self.host: str | None = None
        super().__init__(self._handler())

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                netloc = urlsplit(recorder.upstream).netloc
                onward = http.client.HTTPConnection(netloc, timeout=UPSTREAM_SECONDS)
                # The header Host is kept, so that the download URL of an export points here.
                headers = {name.lower(): value for name, value in self.headers.items()}
                host = headers["host"] if recorder.host is None else recorder.host
                onward_headers = {**headers, "host": host}
                with closing(onward):
                    onward.request(self.command, self.path, body or None, onward_headers)
                    answer = onward.getresponse()
                    content = answer.read()
                kind = answer.headers.get_content_type()
                said = answer.headers.get("sl-violations", "")
                recorder.exchanges.append(
                    Exchange(
                        self.command,
                        self.path,
                        headers,
                        body,
                        answer.status,
                        kind,
                        content,
                        violations=said,
                    )
                )
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    if name.lower() not in OF_A_CONNECTION:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = pass_on  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Log nothing: `exchanges` has all requests."""

        return Handler
