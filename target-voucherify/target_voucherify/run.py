"""One run: customers, deletions and states go in, requests and ready states come out."""

from __future__ import annotations

import logging
import sys
import time
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from target_voucherify.acknowledgement.ledger import open_ledger
from target_voucherify.acknowledgement.outcomes import Outcomes, Row
from target_voucherify.acknowledgement.private_files import lock_files
from target_voucherify.acknowledgement.refusal_reasons import Reason, local_reason
from target_voucherify.acknowledgement.refused_line import refused_at
from target_voucherify.acknowledgement.state_fence import StateFence
from target_voucherify.acknowledgement.summary import Summary
from target_voucherify.context import RunContext
from target_voucherify.entities.metadata_schema import read_schema
from target_voucherify.entities.source_id import folded
from target_voucherify.errors import InputError, NotACustomerError
from target_voucherify.voucherify_client.client import Client, Connection
from target_voucherify.voucherify_client.errors import (
    AccessError,
    CycleUsedUpError,
    MaxCallsError,
    StopSignalError,
    VoucherifyError,
)
from target_voucherify.voucherify_client.shutdown import Shutdown
from target_voucherify.writing.auto import MAX_SINGLE, AutoWriter
from target_voucherify.writing.batch import OpenBatch
from target_voucherify.writing.bulk import BulkWriter
from target_voucherify.writing.concurrent_requests import REQUESTS_IN_FLIGHT
from target_voucherify.writing.deletions import Deletions, NoDeletions
from target_voucherify.writing.dry_run import DryRunWriter, ReadOnlyClient
from target_voucherify.writing.earlier_jobs import EarlierJobs
from target_voucherify.writing.single import SingleWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from target_voucherify.entities.metadata_schema import MetadataSchema
    from target_voucherify.settings import Settings
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.writer import Writer

SCOPE = "customers async-actions metadata-schemas"
"""What an OAuth token may do: as little as writing customers and reading jobs needs."""

GRACE = 30.0
"""Seconds after a signal in which jobs in flight are confirmed."""

MAX_ONCE_TOPICS = 200
"""Topics of `log_once`; further ones are not logged, so that memory stays flat."""

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

PROGRESS_MASK = 0x3FF
"""The clock is read every 1,024 records."""


