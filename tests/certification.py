"""Probes of a sandbox without waiting: time is the sandbox's own, and waits move it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.certify.caller import Caller
from voucherify_sandbox.certify.exchange import Connection
from voucherify_sandbox.certify.notes import Notes
from voucherify_sandbox.certify.run import run

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox
    from voucherify_sandbox.certify.run import Outcome


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
