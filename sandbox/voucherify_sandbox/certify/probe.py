"""What the steps of a probe share: its rows, its lists, its jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from voucherify_sandbox.certify.caller import Unanswered
from voucherify_sandbox.certify.questions import Findings
from voucherify_sandbox.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from voucherify_sandbox.certify.caller import Caller
    from voucherify_sandbox.certify.exchange import Exchange, Json
    from voucherify_sandbox.certify.notes import Notes

OK, ACCEPTED, NO_CONTENT, REFUSED, NOT_FOUND = 200, 202, 204, 400, 404
JOB_PAUSES = (1, 2, 4, 8, 15)
"""Seconds before each poll of a job or an export."""

A_SECOND = 1.2
"""So that two writes have different timestamps, even if these have no decimals."""

CUSTOMERS = "/v1/customers"
ODD = "a/b c%ü@x"
"""A label whose `source_id` needs escapes in a path."""


@dataclass
class Probe:
    """The state of a probe."""

    caller: Caller
    notes: Notes
    findings: Findings = field(default_factory=Findings)
    rows: dict[str, Json] = field(default_factory=dict)
    """The test customers by label, as last seen."""
    customers: int = 0
    """Customers of the project before the probe."""
    listed: int = 0
    """Customers in a list with the first three of the probe."""
    lag: float = 0
    bulk_rows: int = 0
    """The most rows that a bulk request was accepted with."""
    finer: bool = False
    """Whether timestamps are stored finer than printed."""
    exact: str = ""
    """The time at which the third customer was created, as found with microseconds."""
    _listed_late: bool = False

    # Rows

    def key(self, label: str) -> str:
        """The `source_id` of a test customer."""
        return f"{self.notes.prefix}-{label}"

    def source_id(self, label: str) -> str:
        """The `source_id` of a customer that exists."""
        return str(self.rows[label]["source_id"])

    def note_row(self, source_id: str, identity: str | None = None) -> None:
        """Note a row before it is made, and its id as soon as it is known."""
        if source_id not in self.notes.made or (
            identity and self.notes.made[source_id] != identity
        ):
            self.notes.write({"row": source_id, "id": identity})

    def create(self, label: str, fields: Json, *, fresh: bool = True) -> Exchange:
        """Create a customer; its row is kept if it was created.

        Args:
            label: the end of its `source_id`.
            fields: the others.
            fresh: take another `source_id` where the request had to be repeated, because the
                customer then was there already.
        """
        for attempt in range(3):
            key = self.key(label) + (f"-{attempt}" if attempt else "")
            self.note_row(key)
            exchange = self.write("POST", CUSTOMERS, {"source_id": key, **fields})
            identity = exchange.json.get("id")
            if exchange.status != OK or not isinstance(identity, str):
                self.note_refused(key, exchange)
                return exchange
            self.note_row(key, identity)
            if not (fresh and exchange.repeated):
                self.rows[label] = exchange.json
                return exchange
        raise Unanswered("the responses to its requests were lost")

    def note_refused(self, source_id: str, exchange: Exchange) -> None:
        """Note that a row does not exist, if the only request for it was refused.

        One that was repeated may have been refused because the first had made the row.
        """
        if exchange.status >= REFUSED and not exchange.repeated:
            self.note_gone(source_id)

    def note_gone(self, source_id: str) -> None:
        """Note that a row does not exist."""
        if source_id not in self.notes.gone:
            self.notes.write({"gone": source_id})

    def path(self, label: str, rest: str = "") -> str:
        """The path of a customer by id."""
        return customer_path(str(self.rows[label]["id"]), rest)

    def read(self, label: str) -> Exchange:
        """Read a customer again."""
        exchange = self.caller.get(self.path(label))
        if exchange.status == OK:
            self.rows[label] = exchange.json
        return exchange

    def put(self, label: str, fields: Json) -> Exchange:
        """Update a customer."""
        exchange = self.write("PUT", self.path(label), fields)
        if exchange.status == OK:
            self.rows[label] = exchange.json
        return exchange

    def write(self, method: str, path: str, body: Any = None) -> Exchange:
        """A request that lists may show late."""
        exchange = self.caller.send(method, path, body)
        self._listed_late = True
        return exchange

    def note_program(self, path: str) -> None:
        """Note that a list may hold campaigns or rewards of the probe, before one is made."""
        if self.notes.programs.get(path) is not False:
            self.notes.write({"programs": path, "gone": False})

    def note_program_id(self, made: Exchange) -> str | None:
        """The id of a new campaign or reward, noted; `None` where there is none."""
        identity = made.json.get("id")
        if made.status != OK or not isinstance(identity, str):
            return None
        if identity not in self.notes.program_ids:
            self.notes.write({"program": identity})
        return identity

    # Lists

    def settle(self) -> None:
        """Let the next list show the last write."""
        if self.lag and self._listed_late:
            self.caller.pause(self.lag + 1)
        self._listed_late = False

    def page(self, **query: Any) -> Exchange:
        """A page of customers; underscored names such as `created_at__after` are filters."""
        self.settle()
        named = {
            name.replace("__", "[") + "]" if "__" in name else name: value
            for name, value in query.items()
        }
        return self.caller.get(CUSTOMERS, **{"limit": 100, **named})

    def labels(self, exchange: Exchange) -> list[str]:
        """The test customers on a page, in their order."""
        ids = {str(row["id"]): label for label, row in self.rows.items()}
        return [ids[row["id"]] for row in customers(exchange) if row.get("id") in ids]

    # Jobs

    def bulk(self, path: str, body: Any) -> Exchange:
        """Send a bulk request, and note its job."""
        exchange = self.write("POST", f"{CUSTOMERS}/{path}/async", body)
        self.note_job(exchange)
        return exchange

    def note_job(self, accepted: Exchange) -> None:
        """Note the job that a response names, if it names one."""
        job = accepted.json.get("async_action_id")
        if isinstance(job, str) and job not in self.notes.jobs:
            self.notes.write({"job": job, "ended": False})

    def job(self, accepted: Exchange) -> list[Exchange]:
        """The polls of a job until it ended.

        Raises:
            Unanswered: it did not end in time.
        """
        job = str(accepted.json.get("async_action_id"))
        polls: list[Exchange] = []
        for seconds in JOB_PAUSES:
            self.caller.pause(seconds)
            polls.append(self.caller.get(f"/v1/async-actions/{quote(job, safe='')}"))
            if ended(polls[-1]):
                self.note_ended("job", job)
                return polls
            if not isinstance(polls[-1].json.get("status"), str):
                raise Unanswered("a job has no status")
        raise Unanswered(f"its job did not end within {sum(JOB_PAUSES)} seconds")

    def note_ended(self, kind: str, identity: str) -> None:
        """Note that a job ended, or that an export is deleted."""
        known = self.notes.jobs if kind == "job" else self.notes.exports
        if not known.get(identity):
            self.notes.write({kind: identity, "ended": True})


def customer_path(key: str, rest: str = "") -> str:
    """The path of one customer, by id or `source_id`."""
    return f"{CUSTOMERS}/{quote(key, safe='')}{rest}"


def ended(poll: Exchange) -> bool:
    """Whether a job or an export has ended."""
    return poll.json.get("status") in {"DONE", "FAILED", "ERROR"}


def customers(exchange: Exchange) -> Sequence[Json]:
    """The rows of a list of customers.

    Raises:
        Unanswered: the response holds none.
    """
    rows = exchange.json.get("customers")
    if exchange.status != OK or not isinstance(rows, list):
        raise Unanswered(f"the list answered {exchange.words}")
    return rows


def part(body: Json, *names: str) -> Any:
    """A nested value; `None` where a part is missing."""
    value: Any = body
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def moment(value: object) -> datetime | None:
    """A timestamp, or `None`."""
    return parse(value) if isinstance(value, str) else None


def is_later(after: object, before: object) -> bool | None:
    """Whether a timestamp is later than another; a missing one is the earliest.

    `None` if there is nothing to compare.
    """
    later, earlier = moment(after), moment(before)
    if later is None:
        return None if earlier is None else False
    return earlier is None or later > earlier
