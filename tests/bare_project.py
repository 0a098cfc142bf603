"""A second stand-in for a project, written from the published description alone.

It knows no more than `certify` asks for, shares no code with the sandbox, and behaves in ways that
the description allows and the sandbox does not have.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from loopback import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
APPLICATION_ID, SECRET_KEY = "stand-in-application-id", "stand-in-secret-key"
STRANGER: Json = {
    "object": "customer",
    "id": "cust_9sTRaNGERaNGERaNGER0",
    "source_id": "jane",
    "name": "Jane Roe",
    "email": "jane.roe@corp.io",
    "created_at": "2020-01-01T00:00:00.000Z",
    "summary": {},
}


@dataclass(kw_only=True)
class Behaviour:
    """What the description leaves open."""

    odd_key: str = "refused"
    """A `source_id` that is no text in a bulk request: `refused`, or the row has `none`."""
    again: int = 200
    """Status of a POST for a `source_id` that is taken."""
    job_seconds: float = 0
    list_lag: float = 0
    total: bool = True
    page_cap: int = 100
    wrong_body: int = 0
    """The number of the request that is answered with a stranger."""
    says: str = "no"
    """The details of an error about `limit` above 100."""
    loyalty: Json = field(default_factory=dict)
    other_job: Json | None = None


class BareProject(LoopbackServer):
    """The project, its server and its time, which moves when `certify` waits."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.customers: dict[str, Json] = {STRANGER["id"]: STRANGER}
        self.requests: list[tuple[str, str]] = []
        self.lost: set[int] = set()
        """Numbers of requests whose response is lost after they were applied."""
        self.refused: dict[int, int] = {}
        """Status of the requests that come to nothing, by number; 0 cuts the connection."""
        self._offset = 0.0
        self._number = 0
        self._made = 0
        self._jobs: dict[str, tuple[float, Callable[[], Json]]] = {}
        self._done: dict[str, Json] = {}
        self._lock = threading.Lock()
        super().__init__(self._handler())

    def time(self) -> float:
        return time.time() + self._offset

    def sleep(self, seconds: float) -> None:
        self._offset += seconds

    @property
    def left(self) -> list[Json]:
        """Customers of a probe, once all jobs have run."""
        self._offset += 10_000
        self._run_jobs()
        return [
            row
            for row in self.customers.values()
            if row is not STRANGER and "_deleted" not in str(row["source_id"])
        ]

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        """Status and body of one request."""
        self._run_jobs()
        url = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        parts = [unquote(one) for one in url.path.strip("/").split("/")[1:]]
        if self.behaviour.wrong_body == self._number:
            return 200, STRANGER
        if parts[:1] == ["customers"]:
            return self._about_customers(method, parts[1:], query, body)
        if parts[:1] == ["async-actions"]:
            return self._about_jobs(parts[1:])
        if (method, parts) == ("GET", ["exports"]):
            return 200, {"object": "list", "data_ref": "exports", "exports": [], "total": 0}
        if (method, parts) == ("POST", ["orders"]):
            return 200, {"id": self._id("ord"), "object": "order"}
        return 404, _error(404, "not_found")

    def _about_customers(
        self, method: str, rest: list[str], query: dict[str, str], body: Any
    ) -> tuple[int, Any]:
        if not rest:
            return self._listed(query) if method == "GET" else self._written(body)
        if rest[1:] == ["async"]:
            return self._accepted(rest[0], body)
        return self._one(method, rest[0], rest[1:], body)

    def _about_jobs(self, rest: list[str]) -> tuple[int, Any]:
        if rest:
            found = self._done.get(rest[0])
            told = {"status": "ENQUEUED"} if found is None else {"status": "DONE", "result": found}
            return 200, {"id": rest[0], **told}
        jobs = [{"id": job, "status": "ENQUEUED"} for job in self._jobs]
        jobs += [{"id": job, "status": "DONE"} for job in self._done]
        other = self.behaviour.other_job
        return 200, {"async_actions": jobs + ([other] if other else [])}

    def _one(self, method: str, key: str, rest: list[str], body: Any) -> tuple[int, Any]:
        found = next(
            (row for row in self.customers.values() if key in {row["id"], row["source_id"]}), None
        )
        if found is None:
            return 404, _error(404, "not_found")
        known: dict[tuple[str, str], Callable[[], tuple[int, Any]]] = {
            ("GET", ""): lambda: (200, found),
            ("GET", "activity"): lambda: (200, {"data": []}),
            ("PUT", ""): lambda: (200, self._changed(found, body)),
            ("DELETE", ""): lambda: self._deleted(found),
            ("POST", "permanent-deletion"): lambda: self._forgotten(found),
        }
        return known[method, "".join(rest)]()

    def _deleted(self, row: Json) -> tuple[int, Any]:
        row["source_id"] = f"{row['source_id']}_deleted_1"
        return 204, None

    def _forgotten(self, row: Json) -> tuple[int, Any]:
        del self.customers[row["id"]]
        return 200, {"id": self._id("del"), "status": "DONE", "object": "pernament_deletion"}

    def _listed(self, query: dict[str, str]) -> tuple[int, Any]:
        limit = int(query.get("limit", 10))
        if limit > 100:
            return 400, _error(400, "invalid_query_params", self.behaviour.says)
        until = _text(self.time() - self.behaviour.list_lag)
        shown = [row for row in self.customers.values() if row["created_at"] <= until]
        shown.sort(key=lambda row: str(row["created_at"]), reverse=True)
        for name in ("after", "before"):
            if bound := query.get(f"created_at[{name}]"):
                shown = [
                    row
                    for row in shown
                    if (row["created_at"] > bound if name == "after" else row["created_at"] < bound)
                ]
        size = min(limit, self.behaviour.page_cap)
        page: Json = {"object": "list", "data_ref": "customers", "customers": shown[:size]}
        page["has_more"] = len(shown) > size
        return 200, page | ({"total": len(shown)} if self.behaviour.total else {})

    def _written(self, body: Json) -> tuple[int, Any]:
        key = body.get("source_id")
        found = next((one for one in self.customers.values() if one["source_id"] == key), None)
        if found is None:
            return 200, self._created(body)
        if self.behaviour.again != 200:
            return self.behaviour.again, _error(self.behaviour.again, "duplicate_found")
        return 200, self._changed(found, body)

    def _created(self, body: Json) -> Json:
        identity = self._id("cust")
        row = {"object": "customer", "id": identity, "source_id": None, **body}
        row |= {"created_at": _text(self.time()), "summary": {}}
        self.customers[identity] = row | ({"loyalty": self.behaviour.loyalty})
        return self.customers[identity]

    def _changed(self, row: Json, body: Json) -> Json:
        row |= {name: value for name, value in body.items() if name != "source_id"}
        row["updated_at"] = _text(self.time())
        return row

    def _accepted(self, kind: str, body: Any) -> tuple[int, Any]:
        job = self._id("aa")
        rows = body if kind == "bulk" else [{"source_id": key} for key in body["source_ids"]]
        self._jobs[job] = (self.time() + self.behaviour.job_seconds, lambda: self._worked(rows))
        return 202, {"async_action_id": job}

    def _worked(self, rows: list[Json]) -> Json:
        failed = 0
        for row in rows:
            if isinstance(row["source_id"], str):
                self._written(row) if self.behaviour.again == 200 else None
            elif self.behaviour.odd_key == "none":
                self._created({**row, "source_id": None})
            else:
                failed += 1
        return {"done_count": len(rows) - failed, "failed_count": failed, "errors": []}

    def _run_jobs(self) -> None:
        for job, (due, work) in list(self._jobs.items()):
            if due <= self.time():
                del self._jobs[job]
                self._done[job] = work()

    def _id(self, kind: str) -> str:
        self._made += 1
        return f"{kind}_{self._made:020x}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        project = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                return

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                with project._lock:
                    project._number += 1
                    number = project._number
                    project.requests.append((self.command, self.path))
                    status, reply = project.refused.get(number), None
                    if status is None:
                        status, reply = project.answer(self.command, self.path, body)
                    elif status:
                        reply = _error(status, "busy")
                if number in project.lost or not status:
                    self.close_connection = True
                    return
                content = b"" if reply is None else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            # The names are those that the standard library calls.
            do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

        return Handler


def _error(status: int, key: str, details: str = "") -> Json:
    return {"code": status, "key": key, "message": "no", "details": details}


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
