"""Automatic choice of the writer: decided once per run, so that no key takes both paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_voucherify.writing.single import SingleWriter
from target_voucherify.writing.writer import Writer

if TYPE_CHECKING:
    from target_voucherify.context import RunContext
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.bulk import BulkWriter

MAX_SINGLE = 50
"""Customers that a run writes one by one: half a minute's calls of the smallest plan, while an
earlier project could make only a handful of bulk calls in an hour (Voucherify's documentation of
limits)."""


class AutoWriter(Writer):
    """Writes one by one if the whole input is no more than a few customers, else in bulk."""

    def __init__(self, bulk: BulkWriter, context: RunContext) -> None:
        self._bulk = bulk
        self._single = SingleWriter(context)
        self._chosen: Writer | None = None
        self._is_last = False

    @property
    def max_rows(self) -> int:  # type: ignore[override]  # the bulk writer may lower it
        """Customers in one batch at most."""
        return self._bulk.max_rows

    def end_input(self) -> None:
        """Note that the next batch is the last."""
        self._is_last = True

    def write(self, batch: Batch) -> None:
        """Send a batch; the first one decides for all."""
        if self._chosen is None:
            is_small = self._is_last and len(batch.rows) <= MAX_SINGLE
            self._chosen = self._single if is_small else self._bulk
        self._chosen.write(batch)

    def in_flight(self, key: str) -> bool:
        """Whether a customer of this key is in a job that is not confirmed."""
        return self._bulk.in_flight(key)

    def settle(self) -> None:
        """Wait until no job is in flight."""
        self._bulk.settle()

    def poll(self) -> None:
        """Settle the oldest job if a poll is due and it has ended; never wait."""
        self._bulk.poll()
