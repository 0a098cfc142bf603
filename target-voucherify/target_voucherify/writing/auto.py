"""Single or bulk, by how much a run brings: decided once, so no key goes both ways in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_voucherify.writing.single import SingleWriter
from target_voucherify.writing.writer import Writer

if TYPE_CHECKING:
    from target_voucherify.context import RunContext
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.bulk import BulkWriter
    from target_voucherify.writing.concurrent_requests import Parallel

SINGLE_AT_MOST = 50
"""Customers that a run writes one by one: half a minute's calls of the smallest plan (reference
§2.1), while an earlier project could make only a handful of bulk calls in an hour."""


class AutoWriter(Writer):
    """Writes singly if the input ends before there is more than a few customers, else in bulk."""

    def __init__(self, bulk: BulkWriter, context: RunContext, parallel: Parallel) -> None:
        """Begin with nothing decided; batches fill up as for bulk writing."""
        self._bulk = bulk
        self._single = SingleWriter(context, parallel)
        self._writer: Writer | None = None
        self._is_last = False

    @property
    def most_rows(self) -> int:  # type: ignore[override]  # the bulk writer learns it
        """Customers in one batch at most."""
        return self._bulk.most_rows

    def end_input(self) -> None:
        """Take note that the next batch is the last."""
        self._is_last = True

    def write(self, batch: Batch) -> None:
        """Send a batch; the first one decides for all."""
        if self._writer is None:
            few = self._is_last and len(batch.rows) <= SINGLE_AT_MOST
            self._writer = self._single if few else self._bulk
        self._writer.write(batch)

    def in_flight(self, key: str) -> bool:
        """Whether a customer of this key is in a job that is not confirmed."""
        return self._bulk.in_flight(key)

    def settle(self) -> None:
        """Wait until no job is in flight."""
        self._bulk.settle()

    def poll(self) -> None:
        """Settle the oldest job if it is time to ask and it has ended; never wait."""
        self._bulk.poll()
