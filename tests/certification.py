"""Probes of a sandbox without waiting: time is the sandbox's own, and waits move it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.certify.caller import Caller
from voucherify_sandbox.certify.exchange import Connection
from voucherify_sandbox.certify.notes import Notes
from voucherify_sandbox.certify.run import run
from voucherify_sandbox.faults import KINDS, Fault

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from voucherify_sandbox import Sandbox
    from voucherify_sandbox.certify.exchange import Call, Exchange
    from voucherify_sandbox.certify.run import Outcome


# These are slow in real time; a huge body is cut off like any other that is not whole.
LEFT_OUT = {"act", "slow_headers", "slow_body", "huge_body", "refuse"}


@dataclass
class SandboxClock:
    """The clock of a sandbox."""

    sandbox: Sandbox
    slept: list[float] = field(default_factory=list)

    def time(self) -> float:
        return self.sandbox.clock.now().timestamp()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.sandbox.clock.advance(seconds)


def notes_of(sandbox: Sandbox, folder: Path) -> Notes:
    """The notes in a folder."""
    return Notes.for_project(folder / "notes.jsonl", sandbox.url, sandbox.application_id)


def certify(sandbox: Sandbox, folder: Path, **options: Any) -> Outcome:
    """Probe a sandbox; the notes are in `folder` and stay there."""
    connection = Connection(sandbox.url, sandbox.application_id, sandbox.secret_key)
    notes = notes_of(sandbox, folder)
    try:
        caller = Caller(connection, notes, SandboxClock(sandbox), lambda _: None)
        return run(caller, lambda _: None, lambda _: True, **options)
    finally:
        notes.close()


def fault(rng: Random, calls: int) -> Fault:
    """A fault of any kind, at some of so many requests or by chance."""
    kind = rng.choice([kind for kind in KINDS if kind not in LEFT_OUT])
    seconds = rng.choice((0, 5, 3000)) if kind.startswith(("limit", "unavailable")) else 0
    status = rng.choice((400, 404, 409, 503)) if kind == "status" else 0
    places: dict[str, Any] = {"probability": rng.choice((0.05, 0.2)), "times": None}
    if rng.random() < 0.7:
        first = rng.randrange(1, calls)
        times = rng.choice((1, 2, 6))
        places = {"numbers": range(first, first + times), "times": times}
    return Fault(kind=kind, seconds=seconds, status=status or 500, body="{}", **places)


class Killed(BaseException):
    """The end of the process, at once."""


@dataclass
class Place:
    """One of the requests with this in their path, by number from 1, before or after it."""

    number: int = 1
    after: bool = True
    path: str = ""


class Mortal(Connection):
    """A connection at which the process ends."""

    def __init__(self, sandbox: Sandbox, place: Place, end: type[BaseException] = Killed) -> None:
        super().__init__(sandbox.url, sandbox.application_id, sandbox.secret_key)
        self._left, self._place, self._end = place.number, place, end

    def send(self, call: Call, at: float) -> Exchange:
        self._left -= self._place.path in call.path
        if not self._left and not self._place.after:
            raise self._end
        response = super().send(call, at)
        if not self._left:
            raise self._end
        return response
