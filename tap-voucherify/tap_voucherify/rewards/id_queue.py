"""Whom to ask, as a set of ids on disk: millions of them must not need gigabytes of memory."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

CHUNK = 1_000

ADD = """
    INSERT INTO asked VALUES (?, ?)
    ON CONFLICT (id) DO UPDATE SET cheap = max(cheap, excluded.cheap)
"""


class IdsToAsk:
    """Distinct ids in a temporary SQLite file, given back in their own order.

    The order is the same in every run, so the last id asked is a position to resume from.
    """

    def __init__(self) -> None:
        # The empty name is SQLite's private temporary database: on disk, gone when closed.
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute("CREATE TABLE asked (id TEXT PRIMARY KEY, cheap INT) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.close()

    def add(self, ids: Iterable[str], *, cheap: bool = True) -> None:
        """Add ids, those already there count once.

        Args:
            ids: of customers, or of the parents of a child stream.
            cheap: whether the scan `changed` of reward events would ask them as well.
        """
        self._base.executemany(ADD, ((identity, cheap) for identity in ids))

    def __len__(self) -> int:
        return int(self._base.execute("SELECT count(*) FROM asked").fetchone()[0])

    def after(self, position: str) -> Iterator[tuple[str, bool]]:
        """Ids that sort after `position`, ascending, each with its `cheap`; all after ''."""
        query = "SELECT id, cheap FROM asked WHERE id > ? ORDER BY id LIMIT ?"
        while chunk := self._base.execute(query, (position, CHUNK)).fetchall():
            yield from ((identity, bool(cheap)) for identity, cheap in chunk)
            position = chunk[-1][0]
