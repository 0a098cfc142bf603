"""Sends the requests of a probe: within its calls, repeated where a response is lost.

A request whose response is in the notes is not sent again, so a probe that was cut takes the same
steps up to the request at which it was cut, and goes on from there.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from voucherify_sandbox.certify.exchange import Call, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from voucherify_sandbox.certify.exchange import Connection
    from voucherify_sandbox.certify.notes import Notes

MAX_CALLS = 90
SPARE_CALLS = 2
JOB_LOOKS = 3
"""Looks at jobs that have not ended before their rows are deleted."""

PROGRAM_CALLS = 5
"""To delete two campaigns or rewards and to see that they are gone."""

EXPORTS = "/v1/exports"
CAMPAIGNS, REWARDS = "/v1/campaigns", "/v1/rewards"
EXPORTED = ("id", "source_id", "created_at", "updated_at", "name", "metadata")
"""The fields of the probe's export, by which it is known."""

TRIES = 5
FEW_CALLS = "not enough calls are left"
LONGEST_WAIT_SECONDS = 3_700
"""A limit counts by the minute or by the hour."""

_OK, _NOT_FOUND, _TOO_MANY, _REDIRECT, _BAD, _TIMEOUT, _ERROR = 200, 404, 429, 300, 400, 408, 500
_NO_CONTENT = 204
_ADVICE = {
    401: "the keys are not those of a project at this address",
    402: "the subscription has ended",
    403: "the keys may not do this",
}


class Unanswered(Exception):  # noqa: N818 - an outcome of a step, not an error
    """A step could not find out what it was for."""


class Stopped(Exception):  # noqa: N818 - as above
    """No further step is possible; what was made is to be deleted."""


class Interrupted(Exception):  # noqa: N818 - as above
    """A signal asked for the end of the run."""


class Clock(Protocol):
    """The source of time, and what may end a run between two requests."""

    def time(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float, /) -> None:
        """Wait; called before each request.

        Raises:
            Interrupted: the run is to end.
        """


class RealClock:
    """The computer's clock; `interrupted` ends the next wait, once."""

    def __init__(self) -> None:
        """Start without a signal."""
        self.interrupted = Event()

    def time(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float, /) -> None:
        """Wait, also for a signal."""
        if self.interrupted.wait(seconds):
            self.interrupted.clear()
            raise Interrupted("interrupted")


