"""The ledger: a fingerprint per accepted customer, so that unchanged ones are not sent again.

Losing the ledger costs calls, and so does an old copy of it, which is recognized by what its lock
says about the last run; records that were refused before a ledger began are not replayed with it. A
customer's fingerprint is removed before a change of it is sent, and written after the change was
accepted: a crash in between leaves no fingerprint, and the customer is sent once more. The key
stays, because a customer that may be in Voucherify can go missing from the CRM; only its deletion
removes the key.

From the first refusal on the ledger also keeps when the newest settled record of each customer was
read, so that a replay sends no refused record that is older. These times never go backwards, even
if the clock does.

A ledger belongs to one pipeline: one project, and the streams of one tap with the property that
holds their key. Another pipeline's customers would look like customers that went missing.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from target_voucherify.acknowledgement.private_files import (
    database_error,
    file_error,
    note_use,
    open_private,
    runs_of,
)
from target_voucherify.voucherify_client.errors import SettingsError
from target_voucherify.voucherify_client.sent_form import LEDGER_LAYOUT, digest, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from target_voucherify.settings import Settings
    from target_voucherify.voucherify_client.sent_form import Fields

UNKNOWN = b""
"""The fingerprint of a customer that may be in Voucherify, in an unknown form."""

CACHE_KIBIBYTES = 32_768

TICK = 1e-5
"""Seconds between two times where the clock stands still or goes back."""

CONFIRMED_CHUNK_SIZE = 5000
"""Times written in one transaction; only time and memory depend on it."""

TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted (source_id TEXT PRIMARY KEY, fingerprint BLOB NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams (name TEXT PRIMARY KEY, key TEXT NOT NULL, version TEXT)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS confirmed (customer BLOB PRIMARY KEY, read_at REAL NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS printed (pair BLOB PRIMARY KEY, run TEXT NOT NULL, runs INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (stream TEXT, version TEXT, PRIMARY KEY (stream, version))
    WITHOUT ROWID;
"""


