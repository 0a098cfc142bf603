"""A server with prepared responses, fast enough not to be what is measured.

`python -m benchmarks.server FOLDER COUNT KIND` serves COUNT rows of `benchmarks.customers`, prints
its URL, and ends with its standard input. `delay=SECONDS` delays each response; `calls=NUMBER
period=SECONDS` limits calls as the API does; with `log=1` it prints the time and status of each
response at its end. It knows the parameters of the contestants only, and validates nothing.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from math import inf
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from benchmarks.customers import FIRST, OTHER_LISTS, ready_made, step
from benchmarks.records import exported

DEFAULT_LIMIT = 10
MILLISECOND = timedelta(milliseconds=1)
BULK = "/v1/customers/bulk/async"
TOO_MANY = b'{"code":429,"message":"Too many requests hit the API too quickly."}'
ANSWERED: list[tuple[float, int]] = []
"""Time and status of each response."""


class Project:
    """Customers to read, and bulk jobs that end at once."""

    def __init__(self, folder: Path, count: int, kind: str) -> None:
        """Map the customers into memory."""
        self._name = kind if kind in OTHER_LISTS else "customers"
        path, self._places = ready_made(folder, count, kind)
        with path.open("rb") as file:
            self._rows = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._count = count
        self._step = step(count) // MILLISECOND
        self._jobs: list[int] = []
        self._folder = folder
        self.url = ""

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the response to a request."""
        path, _, query = target.partition("?")
        if method == "GET" and path == f"/v1/{self._name}":
            return 200, self._page(dict(parse_qsl(query)))
        if method == "POST" and path == BULK:
            self._jobs.append(body.count(b'"source_id"'))
            return 202, b'{"async_action_id":"aa_%d"}' % (len(self._jobs) - 1)
        return self._more(method, path)

    def _more(self, method: str, path: str) -> tuple[int, bytes]:
        """The responses about exports and jobs."""
        if path.startswith(("/v1/exports", "/export")):
            return 200, self._export(method, path)
        if path.startswith("/v1/async-actions/aa_"):
            return 200, self._job(int(unquote(path).rpartition("_")[2]))
        if path == "/v1/async-actions":
            return 200, b'{"object":"list","data_ref":"async_actions","async_actions":[]}'
        return 404, b'{"code":404,"key":"not_found","message":"Resource not found"}'

    def _page(self, query: dict[str, str]) -> bytes:
        limit, number = int(query.get("limit", DEFAULT_LIMIT)), int(query.get("page", 1))
        after = query.get("created_at[after]") or query.get("starting_after")
        before = query.get("created_at[before]")
        low = 0 if after is None else self._position(after, beyond=True)
        high = self._count if before is None else self._position(before, beyond=False)
        if query.get("order") == "updated_at":
            high = low  # nothing was updated lately
        begin = min(high, low + (number - 1) * limit)
        end = min(high, begin + limit)
        more = b"true" if end < high else b"false"
        is_newest_first = query.get("order", "").startswith("-")
        if is_newest_first:
            begin, end = low + high - end, low + high - begin
        rows = [
            self._rows[self._places[row] : self._places[row + 1] - 1] for row in range(begin, end)
        ]
        name = self._name.encode()
        return b'{"object":"list","data_ref":"%b","%b":[%b],"total":%d,"has_more":%b}' % (
            name,
            name,
            b",".join(rows[:: -1 if is_newest_first else 1]),
            max(0, high - low),
            more,
        )

    def _export(self, method: str, path: str) -> bytes:
        """An export of the customers of `benchmarks.records`, done at once; or its file."""
        if path == "/export":
            return exported(self._folder, self._count).read_bytes()
        done = {"status": "DONE", "result": {"url": f"{self.url}/export"}}
        return json.dumps({"id": "exp_0", **({} if method == "POST" else done)}).encode()

    def _position(self, text: str, *, beyond: bool) -> int:
        """The number of customers created before a timestamp, or up to it."""
        passed = (datetime.fromisoformat(text).astimezone(UTC) - FIRST) // MILLISECOND
        whole, part = divmod(passed, self._step)
        return min(self._count, max(0, whole + (1 if part or beyond else 0)))

    def _job(self, number: int) -> bytes:
        rows = self._jobs[number]
        action = {
            "id": f"aa_{number}",
            "type": "CUSTOMERS.BULK_ACTION",
            "status": "DONE",
            "operation_status": "SUCCESS",
            "processing_time": 1,
            "result": {"done_count": rows, "failed_count": 0, "failed": [], "errors": []},
        }
        return json.dumps(action).encode()


@dataclass
class Limit:
    """A limit of calls in a period, which starts with the first call after the previous one."""

    calls: float = inf
    period: float = 60.0
    _ends: float = 0.0
    _used: int = 0

    def wait(self) -> float:
        """Count a call: 0 if it may be made, else the seconds until the next period."""
        now = time.monotonic()
        if now >= self._ends:
            self._ends, self._used = now + self.period, 0
        self._used += 1
        return 0.0 if self._used <= self.calls else self._ends - now

    @property
    def a_minute(self) -> int:
        """Calls of a minute, which is what the API says of its plans."""
        return int(min(self.calls * 60 / self.period, 1_000_000))

    @property
    def left(self) -> int:
        """Calls left in the period."""
        return int(max(0, min(self.calls, 1_000_000) - self._used))


class Connection(asyncio.Protocol):
    """One persistent connection."""

    def __init__(self, project: Project, limit: Limit, delay: float) -> None:
        """Serve a project; responses are delayed by `delay` seconds."""
        self._project = project
        self._limit = limit
        self._delay = delay
        self._read = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for responses."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to each complete request."""
        self._read += data
        while (head := self._read.find(b"\r\n\r\n")) >= 0:
            lines = bytes(self._read[:head]).split(b"\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
            end = head + 4 + int(headers.get(b"content-length", 0))
            if len(self._read) < end:
                return
            body = bytes(self._read[head + 4 : end])
            del self._read[:end]
            method, target, _ = lines[0].decode().split(" ")
            self._answer(method, target, body)

    def _answer(self, method: str, target: str, body: bytes) -> None:
        wait = self._limit.wait()
        status, content = (429, TOO_MANY) if wait else self._project.answer(method, target, body)
        # Rounded up, so that a client that waits as long is never too early.
        retry_after = f"Retry-After: {wait + 0.001:.3f}\r\n" if wait else ""
        ANSWERED.append((time.monotonic(), status))
        head = (
            f"HTTP/1.1 {status} X\r\nDate: {format_datetime(datetime.now(UTC), usegmt=True)}\r\n"
            f"Content-Type: application/json\r\nX-Rate-Limit-Limit: {self._limit.a_minute}\r\n"
            f"X-Rate-Limit-Remaining: {self._limit.left}\r\n"
            f"{retry_after}Content-Length: {len(content)}\r\n\r\n"
        ).encode()
        if not isinstance(self._transport, asyncio.WriteTransport):
            raise TypeError("The transport cannot be written to.")
        write = partial(self._transport.write, head + content)
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, write)
        else:
            write()


async def serve(folder: Path, count: int, kind: str, settings: dict[str, float]) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    project = Project(folder, count, kind)
    limit = Limit(settings.get("calls", inf), settings.get("period", 60.0))
    delay = settings.get("delay", 0.0)
    server = await loop.create_server(lambda: Connection(project, limit, delay), "127.0.0.1", 0)
    project.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(project.url, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    if settings.get("log"):
        print(json.dumps(ANSWERED), flush=True)


if __name__ == "__main__":
    given = {name: float(value) for name, value in (word.split("=") for word in sys.argv[4:])}
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], given))