class Caller:
    """Sends requests and keeps count."""

    def __init__(
        self,
        connection: Connection,
        notes: Notes,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        """Start before the first request of the notes."""
        self._connection = connection
        self._clock = clock
        self._say = say
        self._number = 0
        self._due = 0.0
        self._is_limited = False
        """Whether the next wait is for the project's limit."""
        self.notes = notes
        self.sent = 0
        """Requests of this process."""
        self.remaining: int | None = None
        self.resets_at: float | None = None
        self.cleaning = False

    @property
    def reserve(self) -> int:
        """Calls that cleaning up takes."""
        notes = self.notes
        jobs = JOB_LOOKS if not all(notes.jobs.values()) else 0
        exports = sum(not over for over in notes.exports.values())
        programs = sum(not gone for gone in notes.programs.values()) * PROGRAM_CALLS
        return len(notes.left) + exports + jobs + programs + 1 + SPARE_CALLS

    @property
    def used(self) -> int:
        """Calls of the whole probe, also those of earlier starts."""
        return len(self.notes.calls)

    @property
    def last_at(self) -> float:
        """When the last request was sent."""
        last = self.notes.responses.get(self._number)
        return last.at if last else self._clock.time()

    @property
    def age(self) -> float:
        """Seconds since the last request of the notes."""
        now = self._clock.time()
        return now - max((float(one["at"]) for one in self.notes.calls.values()), default=now)

    @property
    def replaying(self) -> bool:
        """Whether the next request is in the notes."""
        return self._number + 1 in self.notes.calls

    def begin_cleaning(self) -> None:
        """Send what follows, whatever the notes hold."""
        self.cleaning = True
        self._number = len(self.notes.calls)

    def pause(self, seconds: float) -> None:
        """Send the next request at the earliest this long after the last one."""
        self._due = self.last_at + seconds

    def afford(self, step: str, calls: int, *, optional: bool) -> None:
        """Wait until the quota allows a step and the cleaning up after it.

        Raises:
            Unanswered: the calls of a probe do not allow it, or it is optional and would wait.
            Stopped: the quota of the project does not, and does not say until when.
        """
        notes = self.notes
        if step in notes.skipped:
            raise Unanswered(FEW_CALLS)
        if self.replaying:
            return
        scarce = self.remaining is not None and self.remaining < calls + self.reserve
        if self.used + calls + self.reserve > MAX_CALLS or (scarce and optional):
            notes.write({"skipped": step})
            raise Unanswered(FEW_CALLS)
        if scarce:
            self._is_limited = True
            self._await_quota()
            self._is_limited = False

    def _await_quota(self) -> None:
        wait = 0 if self.resets_at is None else self.resets_at - self._clock.time()
        if not 0 < wait <= LONGEST_WAIT_SECONDS:
            raise Stopped("the project has too few calls left")
        self._wait(wait)
        self.remaining = None

    def get(self, path: str, **query: Any) -> Exchange:
        """A GET request."""
        return self.call(Call(method="GET", path=path, query=query))

    def send(self, method: str, path: str, body: Any = None) -> Exchange:
        """A request that changes something."""
        return self.call(Call(method=method, path=path, body=body))

    def call(self, call: Call) -> Exchange:
        """The response to a request, repeated where none came that can be read.

        Raises:
            Unanswered: there is none after several tries, or bulk requests are used up.
            Stopped: no further request is possible.
        """
        repeated = False
        for attempt in range(TRIES):
            exchange = self.once(call)
            if exchange.status == _TOO_MANY:
                self._limited(exchange, attempt)
            elif not is_lost(call, exchange):
                _refuse_to_go_on(exchange)
                return replace(exchange, repeated=repeated)
            else:
                repeated = repeated or call.changes
                self.pause(2**attempt)
        raise Unanswered(f"no response after {TRIES} tries")

    def once(self, call: Call) -> Exchange:
        """The response to a request from the notes, or by sending it."""
        number, notes = self._number + 1, self.notes
        if not self.cleaning and notes.stopped_at is not None and number > notes.stopped_at:
            raise Stopped(notes.stopped)
        known = notes.calls.get(number)
        if known is None:
            self._send(number, call)
        elif (known["method"], known["path"]) != (call.method, call.path):
            raise Stopped("the notes are those of other steps")
        elif number not in self.notes.responses:
            # The run was killed before the response came, so the request may have been applied.
            at = float(self.notes.calls[number]["at"])
            self.notes.called(number, Exchange(status=0, at=at))
        self._number = number
        exchange = self.notes.responses[number]
        self._note_quota(call, exchange)
        return exchange

    def _send(self, number: int, call: Call) -> None:
        now = self._clock.time()
        self._wait(self._due - now)
        self._check_calls()
        now = self._clock.time()
        self._is_limited = False
        self.notes.calling(number, call, now)
        self.sent += 1
        self.notes.called(number, without_strangers(self._connection.send(call, now), self.notes))

    def _check_calls(self) -> None:
        if self.cleaning and self.sent >= MAX_CALLS:
            raise Stopped(f"the {MAX_CALLS} calls are used up")
        if self.cleaning:
            return
        if self.used + self.reserve >= MAX_CALLS:
            raise Stopped(f"the {MAX_CALLS} calls are used up")
        if self.remaining is not None and self.remaining < self.reserve - SPARE_CALLS:
            raise Stopped("the project has too few calls left")

    def _note_quota(self, call: Call, exchange: Exchange) -> None:
        # Bulk requests have a limit of their own.
        if call.path.endswith("/async") or exchange.status == 0:
            return
        if exchange.at < self._clock.time() - LONGEST_WAIT_SECONDS:
            # Its period is over.
            self.remaining = None
            return
        self.remaining = whole_number(exchange.headers.get("x-rate-limit-remaining"))
        self.resets_at = whole_number(exchange.headers.get("x-rate-limit-retry"))

    def _limited(self, exchange: Exchange, attempt: int) -> None:
        kind = exchange.headers.get("x-rate-limit-type", "")
        if kind == "api_calls_cycle":
            raise Stopped("the billing cycle has no calls left")
        if kind == "bulk_api_calls":
            raise Unanswered("the project has no bulk requests left in this hour")
        delay: float | None = whole_number(exchange.headers.get("retry-after"))
        if delay is None and self.resets_at is not None:
            delay = self.resets_at - exchange.at
        delay = max(delay or 0, 5 * 2**attempt)
        if delay > LONGEST_WAIT_SECONDS:
            raise Stopped("the project allows no calls for more than an hour")
        self.remaining = None
        self._is_limited = True
        self.pause(delay)

    def _wait(self, seconds: float) -> None:
        if seconds > 30:  # noqa: PLR2004 - a wait that a person would notice
            until = time.strftime("%H:%M:%S", time.localtime(self._clock.time() + seconds))
            why = "the project's limit is reached" if self._is_limited else "for a background task"
            self._say(f"Waiting until {until}: {why}.")
        self._clock.sleep(max(0.0, math.ceil(seconds * 1000) / 1000))


def is_lost(call: Call, exchange: Exchange) -> bool:
    """Whether a response says nothing about what became of the request."""
    status = exchange.status
    if status in {0, _TIMEOUT} or status >= _ERROR:
        return True
    if status == _NO_CONTENT or _REDIRECT <= status < _BAD:
        return False
    if status >= _BAD:
        # An error of something between here and Voucherify is no answer of the project.
        return not {"code", "key", "statusCode"} & set(exchange.json)
    return call.is_json and not isinstance(exchange.body, dict)


def _refuse_to_go_on(exchange: Exchange) -> None:
    if _REDIRECT <= exchange.status < _BAD:
        raise Stopped("the address redirects to another one; check --api-url")
    if exchange.status in _ADVICE:
        raise Stopped(_ADVICE[exchange.status])


def without_strangers(exchange: Exchange, notes: Notes) -> Exchange:
    """The response without customers, jobs and users that are none of the probe's.

    A response that is somebody else's customer was meant for another request: it counts as lost,
    because its id must never be that of a row to delete.
    """
    body = exchange.body
    if isinstance(body, dict):
        if "source_id" in body and body.get("object") == "customer" and not is_own(body, notes):
            return Exchange(status=0, at=exchange.at)
        kept = {name: value for name, value in body.items() if name not in {"user", "log_id"}}
        body = {name: _own_rows(name, value, notes) for name, value in kept.items()}
    lines = exchange.text.split("\n")
    text = "\n".join([lines[0], *(line for line in lines[1:] if notes.prefix in line or not line)])
    return replace(exchange, body=body, text=text)


def _own_rows(name: str, rows: Any, notes: Notes) -> Any:
    """A member of a response; of one that is a list the rows that are none of the probe's go."""
    if not isinstance(rows, list):
        return rows
    if name == "customers":
        return [row if is_own(row, notes) else {} for row in rows]
    if name == "exports":
        return [{"id": row["id"], **OWN} for row in rows if is_own_export(row)]
    if name == "async_actions":
        return [_without_result(job) for job in rows]
    return [_own_program(row, notes) for row in rows]


def _without_result(job: Any) -> Any:
    """A job of a list, which may be somebody else's and name customers."""
    return {name: job.get(name) for name in ("id", "status")} if isinstance(job, dict) else {}


def is_own(row: Any, notes: Notes) -> bool:
    """Whether a customer was made by the probe: by its key, its name or its noted id.

    The name tells where a project does not keep a key that it finds invalid.
    """
    if not isinstance(row, dict):
        return False
    named = f"{row.get('source_id')} {row.get('name')}".casefold()
    return notes.prefix in named or (row.get("id") in notes.made.values() and bool(row.get("id")))


def is_own_program(row: Any, notes: Notes) -> bool:
    """Whether a campaign or a reward was made by the probe: by its name or its noted id."""
    if not isinstance(row, dict):
        return False
    is_noted = row.get("id") in notes.program_ids
    return is_noted or str(row.get("name")).startswith(f"{notes.prefix}-")


def _own_program(row: Any, notes: Notes) -> Any:
    """A row of a list; of somebody else's campaign or reward only the id, if it has no name."""
    kind = row.get("object") if isinstance(row, dict) else None
    if kind not in {"campaign", "reward"} or is_own_program(row, notes):
        return row
    return {} if isinstance(row.get("name"), str) else {"id": row.get("id")}


def is_own_export(row: Any) -> bool:
    """Whether an export is one of customers with the probe's fields, in their order."""
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        return False
    parameters = row.get("parameters")
    fields = parameters.get("fields") if isinstance(parameters, dict) else None
    return row.get("exported_object") == "customer" and fields == list(EXPORTED)


OWN = {"exported_object": "customer", "parameters": {"fields": list(EXPORTED)}}


def whole_number(text: str | None) -> int | None:
    """A header as a number, or `None`."""
    if text is None or not text.isdecimal():
        return None
    number = None
    with suppress(ValueError):
        number = int(text[:18])
    return number