class Run:
    """Everything between Singer messages and the API, for one run; nothing is sent before `add`."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._log = logging.getLogger("target-voucherify")
        self.shutdown = Shutdown(GRACE)
        self.client = _client(settings, self.shutdown, self._log)
        metrics_path = None if settings.dry_run else settings.metrics_path
        self.summary = Summary(self._log, self.client.usage, metrics_path=metrics_path)
        self.records = self.summary.records
        self.fence = StateFence()
        with lock_files(settings) as locks:
            self._ledger = open_ledger(settings)
            self.outcomes = Outcomes(settings, self.fence, self.summary, self._ledger)
            self._locks = locks.pop_all()
        context = RunContext(
            self.client, self.fence, self.outcomes, self.summary, self.shutdown, self._ledger
        )
        earlier_jobs = EarlierJobs(self.client, settings.async_timeout)
        self._writer = _writer(settings, context, earlier_jobs)
        self.deletions = (
            NoDeletions(self.summary, self._ledger)
            if settings.on_delete == "ignore"
            else Deletions(settings, context, earlier_jobs)
        )
        self._awaiting_lookup: list[tuple[str, Row]] = []
        self._awaiting_bytes = 0
        self._keeps_lines = self.outcomes.file is not None
        self._has_stream = False
        self._replayed: dict[str, float] = {}
        """When the newest replayed record of a key was read first."""
        self._batch = OpenBatch(self.fence.hold, self._write_batch, clock)
        self._logged_topics: set[str] = set()

    def add(self, key: str, payload: bytes, line: bytes) -> None:
        """Add a customer to be sent, unless the ledger knows it unchanged."""
        at = refused_at(line)
        if at is not None and self._is_settled(key, line, at):
            return
        self.deletions.mark_seen(key)
        at = self._ledger.now() if at is None else at
        row = Row(payload, line if self._keeps_lines else b"", self.records.received, at)
        if not self._ledger.is_enabled:
            self._collect(key, row)
            return
        self._awaiting_lookup.append((key, row))
        self._awaiting_bytes += row.held_bytes
        if len(self._awaiting_lookup) >= LOOKUP_SIZE or self._awaiting_bytes >= LOOKUP_BYTES:
            self._skip_unchanged()

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
        self.outcomes.refuse(line, key or None, local_reason(error, self.records.received))

    def delete(self, key: str, line: bytes) -> None:
        """Add a customer to be deleted at the end of the run."""
        at = refused_at(line)
        if at is not None and self.settings.on_delete != "ignore":
            if self._is_settled(key, line, at):
                return
            if not self._ledger.is_enabled:
                self.outcomes.refuse(line, key, REPLAYED_DELETION)
                return
        self.deletions.add(key, line, is_replayed=at is not None)

    def begin_stream(self, stream: str, keys: list[str]) -> None:
        """Begin a stream of customers, given the properties that hold their keys.

        Raises:
            SettingsError: the ledger belongs to another pipeline.
        """
        self._has_stream = True
        self._ledger.bind_stream(stream, ", ".join(keys))

    def count(self) -> None:
        """Count one record received, and log progress from time to time."""
        self.records.received += 1
        if not self.records.received & PROGRESS_MASK:
            self.summary.log_progress()

    def flush(self) -> None:
        """Send what is collected, even if the batch is not full."""
        self._skip_unchanged()
        self._batch.send()

    def add_state(self, text: str | None) -> None:
        """Add a STATE; it is emitted at once if everything before it is settled."""
        self._skip_unchanged()
        if text is not None:
            self.fence.add_state(text)
        self._writer.poll()
        self.outcomes.emit_state()

    def work_while_waiting(self) -> float | None:
        """Do what is due although no message comes: send an old batch, emit confirmed states.

        Returns:
            Seconds until something is due again; `None` if nothing will be.
        """
        self._skip_unchanged()
        self._batch.send_if_due()
        if self.fence.has_waiting:
            self._writer.poll()
            self.outcomes.emit_state()
        waits = [self._batch.seconds_to_due]
        if self.fence.has_waiting:
            waits.append(self._writer.seconds_to_poll)
        return min((seconds for seconds in waits if seconds is not None), default=None)

    @cached_property
    def metadata_schema(self) -> MetadataSchema:
        """The project's metadata schema, requested at its first use."""
        return read_schema(self.client)

    def log_once(self, topic: str, message: str) -> None:
        """Log the first message of a topic."""
        if topic not in self._logged_topics and len(self._logged_topics) < MAX_ONCE_TOPICS:
            self._logged_topics.add(topic)
            self._log.info("%s", message)

    def finish(self, input_error: VoucherifyError | None) -> None:
        """Finish the run and its summary.

        Args:
            input_error: what ended the input early, if anything did.

        Raises:
            VoucherifyError: the run failed, or was stopped by a signal.
        """
        try:
            error = self._conclude(input_error)
            if self.outcomes.file:
                if error is None:
                    self.outcomes.file.flush()
                self.outcomes.file.end_replay(is_complete=error is None)
            self.summary.complete = error is None and self._has_stream
        finally:
            self._close()
        if error is None and not self._has_stream:
            self._log.warning(
                "The input has no stream, so nothing was read: check that the tap ran"
            )
        if isinstance(error, MaxCallsError):
            self._check_progress(error)
            self._log.warning("%s The next run continues from the last state.", error)
        elif error is not None:
            raise error

    def _close(self) -> None:
        """Close connections and files, and free the locks last."""
        self.client.close()
        if self.outcomes.file:
            self.outcomes.file.close()
        self._ledger.close()
        self._locks.close()

    def _check_progress(self, error: MaxCallsError) -> None:
        """Fail where the next run would begin where this one did.

        Raises:
            VoucherifyError: no state covers a record of this run, and no ledger knows any.
        """
        in_ledger = self.records.accepted + self.summary.extra.get("deleted_unseen", 0)
        if self.outcomes.has_advanced or (self._ledger.is_enabled and in_ledger):
            return
        missing = error.missing or max(1, self.records.received - self.records.settled)
        raise VoucherifyError(
            f"{error} The next run would get no further: set max_calls to "
            f"{(self.settings.max_calls or 0) + missing} or more"
            f"{'' if self._ledger.is_enabled else ', or set ledger_path'}."
        )

    def _conclude(self, error: VoucherifyError | None) -> VoucherifyError | None:
        """Write what is collected and wait for what is in flight; returns the error, if any.

        `max_calls` ends a run well, so any other error takes precedence over it.
        """
        if error is None or isinstance(error, InputError):
            failed = self._error_of(self._write_collected)
            error = error if isinstance(failed, MaxCallsError) and error else failed or error
        self.shutdown.recover()
        if self.shutdown.signal_number:
            error = StopSignalError(self.shutdown.signal_number)
            self.shutdown.begin_grace()
        if error is not None and not isinstance(error, AccessError | CycleUsedUpError):
            self._error_of(self._writer.settle)
        error = self._with_refusals(error)
        if error is None:
            deleted = self._error_of(lambda: self._writer.finish(self.deletions))
            error = self._with_refusals(deleted)
        self.outcomes.emit_state()
        return error

    def _with_refusals(self, error: VoucherifyError | None) -> VoucherifyError | None:
        """What ends the run: a signal before any error, and refused records before `max_calls`."""
        if error is None or isinstance(error, MaxCallsError):
            return self._error_of(self.outcomes.fail_if_refused) or error
        signal = self.shutdown.signal_number
        return StopSignalError(signal) if signal else error

    def _write_collected(self) -> None:
        self._writer.end_input()
        self.flush()
        self._writer.settle()

    def _error_of(self, step: Callable[[], None]) -> VoucherifyError | None:
        try:
            step()
        except VoucherifyError as error:
            return error
        return None

    def _skip_unchanged(self) -> None:
        """Look customers up in the ledger, and collect those that it does not know unchanged.

        All are looked up before the first is collected: collecting may send, and sending changes
        the ledger.
        """
        waiting, self._awaiting_lookup, self._awaiting_bytes = self._awaiting_lookup, [], 0
        if not waiting:
            return
        changed: list[tuple[str, Row]] = []
        same: list[tuple[str, float]] = []
        keys: set[str] = set()
        known = self._ledger.unchanged((key, row.payload) for key, row in waiting)
        for (key, row), is_same in zip(waiting, known, strict=True):
            if is_same and key not in keys and not self._pending(key):
                self.records.unchanged += 1
                same.append((key, row.at))
            else:
                changed.append((key, row))
                keys.add(key)
        self._ledger.confirm(same)
        for key, row in changed:
            self._collect(key, row)

    def _collect(self, key: str, row: Row) -> None:
        self.records.duplicates += self._batch.add(key, row, self._writer.max_rows)

    def _write_batch(self, batch: Batch) -> None:
        self._warn_of_case(batch)
        self._writer.write(batch)
        self.summary.log_progress()

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
            self.records.superseded += 1
            self.deletions.mark_superseded(key)
            return True
        if at < self._ledger.begun:
            self.deletions.mark_seen(key)
            self.outcomes.refuse(line, key, OLDER_THAN_LEDGER)
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
        return key in self._batch or self._writer.in_flight(key)

    def _warn_of_case(self, batch: Batch) -> None:
        if len({folded(key) for key in batch.rows}) < len(batch.rows):
            self.log_once(
                "case",
                "Some keys differ only in case, spaces or the form of letters; they are sent as "
                "different customers",
            )


def _client(settings: Settings, shutdown: Shutdown, log: logging.Logger) -> Client:
    kind = ReadOnlyClient if settings.dry_run else Client
    return kind(
        Connection.from_config(asdict(settings), user_agent="target-voucherify", scope=SCOPE),
        shutdown=shutdown,
        log=log,
        max_concurrency=REQUESTS_IN_FLIGHT,
        max_calls=settings.max_calls,
    )


def _writer(settings: Settings, context: RunContext, earlier_jobs: EarlierJobs) -> Writer:
    rows, path = settings.batch_size_rows, settings.write_path
    if settings.dry_run:
        return DryRunWriter(context, rows, max_single=MAX_SINGLE_BY_PATH[path])
    if path == "bulk":
        return BulkWriter(context, rows, settings.async_timeout)
    single = SingleWriter(context, earlier_jobs)
    return single if path == "single" else AutoWriter(context, rows, settings.async_timeout, single)
