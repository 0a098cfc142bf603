"""The records of one entity in a run: customers and deletions go in, requests come out."""

from __future__ import annotations

import logging
import sys
from functools import cached_property
from typing import TYPE_CHECKING

from target_voucherify.acknowledgement.outcomes import Row
from target_voucherify.acknowledgement.refusal_reasons import Reason, local_reason
from target_voucherify.acknowledgement.refused_line import refused_at
from target_voucherify.comparison.project_copy import ProjectCopy
from target_voucherify.entities.entity import CUSTOMERS, entity_settings
from target_voucherify.entities.metadata_schema import read_schema
from target_voucherify.entities.source_id import folded
from target_voucherify.voucherify_client.log_names import column_name
from target_voucherify.writing.auto import MAX_SINGLE, AutoWriter
from target_voucherify.writing.batch import OpenBatch
from target_voucherify.writing.bulk import BulkWriter
from target_voucherify.writing.deletions import Deletions, NoDeletions
from target_voucherify.writing.dry_run import DryRunWriter, sample_size
from target_voucherify.writing.earlier_jobs import EarlierJobs
from target_voucherify.writing.imports import ImportWriter
from target_voucherify.writing.single import SingleWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from target_voucherify.acknowledgement.ledger import Ledger, NoLedger
    from target_voucherify.acknowledgement.summary import Records
    from target_voucherify.context import RunContext
    from target_voucherify.entities.entity import EntitySettings
    from target_voucherify.entities.metadata_schema import MetadataSchema
    from target_voucherify.errors import NotACustomerError
    from target_voucherify.settings import Settings
    from target_voucherify.voucherify_client.sent_form import Fields
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.writer import Writer

MAX_ONCE_TOPICS = 200
"""Topics of `log_once`; further ones are not logged, so that memory stays flat."""

MAX_NAMED = 10
"""Names of fields in a log line at most."""

MAX_SINGLE_BY_PATH = {"bulk": 0, "single": sys.maxsize, "auto": MAX_SINGLE}
"""Customers in a run that are written one by one, by `write_path`."""

LOOKUP_BYTES = 2 * 1024 * 1024
LOOKUP_SIZE = 500
"""Customers looked up in the ledger in one transaction; only time and memory depend on it."""

OLDER_THAN_LEDGER = Reason(
    "older_than_ledger",
    "it was refused before the ledger began, so a newer record of this customer may have been "
    "accepted meanwhile: let the tap send the customer again",
    "refused before the ledger began, so a newer record may have been accepted: let the tap send "
    "the customer again",
)

REPLAYED_DELETION = Reason(
    "replayed_deletion",
    "without ledger_path nothing says whether this customer came back since the deletion was "
    "refused: delete it in the dashboard if the CRM still lacks it",
    "not deleted: without ledger_path nothing says whether this customer came back; delete it in "
    "the dashboard",
)


