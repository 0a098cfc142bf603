"""Batches of customers: what fits into one, when it is sent, and whose record of a key wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_voucherify.entities.encoding import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
            self.held_bytes + row.held_bytes <= MAX_HELD_BYTES
            and self.size + len(row.payload) + 1 < MAX_BODY_BYTES
        )
        return has_room and (len(self.rows) < max_rows or key in self.rows)

    def add(self, key: str, row: Row) -> bool:
        """Add a customer; returns whether it replaced an earlier record of the same key."""
        rows = self.rows
        earlier = rows.pop(key, None)
        rows[key] = row
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
        """The same batch without some of its rows; itself where it has none of them."""
        removed = set(keys)
        if self.rows.keys().isdisjoint(removed):
            return self
        rows = {key: row for key, row in self.rows.items() if key not in removed}
        return Batch(self.ticket, rows, self.attempts)

    def split(self, max_rows: int) -> list[Batch]:
        """The batch in parts of at most `max_rows` rows, in order."""
        if len(self.rows) <= max_rows:
            return [self]
        items = list(self.rows.items())
        parts = [dict(items[at : at + max_rows]) for at in range(0, len(items), max_rows)]
        return [Batch(self.ticket, part, self.attempts) for part in parts]


class OpenBatch:
    """The batch that customers are added to; sent when it is full, or when its first one is old.

    Args:
        hold: returns a new ticket of the fence.
        send: sends a batch.
        clock: seconds that only move forward.
        max_age: seconds after its first customer at which it is sent.
    """

    def __init__(
        self,
        hold: Callable[[], int],
        send: Callable[[Batch], None],
        clock: Callable[[], float],
        max_age: float,
    ) -> None:
        self._hold, self._send, self._clock = hold, send, clock
        self._max_age = max_age
        self._batch: Batch | None = None
        self._due = 0.0

    def __contains__(self, key: str) -> bool:
        return self._batch is not None and key in self._batch.rows

    def add(self, key: str, row: Row, max_rows: int) -> bool:
        """Add a customer; returns whether it replaced an earlier record of the same key."""
        if self._batch is None or not self._batch.fits(key, row, max_rows):
            self.send()
            self._batch, self._due = Batch(self._hold()), self._clock() + self._max_age
        is_again = self._batch.add(key, row)
        if len(self._batch.rows) >= max_rows:
            self.send()
        return is_again

    def send(self) -> None:
        """Send what was added."""
        batch, self._batch = self._batch, None
        if batch is not None:
            self._send(batch)

    def send_if_due(self) -> None:
        """Send what was added if the first of it is old."""
        if self.seconds_to_due == 0:
            self.send()

    @property
    def seconds_to_due(self) -> float | None:
        """Seconds until it has to be sent; `None` while it is empty."""
        return None if self._batch is None else max(0.0, self._due - self._clock())
