"""Plain HTTP requests to the sandbox, so that a test sees what a client sees."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Reply:
    """One response."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def body(self) -> Any:
        """The content as JSON."""
        return json.loads(self.content)


class Address(Protocol):
    """The URL and the keys of a sandbox."""

    @property
    def url(self) -> str: ...
    @property
    def application_id(self) -> str: ...
    @property
    def secret_key(self) -> str: ...


class Wire:
    """A persistent connection to a sandbox, with its keys."""

    def __init__(self, sandbox: Address) -> None:
        self._keys = {"X-App-Id": sandbox.application_id, "X-App-Token": sandbox.secret_key}
        self._connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=30)

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **query: object,
    ) -> Reply:
        """Send one request; `body` as JSON, `raw` as it is."""
        sent = dict(self._keys)
        if body is not None:
            raw = json.dumps(body).encode()
        if raw is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        target = f"{path}?{urlencode(query)}" if query else path
        self._connection.request(method, target, raw, sent)
        answer = self._connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())

    def get(self, path: str, **query: object) -> Any:
        """The JSON of a GET below /v1."""
        return self("GET", f"/v1/{path}", **query).body

    def ids(self, **query: object) -> list[str]:
        """The source_ids of one page of customers."""
        return [row.get("source_id") for row in self.get("customers", **query)["customers"]]

    def form(self, path: str, **fields: str) -> Reply:
        """POST a form."""
        return self("POST", path, raw=urlencode(fields).encode(), headers={"Content-Type": FORM})

    def bulk(self, rows: object) -> Any:
        """Send a bulk request and poll its job until it ends, three times at most."""
        job = self("POST", "/v1/customers/bulk/async", rows).body
        for _ in range(3):
            action = self.get(f"async-actions/{job['async_action_id']}")
            if action["status"] in {"DONE", "FAILED"}:
                return action
        return action

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
