"""Disk-backed set of ids still to request, since millions of them must not fill the memory."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 1_000

ADD = """
    INSERT INTO queue VALUES (?, ?, 0)
    ON CONFLICT (id) DO UPDATE
    SET has_activity_hint = max(has_activity_hint, excluded.has_activity_hint)
"""


class QueuedId(NamedTuple):
    """An id to request.

    Attributes:
        id: of a customer, or of another parent.
        has_activity_hint: whether the scan `changed` of reward events would request it too.
    """

    id: str
    has_activity_hint: bool = True


class IdQueue:
    """Distinct ids in a temporary SQLite file, in ascending order.

    The order is the same in every run, so the last id requested is a position to resume from.
    """

    def __init__(self) -> None:
        # The empty name is SQLite's private temporary database: on disk, gone when closed.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE queue (id TEXT PRIMARY KEY, has_activity_hint INT, is_done INT) "
            "WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete the file."""
        self._database.close()

    def add(self, *ids: QueuedId) -> None:
        """Add ids; one that is there already, or was done before, counts once."""
        self._database.executemany(ADD, ids)

    def finish(self, position: str) -> None:
        """Mark the ids after `position` as done: they are not requested again if added again.

        Those before it are forgotten. An earlier run requested them, unless they were not known
        yet, so if they are added again they are requested.
        """
        self._database.execute("DELETE FROM queue WHERE id <= ? AND NOT is_done", (position,))
        self._database.execute("UPDATE queue SET is_done = 1 WHERE NOT is_done")

    def __len__(self) -> int:
        return int(
            self._database.execute("SELECT count(*) FROM queue WHERE NOT is_done").fetchone()[0]
        )

    def after(self, position: str) -> Iterator[QueuedId]:
        """Ids that sort after `position`, ascending."""
        query = (
            "SELECT id, has_activity_hint FROM queue "
            "WHERE id > ? AND NOT is_done ORDER BY id LIMIT ?"
        )
        while chunk := self._database.execute(query, (position, CHUNK)).fetchall():
            yield from (QueuedId(each, bool(hint)) for each, hint in chunk)
            position = chunk[-1][0]
