"""Notes on disk: what was sent, what came back, what was made and what is gone.

They are written before a request and after its response, so that a run that was cut goes on, or
cleans up, from where it was.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from voucherify_sandbox.certify.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voucherify_sandbox.certify.exchange import Call, Json

PREFIX = "cert-"
CUSTOMERS = "customers"
"""The part of a probe that is taken if nothing else is asked for."""


class Notes:
    """The notes of one probe, in one file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        """Read the notes that are there; the file is made with the first line.

        Raises:
            ValueError: the file holds something else.
        """
        self._path = path
        self._file: int | None = None
        self.prefix = ""
        self.project = ""
        self.calls: dict[int, Json] = {}
        self.responses: dict[int, Exchange] = {}
        self.made: dict[str, str | None] = {}
        """Rows that may exist, by `source_id`: their id where it is known."""
        self.gone: set[str] = set()
        self.jobs: dict[str, bool] = {}
        """Jobs by id, and whether they have ended."""
        self.exports: dict[str, bool] = {}
        self.programs: dict[str, bool] = {}
        """Lists that may hold campaigns or rewards of the probe, and whether they do no more."""
        self.program_ids: set[str] = set()
        self.part = CUSTOMERS
        self.skipped: set[str] = set()
        self.stopped = ""
        self.stopped_at: int | None = None
        """The last request of the steps, once they have ended; later ones clean up."""
        try:
            for line in self._lines():
                self._take(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a file of notes") from error

    @classmethod
    def for_project(cls, path: Path, api_url: str, application_id: str) -> Self:
        """The notes of a project.

        Raises:
            ValueError: the notes there are those of another project, or of a run that goes on.
        """
        file = _opened(path)
        try:
            notes = cls(path)
        except ValueError:
            os.close(file)
            raise
        notes._file = file
        digest = hashlib.sha256(f"{api_url} {application_id}".encode()).hexdigest()[:16]
        if notes.prefix and notes.project != digest:
            notes.close()
            raise ValueError(f"{path} belongs to a probe of another project")
        if not notes.prefix:
            notes.write({"prefix": PREFIX + uuid4().hex[:8], "project": digest})
        return notes

    @property
    def left(self) -> list[str]:
        """Rows that may still exist."""
        return [source_id for source_id in self.made if source_id not in self.gone]

    @property
    def programs_left(self) -> list[str]:
        """The lists that may still hold campaigns or rewards, by path."""
        return [path for path, gone in self.programs.items() if not gone]

    @property
    def anything_left(self) -> bool:
        """Whether rows, exports, campaigns or rewards may still exist."""
        return bool(self.left or self.programs_left or not all(self.exports.values()))

    def _lines(self) -> list[Json]:
        whole = self._path.read_bytes() if self._path.exists() else b""
        # A line without its end was being written when the run was killed.
        return [
            json.loads(line) for line in whole.splitlines(keepends=True) if line.endswith(b"\n")
        ]

    def write(self, line: Json) -> None:
        """Append a line and wait until it is on disk."""
        if self._file is None:
            self._file = _opened(self._path)
        left = json.dumps(line).encode() + b"\n"
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)
        self._take(line)

    def _take(self, line: Json) -> None:
        kind, value = next(iter(line.items()))
        takes: dict[str, Callable[[], object]] = {
            "prefix": lambda: self._take_project(value, line["project"]),
            "call": lambda: self.calls.update({value["number"]: value}),
            "response": lambda: self.responses.update(
                {value["number"]: Exchange.from_json(value["exchange"])}
            ),
            "row": lambda: self.made.update({value: line["id"] or self.made.get(value)}),
            "gone": lambda: self.gone.add(value),
            "left": lambda: self._take_left(value, line["id"]),
            "job": lambda: self.jobs.update({value: line["ended"]}),
            "export": lambda: self.exports.update({value: line["ended"]}),
            "programs": lambda: self.programs.update({value: line["gone"]}),
            "program": lambda: self.program_ids.add(value),
            "part": lambda: setattr(self, "part", value),
            "skipped": lambda: self.skipped.add(value),
            "stopped": lambda: self._take_stop(value, line["calls"]),
        }
        takes[kind]()

    def _take_project(self, prefix: str, project: str) -> None:
        self.prefix, self.project = prefix, project

    def _take_stop(self, reason: str, calls: int) -> None:
        self.stopped, self.stopped_at = reason, calls

    def _take_left(self, source_id: str, identity: str) -> None:
        self.gone.discard(source_id)
        self.made[source_id] = identity

    def calling(self, number: int, call: Call, at: float) -> None:
        """Note a request before it is sent."""
        sent: dict[str, Any] = {"number": number, "method": call.method, "path": call.path}
        self.write({"call": {**sent, "query": dict(call.query), "body": call.body, "at": at}})

    def called(self, number: int, exchange: Exchange) -> None:
        """Note its response."""
        self.write({"response": {"number": number, "exchange": exchange.to_json()}})

    def choose(self, part: str) -> None:
        """Note which part of a probe these are of; that of a run that was cut stays."""
        if not self.calls and self.part != part:
            self.write({"part": part})

    def stop(self, reason: str) -> None:
        """Note that the steps have ended, and why."""
        if not self.stopped:
            self.write({"stopped": reason, "calls": len(self.calls)})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def remove(self) -> None:
        """Delete the file: nothing is left to clean up."""
        self.close()
        self._path.unlink(missing_ok=True)


def _opened(path: Path) -> int:
    """The file, open to append; a torn last line is cut off."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(file, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise ValueError(f"another run uses {path}") from None
    whole = path.read_bytes()
    os.ftruncate(file, whole.rfind(b"\n") + 1)
    return file
