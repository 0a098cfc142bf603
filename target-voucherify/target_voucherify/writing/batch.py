"""A batch of customers: the last record of a `source_id` wins, request bytes are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_voucherify.entities.encoding import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from target_voucherify.acknowledgement.outcomes import Row

MAX_HELD_BYTES = 12 * 1024 * 1024
"""Bytes of customers and their lines that a batch keeps in memory at most."""


class Batch:
    """Customers that share one ticket of the state fence until each of them is settled.

    Args:
        ticket: of the fence.
        rows: by `source_id`.
        attempts: how often these rows were sent in vain.
    """

    __slots__ = ("attempts", "held_bytes", "rows", "size", "ticket")

    def __init__(self, ticket: int, rows: dict[str, Row] | None = None, attempts: int = 0) -> None:
        self.ticket = ticket
        self.rows = rows or {}
        self.attempts = attempts
        self.size = 1 + sum(len(row.payload) + 1 for row in self.rows.values())
        self.held_bytes = sum(row.held_bytes for row in self.rows.values())

    def fits(self, key: str, row: Row, max_rows: int) -> bool:
        """Whether one more customer fits into `max_rows`, the bytes of a request, and memory."""
        has_room = (
            self.size + len(row.payload) + 1 < MAX_BODY_BYTES
            and self.held_bytes + row.held_bytes <= MAX_HELD_BYTES
        )
        return has_room and (len(self.rows) < max_rows or key in self.rows)

    def add(self, key: str, row: Row) -> bool:
        """Add a customer; returns whether it replaced an earlier record of the same key."""
        earlier = self.rows.pop(key, None)
        self.rows[key] = row
        self.size += len(row.payload) + 1
        self.held_bytes += row.held_bytes
        if earlier is None:
            return False
        self.size -= len(earlier.payload) + 1
        self.held_bytes -= earlier.held_bytes
        return True

    def body(self) -> bytes:
        """The body of a bulk request: exactly `size` bytes."""
        return b"[" + b",".join([row.payload for row in self.rows.values()]) + b"]"

    def without(self, keys: Iterable[str]) -> Batch:
        """The same batch without some of its rows."""
        removed = set(keys)
        rows = {key: row for key, row in self.rows.items() if key not in removed}
        return Batch(self.ticket, rows, self.attempts)

    def split(self, max_rows: int) -> list[Batch]:
        """The batch in parts of at most `max_rows` rows, in order."""
        if len(self.rows) <= max_rows:
            return [self]
        items = list(self.rows.items())
        parts = [dict(items[at : at + max_rows]) for at in range(0, len(items), max_rows)]
        return [Batch(self.ticket, part, self.attempts) for part in parts]
