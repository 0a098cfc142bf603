"""Which customers changed only by what target-voucherify wrote, so that they need not go back.

A row is an echo if all it shows is known downstream: its fields that the target writes are those
that the target's ledger says were accepted last, and all others are as in the record that this
pipeline passed on before. What was passed on is kept in a file beside the ledger. It counts only as
far as the state says that it arrived: a state names the run that it is of, and how many records
that one had passed on.

A write whose value Voucherify prints otherwise is no echo, nor is a change that came together with
one by somebody else.
"""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tap_voucherify.records.encoder import decode
from tap_voucherify.voucherify_client.errors import SettingsError
from tap_voucherify.voucherify_client.sent_form import (
    LEDGER_LAYOUT,
    Fields,
    digest,
    fingerprint,
    rest_of,
    sent_form,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tap_voucherify.records.encoder import Record


MOVED = frozenset(("updated_at", "modified_at"))
"""Columns that a write moves."""

BUSY_SECONDS = 30.0
"""Seconds to wait for a target that writes its ledger."""

TABLES = """
CREATE TABLE IF NOT EXISTS about (history TEXT NOT NULL, run INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS passed_on (
    id TEXT PRIMARY KEY, rest BLOB NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Written(NamedTuple):
    """How a target makes customers, as its ledger says."""

    fields: Fields
    with_nulls: bool
    salt: bytes


@dataclass(slots=True)
class Passed:
    """What arrived downstream: the records of runs before `run`, and the first `number` of it."""

    history: str = ""
    run: int = 0
    number: int = 0

    @classmethod
    def from_state(cls, saved: Mapping[str, Any]) -> Self:
        """What a state says; nothing arrived if it says nothing, or what no run can have left."""
        made = cls(saved.get("history", ""), saved.get("run", 0), saved.get("number", 0))
        kinds = type(made.history), type(made.run), type(made.number)
        return made if kinds == (str, int, int) else cls()

    def to_state(self) -> dict[str, Any]:
        """As a member of the state."""
        return {"history": self.history, "run": self.run, "number": self.number}


class EchoGuard:
    """Tells echoes from changes, for one run.

    Attributes:
        passed: what arrived downstream once the records so far have.
        echoes: rows that were left out.
    """

    def __init__(self, ledger: Path, application_id: str, arrived: Passed) -> None:
        """Open the ledger of a target, and the file of what was passed on.

        Args:
            ledger: the target's `ledger_path`. Where there is no file yet nothing is an echo.
            application_id: of the project.
            arrived: what the state says.

        Raises:
            SettingsError: a file cannot be used, or the ledger is that of another project.
        """
        self._path = ledger
        self.echoes = 0
        self._is_open = True
        self.passed = Passed(arrived.history, arrived.run, arrived.number)
        self._ledger: sqlite3.Connection | None = None
        self._written: Written | None = None
        with self._usable():
            if ledger.exists():
                self._ledger = sqlite3.connect(
                    f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS
                )
                self._written = self._read(self._ledger, application_id)
            self._file = _private(ledger.with_name(f"{ledger.stem}-echoes{ledger.suffix}"))
            self.passed = self._begin(arrived)

    def without_echoes(self, records: Iterable[Record | None]) -> Iterator[Record | None]:
        """The records without echoes; `None` in their place.

        Raises:
            SettingsError: a file cannot be read or written.
        """
        for record in records:
            if record is None or self._written is None:
                yield record
                continue
            row: dict[str, Any] = decode(record)
            rest = digest(rest_of(row, self._written.fields, MOVED))
            if self._is_echo(row, rest, self._written):
                self.echoes += 1
                yield None
            else:
                yield record
                # Only now it is written, so a state may count it.
                self._note(row["id"], rest)

    def save(self) -> None:
        """Keep what was passed on, before a state says that it arrived.

        Raises:
            SettingsError: the file cannot be written.
        """
        if self._is_open:
            with self._usable():
                self._file.commit()

    def close(self) -> None:
        """Keep what was passed on, and close both files."""
        self._is_open = False
        with suppress(sqlite3.Error):  # what is lost by that goes downstream once more
            self._file.commit()
        self._file.close()
        if self._ledger is not None:
            self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_echo(self, row: Mapping[str, Any], rest: bytes, written: Written) -> bool:
        with self._usable():
            noted = self._file.execute("SELECT rest FROM passed_on WHERE id = ?", (row["id"],))
            if noted.fetchone() != (rest,) or self._ledger is None:
                return False
            accepted = self._ledger.execute(
                "SELECT fingerprint FROM accepted WHERE source_id = ?", (row.get("source_id"),)
            ).fetchone()
        form = sent_form(row, written.fields, with_nulls=written.with_nulls)
        return bool(accepted == (fingerprint(form, written.salt),))

    def _note(self, identity: str, rest: bytes) -> None:
        self.passed.number += 1
        with self._usable():
            self._file.execute(
                "INSERT OR REPLACE INTO passed_on VALUES (?, ?, ?, ?)",
                (identity, rest, self.passed.run, self.passed.number),
            )

    def _read(self, ledger: sqlite3.Connection, application_id: str) -> Written | None:
        """How the target makes customers; `None` where its streams make them in several ways."""
        tables = ledger.execute("SELECT name FROM sqlite_master WHERE name = 'about'").fetchall()
        about = dict(ledger.execute("SELECT name, value FROM about").fetchall()) if tables else {}
        if not about:
            return None  # the target's first run has just begun
        if about.get("project") != digest(application_id.encode()).hex():
            raise SettingsError(
                f"echo_ledger_path: {self._path} is the ledger of another project, or of another "
                "key pair: name the ledger_path of the target that writes to this one."
            )
        if about.get("layout") != LEDGER_LAYOUT:
            raise SettingsError(
                f"echo_ledger_path: {self._path} was made by another version of target-voucherify: "
                "install both plugins of one release, and run the target once."
            )
        written = json.loads(about.get("written", "null"))
        if not written:
            return None
        return Written(written["fields"], written["nulls"], bytes.fromhex(written["salt"]))

    def _begin(self, arrived: Passed) -> Passed:
        """Forget what did not arrive; all of it if the state is none of this file's."""
        self._file.executescript(TABLES)
        found = self._file.execute("SELECT history, run FROM about").fetchone()
        history, run = found or (uuid.uuid4().hex, 0)
        noted = "SELECT count(*) FROM passed_on WHERE run = ? AND number >= ?"
        place = (arrived.run, arrived.number)
        # A later run may have replaced the last one.
        has_last = run > arrived.run or not arrived.number or self._has(noted, place)
        if arrived.history != history or run < arrived.run or not has_last:
            # The file was restored or replaced, so what it holds is older than what arrived.
            history = uuid.uuid4().hex
            arrived = Passed(history)
        self._file.execute(
            "DELETE FROM passed_on WHERE run > ? OR (run = ? AND number > ?)",
            (arrived.run, arrived.run, arrived.number),
        )
        self._file.execute("DELETE FROM about")
        begun = Passed(history, max(run, arrived.run) + 1)
        self._file.execute("INSERT INTO about VALUES (?, ?)", (begun.history, begun.run))
        self._file.commit()
        return begun

    def _has(self, count: str, values: tuple[int, int]) -> bool:
        found: tuple[int] = self._file.execute(count, values).fetchone()
        return found[0] > 0

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"echo_ledger_path: {self._path}, or the file of echoes beside it, cannot be used "
                f"({type(error).__name__}): name the ledger_path of the target, let both be "
                "written by this user, and let no two runs of the tap use them at once."
            ) from None


def _private(path: Path) -> sqlite3.Connection:
    """A database that only its owner can read, and only one run uses at a time."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
    database = sqlite3.connect(path, timeout=0)
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("BEGIN EXCLUSIVE")
    database.commit()
    return database
