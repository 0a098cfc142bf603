"""A dry run: what would happen and what it would cost, found out by reading only."""

from __future__ import annotations

import logging
import math
import random
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from target_voucherify.voucherify_client.client import Client
from target_voucherify.voucherify_client.errors import NotFoundError, VoucherifyError
from target_voucherify.writing.deletions import is_safe
from target_voucherify.writing.writer import Writer

if TYPE_CHECKING:
    from target_voucherify.context import RunContext
    from target_voucherify.voucherify_client.responses import Response
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.deletions import Deletions

CUSTOMER = "/v1/customers/{id}"

SAMPLE = 100
"""Customers that are looked up when there is no ledger; of more, a random sample of as many."""

LOOKS_PER_JOB = 2


class ReadOnlyClient(Client):
    """The client of a dry run: it cannot send anything but GET, and what makes a token."""

    @override
    def request(self, method: str, path: str, *arguments: Any, **options: Any) -> Response:
        if method != "GET":
            raise VoucherifyError(f"A dry run does not send {method} {path}.")
        return super().request(method, path, *arguments, **options)


class DryRunWriter(Writer):
    """A writer that only counts."""

    def __init__(self, context: RunContext, most_rows: int, *, single_at_most: int) -> None:
        """Count for single writing up to so many customers, beyond it for bulk writing."""
        self._context = context
        self._single_at_most = single_at_most
        self._batches = 0
        self._rows = 0
        self._known = 0
        self._sample: list[str] = []
        self._log = logging.getLogger("target-voucherify")
        self.most_rows = most_rows

    def write(self, batch: Batch) -> None:
        """Count a batch instead of sending it."""
        self._batches += 1
        for key in batch.rows:
            self._rows += 1
            if self._context.ledger.is_kept:
                self._known += self._context.ledger.has(key)
            else:
                self._sample_one(key)
        self._context.outcomes.settled(batch.ticket)

    def finish(self, deletions: Deletions) -> None:
        """Add to the summary what would happen, and say it; nobody is deleted."""
        deleted = deletions.would_delete()
        updates = self._known if self._context.ledger.is_kept else self._estimated_updates()
        calls = self._calls() + deleted
        limit = self._context.summary.usage.quota_limit
        self._context.summary.extra.update(
            dry_run=True,
            would_create=self._rows - updates,
            would_update=updates,
            looked_up=len(self._sample),
            would_delete=deleted,
            would_call=calls,
            minutes_at_limit=math.ceil(calls / limit) if limit else None,
        )
        self._log.info(
            "Dry run: %d customers would be created, %d updated, %d deleted, with about %d calls",
            self._rows - updates,
            updates,
            deleted,
            calls,
        )

    def _calls(self) -> int:
        if not self._rows:
            return 0
        if self._rows <= self._single_at_most:
            return 1 + self._rows
        return 1 + self._batches * (1 + LOOKS_PER_JOB)

    def _sample_one(self, key: str) -> None:
        """Keep each key with the same probability, without knowing how many there will be."""
        if len(self._sample) < SAMPLE:
            self._sample.append(key)
        elif (place := random.randrange(self._rows)) < SAMPLE:  # noqa: S311 - a sample, no secret
            self._sample[place] = key

    def _estimated_updates(self) -> int:
        """Customers that are there already: exact up to a hundred, from the sample beyond."""
        keys = [key for key in self._sample if is_safe(key)]
        client = self._context.client
        found = sum(_is_there(client, key) for key in keys)
        return round(self._rows * found / len(keys)) if keys else 0


def _is_there(client: Client, key: str) -> bool:
    try:
        return bool(client.request("GET", CUSTOMER, {"id": key}).text_field("id"))
    except NotFoundError:
        return False
