"""Automatic choice of the write path: made once per run, so that no key takes both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from target_voucherify.writing.bulk import BulkWriter

if TYPE_CHECKING:
    from target_voucherify.context import RunContext
    from target_voucherify.entities.entity import Entity
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.single import SingleWriter

MAX_SINGLE = 50
"""Customers that a run writes one by one: half of the calls that the smallest plan has in a minute.
Bulk requests are rarer: some projects have 1 to 50 in an hour (Voucherify's documentation of
limits)."""


class AutoWriter(BulkWriter):
    """Writes one by one if the whole input is no more than a few customers, else in bulk."""

    def __init__(
        self,
        context: RunContext,
        entity: Entity,
        max_rows: int,
        timeout: float,
        single: SingleWriter,
    ) -> None:
        super().__init__(context, entity, max_rows, timeout)
        self._single = single
        self._is_single: bool | None = None
        self._is_last = False

    @override
    def end_input(self) -> None:
        self._is_last = True

    @override
    def write(self, batch: Batch) -> None:
        """Send a batch; the first one decides for all."""
        if self._is_single is None:
            self._is_single = self._is_last and len(batch.rows) <= MAX_SINGLE
        if self._is_single:
            self._single.write(batch)
        else:
            super().write(batch)