class Ledger:
    """The SQLite file of one entity; created if it does not exist.

    Args:
        path: of the file.
        settings: of the run; a dry run only reads.
        shaping: the settings that shape what is written; they are part of every fingerprint.

    Raises:
        SettingsError: the file cannot be used, or belongs to another project.
    """

    is_enabled = True

    def __init__(self, path: str, settings: Settings, shaping: Sequence[object]) -> None:
        self._path = path
        self._log = logging.getLogger("target-voucherify")
        self._read_only = settings.dry_run
        self._is_same_pipeline = False
        self._new_streams: dict[str, str] = {}
        self._newest = 0.0
        self._confirmed: dict[bytes, float] = {}
        """When the newest settled record of a customer was read, as far as it is not on disk."""
        self._has_refusals = self._has_new_refusals = False
        self._run = ""
        """What tells this run from others."""
        self._salt = digest(json.dumps(shaping, sort_keys=True).encode())
        self._written: dict[str, Fields] = {}
        """The fields that this run writes, by stream."""
        try:
            self._database = self._opened(path)
            self._bind(digest(settings.application_id.encode()).hex())
        except OSError as error:
            raise file_error("ledger_path", path, error) from None
        except sqlite3.Error as error:
            raise database_error("ledger_path", path, error) from None
        self._find = "SELECT fingerprint FROM accepted WHERE source_id = ?"
        self._execute = self._database.execute
        with self._transaction():
            self._read_times()
            tables = self._execute("SELECT name FROM sqlite_master").fetchall()
        self._has_printed = ("printed",) in tables
        """A dry run may read a file from before there was this table."""

    def fingerprint(self, payload: bytes) -> bytes:
        """Sixteen bytes that change with the customer and with the settings that shape it."""
        return fingerprint(payload, self._salt)

    def unchanged(self, customers: Iterable[tuple[str, bytes]]) -> list[bool]:
        """For each customer (key and payload), whether it was accepted before in this very form.

        In one transaction: outside of one, SQLite locks the file and checks for changes by other
        processes at each query, which costs four times the query itself.
        """
        execute, fingerprint = self._execute, self.fingerprint
        with self._transaction():
            execute("BEGIN")
            return [
                execute(self._find, (key,)).fetchone() == (fingerprint(payload),)
                for key, payload in customers
            ]

    def has(self, key: str) -> bool:
        """Whether a customer of this key was accepted before, in any form."""
        with self._transaction():
            return self._execute(self._find, (key,)).fetchone() is not None

    def changed_fields(self, key: str) -> None:
        """Not known: a fingerprint says only whether a customer has changed."""

    def forget(self, keys: Iterable[str]) -> None:
        """Remove the fingerprints of customers about to be sent; on disk before this returns."""
        with self._transaction():
            self._database.executemany(
                "INSERT OR REPLACE INTO accepted VALUES (?, ?)", ((key, UNKNOWN) for key in keys)
            )

    def remove(self, keys: Iterable[str]) -> None:
        """Remove customers that were deleted."""
        with self._transaction():
            self._database.executemany(
                "DELETE FROM accepted WHERE source_id = ?", ((key,) for key in keys)
            )

    def remember(self, accepted: Iterable[tuple[str, bytes]]) -> None:
        """Store the fingerprints of accepted customers (key and payload)."""
        with self._transaction():
            self._database.executemany(
                "INSERT OR REPLACE INTO accepted VALUES (?, ?)",
                ((key, self.fingerprint(payload)) for key, payload in accepted),
            )

    def now(self) -> float:
        """The time in seconds, later than every time that this ledger gave or noted before."""
        now = time.time()
        self._newest = now if now > self._newest else self._newest + TICK
        return self._newest

    def note_refusal(self) -> None:
        """Note that a record is refused; on disk before this returns, and so before the record is.

        From now on the times of settled records matter, whatever key the refused one has: it may
        be unreadable today and readable in a replay.
        """
        if self._has_new_refusals:
            return
        self._write_time("refused_at", self.now())
        self._has_refusals = self._has_new_refusals = True

    def confirm(self, records: Iterable[tuple[str, float]]) -> None:
        """Note which records are settled, by key and the time at which they were read.

        A record of the same key that was read before and refused is outdated by that. `flush`
        writes it.
        """
        if not self._has_refusals or self._read_only:
            return
        latest = self.now()
        for key, at in records:
            customer = digest(key.encode())
            # A time from the future would outdate what is refused until then.
            self._confirmed[customer] = max(min(at, latest), self._confirmed.get(customer, 0.0))
        if len(self._confirmed) >= CONFIRMED_CHUNK_SIZE:
            self.flush()

    def flush(self) -> None:
        """Write the noted times, before a state covers their records."""
        if self._confirmed:
            with self._transaction():
                self._database.executemany(
                    "INSERT INTO confirmed VALUES (?, ?) ON CONFLICT DO UPDATE "
                    "SET read_at = max(read_at, excluded.read_at)",
                    self._confirmed.items(),
                )
            self._confirmed.clear()

    def has_newer(self, key: str, at: float) -> bool:
        """Whether a record of this key was settled that was read after a refused one."""
        customer = digest(key.encode())
        if self._confirmed.get(customer, 0.0) > at:
            return True
        newer = "SELECT 1 FROM confirmed WHERE customer = ? AND read_at > ?"
        with self._transaction():
            return self._execute(newer, (customer, at)).fetchone() is not None

    def count(self) -> int:
        """Number of customers that may be in Voucherify."""
        with self._transaction():
            return int(self._execute("SELECT count(*) FROM accepted").fetchone()[0])

    def bind_stream(self, stream: str, key: str) -> None:
        """Bind the ledger to a stream of this pipeline.

        A ledger that is bound to streams takes a further one only in a run that also has one of
        those.

        Args:
            stream: the name that the tap gives it.
            key: the property that holds the `source_id`.

        Raises:
            SettingsError: the ledger belongs to another pipeline.
        """
        with self._transaction():
            stored = self._execute("SELECT name, key FROM streams").fetchall()
        bound = {**dict(stored), **self._new_streams}
        known = bound.get(stream)
        if known == key:
            self._is_same_pipeline = True
        elif known is None and (self._is_same_pipeline or not bound):
            self._is_same_pipeline = True
            self._new_streams[stream] = key
            if not self._read_only:
                with self._transaction():
                    self._execute("INSERT INTO streams VALUES (?, ?, NULL)", (stream, key))
        else:
            owners = " and ".join(f"{name} by {its_key}" for name, its_key in bound.items())
            raise SettingsError(
                f"ledger_path: {self._path} belongs to another pipeline: it holds {owners}, and "
                f"this run brings {stream} by {key}. Name another file, because each pipeline "
                "needs its own; if this pipeline was changed, delete the file, which costs calls."
            )

    def note_written(self, stream: str, fields: Fields, *, with_nulls: bool) -> None:
        """Note how this run makes customers, so that the tap can tell them from other changes.

        Args:
            stream: whose records they are.
            fields: that are written.
            with_nulls: whether nulls are.
        """
        self._written[stream] = fields
        if self._read_only:
            return
        # Of a customer nothing says which stream it came from.
        is_one = all(fields == others for others in self._written.values())
        text = {"fields": fields, "nulls": with_nulls, "salt": self._salt.hex()} if is_one else None
        with self._transaction():
            self._execute("INSERT OR REPLACE INTO about VALUES ('written', ?)", (json.dumps(text),))

    def begin_version(self, stream: str, version: str) -> bool:
        """Note that records of a stream came under a version; whether no earlier run had any."""
        row = (stream, version)
        with self._transaction():
            known = "SELECT 1 FROM versions WHERE stream = ? AND version = ?"
            if self._execute(known, row).fetchone() is not None:
                return False
            if not self._read_only:
                self._execute("INSERT INTO versions VALUES (?, ?)", row)
        return True

    def all_complete_anew(self, versions: Mapping[str, str]) -> bool:
        """Whether every stream of the pipeline was sent completely again, under a new version.

        Taps that send only changes activate the same version each time; then nothing is missing.
        Nor is it when a stream was never sent completely before.
        """
        with self._transaction():
            stored = dict(self._execute("SELECT name, version FROM streams").fetchall())
        return bool(stored) and all(
            before is not None and versions.get(stream) not in {None, before}
            for stream, before in stored.items()
        )

    def save_versions(self, versions: Mapping[str, str]) -> None:
        """Store the version under which each stream was sent completely."""
        with self._transaction():
            self._database.executemany(
                "UPDATE streams SET version = ? WHERE name = ?",
                ((version, stream) for stream, version in versions.items()),
            )

    def track_seen(self) -> None:
        """Begin to track which customers the CRM still has; on disk, not in memory."""
        with self._transaction():
            self._execute("CREATE TEMP TABLE IF NOT EXISTS seen (source_id TEXT PRIMARY KEY)")

    def mark_seen(self, keys: Iterable[str]) -> int:
        """Note that the CRM still has these customers; returns how many were not noted before."""
        with self._transaction():
            return self._database.executemany(
                "INSERT OR IGNORE INTO temp.seen VALUES (?)", ((key,) for key in keys)
            ).rowcount

    def unseen(self) -> Iterator[str]:
        """Keys that were accepted once and not marked as seen."""
        missing = (
            "SELECT source_id FROM accepted WHERE NOT EXISTS "
            "(SELECT 1 FROM temp.seen WHERE seen.source_id = accepted.source_id)"
        )
        with self._transaction():
            keys = self._execute(missing).fetchall()
        for (key,) in keys:
            yield key

    def runs_printed(self, field: str, sent: bytes, printed: bytes) -> int:
        """In how many runs a value was written and then printed as another one."""
        found = "SELECT runs FROM printed WHERE pair = ?"
        with self._transaction():
            if not self._has_printed:
                return 0
            row = self._execute(found, (_pair(field, sent, printed),)).fetchone()
        return 0 if row is None else int(row[0])

    def note_printed(self, field: str, sent: bytes, printed: bytes) -> None:
        """Note that a value was written and is printed as another one; once a run."""
        with self._transaction():
            self._execute(
                "INSERT INTO printed VALUES (?, ?, 1) ON CONFLICT DO UPDATE "
                "SET runs = runs + (run <> excluded.run), run = excluded.run",
                (_pair(field, sent, printed), self._run),
            )

    def keys(self) -> Iterator[str]:
        """Keys of all customers that may be in Voucherify, and of those of this run; unordered."""
        with self._transaction():
            every = "SELECT source_id FROM accepted UNION ALL SELECT source_id FROM temp.seen"
            for (key,) in self._execute(every):
                yield key

    def close(self) -> None:
        """Write what is noted and close the file."""
        if not self._read_only:
            with suppress(SettingsError):  # no state covers what is lost by that
                self.flush()
                self._write_time("newest", self._newest)
        self._database.close()
        if not self._read_only:
            with suppress(OSError):  # it was deleted meanwhile
                note_use(self._path, self._file_as_found())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One transaction.

        Raises:
            SettingsError: the file is locked, damaged or on a full disk.
        """
        try:
            with self._database:
                yield
        except sqlite3.Error as error:
            raise database_error("ledger_path", self._path, error) from None

    def _opened(self, path: str) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rw"
        self._check(path)
        if not self._read_only:
            # Before SQLite opens it: it loses its locks when another descriptor is closed.
            os.close(open_private(path, os.O_RDWR))
        database = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode={mode}", uri=True)
        database.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        # Forgetting must be on disk before sending, also when the power goes.
        database.execute("PRAGMA synchronous = FULL")
        if not self._read_only:
            # All or none, or a dry run after a kill would find a part of them.
            database.executescript(f"BEGIN; {TABLES} COMMIT;")
        return database

    def _check(self, path: str) -> None:
        """Leave another program's database untouched, and take back what a kill left half written.

        SQLite does the latter when it reads, but not where a dry run may only read.

        Raises:
            SettingsError: it is one.
        """
        if not Path(path).is_file():
            return
        address = f"{Path(path).absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if tables and "about" not in tables:
            raise SettingsError(
                f"ledger_path: {path} is another program's database; name a new file."
            )

    def _bind(self, project: str) -> None:
        """Bind a new ledger to its project; refuse one of another project."""
        bound = dict(
            self._database.execute(
                "SELECT name, value FROM about WHERE name IN ('project', 'layout', 'last_run')"
            ).fetchall()
        )
        if not bound and not self._read_only:
            with self._database:
                self._database.executemany(
                    "INSERT INTO about VALUES (?, ?)",
                    [("project", project), ("layout", LEDGER_LAYOUT), ("begun", repr(time.time()))],
                )
        elif bound and (bound.get("project"), bound.get("layout")) != (project, LEDGER_LAYOUT):
            raise SettingsError(
                f"ledger_path: {self._path} belongs to another project or version; name another "
                "file, or delete this one."
            )
        if not self._read_only:
            self._begin_run(bound)

    def _begin_run(self, about: Mapping[str, str]) -> None:
        """Note this run in the file; believe none that its last run did not leave here.

        A file that was restored from a backup does not know what was written, begun and deleted
        since. So every customer is sent once more, and the next complete stream deletes nobody: it
        may be the rest of a version that an earlier run began.

        Args:
            about: what the file says about itself; empty for a new one.
        """
        found, runs = self._file_as_found(), runs_of(self._path)
        self._run = runs.this
        is_as_left = about.get("last_run") == runs.before and runs.left in {found, ""}
        with self._database:
            if about and not is_as_left:
                self._database.execute("UPDATE accepted SET fingerprint = ?", (UNKNOWN,))
                self._database.execute("UPDATE streams SET version = NULL")
                self._log.warning(
                    "ledger_path: %s was restored or copied since its last run, so every customer "
                    "is sent again, and the next complete stream deletes nobody: keep it on a disk "
                    "that stays",
                    self._path,
                )
            noted = "INSERT OR REPLACE INTO about VALUES (?, ?)"
            self._database.execute(noted, ("last_run", runs.this))
            if not is_as_left:
                self._database.execute(noted, ("begun", repr(time.time())))
        # Afterwards, so that a file that another program holds is none that was restored.
        note_use(self._path, "")

    def _read_times(self) -> None:
        """Read when this ledger began to know what was accepted, and its newest time."""
        times = dict(
            self._execute(
                "SELECT name, CAST(value AS REAL) FROM about "
                "WHERE name IN ('begun', 'refused_at', 'newest')"
            ).fetchall()
        )
        self.begun: float = times.get("begun", time.time())
        self._has_refusals = "refused_at" in times
        newest = self._execute("SELECT max(read_at) FROM confirmed").fetchone()[0]
        self._newest = max(self.begun, *times.values(), newest or 0.0)

    def _write_time(self, name: str, at: float) -> None:
        with self._transaction():
            self._execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, repr(at)))

    def _file_as_found(self) -> str:
        """What changes when the file is written or replaced, but not when its owner changes."""
        found = Path(self._path).stat()
        return f"file {found.st_ino} of {found.st_mtime_ns}"


class NoLedger:
    """The ledger of a run without `ledger_path`: it remembers nothing."""

    is_enabled = False
    begun = 0.0

    def note_written(self, stream: str, fields: Fields, *, with_nulls: bool) -> None:
        """Nothing is noted."""
        del stream, fields, with_nulls

    def now(self) -> float:
        """The time in seconds."""
        return time.time()

    def unchanged(self, customers: Iterable[tuple[str, bytes]]) -> list[bool]:
        """None is known to be unchanged."""
        return [False for _ in customers]

    def changed_fields(self, key: str) -> None:
        """Not known."""

    def has(self, key: str) -> bool:
        """No customer was accepted before."""
        del key
        return False

    def has_newer(self, key: str, at: float) -> bool:
        """No customer was confirmed before."""
        del key, at
        return False

    def mark_seen(self, keys: Iterable[str]) -> int:
        """Nothing is marked."""
        del keys
        return 0

    def count(self) -> int:
        """No customer is known."""
        return 0

    def unseen(self) -> Iterator[str]:
        """No customer is known, so none is missing."""
        return iter(())

    def keys(self) -> Iterator[str]:
        """No customer is known."""
        return iter(())

    def runs_printed(self, field: str, sent: bytes, printed: bytes) -> int:
        """Nothing was noted before."""
        del field, sent, printed
        return 0

    def begin_version(self, stream: str, version: str) -> bool:
        """Every version is new."""
        del stream, version
        return True

    def all_complete_anew(self, versions: Mapping[str, str]) -> bool:
        """No stream was ever sent completely before."""
        del versions
        return False

    def _ignore(self, *_: object) -> None:
        """Do nothing."""

    forget = remove = remember = track_seen = bind_stream = save_versions = close = note_refusal = (
        flush
    ) = confirm = note_printed = _ignore


def open_ledger(settings: Settings, path: str, shaping: Sequence[object]) -> Ledger | NoLedger:
    """The ledger in a file; none without a path, and a dry run does not create one.

    Args:
        settings: of the run.
        path: of the file; may be empty.
        shaping: the settings that shape what is written.

    Raises:
        SettingsError: the file cannot be used, or belongs to another project.
    """
    is_empty = path and not (Path(path).exists() and Path(path).stat().st_size)
    if not path or (settings.dry_run and is_empty):
        return NoLedger()
    return Ledger(path, settings, shaping)


def _pair(field: str, sent: bytes, printed: bytes) -> bytes:
    return digest(b"\0".join((field.encode(), sent, printed)))
