"""Single writing: one call each, which is what triggers `customer.updated` and order webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_voucherify.acknowledgement.refusal_reasons import api_reason
from target_voucherify.voucherify_client.errors import VoucherifyError
from target_voucherify.voucherify_client.responses import WRONG_API
from target_voucherify.writing.concurrent_requests import send_all
from target_voucherify.writing.writer import Writer

if TYPE_CHECKING:
    from target_voucherify.acknowledgement.outcomes import Row
    from target_voucherify.context import RunContext
    from target_voucherify.entities.entity import Entity
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.earlier_jobs import EarlierJobs

MAX_ROWS = 100
"""Customers between two states at most. A key appears once among them, so order does not matter."""


class SingleWriter(Writer):
    """Writes batches by a request for each row, several rows at once.

    Args:
        context: of the run.
        entity: that is written.
        earlier_jobs: to wait for before the first one.
    """

    max_rows = MAX_ROWS

    def __init__(self, context: RunContext, entity: Entity, earlier_jobs: EarlierJobs) -> None:
        self._context = context
        self._entity = entity
        self._earlier_jobs = earlier_jobs

    def write(self, batch: Batch) -> None:
        """Send every row of a batch and wait for all responses.

        Raises:
            VoucherifyError: not all could be sent; the ticket of the batch stays held.
        """
        context = self._context
        self._earlier_jobs.wait()
        context.ledger.forget(batch.rows)
        sent = send_all(batch.rows.items(), self._upsert, context.shutdown)
        context.outcomes.accept(dict(sent.done))
        for (key, row), refusal in sent.refused:
            reason = api_reason(refusal.error, row.number)
            context.outcomes.refuse(row.line, key, reason, batch.ticket, at=row.at)
        if sent.error is not None:
            raise sent.error
        context.outcomes.release(batch.ticket)

    def _upsert(self, item: tuple[str, Row]) -> None:
        """Send one; an upsert by `source_id` may be repeated.

        Raises:
            VoucherifyError: the response is no such object, so nothing is known.
        """
        path = self._entity.one
        response = self._context.client.request("POST", path, body=item[1].payload)
        if not response.text_field("id"):
            raise VoucherifyError(
                f"POST {path} answered {response.status} without {self._entity.with_article}: "
                f"{WRONG_API}."
            )
