"""The webhook store: a SQLite file that the receiver writes and the tap reads.

Positions only grow and are never reused, so a reader that has all events up to a position needs
none below it. The file is for one machine: SQLite's write-ahead log shares memory between the
processes.

A store that is restored from a backup lacks acknowledged events and gives their positions again. So
each start of a receiver is an epoch of the store, and a state holds the newest one that it knows.
All earlier epochs end where the store may have been restored: the file is another one than before,
or no receiver stopped in order on it, as after a kill.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_voucherify.webhooks.envelopes import Event

VERSION = 2
"""Version of the tables below, kept as SQLite's `user_version`."""

KEEP_EVENTS = timedelta(days=14)
"""Minimum age of events that are deleted, because Voucherify's support can send events of the last
14 days again, by its documentation."""

READER_EXPIRY = timedelta(days=90)
"""A reader not seen for so long keeps no events; it will read by polling again."""

PRIMARY_CODE = 0xFF
"""The bits of SQLite's extended error codes that hold the primary one."""

BUSY_TIMEOUT = 4.0
"""Seconds to wait for another process that writes. Voucherify gives up after 10."""

CHUNK = 1_000

TABLES = """
CREATE TABLE IF NOT EXISTS store (
    id TEXT NOT NULL, dropped INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS epochs (
    id TEXT NOT NULL, inode INTEGER NOT NULL, stopped INTEGER NOT NULL DEFAULT 0
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

LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"

DROP = """
DELETE FROM events WHERE position IN (
    SELECT position FROM events
    WHERE position <= (SELECT min(position) FROM readers) AND received_at < ?
    ORDER BY position LIMIT ?
) RETURNING position
"""


class StoreLostError(VoucherifyError):
    """The open store is no longer the one at its path."""

    def __init__(self) -> None:
        super().__init__("The store was deleted, replaced or restored: restart the receiver.")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of the store; `body` is the whole envelope."""

    position: int
    type: str
    customer_id: str | None
    received_at: str
    body: bytes