class EntityRun:
    """Everything between the records of one entity and the API; nothing is sent before `add`.

    Args:
        settings: of the run.
        own: of the entity.
        context: what it shares with the run, and its own ledger and outcomes.
        counts: of the entity.
        before_write: called before a batch is written.
        clock: seconds that only move forward.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - made in one place
        self,
        settings: Settings,
        own: EntitySettings,
        context: RunContext,
        counts: Records,
        before_write: Callable[[EntityRun], None],
        clock: Callable[[], float],
    ) -> None:
        self.settings = own
        self.counts = counts
        self._before_write = before_write
        self._context = context
        self._is_dry_run = settings.dry_run
        self._log = logging.getLogger("target-voucherify")
        self._ledger, self._outcomes = context.ledger, context.outcomes
        self._records = context.summary.records
        earlier_jobs = EarlierJobs(context.client, own.entity, settings.async_timeout)
        self.copy = self._project_copy(settings, earlier_jobs)
        self.writer = _writer(settings, own, context, earlier_jobs, self.copy or self._ledger)
        self._on_delete = settings.on_delete if own.entity is CUSTOMERS else "ignore"
        self.deletions = (
            NoDeletions(context)
            if self._on_delete == "ignore"
            else Deletions(settings, context, earlier_jobs)
        )
        self._awaiting_lookup: list[tuple[str, Row]] = []
        self._awaiting_bytes = 0
        self._drifted = 0
        """Customers that the CRM did not change, and that the project held otherwise."""
        self.has_stream = False
        self._replayed: dict[str, float] = {}
        """When the newest replayed record of a key was read first."""
        self.batch = OpenBatch(context.fence.hold, self._write_batch, clock, settings.max_batch_age)
        self._logged_topics: set[str] = set()

    @property
    def has_ledger(self) -> bool:
        """Whether a ledger knows what this run has accepted."""
        return self._ledger.is_enabled

    def close(self) -> None:
        """Close the ledger and the writer, and delete the copy of the project."""
        self.writer.close()
        self._ledger.close()
        if self.copy is not None:
            self.copy.close()

    def finish(self) -> None:
        """Carry out the deletions, and sum up what a comparison has shown."""
        self.writer.finish(self.deletions)
        if self.copy is not None and self.has_stream:
            counted = self.copy.changes.most_common(MAX_NAMED)
            self._context.summary.extra |= {
                "compared": self.copy.found,
                "changed_fields": {column_name(field): count for field, count in counted},
                **({"drifted": self._drifted} if self._ledger.is_enabled else {}),
            }

    def verify(self) -> None:
        """Read back whether what was accepted is there.

        Raises:
            VoucherifyError: it is not; the ledger has forgotten these customers.
        """
        if self.copy is None:
            return
        missing = self.copy.missing()
        extra = self._context.summary.extra
        extra["verified"] = self.counts.accepted - len(missing)
        if self.copy.printed_otherwise:
            extra["printed_otherwise"] = self.copy.printed_otherwise.total()
            self._log.warning(
                "Voucherify prints some values otherwise than they were sent: %s",
                ", ".join(map(column_name, sorted(self.copy.printed_otherwise)[:MAX_NAMED])),
            )
        if missing:
            self._ledger.forget(missing)
            self._outcomes.note(missing, "not_there")
            raise self._outcomes.not_there(missing)

    def _project_copy(self, settings: Settings, earlier_jobs: EarlierJobs) -> ProjectCopy | None:
        if settings.compare != "export" or self.settings.entity is not CUSTOMERS:
            return None
        context = self._context
        copy = ProjectCopy(
            context.client,
            self._ledger,
            lambda: self.metadata_schema.definitions,
            earlier_jobs.wait,
            keeps_fields=settings.dry_run,
        )
        if settings.verify:
            self._outcomes.on_accept = copy.note_accepted
        return copy

    def begin_stream(self, stream: str, keys: list[str]) -> None:
        """Begin a stream of its records, given the properties that hold their keys.

        Raises:
            SettingsError: the ledger belongs to another pipeline.
        """
        self.has_stream = True
        self._ledger.bind_stream(stream, ", ".join(keys))

    def note_written(self, stream: str, fields: Fields) -> None:
        """Note which fields the records of a stream set."""
        with_nulls = self.settings.nulls == "send"
        self._ledger.note_written(stream, fields, with_nulls=with_nulls)

    def add(self, key: str, payload: bytes, line: bytes) -> None:
        """Add a customer to be sent, unless the ledger knows it unchanged."""
        at = refused_at(line)
        if at is not None and self._is_settled(key, line, at):
            return
        self.deletions.mark_seen(key)
        at = self._ledger.now() if at is None else at
        row = Row(payload, line if self._outcomes.has_file else b"", self._records.received, at)
        if not self._ledger.is_enabled and self.copy is None:
            self._collect(key, row)
            return
        self._awaiting_lookup.append((key, row))
        self._awaiting_bytes += row.held_bytes
        if len(self._awaiting_lookup) >= LOOKUP_SIZE or self._awaiting_bytes >= LOOKUP_BYTES:
            self.skip_unchanged()

    def refuse(self, key: str, line: bytes, error: NotACustomerError, *, has_key: bool) -> None:
        """Refuse a record that cannot become a customer; the CRM still has it.

        Args:
            key: its `source_id`, as far as it can be read.
            line: the message it came in.
            error: why.
            has_key: whether the key is readable; without one the record may be about any customer.
        """
        if has_key:
            at = refused_at(line)
            if at is not None and self._is_settled(key, line, at):
                return
            self.deletions.mark_seen(key)
        else:
            self.deletions.versions.mark_unreadable_key()
        self._outcomes.refuse(line, key or None, local_reason(error, self._records.received))

    def delete(self, key: str, line: bytes) -> None:
        """Add a customer to be deleted at the end of the run."""
        at = refused_at(line)
        if at is not None and self._on_delete != "ignore":
            if self._is_settled(key, line, at):
                return
            if not self._ledger.is_enabled:
                self._outcomes.refuse(line, key, REPLAYED_DELETION)
                return
        self.deletions.add(key, line, is_replayed=at is not None)

    def flush(self) -> None:
        """Send what is collected, even if the batch is not full."""
        self.skip_unchanged()
        self.batch.send()

    @cached_property
    def metadata_schema(self) -> MetadataSchema:
        """The project's metadata schema, requested at its first use."""
        return read_schema(self._context.client, self.settings.entity.metadata)

    def log_once(self, topic: str, message: str) -> None:
        """Log the first message of a topic."""
        if topic not in self._logged_topics and len(self._logged_topics) < MAX_ONCE_TOPICS:
            self._logged_topics.add(topic)
            self._log.info("%s", message)

    def skip_unchanged(self) -> None:
        """Look customers up in the ledger, and collect those that it does not know unchanged.

        All are looked up before the first is collected: collecting may send, and sending changes
        the ledger.
        """
        waiting, self._awaiting_lookup, self._awaiting_bytes = self._awaiting_lookup, [], 0
        if not waiting:
            return
        changed: list[tuple[str, Row]] = []
        same: list[tuple[str, Row]] = []
        keys: set[str] = set()
        known = (self.copy or self._ledger).unchanged((key, row.payload) for key, row in waiting)
        for (key, row), is_same in zip(waiting, known, strict=True):
            if is_same and key not in keys and not self._pending(key):
                self._records.unchanged += 1
                self.counts.unchanged += 1
                same.append((key, row))
            else:
                changed.append((key, row))
                keys.add(key)
        self._outcomes.note([key for key, _ in same], "unchanged")
        self._ledger.confirm((key, row.at) for key, row in same)
        if self.copy is not None and not self._is_dry_run:
            self._ledger.remember((key, row.payload) for key, row in same)
        for key, row in self._with_drift(changed):
            self._collect(key, row)

    def _with_drift(self, changed: list[tuple[str, Row]]) -> list[tuple[str, Row]]:
        """Changed customers; those are marked that only the project holds otherwise."""
        if self.copy is None or not self._ledger.is_enabled:
            return changed
        same = self._ledger.unchanged((key, row.payload) for key, row in changed)
        self._drifted += sum(same)
        return [
            (key, row._replace(has_drifted=is_same))
            for (key, row), is_same in zip(changed, same, strict=True)
        ]

    def _collect(self, key: str, row: Row) -> None:
        is_again = self.batch.add(key, row, self.writer.max_rows)
        # Not in one statement: adding may send, and that counts duplicates of other entities.
        self._records.duplicates += is_again
        if is_again:
            self._outcomes.note((key,), "duplicate")

    def _write_batch(self, batch: Batch) -> None:
        self._warn_of_case(batch)
        self._before_write(self)
        if self.copy is not None:
            self.copy.note_sent(batch.rows)
        self.writer.write(batch)
        self._context.summary.log_progress()

    def _is_settled(self, key: str, line: bytes, at: float) -> bool:
        """Whether a record that was refused before must not be sent: a newer one of its key is.

        Args:
            key: its `source_id`.
            line: the message it came in.
            at: when it was read first.
        """
        newest = self._replayed.get(key, at)
        if newest > at or self._ledger.has_newer(key, at):
            self.log_once("superseded", "Not sending refused records that newer ones have replaced")
            self._records.superseded += 1
            self._outcomes.note((key,), "superseded")
            self.deletions.mark_superseded(key)
            return True
        if at < self._ledger.begun:
            self.deletions.mark_seen(key)
            self._outcomes.refuse(line, key, OLDER_THAN_LEDGER)
            return True
        if not self._ledger.is_enabled and "replay" not in self._logged_topics:
            self._logged_topics.add("replay")
            self._log.warning(
                "Without ledger_path a replayed record may replace a newer one: replay before the "
                "next run, or set ledger_path"
            )
        self._replayed[key] = at
        return False

    def _pending(self, key: str) -> bool:
        """Whether another record of this customer is collected or in flight."""
        return key in self.batch or self.writer.in_flight(key)

    def _warn_of_case(self, batch: Batch) -> None:
        if len({folded(key) for key in batch.rows}) < len(batch.rows):
            self.log_once(
                "case",
                "Some keys differ only in case, spaces or the form of letters; they are sent as "
                f"different {self.settings.entity.name}",
            )


def _writer(
    settings: Settings,
    own: EntitySettings,
    context: RunContext,
    earlier_jobs: EarlierJobs,
    known: Ledger | NoLedger | ProjectCopy,
) -> Writer:
    path, entity = own.write_path, own.entity
    rows = min(settings.batch_size_rows, entity.most_rows)
    if settings.dry_run:
        return DryRunWriter(
            context,
            entity,
            known,
            rows,
            max_single=MAX_SINGLE_BY_PATH[path],
            most_lookups=sample_size(len(entity_settings(settings))),
        )
    single = SingleWriter(context, entity, earlier_jobs)
    if path == "single":
        return single
    if own.is_imported:
        return ImportWriter(context, entity, rows, settings.async_timeout, single, earlier_jobs)
    if path == "bulk":
        return BulkWriter(context, entity, rows, settings.async_timeout)
    return AutoWriter(context, entity, rows, settings.async_timeout, single)
