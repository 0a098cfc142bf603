"""Events on disk, between the receiver that writes them and the tap that reads them.

One SQLite file with a write-ahead log. A position only ever grows and is never given twice, so a
reader that has all up to a position needs nothing below it. The file is for one machine: the log
shares memory between the processes.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tap_voucherify.webhooks.envelopes import Event

VERSION = 1
"""Of the tables below, kept as SQLite's `user_version`."""

KEPT_FOR = timedelta(days=14)
"""How long an event stays at least: Voucherify's support could resend as far back (§11)."""

FORGOTTEN_AFTER = timedelta(days=90)
"""A reader that was not seen for so long holds nothing back; it will read by polling again."""

SECONDS_TO_WAIT = 4.0
"""For another process that writes. Voucherify gives up after 10."""

CHUNK = 1_000

TABLES = """
CREATE TABLE IF NOT EXISTS store (
    id TEXT NOT NULL, dropped INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    customer_id TEXT,
    received_at TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS readers (
    id TEXT PRIMARY KEY, position INTEGER NOT NULL, seen_at TEXT NOT NULL
) WITHOUT ROWID;
"""

ADD = """
INSERT INTO events (event_id, type, customer_id, received_at, body) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (event_id) DO NOTHING
"""

AFTER = """
SELECT position, type, customer_id, received_at, body FROM events
WHERE position > ? AND position <= ? ORDER BY position LIMIT ?
"""

DROP = """
DELETE FROM events WHERE position IN (
    SELECT position FROM events
    WHERE position <= (SELECT min(position) FROM readers) AND received_at < ?
    ORDER BY position LIMIT ?
) RETURNING position
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """One event of the store; `body` is the whole envelope."""

    position: int
    type: str
    customer_id: str | None
    received_at: str
    body: bytes


class Store:
    """An open store; `create` makes the file where there is none, `open` does not."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base
        base.execute(f"PRAGMA busy_timeout = {int(SECONDS_TO_WAIT * 1000)}")
        # FULL syncs the log at each commit, so what was acknowledged survives a loss of power.
        base.execute("PRAGMA synchronous = FULL")

    @classmethod
    def create(cls, path: Path) -> Self:
        """Open the store for the receiver; a new file is for its owner alone.

        Raises:
            VoucherifyError: the file cannot be written or is something else.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            store = cls(_connected(path))
            store._prepare()
        except (OSError, sqlite3.Error):
            raise _unusable() from None
        return store

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a store that the receiver made.

        Raises:
            VoucherifyError: there is none, or the file is something else.
        """
        if not path.is_file():
            raise VoucherifyError(
                "The setting webhook_store names no file: start `voucherify-webhooks serve` with "
                "this store first."
            )
        try:
            store = cls(_connected(path))
            store._check()
        except sqlite3.Error:
            raise _unusable() from None
        return store

    def _prepare(self) -> None:
        self._base.execute("PRAGMA journal_mode = WAL")
        with self._writing():
            for statement in TABLES.split(";"):
                self._base.execute(statement)
            row = self._base.execute("SELECT count(*) FROM store").fetchone()
            if row[0] == 0:
                self._base.execute("INSERT INTO store (id) VALUES (?)", (uuid.uuid4().hex,))
                self._base.execute(f"PRAGMA user_version = {VERSION}")
        self._check()

    def _check(self) -> None:
        if self._base.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            raise _unusable()
        self.id = str(self._base.execute("SELECT id FROM store").fetchone()[0])

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, on disk when this ends well."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    # The receiver

    def add(self, events: Sequence[Event]) -> list[bool]:
        """Put events on disk together; True for each that was not there yet."""
        now = to_iso(datetime.now(UTC))
        with self._writing():
            return [
                self._base.execute(
                    ADD, (event.id, event.type, event.customer_id, now, event.body)
                ).rowcount
                == 1
                for event in events
            ]

    # The tap

    @property
    def last(self) -> int:
        """The position of the newest event that ever was in the store; 0 before the first."""
        row = self._base.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        return 0 if row is None else int(row[0])

    @property
    def dropped(self) -> int:
        """Up to this position events may have been dropped."""
        return int(self._base.execute("SELECT dropped FROM store").fetchone()[0])

    def after(self, position: int, last: int) -> Iterator[Stored]:
        """Events above `position` up to `last`, in the order they came."""
        while chunk := self._base.execute(AFTER, (position, last, CHUNK)).fetchall():
            yield from (Stored(*row) for row in chunk)
            position = chunk[-1][0]

    def lacks(self, event_id: str) -> bool:
        """Whether no webhook brought this event, as far as is still known."""
        found = self._base.execute("SELECT 1 FROM events WHERE event_id = ?", (event_id,))
        return found.fetchone() is None

    def first_of_each_type(self) -> Iterator[tuple[str, str]]:
        """Each type that is there, with the instant at which the oldest of it came."""
        yield from self._base.execute("SELECT type, min(received_at) FROM events GROUP BY type")

    def covered(self, reader: str, position: int) -> int:
        """Note that a state came back that covers all up to a position; drop what nobody needs.

        Args:
            reader: identifies the state, which is one stream's in one job.
            position: what that state says.

        Returns:
            How many events were dropped.
        """
        now = datetime.now(UTC)
        with self._writing():
            self._base.execute(
                "INSERT INTO readers VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "position = excluded.position, seen_at = excluded.seen_at",
                (reader, position, to_iso(now)),
            )
            self._base.execute(
                "DELETE FROM readers WHERE seen_at < ?", (to_iso(now - FORGOTTEN_AFTER),)
            )
        before, dropped = to_iso(now - KEPT_FOR), 0
        while chunk := self._drop(before):
            dropped += chunk
        return dropped

    def _drop(self, before: str) -> int:
        """Drop some events that no reader needs and that are older than an instant."""
        with self._writing():
            gone = [position for (position,) in self._base.execute(DROP, (before, CHUNK))]
            if gone:
                self._base.execute("UPDATE store SET dropped = max(dropped, ?)", (max(gone),))
        return len(gone)


def _connected(path: Path) -> sqlite3.Connection:
    # The receiver opens it in one thread and writes in another, never at once.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def _unusable() -> VoucherifyError:
    return VoucherifyError(
        "The webhook store cannot be used: give a path on a local disk that this user may write, "
        "and that is a store of this version or does not exist."
    )