class Store:
    """An open store; `create` makes a missing file, `open` does not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = database = _connect(path)
        database.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
        # FULL syncs the log at each commit, so acknowledged events survive a loss of power.
        database.execute("PRAGMA synchronous = FULL")

    @classmethod
    def create(cls, path: Path) -> Self:
        """Open the store for the receiver; only its owner may read a new file.

        Raises:
            VoucherifyError: the file cannot be written or is not a store.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            store = cls(path)
            store._prepare()
        except (OSError, sqlite3.Error) as error:
            raise damaged() if is_damage(error) else unusable() from None
        return store

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a store that the receiver created.

        Raises:
            VoucherifyError: there is no file, or it is not a store.
        """
        if not path.is_file():
            raise VoucherifyError(
                "The setting webhook_store names no file: start `voucherify-webhooks serve` with "
                "this store first."
            )
        try:
            store = cls(path)
            store._check()
        except sqlite3.Error as error:
            raise damaged() if is_damage(error) else unusable() from None
        return store

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        with self._writing():
            for statement in TABLES.split(";"):
                self._database.execute(statement)
            row = self._database.execute("SELECT count(*) FROM store").fetchone()
            if row[0] == 0:
                self._database.execute("INSERT INTO store (id) VALUES (?)", (uuid.uuid4().hex,))
            self._database.execute(f"PRAGMA user_version = {VERSION}")
            self._begin_epoch()
        self._check()
        self._files = self._identities()
        self._written = self.last

    def _begin_epoch(self) -> None:
        inode = self._path.stat().st_ino
        found = self._database.execute("SELECT inode, stopped FROM epochs ORDER BY rowid DESC")
        if found.fetchone() != (inode, 1):
            self._database.execute("DELETE FROM epochs")
            self._database.execute("DELETE FROM readers")
        self._database.execute(
            "INSERT INTO epochs (id, inode) VALUES (?, ?)", (uuid.uuid4().hex, inode)
        )

    def _check(self) -> None:
        if self._database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            raise unusable()
        self.id = str(self._database.execute("SELECT id FROM store").fetchone()[0])
        newest = "SELECT id FROM epochs ORDER BY rowid DESC"
        self.epoch = str(self._database.execute(newest).fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def stop(self) -> bool:
        """Close the file as a receiver does that has written every acknowledged event.

        Returns:
            Whether the store is still what it was when it was opened.
        """
        is_intact = False
        with suppress(sqlite3.Error):
            is_intact = self.is_in_place() and self.has_epoch(self.epoch)
            self._database.execute("UPDATE epochs SET stopped = 1 WHERE id = ?", (self.epoch,))
            self.close()
        return is_intact

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, on disk once it ends without an error."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # SQLite may have rolled it back itself
                self._database.execute("ROLLBACK")
            raise

    # The receiver

    def add(self, events: Sequence[Event]) -> list[bool]:
        """Write events in one transaction; True for each that is new.

        Raises:
            sqlite3.Error: they are not on disk.
            StoreLostError: they are in a file that nobody will find, or that was restored.
        """
        now = to_iso(datetime.now(UTC))
        with self._writing():
            if not self.has_epoch(self.epoch) or self.last < self._written:
                raise StoreLostError
            are_new = [
                self._database.execute(
                    ADD, (event.id, event.type, event.customer_id, now, event.body)
                ).rowcount
                == 1
                for event in events
            ]
            last = self.last
        self._written = last  # not before they are on disk: the file may be full
        if not self.is_in_place():
            raise StoreLostError
        return are_new

    def is_in_place(self) -> bool:
        """Whether the paths still name the files that are open."""
        return self._identities() == self._files

    def _identities(self) -> list[tuple[int, int]]:
        with suppress(OSError):
            files = [Path(f"{self._path}{suffix}").stat() for suffix in ("", "-wal")]
            return [(file.st_dev, file.st_ino) for file in files]
        return []

    # The tap

    @property
    def last(self) -> int:
        """The position of the newest event that was ever in the store; 0 before the first."""
        row = self._database.execute(LAST).fetchone()
        return 0 if row is None else int(row[0])

    def has_epoch(self, epoch: str) -> bool:
        """Whether the store has lost no event since a start of the receiver."""
        found = self._database.execute("SELECT 1 FROM epochs WHERE id = ?", (epoch,))
        return found.fetchone() is not None

    def received_at(self, position: int) -> str | None:
        """When the event at a position, or the next below it, was received."""
        query = "SELECT received_at FROM events WHERE position <= ? ORDER BY position DESC"
        row = self._database.execute(query, (position,)).fetchone()
        return None if row is None else str(row[0])

    def position_before(self, received_at: str) -> int:
        """The position of the newest event received before a time; 0 if there is none."""
        query = "SELECT max(position) FROM events WHERE received_at < ?"
        return int(self._database.execute(query, (received_at,)).fetchone()[0] or 0)

    @property
    def dropped(self) -> int:
        """The position up to which events may have been deleted."""
        return int(self._database.execute("SELECT dropped FROM store").fetchone()[0])

    def after(self, position: int, last: int) -> Iterator[StoredEvent]:
        """Events above `position` up to `last`, in the order they came."""
        while chunk := self._database.execute(AFTER, (position, last, CHUNK)).fetchall():
            yield from (StoredEvent(*row) for row in chunk)
            position = chunk[-1][0]

    def lacks(self, event_id: str) -> bool:
        """Whether the store does not have this event."""
        found = self._database.execute("SELECT 1 FROM events WHERE event_id = ?", (event_id,))
        return found.fetchone() is None

    def first_of_each_type(self) -> Iterator[tuple[str, str]]:
        """Each event type, with the time at which its oldest event was received."""
        yield from self._database.execute("SELECT type, min(received_at) FROM events GROUP BY type")

    def acknowledge(self, reader: str, position: int) -> int:
        """Record the position that a reader's state covers; delete events that no reader needs.

        Args:
            reader: identifies the state of one stream in one job.
            position: in that state.

        Returns:
            The number of events deleted.
        """
        now = datetime.now(UTC)
        with self._writing():
            self._database.execute(
                "INSERT INTO readers VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "position = excluded.position, seen_at = excluded.seen_at",
                (reader, position, to_iso(now)),
            )
            self._database.execute(
                "DELETE FROM readers WHERE seen_at < ?", (to_iso(now - READER_EXPIRY),)
            )
        before, dropped = to_iso(now - KEEP_EVENTS), 0
        while chunk := self._drop(before):
            dropped += chunk
        return dropped

    def _drop(self, before: str) -> int:
        """Delete a chunk of the events that no reader needs and that are older than an instant."""
        with self._writing():
            gone = [position for (position,) in self._database.execute(DROP, (before, CHUNK))]
            if gone:
                self._database.execute("UPDATE store SET dropped = max(dropped, ?)", (max(gone),))
        return len(gone)


def _connect(path: Path) -> sqlite3.Connection:
    # The receiver opens it in one thread and writes in another, never at the same time.
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def is_damage(error: BaseException | None) -> bool:
    """Whether an error is SQLite's for a file that is no longer whole."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & PRIMARY_CODE == sqlite3.SQLITE_CORRUPT


def damaged() -> VoucherifyError:
    """The error for a store that SQLite cannot read any more."""
    return VoucherifyError(
        "The webhook store is damaged, as when a copy is written over an open file: stop the "
        "receiver, move the file and those with -wal and -shm away, and start it again; the next "
        "run of the tap polls."
    )


def unusable() -> VoucherifyError:
    """The error for a file that cannot be used as a store."""
    return VoucherifyError(
        "The webhook store cannot be used: set a path on a local disk that this user may write, "
        "with a store of this version or no file."
    )
