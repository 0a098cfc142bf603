"""Single writing: one call per customer, which is what fires `customer.updated` webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from target_voucherify.acknowledgement.refusal_reasons import voucherifys
from target_voucherify.voucherify_client.errors import VoucherifyError
from target_voucherify.voucherify_client.responses import WRONG_API
from target_voucherify.writing.writer import Writer

if TYPE_CHECKING:
    from target_voucherify.acknowledgement.outcomes import Row
    from target_voucherify.context import RunContext
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.concurrent_requests import Parallel

CUSTOMERS = "/v1/customers"

MOST_ROWS = 100
"""Customers between two states at most. A key appears once among them, so order does not matter."""


class SingleWriter(Writer):
    """Writes batches through `POST /v1/customers`, several customers at once."""

    most_rows = MOST_ROWS

    def __init__(self, context: RunContext, parallel: Parallel) -> None:
        """Take what sends and what is told the outcome."""
        self._context = context
        self._parallel = parallel

    def write(self, batch: Batch) -> None:
        """Send every customer of a batch and wait for all answers.

        Raises:
            VoucherifyError: not all could be sent; the ticket of the batch stays held.
        """
        context = self._context
        context.ledger.forget(batch.rows)
        sent = self._parallel.each(batch.rows.items(), self._upsert)
        context.outcomes.written(dict(sent.done))
        for (key, row), refusal in sent.refused:
            reason = voucherifys(refusal.error, row.payload)
            context.outcomes.refused(row.line, key, reason, batch.ticket)
        if sent.error is not None:
            raise sent.error
        context.outcomes.settled(batch.ticket)

    def _upsert(self, item: tuple[str, Row]) -> None:
        """Send one customer. Repeating it is right: an upsert by `source_id` changes nothing more.

        Raises:
            VoucherifyError: the answer is not a customer, so nothing is known.
        """
        response = self._context.client.request("POST", CUSTOMERS, body=item[1].payload)
        if not response.text_field("id"):
            raise VoucherifyError(
                f"POST {CUSTOMERS} answered {response.status} without a customer: {WRONG_API}."
            )
