"""The results file: what became of each record, as Singer messages that any target can load.

An outcome is written once it is true, and is on disk before a state that covers it is emitted. What
a kill keeps from the disk is of records that no state covers: they come again, and so does an
outcome of theirs, in the next run.
"""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from target_voucherify.acknowledgement.private_files import (
    file_error,
    open_own,
    storable,
    write_lines,
)
from target_voucherify.voucherify_client.errors import SettingsError
from target_voucherify.voucherify_client.timestamps import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterable

STREAM = "voucherify_results"

Outcome = Literal[
    "accepted",
    "unchanged",
    "duplicate",
    "refused",
    "superseded",
    "deleted",
    "not_deleted",
    "not_there",
]
"""`duplicate`: a newer record of the same key replaced it. `superseded`: it was refused before, and
a newer one was accepted since. `not_deleted`: it was marked as deleted, and `on_delete` is
`ignore`. `not_there`: it was accepted, and `verify` did not find it."""

_TEXT = {"type": ["string", "null"]}
SCHEMA: dict[str, Any] = {
    "type": "SCHEMA",
    "stream": STREAM,
    "key_properties": ["run_id", "number"],
    "schema": {
        "type": "object",
        "properties": {
            "run_id": {"type": "string"},
            "number": {"type": "integer"},
            "entity": {"type": "string"},
            "source_id": _TEXT,
            "outcome": {"type": "string"},
            "reason": _TEXT,
            "job_id": _TEXT,
            "request_id": _TEXT,
            "at": {"type": "string", "format": "date-time"},
        },
    },
}
"""The message that begins the lines of a run."""

BEGIN = b'{"type":"SCHEMA","stream":"voucherify_results"'
"""How the file begins."""

BUFFERED = 1_000
"""Lines that are written at once."""

APPENDED = os.O_RDWR | os.O_APPEND

_encode = msgspec.json.Encoder().encode


class Sent(NamedTuple):
    """How rows were sent: the background job and the request, where there are such."""

    job_id: str | None = None
    request_id: str | None = None


UNSENT = Sent()


class ResultsFile:
    """Appends outcomes to a file that only its owner may read: it holds the CRM's keys.

    Args:
        path: of the file.

    Raises:
        SettingsError: the file cannot be written; also later.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._run = uuid.uuid4().hex
        self._number = 0
        self._lines: list[bytes] = []
        self._error: SettingsError | None = None
        """What made the file unusable, if anything did."""
        self._descriptor = open_own("results_path", path, APPENDED, BEGIN)
        try:
            self._end_line()
        except OSError as error:
            raise file_error("results_path", path, error) from None

    def add(
        self,
        entity: str,
        keys: Iterable[str | None],
        outcome: Outcome,
        *,
        reason: str | None = None,
        sent: Sent = UNSENT,
    ) -> None:
        """Add the outcome of some records.

        Args:
            entity: what they became, or did not.
            keys: their `source_id`s; `None` for one without.
            outcome: of all of them.
            reason: the kind of reason, where they were refused.
            sent: how.
        """
        at = to_iso(datetime.now(UTC))
        for key in keys:
            if not self._number:
                self._lines.append(_encode(SCHEMA))
            self._number += 1
            record = {
                "run_id": self._run,
                "number": self._number,
                "entity": entity,
                "source_id": storable(key),
                "outcome": outcome,
                "reason": reason,
                "job_id": sent.job_id,
                "request_id": sent.request_id,
                "at": at,
            }
            self._lines.append(_encode({"type": "RECORD", "stream": STREAM, "record": record}))
        if len(self._lines) >= BUFFERED:
            self._write()

    def flush(self) -> None:
        """Put all outcomes on disk, before a state covers their records."""
        if not self._number:
            return
        self._write()
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._error = file_error("results_path", self._path, error)
            raise self._error from None

    def close(self) -> None:
        """Write what is left, and close the file."""
        try:
            self._write()
        finally:
            os.close(self._descriptor)

    def _end_line(self) -> None:
        """Cut off what a kill has left of a line, so that the file is Singer messages only."""
        size = end = os.fstat(self._descriptor).st_size
        while end:
            begin = max(0, end - BLOCK)
            found = os.pread(self._descriptor, end - begin, begin).rfind(b"\n")
            end = begin + found + 1
            if found >= 0:
                break
        if end != size:
            os.ftruncate(self._descriptor, end)

    def _write(self) -> None:
        """Write what is collected; after an error nothing further is, because lines are lost."""
        if self._error is not None:
            raise self._error
        try:
            write_lines("results_path", self._path, self._descriptor, self._lines)
        except SettingsError as error:
            self._error = error
            raise


BLOCK = 1 << 16
"""Bytes in which the end of the file is looked for."""


class NoResults:
    """The results of a run without `results_path`, or of a dry run: none are kept."""

    def add(
        self,
        entity: str,
        keys: Iterable[str | None],
        outcome: Outcome,
        *,
        reason: str | None = None,
        sent: Sent = UNSENT,
    ) -> None:
        """Nothing is added."""

    def flush(self) -> None:
        """Nothing is written."""

    def close(self) -> None:
        """Nothing is open."""
