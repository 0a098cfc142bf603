"""Customers on their way: by `source_id`, the last one wins, the bytes of the request counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_voucherify.entities.encoding import LARGEST_BODY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_voucherify.acknowledgement.outcomes import Row


class Batch:
    """Customers that share one ticket of the fence until each of them is settled."""

    __slots__ = ("rows", "size", "ticket", "tries")

    def __init__(self, ticket: int, rows: dict[str, Row] | None = None, tries: int = 0) -> None:
        """Start with rows, or empty.

        Args:
            ticket: what the fence gave for them.
            rows: by `source_id`.
            tries: how often these rows were sent in vain.
        """
        self.ticket = ticket
        self.rows = rows or {}
        self.tries = tries
        self.size = 1 + sum(len(row.payload) + 1 for row in self.rows.values())

    def takes(self, key: str, payload: bytes, most: int) -> bool:
        """Whether one more customer fits into `most` rows and into the bytes of a request."""
        fits = self.size + len(payload) + 1 < LARGEST_BODY
        return fits and (len(self.rows) < most or key in self.rows)

    def add(self, key: str, row: Row) -> bool:
        """Add a customer; True when it replaced an earlier record of the same key."""
        earlier = self.rows.pop(key, None)
        self.rows[key] = row
        self.size += len(row.payload) + 1
        if earlier is None:
            return False
        self.size -= len(earlier.payload) + 1
        return True

    def body(self) -> bytes:
        """The body of the bulk request: exactly `size` bytes."""
        return b"[" + b",".join([row.payload for row in self.rows.values()]) + b"]"

    def without(self, keys: Iterable[str]) -> Batch:
        """The same batch, not yet settled, minus some of its rows."""
        gone = set(keys)
        rest = {key: row for key, row in self.rows.items() if key not in gone}
        return Batch(self.ticket, rest, self.tries)

    def parts(self, most: int) -> list[Batch]:
        """The batch cut into pieces of at most `most` rows, in order."""
        if len(self.rows) <= most:
            return [self]
        items = list(self.rows.items())
        pieces = [dict(items[start : start + most]) for start in range(0, len(items), most)]
        return [Batch(self.ticket, piece, self.tries) for piece in pieces]
