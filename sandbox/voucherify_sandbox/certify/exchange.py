"""One request and its response, over a connection of its own."""

from __future__ import annotations

import http.client
import json
import re
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from threading import Timer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

ID = re.compile(r"\b(?:(?:[a-z]{1,12}_)+|v-)(?=[a-z]*[0-9A-Z])[A-Za-z0-9]{10,}\b")
QUERY = re.compile(r"(https?://[^\s?\"]+)\?[^\s\"]*")
EMAIL = re.compile(r"[\w.+-]+@(?!example\.invalid)[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)

TIMEOUT_SECONDS = 60
"""For a whole exchange, however slowly the bytes arrive."""

MAX_BYTES = 20_000_000
_HEADERS = ("date", "content-type", "retry-after")
_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request without its keys; `with_keys` says whether they are sent."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    with_keys: bool = True
    is_json: bool = True

    @property
    def changes(self) -> bool:
        """Whether it may change the project."""
        return self.method != "GET"

    @property
    def target(self) -> str:
        """Path and query as sent; a `path` that is a whole URL stays as it is."""
        query = f"?{urlencode(self.query, quote_via=quote)}" if self.query else ""
        return self.path + query


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A response: `body` where it is JSON, else `text`. Status 0: none came."""

    status: int
    at: float
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    text: str = ""
    repeated: bool = False

    @property
    def json(self) -> Json:
        """The body, or an empty object where it is none."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def words(self) -> str:
        """Status, key and details of an error, for the table."""
        parts = [str(self.status), *(str(self.json.get(name, "")) for name in ("key", "details"))]
        text = without_people(" ".join(part for part in parts if part))
        return "".join(letter for letter in text if letter.isprintable())[:120]

    def to_json(self) -> Json:
        """As an object."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Json) -> Self:
        """From such an object."""
        return cls(**values)


def without_people(text: str) -> str:
    """A text without ids, queries of URLs and foreign e-mail addresses."""
    return ID.sub("id", EMAIL.sub("e-mail", QUERY.sub(r"\1", text)))


def address_problem(url: str) -> str | None:
    """Why keys may not be sent to a URL; `None` if they may."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return None
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return None
    return "the address must begin with https://, or be a loopback address"


class Connection:
    """Sends requests with the key pair of one project; follows no redirect."""

    def __init__(self, api_url: str, application_id: str, secret_key: str) -> None:
        """Keep the address and the keys.

        Raises:
            ValueError: keys may not be sent to this address.
        """
        if problem := address_problem(api_url):
            raise ValueError(f"--api-url: {problem}")
        self._api_url = api_url.rstrip("/")
        self._keys = {"X-App-Id": application_id, "X-App-Token": secret_key}

    def send(self, call: Call, at: float) -> Exchange:
        """The response; status 0 if none came that can be read."""
        with suppress(OSError, http.client.HTTPException, ValueError):
            return self._send(call, at)
        return Exchange(status=0, at=at)

    def _send(self, call: Call, at: float) -> Exchange:
        url = urlsplit(call.target if "://" in call.path else self._api_url + call.target)
        secure = url.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(url.netloc, timeout=TIMEOUT_SECONDS)
        timer = Timer(TIMEOUT_SECONDS, _cut, [connection])
        timer.daemon = True
        try:
            timer.start()
            connection.request(call.method, _target(url.path, url.query), *self._content(call))
            response = connection.getresponse()
            raw = response.read(MAX_BYTES)
            if response.length:
                raise http.client.IncompleteRead(raw)
            return _exchange(call, response, self._without_keys(raw), at)
        finally:
            timer.cancel()
            connection.close()

    def _content(self, call: Call) -> tuple[bytes | None, dict[str, str]]:
        headers = {"Accept": "*/*", "User-Agent": "voucherify-sandbox certify"}
        if call.with_keys and self.may_have_keys(call.path):
            headers |= self._keys
        if call.body is None:
            return None, headers
        return json.dumps(call.body).encode(), {**headers, "Content-Type": "application/json"}

    def _without_keys(self, raw: bytes) -> bytes:
        """A body that does not repeat the keys, as the text of an error may."""
        for key in self._keys.values():
            raw = raw.replace(key.encode(), b"[key]")
        return raw

    def may_have_keys(self, path: str) -> bool:
        """Whether a path or URL is on the host of the API or the download host of its region."""
        if "://" not in path:
            return True
        own, other = urlsplit(self._api_url), urlsplit(path)
        if other.scheme != own.scheme:
            return False
        labels = (own.hostname or "").split(".")
        downloads = ".".join("download" if label == "api" else label for label in labels)
        return other.netloc in {own.netloc, downloads}


def _target(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def _cut(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def _exchange(call: Call, response: http.client.HTTPResponse, raw: bytes, at: float) -> Exchange:
    headers = {
        name.lower(): value
        for name, value in response.getheaders()
        if name.lower() in _HEADERS or name.lower().startswith("x-rate-limit-")
    }
    text = raw.decode("utf-8", "replace")
    if not call.is_json and response.status == http.client.OK:
        return Exchange(status=response.status, at=at, headers=headers, text=text)
    body = None
    with suppress(ValueError, RecursionError):
        body = json.loads(text)
    return Exchange(status=response.status, at=at, headers=headers, body=body)
