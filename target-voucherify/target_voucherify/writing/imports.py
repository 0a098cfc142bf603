"""Imports: bulk requests of which nobody knows whether one more changes a row or doubles it.

So nothing is imported that Voucherify may have. What is there is read by an export before the
first import, and again wherever a job or a response does not say what became of its rows: those
that are there now were imported, and the others are sent again. What was there before is changed by
a request of its own, which is an upsert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from target_voucherify.voucherify_client.errors import (
    LostResponseError,
    RefusedRequestError,
    VoucherifyError,
)
from target_voucherify.writing.bulk import ATTEMPTS, LAG, BulkWriter
from target_voucherify.writing.known_keys import KnownKeys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_voucherify.context import RunContext
    from target_voucherify.entities.entity import Entity
    from target_voucherify.voucherify_client.responses import Response
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.earlier_jobs import EarlierJobs
    from target_voucherify.writing.job_result import JobResult
    from target_voucherify.writing.single import SingleWriter


class ImportWriter(BulkWriter):
    """Imports what Voucherify does not have, and changes the rest one by one.

    Args:
        context: of the run.
        entity: that is written.
        max_rows: in one request.
        timeout: seconds that a job may take.
        single: writes what is there already.
        earlier_jobs: to wait for before looking what is there.
    """

    max_jobs = 1  # a project runs one import at a time; a second one may be refused

    def __init__(  # noqa: PLR0913, PLR0917 - made in one place
        self,
        context: RunContext,
        entity: Entity,
        max_rows: int,
        timeout: float,
        single: SingleWriter,
        earlier_jobs: EarlierJobs,
    ) -> None:
        super().__init__(context, entity, max_rows, timeout)
        self._single = single
        self._earlier_jobs = earlier_jobs
        self._known = KnownKeys(context.client, entity)

    @override
    def write(self, batch: Batch) -> None:
        while self._unsent or not self._is_free(batch):
            self._advance()
        if not self._known.is_read:
            self._look()
        fresh = batch.without([key for key in batch.rows if key in self._known])
        known = batch.without(fresh.rows)
        if known.rows and fresh.rows:
            self._context.fence.retain(batch.ticket)
        if known.rows:
            self._log.info(
                "%d %s are in Voucherify and are changed one by one",
                len(known.rows),
                self._entity.name,
            )
            self._single.write(known)
        if fresh.rows:
            self._known.add(fresh.rows)
            self._send(fresh)

    @override
    def close(self) -> None:
        self._known.close()

    @override
    def _advance(self) -> None:
        """Find out what became of rows, once nothing is in flight that could change it."""
        if self._jobs:
            self._settle_oldest()
        else:
            self._sort_out(self._unsent.popleft())

    def _sort_out(self, batch: Batch) -> None:
        """Accept the rows that are there by now, and send the others again."""
        self._context.shutdown.wait(LAG)
        self._look()
        missing = batch.without([key for key in batch.rows if key in self._known])
        self._context.outcomes.accept(batch.without(missing.rows).rows)
        if not missing.rows:
            self._context.outcomes.release(batch.ticket)
            return
        self._known.add(missing.rows)
        self._send(missing)

    def _look(self) -> None:
        self._earlier_jobs.wait_anew()
        self._known.read()

    @override
    def _post(self, batch: Batch) -> bool:
        try:
            return super()._post(batch)
        except LostResponseError as lost:
            self._look_later(batch, str(lost))
            return False

    @override
    def _request(self, body: bytes) -> Response:
        """Send an import; where it is refused while another one runs, wait for that one."""
        for _ in range(ATTEMPTS):
            try:
                return super()._request(body)
            except RefusedRequestError:
                if not self._earlier_jobs.wait_anew():
                    raise
        return super()._request(body)

    @override
    def _reconcile(self, action: Mapping[str, Any]) -> None:
        if not action:
            raise VoucherifyError(
                f"Voucherify no longer knows job {self._jobs[0].id}, which may still import its "
                f"{self._entity.name}: run again, which looks which of them are there."
            )
        super()._reconcile(action)

    @override
    def _find_unnamed(self, batch: Batch, job: str, result: JobResult) -> None:
        self._send_again(batch, job, result.description)

    @override
    def _send_again(self, batch: Batch, job: str, result: str) -> None:
        self._look_later(batch, f"Job {job}: {result}")

    def _look_later(self, batch: Batch, what: str) -> None:
        """Note that nothing says what became of these rows."""
        batch.attempts += 1
        if batch.attempts >= ATTEMPTS:
            raise VoucherifyError(
                f"Voucherify does not say what became of {self._entity.name} after {ATTEMPTS} "
                f"imports ({what.removesuffix('.')}); run again later, which looks which of them "
                "are there."
            )
        self._log.warning(
            "%s. Looking which of %d %s are there before any is sent again",
            what.removesuffix("."),
            len(batch.rows),
            self._entity.name,
        )
        self._unsent.append(batch)
