"""A dry run: what would happen and what it would cost, by reading only."""

from __future__ import annotations

import logging
import math
import random
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from target_voucherify.voucherify_client.client import Client
from target_voucherify.voucherify_client.errors import NotFoundError, VoucherifyError
from target_voucherify.voucherify_client.export_job import EXPORTS
from target_voucherify.writing.deletions import is_safe_in_path
from target_voucherify.writing.writer import Writer

if TYPE_CHECKING:
    from target_voucherify.acknowledgement.ledger import Ledger, NoLedger
    from target_voucherify.acknowledgement.plan import Action
    from target_voucherify.comparison.project_copy import ProjectCopy
    from target_voucherify.context import RunContext
    from target_voucherify.entities.entity import Entity
    from target_voucherify.voucherify_client.responses import Response
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.deletions import Deletions

MOST_READS = 19
"""Calls of a dry run at most, so that it is no burden for a small plan, which has 100 an hour."""

POLLS_PER_JOB = 2

CALLS_OF_A_LOOK = 7
"""Earlier jobs, the number of orders, and an export: ordered, polled and downloaded."""


def sample_size(entities: int) -> int:
    """How many objects of each entity are looked up when there is no ledger; of more, a sample.

    Each entity besides asks for its metadata schema.
    """
    return MOST_READS // entities - 1


class ReadOnlyClient(Client):
    """The client of a dry run: it sends only GET, and orders exports and OAuth tokens."""

    @override
    def request(self, method: str, path: str, *arguments: Any, **options: Any) -> Response:
        if method != "GET" and path != EXPORTS:
            raise VoucherifyError(f"A dry run does not send {method} {path}.")
        return super().request(method, path, *arguments, **options)


class DryRunWriter(Writer):
    """A writer that only counts.

    Args:
        context: of the run.
        entity: that would be written.
        known: what tells new ones from known ones; asked where it is enabled.
        max_rows: in one batch.
        max_single: up to which number the run would write one by one.
        most_lookups: how many are looked up when there is no ledger.
    """

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        context: RunContext,
        entity: Entity,
        known: Ledger | NoLedger | ProjectCopy,
        max_rows: int,
        *,
        max_single: int,
        most_lookups: int,
    ) -> None:
        self._context = context
        self._entity = entity
        self._known = known
        self._max_single = max_single
        self._most_lookups = most_lookups
        self._batches = 0
        self._rows = 0
        self._updates = 0
        self._sample: list[str] = []
        self._log = logging.getLogger("target-voucherify")
        self.max_rows = max_rows

    def write(self, batch: Batch) -> None:
        """Count a batch instead of sending it."""
        self._batches += 1
        for key, row in batch.rows.items():
            self._rows += 1
            self._plan(key, row.payload)
        self._context.outcomes.release(batch.ticket)

    def _plan(self, key: str, payload: bytes) -> None:
        """Note what would happen to one."""
        action: Action = "write"
        if self._known.is_enabled:
            is_there = self._known.has(key)
            self._updates += is_there
            action = "update" if is_there else "create"
        else:
            self._add_to_sample(key)
        if (plan := self._context.outcomes.plan) is not None:
            fields = self._known.changed_fields(key)
            plan.would_write(self._entity.name, key, action, fields, payload)

    def finish(self, deletions: Deletions) -> None:
        """Log what would happen and add it to the summary; nothing is deleted."""
        deleted = self._plan_deletions(deletions)
        updates = self._updates if self._known.is_enabled else self._estimated_updates()
        calls = self._calls(deleted, updates)
        limit = self._context.summary.usage.quota_limit
        extra = self._context.summary.extra
        extra["dry_run"] = True
        found = {
            "would_create": self._rows - updates,
            "would_update": updates,
            "looked_up": len(self._sample),
            "would_delete": deleted,
            "would_call": calls,
        }
        for name, count in found.items():
            extra[name] = extra.get(name, 0) + count
        calls_in_all = extra["would_call"]
        extra["minutes_at_limit"] = math.ceil(calls_in_all / limit) if limit else None
        self._log.info(
            "Dry run: %d %s would be created, %d updated (as %d tell), %d deleted, with "
            "about %d calls",
            self._rows - updates,
            self._entity.name,
            updates,
            len(self._sample) or self._rows,
            deleted,
            calls,
        )

    def _plan_deletions(self, deletions: Deletions) -> int:
        """Note which customers would be deleted; how many they are."""
        try:
            due = deletions.due()
        except VoucherifyError as error:
            self._log.warning("Dry run: a run would fail. %s", error)
            self._context.summary.extra["would_fail"] = str(error)
            return 0
        if (plan := self._context.outcomes.plan) is not None:
            plan.would_delete(self._entity.name, due.keys)
            for key, reason in due.refused:
                plan.add(self._entity.name, (key,), "refused", reason=reason)
        return len(due.keys)

    def _calls(self, deleted: int, updates: int) -> int:
        """Calls for the metadata schema, the writes, and earlier jobs before single ones.

        Before an import it is looked up what is there, which then takes a call each.
        """
        is_single = 0 < self._rows <= self._max_single
        writes = self._rows if is_single else self._batches * (1 + POLLS_PER_JOB)
        if self._rows and not is_single and not self._entity.is_upserted:
            writes += CALLS_OF_A_LOOK + updates
        return bool(self._rows) + writes + deleted + (is_single or deleted > 0)

    def _add_to_sample(self, key: str) -> None:
        """Reservoir sampling: each key is kept with the same probability."""
        if len(self._sample) < self._most_lookups:
            self._sample.append(key)
        elif (place := random.randrange(self._rows)) < self._most_lookups:  # noqa: S311 - a sample, no secret
            self._sample[place] = key

    def _estimated_updates(self) -> int:
        """Those that already exist: exact up to the sample's size, estimated beyond."""
        keys = [key for key in self._sample if is_safe_in_path(key)]
        client, path = self._context.client, f"{self._entity.one}/{{id}}"
        found = sum(_exists(client, path, key) for key in keys)
        return round(self._rows * found / len(keys)) if keys else 0


def _exists(client: Client, path: str, key: str) -> bool:
    try:
        return bool(client.request("GET", path, {"id": key}).text_field("id"))
    except NotFoundError:
        return False
