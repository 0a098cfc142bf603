"""What Voucherify accepted, so that it is not sent again: one fingerprint per `source_id`.

Losing the ledger costs calls, never correctness. So the fingerprint of a customer is forgotten
before a change of it is sent, and written after the change was accepted: a crash in between leaves
no fingerprint, and the customer is sent once more.
"""

from __future__ import annotations

import json
import sqlite3
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from target_voucherify.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LAYOUT = "1"
CACHE_KIBIBYTES = 32_768

TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted (source_id TEXT PRIMARY KEY, fingerprint BLOB NOT NULL)
    WITHOUT ROWID;
"""


class Ledger:
    """The SQLite file behind `ledger_path`."""

    def __init__(self, path: str, config: Mapping[str, Any], *, read_only: bool = False) -> None:
        """Open the file, or begin one.

        Args:
            path: of the file.
            config: the settings; those that shape a customer are part of every fingerprint.
            read_only: for a dry run.

        Raises:
            SettingsError: the file cannot be used, or belongs to another project.
        """
        self._path = path
        self._salt = _digest(
            json.dumps(
                [config.get(name) for name in ("source_id", "mapping", "unmapped", "nulls")],
                sort_keys=True,
            ).encode()
        )
        try:
            self._database = self._opened(path, read_only=read_only)
            self._bind(_digest(str(config["application_id"]).encode()).hex(), read_only=read_only)
        except sqlite3.Error as error:
            raise SettingsError(
                f"ledger_path: {path} cannot be used ({error}); its folder must exist, and a "
                "damaged ledger may be deleted: that costs calls, nothing else."
            ) from None
        self._find = "SELECT fingerprint FROM accepted WHERE source_id = ?"
        self._execute = self._database.execute

    @classmethod
    def configured(cls, config: Mapping[str, Any]) -> Ledger | None:
        """The ledger that `ledger_path` names, if any; a dry run does not begin one."""
        path, dry = config.get("ledger_path"), bool(config["dry_run"])
        if not path or (dry and not Path(path).exists()):
            return None
        return cls(path, config, read_only=dry)

    def fingerprint(self, payload: bytes) -> bytes:
        """Sixteen bytes that change with the customer and with the settings that shaped it."""
        return blake2b(payload, digest_size=16, key=self._salt).digest()

    def knows(self, customers: Iterable[tuple[str, bytes]]) -> list[bool]:
        """For each customer (key and payload), whether exactly it was accepted before.

        One transaction for all of them: outside of one SQLite locks the file, and looks whether
        another process has changed it, for each customer, which costs four times the look itself.
        """
        execute, fingerprint = self._execute, self.fingerprint
        with self._database:
            execute("BEGIN")
            return [
                execute(self._find, (key,)).fetchone() == (fingerprint(payload),)
                for key, payload in customers
            ]

    def has(self, key: str) -> bool:
        """Whether a customer of this key was accepted before, in whatever form."""
        return self._execute(self._find, (key,)).fetchone() is not None

    def forget(self, keys: Iterable[str]) -> None:
        """Forget customers that are about to change; on disk before this returns."""
        with self._database:
            self._database.executemany(
                "DELETE FROM accepted WHERE source_id = ?", ((key,) for key in keys)
            )

    def remember(self, accepted: Iterable[tuple[str, bytes]]) -> None:
        """Write down what was accepted: keys and payloads."""
        with self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO accepted VALUES (?, ?)",
                ((key, self.fingerprint(payload)) for key, payload in accepted),
            )

    @property
    def version(self) -> str | None:
        """The version under which the stream was last sent whole."""
        found = self._execute("SELECT value FROM about WHERE name = 'version'").fetchone()
        return None if found is None else str(found[0])

    @version.setter
    def version(self, version: str) -> None:
        with self._database:
            self._execute("INSERT OR REPLACE INTO about VALUES ('version', ?)", (version,))

    def watch(self) -> None:
        """From now on tell apart which customers were seen; kept on disk, not in memory."""
        self._execute("CREATE TEMP TABLE IF NOT EXISTS seen (source_id TEXT PRIMARY KEY)")

    def see(self, keys: Iterable[str]) -> None:
        """Note that the CRM still has these customers."""
        with self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO temp.seen VALUES (?)", ((key,) for key in keys)
            )

    def unseen(self) -> Iterator[str]:
        """Customers that were accepted once and not seen since `watch`."""
        missing = (
            "SELECT source_id FROM accepted WHERE NOT EXISTS "
            "(SELECT 1 FROM temp.seen WHERE seen.source_id = accepted.source_id)"
        )
        for (key,) in self._database.execute(missing).fetchall():
            yield key

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _opened(self, path: str, *, read_only: bool) -> sqlite3.Connection:
        mode = "ro" if read_only else "rwc"
        database = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode={mode}", uri=True)
        database.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        # Forgetting must be on disk before sending, also when the power goes.
        database.execute("PRAGMA synchronous = FULL")
        if not read_only:
            database.executescript(TABLES)
        return database

    def _bind(self, project: str, *, read_only: bool) -> None:
        """Tie a new ledger to its project; refuse one of another project."""
        bound = dict(
            self._database.execute(
                "SELECT name, value FROM about WHERE name IN ('project', 'layout')"
            ).fetchall()
        )
        if not bound and not read_only:
            with self._database:
                self._database.executemany(
                    "INSERT INTO about VALUES (?, ?)", [("project", project), ("layout", LAYOUT)]
                )
        elif bound and (bound.get("project"), bound.get("layout")) != (project, LAYOUT):
            raise SettingsError(
                f"ledger_path: {self._path} belongs to another project or version; name another "
                "file, or delete this one."
            )


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
