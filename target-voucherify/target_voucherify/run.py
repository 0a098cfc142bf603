"""One run: records go in, customers go out, and at the end everything is accounted for."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from target_voucherify.acknowledgement.ledger import open_ledger
from target_voucherify.acknowledgement.outcomes import Outcomes, Row
from target_voucherify.acknowledgement.refusal_reasons import ours
from target_voucherify.acknowledgement.state_fence import Fence
from target_voucherify.acknowledgement.summary import Summary
from target_voucherify.context import RunContext
from target_voucherify.entities.metadata_schema import MetadataSchema, read_schema
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
from target_voucherify.writing.auto import SINGLE_AT_MOST, AutoWriter
from target_voucherify.writing.batch import Batch
from target_voucherify.writing.bulk import BulkWriter
from target_voucherify.writing.concurrent_requests import REQUESTS_IN_FLIGHT, Parallel
from target_voucherify.writing.deletions import Deletions, NoDeletions
from target_voucherify.writing.dry_run import DryRunWriter, ReadOnlyClient
from target_voucherify.writing.single import SingleWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from target_voucherify.writing.writer import Writer

SCOPE = "customers async-actions metadata-schemas"
"""What an OAuth token may do: as little as writing customers needs, jobs and definitions included.
"""

GRACE = 30.0
"""Seconds that all queued jobs have together after a signal."""

MOST_NOTICES = 200
"""Things said once; beyond it they are not said, so that memory stays flat."""

AT_MOST_SINGLY = {"bulk": 0, "single": sys.maxsize, "auto": SINGLE_AT_MOST}
"""Customers in a run that are written one by one, by `write_path`."""

LOOKED_UP_AT_ONCE = 500
"""Customers that are looked up in the ledger together; only time and memory depend on it."""

PROGRESS_MASK = 0x3FF
"""The clock is looked at every 1,024 records."""


class Run:
    """Everything between the messages of the tap and the API, for one run."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Set the parts up; nothing is sent yet."""
        self._config = config
        self._log = logging.getLogger("target-voucherify")
        self.shutdown = Shutdown(GRACE)
        self.client = _client(config, self.shutdown, self._log)
        self.summary = Summary(self._log, self.client.usage)
        self.records = self.summary.records
        self.fence = Fence()
        self._ledger = open_ledger(config)
        self.outcomes = Outcomes(config, self.fence, self.summary, self._ledger)
        context = RunContext(
            self.client, self.fence, self.outcomes, self.summary, self.shutdown, self._ledger
        )
        self._parallel = Parallel(self.shutdown)
        self._writer = _writer(config, context, self._parallel)
        self.deletions = (
            NoDeletions(self.summary)
            if config["on_delete"] == "ignore"
            else Deletions(config, context, self._parallel)
        )
        self._unsorted: list[tuple[str, Row]] = []
        self._batch: Batch | None = None
        self._schema: MetadataSchema | None = None
        self._notices: set[str] = set()

    def add(self, key: str, payload: bytes, line: bytes) -> None:
        """Take one customer to be sent, unless it is known to be there as it is."""
        self.deletions.saw(key)
        if not self._ledger.is_kept:
            self._collect(key, Row(payload, line))
            return
        self._unsorted.append((key, Row(payload, line)))
        if len(self._unsorted) >= LOOKED_UP_AT_ONCE:
            self._sort_out()

    def refuse(self, key: str, line: bytes, error: NotACustomerError, *, is_known: bool) -> None:
        """Set a record aside that cannot become a customer; the CRM still has it.

        Args:
            key: its `source_id`, as far as it can be read.
            line: the message it came in.
            error: why.
            is_known: whether the key is one that Voucherify may have; any customer may be the one
                that a record without such a key is about.
        """
        if is_known:
            self.deletions.saw(key)
        else:
            self.deletions.versions.spoil()
        self.outcomes.refused(line, key or None, ours(error))

    def begin_stream(self, stream: str, keys: list[str]) -> None:
        """Take note of a stream of customers and of the properties that hold their keys.

        Raises:
            SettingsError: the ledger belongs to another pipeline.
        """
        self._ledger.bind_stream(stream, ", ".join(keys))

    def count(self) -> None:
        """Count one record received, and say from time to time how far the run is."""
        self.records.received += 1
        if not self.records.received & PROGRESS_MASK:
            self.summary.progress()

    def send(self) -> None:
        """Send what is collected."""
        self._sort_out()
        self._send_batch()

    def state(self, text: str | None) -> None:
        """Take a STATE; it passes at once if nothing before it is unsettled."""
        self._sort_out()
        if text is not None:
            self.fence.arrive(text)
        self._writer.poll()
        self.outcomes.pass_states()

    def metadata_schema(self, *, wanted: bool) -> MetadataSchema:
        """The project's metadata schema, asked for once and only if metadata is sent."""
        if not wanted:
            return MetadataSchema()
        if self._schema is None:
            self._schema = read_schema(self.client)
        return self._schema

    def notice(self, topic: str, sentence: str) -> None:
        """Say something once in a run."""
        if topic not in self._notices and len(self._notices) < MOST_NOTICES:
            self._notices.add(topic)
            self._log.info("%s", sentence)

    def finish(self, stopped_by: VoucherifyError | None) -> None:
        """Bring the run to its end; what it did is then ready to be said.

        Args:
            stopped_by: what ended the input early, if anything did.

        Raises:
            VoucherifyError: the run failed, or was stopped by a signal.
        """
        try:
            error = self._conclude(stopped_by)
            if self.outcomes.file:
                self.outcomes.file.end_replay(is_whole=error is None)
            self.summary.complete = error is None
        finally:
            self._parallel.close()
            self._ledger.close()
        if isinstance(error, MaxCallsError):
            self._log.warning("%s The next run goes on from the last state.", error)
        elif error is not None:
            raise error

    def _conclude(self, error: VoucherifyError | None) -> VoucherifyError | None:
        """Write what is still to be written, wait for what is on its way; the error, if any.

        `max_calls` ends a run well, so any other error is worse and wins over it.
        """
        if error is None or isinstance(error, InputError):
            failed = self._error_of(self._write_the_rest)
            error = error if isinstance(failed, MaxCallsError) and error else failed or error
        self.shutdown.recover()
        if self.shutdown.signal_number:
            error = StopSignalError(self.shutdown.signal_number)
            self.shutdown.begin_grace()
        if error is not None and not isinstance(error, AccessError | CycleUsedUpError):
            self._error_of(self._writer.settle)
        if error is None or isinstance(error, MaxCallsError):
            error = self._error_of(self.outcomes.fail_if_refused) or error
        if error is None:
            error = self._error_of(lambda: self._writer.finish(self.deletions))
        self.outcomes.pass_states()
        return error

    def _write_the_rest(self) -> None:
        self._writer.end_input()
        self.send()
        self._writer.settle()

    def _error_of(self, step: Callable[[], None]) -> VoucherifyError | None:
        try:
            step()
        except VoucherifyError as error:
            return error
        return None

    def _sort_out(self) -> None:
        """Collect, of the customers not yet looked up, those that the ledger does not know.

        All of them are judged before the first is collected: collecting may send, and sending
        changes what the ledger knows.
        """
        unsorted, self._unsorted = self._unsorted, []
        if not unsorted:
            return
        changed: list[tuple[str, Row]] = []
        keys: set[str] = set()
        known = self._ledger.knows((key, row.payload) for key, row in unsorted)
        for (key, row), as_it_is in zip(unsorted, known, strict=True):
            if as_it_is and key not in keys and not self._pending(key):
                self.records.unchanged += 1
            else:
                changed.append((key, row))
                keys.add(key)
        for key, row in changed:
            self._collect(key, row)

    def _collect(self, key: str, row: Row) -> None:
        """Put a customer into the batch, which is sent when it is full."""
        batch = self._batch
        if batch is None or not batch.takes(key, row.payload, self._writer.most_rows):
            self._send_batch()
            batch = self._batch = Batch(self.fence.hold())
        if batch.add(key, row):
            self.records.duplicates += 1
        if len(batch.rows) >= self._writer.most_rows:
            self._send_batch()

    def _send_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            self._look_for_case(batch)
            self._writer.write(batch)
            self.summary.progress()

    def _pending(self, key: str) -> bool:
        """Whether another form of this customer is collected or on its way."""
        return (self._batch is not None and key in self._batch.rows) or self._writer.in_flight(key)

    def _look_for_case(self, batch: Batch) -> None:
        if len({key.casefold() for key in batch.rows}) < len(batch.rows):
            self.notice(
                "case",
                "Some keys differ only in upper and lower case; they are sent as different "
                "customers, because Voucherify tells them apart",
            )


def _client(config: Mapping[str, Any], shutdown: Shutdown, log: logging.Logger) -> Client:
    kind = ReadOnlyClient if config["dry_run"] else Client
    return kind(
        Connection.from_config(config, user_agent="target-voucherify", scope=SCOPE),
        shutdown=shutdown,
        log=log,
        max_concurrency=REQUESTS_IN_FLIGHT,
        max_calls=config.get("max_calls"),
    )


def _writer(config: Mapping[str, Any], context: RunContext, parallel: Parallel) -> Writer:
    rows, path = int(config["batch_size_rows"]), config["write_path"]
    if config["dry_run"]:
        return DryRunWriter(context, rows, single_at_most=AT_MOST_SINGLY[path])
    if path == "single":
        return SingleWriter(context, parallel)
    bulk = BulkWriter(context, rows, float(config["async_timeout"]))
    return bulk if path == "bulk" else AutoWriter(bulk, context, parallel)
