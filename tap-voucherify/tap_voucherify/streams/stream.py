"""The base of every stream, and the tap that a signal stops: records and states go out here.

The SDK sets a bookmark from each record it has written. These streams write their own state: a
bookmark must never pass the start of the run, and the position inside a long read matters even
while no record comes. So the SDK's steps are replaced in this file, and nowhere else.
"""

from __future__ import annotations

import abc
import math
import os
import signal
import sys
import time
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import SchemaDirectory, Stream, StreamSchema, Tap
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib import RecordMessage
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_voucherify import schemas
from tap_voucherify.pagination.time_cursor import PAGE_ROWS, ReadStats
from tap_voucherify.records.encoder import Record, RecordEncoder, decode
from tap_voucherify.rewards.candidates import RewardCandidates
from tap_voucherify.voucherify_client.errors import DeniedError, MaxCallsError
from tap_voucherify.voucherify_client.shutdown import Shutdown
from tap_voucherify.voucherify_client.timestamps import (
    format_duration,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from types import FrameType

    from singer_sdk.helpers._batch import BatchConfig
    from singer_sdk.metrics import Counter
    from singer_sdk.singerlib import Catalog
    from singer_sdk.singerlib.catalog import SelectionMask

    from tap_voucherify.voucherify_client.client import Client


HOOKS = (
    "_increment_stream_state",
    "_write_starting_replication_value",
    "_sync_records",
    "_write_state_message",
    "_sync_batches",
    "_handle_termination",
)
"""Private members of the SDK that are replaced here, or whose callers are relied on."""

RECORDS_PER_WRITE = 100
"""Records are written this many at a time."""

ROWS_BETWEEN_STATES = 1_000
SECONDS_BETWEEN_STATES = 10.0
"""A STATE message is due at the first of the two, so a kill costs at most this much."""

PROGRESS_INTERVAL = 10.0

POSITIONS = frozenset(("first_run", "export", "scan", "pages"))
"""Members of a stream's state while it is not read to its end."""

GRACE = 8.0
"""Seconds after a signal in which a request or a write to a loader that does not read may hang."""

SCHEMAS = SchemaDirectory(schemas)


@dataclass(slots=True)
class StreamReport:
    """What one stream did, for the run summary.

    Attributes:
        rows: records written.
        complete: whether the stream read everything that it should.
        missed_by_webhooks: events that polling found and no webhook delivered; `None` if the run
            did not compare them.
        echoes: customers that were left out because only the target had changed them; `None` if
            the run did not look for them.
    """

    rows: int = 0
    complete: bool = False
    missed_by_webhooks: int | None = None
    echoes: int | None = None

    def to_summary(self) -> dict[str, int]:
        """The stream's part of the run summary."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class VoucherifyStream(Stream):
    """A stream that keeps its own state.

    A subclass yields its records from `rows`, and `None` where its position moved without a record.
    `write_position` writes the position after the records yielded so far into `stream_state`.
    """

    primary_keys = ("id",)
    schema = StreamSchema(SCHEMAS)
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    can_be_sliced = False
    """Whether the stream can be read between `start_date` and `end_date`."""
    least_calls: ClassVar[int] = 4
    """Calls with which a run gets further that has not begun the stream yet."""
    is_behind = False
    """Whether earlier runs had not read the stream to its end."""
    limits: ClassVar[tuple[str, ...]] = ("max_calls",)
    """Settings with which a run reads a part of the stream."""
    has_moved = False
    """Whether the next run begins nearer to the stream's end than this one did."""
    calls_used = 0
    calls_wanted: int | None = None
    """Calls for this stream with which a run gets further, where `max_calls` cut it."""

    foreign_key: str | None = None
    """Another replication key than the stream's own, which the catalog names."""

    def __init__(self, tap: GracefulTap) -> None:
        super().__init__(tap)
        self._voucherify_tap = tap
        self.report = StreamReport()
        self.stats = ReadStats(started=lambda: self.client.run_started)
        self._waiting: list[bytes | Record] = []

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Apply a catalog, but keep the replication key: its column is the stream's to fill."""
        super().apply_catalog(catalog)
        own: Any = type(self).replication_key
        named = self.replication_key
        self.foreign_key = None if named in {None, own} else named
        self.replication_key = own

    @property
    def client(self) -> Client:
        """The client of the tap, which all its streams share."""
        return self._voucherify_tap.client

    @property
    def candidates(self) -> RewardCandidates:
        """Customers that may have new rewards, passed from one stream of the tap to another."""
        return self._voucherify_tap.candidates

    def is_selected(self, stream: str) -> bool:
        """Whether this run also reads another stream of the tap."""
        return self._voucherify_tap.streams[stream].selected

    @abc.abstractmethod
    def rows(self) -> Iterator[Record | None]:
        """The stream's records; a record is written once the iterator is resumed."""

    @abc.abstractmethod
    def write_position(self) -> None:
        """Write into `stream_state` where a run would have to go on from here."""

    @property
    def keeps_state(self) -> bool:
        """Whether the run goes on from a state and leaves one."""
        return not self._starts_over

    @property
    def may_be_partial(self) -> bool:
        """Whether a run reads a part of the stream although the catalog asks for all of it."""
        is_limited = any(self.config.get(name) for name in self.limits)
        return self.replication_method == REPLICATION_FULL_TABLE and is_limited

    def check_state(self) -> None:
        """Check what the state says about the stream, before the first request.

        Raises:
            VoucherifyError: no run can have left this.
        """

    @override
    def get_records(self, context: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
        if self._starts_over:
            self.stream_state.clear()
        before, calls = deepcopy(dict(self.stream_state)), self.client.usage.calls
        self.is_behind = "replication_key_value" not in before or bool(POSITIONS & before.keys())
        try:
            yield from self._with_state_messages()
        except MaxCallsError as reason:
            self.logger.warning("%s Stopping here; the next run goes on from this state.", reason)
            self._voucherify_tap.note_cut(self.name)
            self._write_position()
            self.calls_wanted = self._least_calls(self.client.usage.calls - calls)
        except DeniedError as error:
            self.emit_state()
            raise DeniedError(
                f"{error} Or deselect {self.name} to read the other streams."
            ) from None
        except Exception:
            self.emit_state()
            raise
        else:
            self.report.complete = True
            self._write_position()
        finally:
            self.calls_used = self.client.usage.calls - calls
            self.has_moved = self.stream_state != before and (
                bool(self.calls_wanted) or self.is_behind or self.report.rows > PAGE_ROWS
            )
            self._log_nulled()

    def _least_calls(self, spent: int) -> int:
        """Calls with which a run that was cut after `spent` calls can surely go further."""
        pages = math.ceil((self.stats.total or 0) / PAGE_ROWS)
        return max(2 * spent + 2, pages + 4, self.stats.instant_calls + 6, self.least_calls)

    def _with_state_messages(self) -> Iterator[dict[str, Any]]:
        """The records, with a STATE message and a check for signals between two of them when due.

        They are written here and not yielded, unless the SDK has to write or count them.
        """
        scheduler = StateScheduler(self)
        for record in self.rows():
            if record is not None and self._is_counted:
                yield decode(record)
                self.report.rows += 1
            elif record is None:
                self._flush()  # the next record may be long in coming
            elif not self._add(record):
                continue
            scheduler.checkpoint()
            self._voucherify_tap.shutdown.check()

    @property
    def _starts_over(self) -> bool:
        """Whether the catalog asks a stream with a bookmark for a full table, each time.

        A loader deletes what a new version lacks, so such a run reads everything: it neither goes
        on from a state nor leaves one.
        """
        incremental = isinstance(type(self).replication_key, str)
        return incremental and self.replication_method == REPLICATION_FULL_TABLE

    @property
    def rows_written(self) -> int:
        """How many records are written, once those are that wait to be written together."""
        self._flush()
        return self.report.rows

    def _add(self, record: Record) -> bool:
        """Write a record together with others; True if it was written, with all before it."""
        self._waiting.append(self._reshaped(record) if self._is_reshaped else record)
        if len(self._waiting) == RECORDS_PER_WRITE:
            self._flush()
        return not self._waiting

    def _flush(self) -> None:
        """Write the records that wait, and count them as the SDK counts those that it writes."""
        if not self._waiting:
            return
        head, tail = (b"", b"") if self._is_reshaped else self._envelope()
        lines = b"%b%b%b" % (head, (tail + head).join(self._waiting), tail)
        self._voucherify_tap.write_lines(lines)
        self.report.rows += len(self._waiting)
        self.record_counter.increment(len(self._waiting))
        self.state_manager.is_flushed = False
        self._waiting = []

    def _envelope(self) -> tuple[bytes, bytes]:
        """What the SDK would write before and after the record of a RECORD message now."""
        name, now = self.stream_maps[0].stream_alias, datetime.now(UTC)
        message = RecordMessage(name, {}, time_extracted=now)
        line = self._voucherify_tap.message_writer.format_message(message)
        head, _, tail = bytes(line).partition(b"{}")
        return head, tail

    def _write_position(self) -> None:
        self._flush()  # the position is behind the records in it
        if self.keeps_state:
            self.write_position()
        if self.stream_state:
            self._voucherify_tap.sign_state()

    def emit_state(self) -> None:
        """Write a STATE message for the records written so far.

        With `batch_config` records are not written before a BATCH message names their file, so
        there a STATE message follows each of those, and no other is written.
        """
        if not self._is_batched:
            self._emit_state()

    def _emit_state(self) -> None:
        self._write_position()
        if self.stream_state:
            self._voucherify_tap.state_writer.write_state(self.tap_state)

    @cached_property
    def _is_batched(self) -> bool:
        return self.get_batch_config(self.config) is not None

    @override
    def _write_state_message(self) -> None:
        if self._is_batched:
            self._write_position()
        super()._write_state_message()

    @override
    def _sync_batches(
        self, batch_config: BatchConfig, context: Mapping[str, Any] | None = None
    ) -> None:
        """Write batches, in files that only their owner may read, and a last STATE message."""
        mask = os.umask(0o077)
        try:
            super()._sync_batches(batch_config, context)
        finally:
            os.umask(mask)
        self._emit_state()

    def override_schema(self, schema: dict[str, Any]) -> None:
        """Announce the records with this schema instead of the one in the stream's file."""
        self.schema = schema  # type: ignore[method-assign] # the descriptor of the class only reads

    @cached_property
    def records(self) -> RecordEncoder:
        """Makes records of rows, by the announced schema, which a catalog may have changed."""
        return RecordEncoder(self.effective_schema, self.name, self._columns, self.replication_key)

    @property
    def counted_columns(self) -> Collection[str]:
        """Columns that the run needs, also if no record shall have them."""
        return ()

    @cached_property
    def _columns(self) -> list[str]:
        properties = self.effective_schema["properties"]
        needed = self.counted_columns
        return [name for name in properties if name in needed or self.mask["properties", name]]

    @cached_property
    def _is_partial(self) -> bool:
        """Whether members of objects are deselected, or a column that the run needs."""
        deselected = (place for place, selected in self.mask.items() if place and not selected)
        return any(place[1] in self._columns for place in deselected)

    @cached_property
    def _is_reshaped(self) -> bool:
        maps = self.stream_maps
        same = len(maps) == 1 and isinstance(maps[0], SameRecordTransform)
        return self._is_partial or not same or bool(maps[0].flattening_enabled)

    def _reshaped(self, text: Record) -> bytes:
        """The RECORD messages that the SDK's stream maps and flattening make of a record."""
        record, now = decode(text), datetime.now(UTC)
        if self._is_partial:
            record = _selected(record, self.mask)
        messages = (
            RecordMessage(stream_map.stream_alias, made, time_extracted=now)
            for stream_map in self.stream_maps
            if (made := stream_map.transform(record)) is not None
        )
        format_message = self._voucherify_tap.message_writer.format_message
        return b"".join(bytes(format_message(message)) for message in messages)

    @cached_property
    def _is_counted(self) -> bool:
        """Whether the SDK writes versions or batches, or counts the records of a dry run."""
        return bool(
            self.ABORT_AT_RECORD_COUNT is not None
            or self._is_batched
            or self.emit_activate_version_messages
        )

    @override
    def get_record_counter(self, **options: Any) -> Counter:
        """The SDK's counter, which also counts the records that do not go through the SDK."""
        self.record_counter = super().get_record_counter(**options)
        return self.record_counter

    def _log_nulled(self) -> None:
        for path, count in self.records.nulled.items():
            self.logger.warning(
                "%s: %d values of another type than the schema's became null", path, count
            )

    @override
    def get_replication_key_signpost(self, context: Mapping[str, Any] | None = None) -> None:
        """`None`: `write_position` caps the bookmark itself."""

    @override
    def _write_starting_replication_value(self, context: Mapping[str, Any] | None) -> None:
        """Leave the state alone: a run that read nothing does not change it."""

    @override
    def _increment_stream_state(
        self, latest_record: Mapping[str, Any], *, context: Mapping[str, Any] | None = None
    ) -> None:
        """Leave the state alone: `write_position` writes it."""


def _selected(
    record: Mapping[str, Any], mask: SelectionMask, place: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The members of an object that the catalog selects, in objects inside it too."""
    places = {name: (*place, "properties", name) for name in record}
    return {
        name: _selected(value, mask, places[name]) if isinstance(value, dict) else value
        for name, value in record.items()
        if mask[places[name]]
    }


class StateScheduler:
    """Emits the STATE messages and progress lines of a stream when they are due."""

    def __init__(self, stream: VoucherifyStream) -> None:
        self._stream = stream
        self._began = self._emitted = self._logged = time.monotonic()
        self._rows = 0

    def checkpoint(self) -> None:
        """Emit what is due; every record so far is written."""
        now, rows = time.monotonic(), self._stream.report.rows
        if (
            rows - self._rows >= ROWS_BETWEEN_STATES
            or now - self._emitted >= SECONDS_BETWEEN_STATES
        ):
            self._stream.emit_state()
            self._rows, self._emitted = rows, now
        if now - self._logged >= PROGRESS_INTERVAL:
            self._log_progress(now - self._began)
            self._logged = now

    def _log_progress(self, seconds: float) -> None:
        usage, rows = self._stream.client.usage, self._stream.report.rows
        total, rate = self._stream.stats.total, rows / seconds
        parts = [f"{rows:,} rows", f"{rate:,.0f}/s", f"{usage.calls:,} calls"]
        if usage.quota_left is not None:
            parts.append(f"{usage.quota_left:,} calls left in this period")
        if total and rate:
            calls = max(0, total - rows) / rows * usage.calls
            left = usage.seconds_for(calls, seconds)
            parts.append(f"{min(100, 100 * rows // total)} %, about {format_duration(left)} to go")
        self._stream.logger.info("progress: %s", ", ".join(parts))


class GracefulTap(Tap):
    """A tap that a signal stops between two records, with a correct state.

    The SDK's own handler writes a state from inside the handler, possibly in the middle of a
    record's line, and exits 0 as if the run had succeeded.
    """

    @cached_property
    def shutdown(self) -> Shutdown:
        """Stop flag, shared by the streams and the client."""
        return Shutdown(GRACE)

    @cached_property
    def candidates(self) -> RewardCandidates:
        """What the stream of customers passes to the stream of reward events."""
        return RewardCandidates()

    def write_lines(self, lines: bytes) -> None:
        """Write messages that are encoded already."""
        sys.stdout.buffer.write(lines)
        sys.stdout.flush()

    @property
    @abc.abstractmethod
    def client(self) -> Client:
        """The one client that all streams share, so that calls are counted once."""

    @abc.abstractmethod
    def note_cut(self, stream: str) -> None:
        """Note that `max_calls` cut a stream."""

    @abc.abstractmethod
    def sign_state(self) -> None:
        """Write into the state which project it belongs to."""

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Ask the run to stop; a second signal ends the process at once."""
        self.shutdown.request(signum)
        signal.signal(signum, signal.SIG_DFL)
