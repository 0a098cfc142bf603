"""The base of every stream: when a STATE goes out, what it may say, and what is told on the way.

The SDK sets a bookmark from each record it has written. Here the streams know better: a bookmark
must never pass the start of the run, and the position inside a long scan matters even where no
record comes. So the SDK's steps are replaced in this file, and nowhere else.
"""

from __future__ import annotations

import abc
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from singer_sdk import SchemaDirectory, Stream, StreamSchema, Tap
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib import RecordMessage
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_voucherify import schemas
from tap_voucherify.pagination.time_cursor import Tally
from tap_voucherify.records.conformance import Fitting
from tap_voucherify.records.untouched import SchemaNotUnderstoodError, UntouchedRows
from tap_voucherify.rewards.candidates import Candidates
from tap_voucherify.voucherify_client.errors import MaxCallsError
from tap_voucherify.voucherify_client.shutdown import Shutdown
from tap_voucherify.voucherify_client.timestamps import (
    format_duration,
    parse,
    to_iso,
    whole_millisecond,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from singer_sdk.metrics import Counter

    from tap_voucherify.records.untouched import Record
    from tap_voucherify.voucherify_client.client import Client


HOOKS = (
    "_increment_stream_state",
    "_write_starting_replication_value",
    "_sync_records",
    "_write_state_message",
    "_handle_termination",
)
"""Private members of the SDK that are replaced here, or whose way of calling is relied on."""

ROWS_AT_ONCE = 100
"""Rows that pass untouched are written this many at a time."""

ROWS_BETWEEN_STATES = 1_000
SECONDS_BETWEEN_STATES = 10.0
"""A STATE goes out when the first of the two is reached, so a kill costs at most this much."""

SECONDS_BETWEEN_PROGRESS_LINES = 10.0

SCHEMAS = SchemaDirectory(schemas)


@dataclass(slots=True)
class StreamReport:
    """What one stream did, for the completeness line and the run summary."""

    rows: int = 0
    complete: bool = False
    missed_by_webhooks: int | None = None
    """Events that polling found and no webhook brought; none where that was not looked at."""

    def to_summary(self) -> dict[str, int]:
        """What the run summary says of the stream."""
        told = {"rows": self.rows, "complete": self.complete}
        if self.missed_by_webhooks is None:
            return told
        return {**told, "missed_by_webhooks": self.missed_by_webhooks}


class VoucherifyStream(Stream):
    """A stream that keeps its own state.

    A subclass yields its records from `rows`, and `None` where nothing came but its position
    moved; `mark` writes the position of what was yielded so far into `stream_state`.
    """

    primary_keys = ("id",)
    schema = StreamSchema(SCHEMAS)
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: GracefulTap) -> None:
        super().__init__(tap)
        self._voucherify_tap = tap
        self.report = StreamReport()
        self.tally = Tally()

    @property
    def client(self) -> Client:
        """The connection of the tap, which all its streams share."""
        return self._voucherify_tap.client

    @property
    def candidates(self) -> Candidates:
        """Customers who may have new rewards, handed from one stream of the tap to another."""
        return self._voucherify_tap.candidates

    def is_read(self, stream: str) -> bool:
        """Whether this run also reads another stream of the tap."""
        return self._voucherify_tap.streams[stream].selected

    @abc.abstractmethod
    def rows(self) -> Iterator[Record | None]:
        """The stream's records; when this resumes after a `yield`, that record was written."""

    @abc.abstractmethod
    def mark(self) -> None:
        """Write into `stream_state` where a run would have to go on from here."""

    @property
    def lookback(self) -> timedelta:
        """How far behind its bookmark the stream starts (setting `lookback_window`, seconds)."""
        return timedelta(seconds=self.config["lookback_window"])

    @override
    def get_records(self, context: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
        if self._starts_over:
            self.stream_state.clear()
        try:
            yield from self._paced()
        except MaxCallsError as reason:
            self.logger.warning("%s Stopping here; the next run goes on from this state.", reason)
            self._mark()
        except Exception:
            self.pass_on_state()
            raise
        else:
            self.report.complete = True
            self._mark()
        finally:
            self._tell_nulled()

    def _paced(self) -> Iterator[dict[str, Any]]:
        """The records, with a STATE and a look at the signals between two of them when due.

        Rows that pass untouched do not come out here: their lines are written here.
        """
        pace = _Pace(self)
        for record in self.rows():
            if isinstance(record, msgspec.Raw):
                if not self._lines.add(record):
                    continue
            elif record is not None:
                self._lines.write()
                yield self.fitting.fitted(record)
                self.report.rows += 1
            pace.checkpoint()
            self._voucherify_tap.shutdown.check()

    @property
    def _starts_over(self) -> bool:
        """Whether the catalog asks a stream with a bookmark for everything, each time.

        A part of the rows under a new ACTIVATE_VERSION would delete the others, so such a run
        neither goes on from a state nor leaves one.
        """
        incremental = isinstance(type(self).replication_key, str)
        return incremental and self.replication_method == REPLICATION_FULL_TABLE

    def _mark(self) -> None:
        """Note the position of the rows that came so far, all of which are written by then."""
        self._lines.write()
        if not self._starts_over:
            self.mark()

    def announce(self, schema: dict[str, Any]) -> None:
        """Describe the records by this schema instead of the one in the stream's file."""
        # The descriptor of the class only reads, so the instance's own attribute goes before it.
        vars(self)["schema"] = schema

    @cached_property
    def fitting(self) -> Fitting:
        """Makes records fit the schema that was announced, which a catalog may have changed."""
        return Fitting(self.effective_schema)

    @cached_property
    def untouched(self) -> UntouchedRows | None:
        """How rows pass that fit the schema; none where something is to be changed in every row.

        Then they take the SDK's way: where columns are deselected, streams are mapped or
        flattened, versions or batches are wanted, or the SDK counts the records of a dry run.
        """
        if self._is_reshaped or self._is_counted:
            return None
        try:
            return UntouchedRows(self.effective_schema, self.name, str(self.replication_key))
        except SchemaNotUnderstoodError:
            return None

    @property
    def _is_reshaped(self) -> bool:
        maps = self.stream_maps
        same = len(maps) == 1 and isinstance(maps[0], SameRecordTransform)
        return not same or maps[0].flattening_enabled or not all(self.mask.values())

    @property
    def _is_counted(self) -> bool:
        return bool(
            self.ABORT_AT_RECORD_COUNT is not None
            or self.get_batch_config(self.config)
            or self.emit_activate_version_messages
        )

    @cached_property
    def _lines(self) -> _Lines:
        return _Lines(self)

    @override
    def get_record_counter(self, **options: Any) -> Counter:
        """The SDK's counter, which also counts the rows that do not pass through the SDK."""
        self.record_counter = super().get_record_counter(**options)
        return self.record_counter

    def frame(self) -> tuple[bytes, bytes]:
        """What the SDK writes before and after the record of a RECORD message, as of now."""
        name, now = self.stream_maps[0].stream_alias, datetime.now(UTC)
        message = RecordMessage(name, {}, time_extracted=now)
        line = self._voucherify_tap.message_writer.format_message(message)
        head, _, tail = bytes(line).partition(b"{}")
        return head, tail

    def write_lines(self, rows: int, lines: bytes) -> None:
        """Write RECORD messages, and count them where the SDK counts those that it writes."""
        self._voucherify_tap.write_lines(lines)
        self.report.rows += rows
        self.record_counter.increment(rows)
        self.state_manager.is_flushed = False

    def _tell_nulled(self) -> None:
        for path, count in self.fitting.nulled.items():
            self.logger.warning(
                "%s: %d values of another type than the schema's became null", path, count
            )

    def pass_on_state(self) -> None:
        """Write a STATE message for what was written so far."""
        self._mark()
        if self.stream_state:
            self._voucherify_tap.state_writer.write_state(self.tap_state)

    @cached_property
    def _columns(self) -> frozenset[str]:
        return frozenset(self.schema["properties"])

    def in_columns(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row without the fields that the schema does not know yet (reference, preface)."""
        return {name: value for name, value in row.items() if name in self._columns}

    @override
    def get_replication_key_signpost(self, context: Mapping[str, Any] | None = None) -> None:
        """None: `mark` caps the bookmark itself."""

    @override
    def _write_starting_replication_value(self, context: Mapping[str, Any] | None) -> None:
        """Leave the state alone: a run that read nothing has nothing to say in it."""

    @override
    def _increment_stream_state(
        self, latest_record: Mapping[str, Any], *, context: Mapping[str, Any] | None = None
    ) -> None:
        """Leave the state alone: `mark` writes it."""


class _Lines:
    """The messages of rows that pass untouched, until they are written together."""

    def __init__(self, stream: VoucherifyStream) -> None:
        self._stream = stream
        self._waiting: list[msgspec.Raw] = []

    def add(self, record: msgspec.Raw) -> bool:
        """Take a record; True once it is written, with all that came before it."""
        self._waiting.append(record)
        if len(self._waiting) < ROWS_AT_ONCE:
            return False
        self.write()
        return True

    def write(self) -> None:
        if not self._waiting:
            return
        head, tail = self._stream.frame()
        records = (tail + head).join(self._waiting)
        self._stream.write_lines(len(self._waiting), b"%b%b%b" % (head, records, tail))
        self._waiting = []


class _Pace:
    """When the next STATE and the next progress line are due."""

    def __init__(self, stream: VoucherifyStream) -> None:
        self._stream = stream
        self._began = self._passed_on = self._told = time.monotonic()
        self._rows = 0

    def checkpoint(self) -> None:
        now, rows = time.monotonic(), self._stream.report.rows
        if (
            rows - self._rows >= ROWS_BETWEEN_STATES
            or now - self._passed_on >= SECONDS_BETWEEN_STATES
        ):
            self._stream.pass_on_state()
            self._rows, self._passed_on = rows, now
        if now - self._told >= SECONDS_BETWEEN_PROGRESS_LINES:
            self._tell(now - self._began)
            self._told = now

    def _tell(self, seconds: float) -> None:
        usage, rows = self._stream.client.usage, self._stream.report.rows
        total, rate = self._stream.tally.total, rows / seconds
        parts = [f"{rows:,} rows", f"{rate:,.0f}/s", f"{usage.calls:,} calls"]
        if usage.quota_left is not None:
            parts.append(f"{usage.quota_left:,} calls left in this period")
        if total and rate:
            left = max(0, total - rows) / rate
            parts.append(f"{min(100, 100 * rows // total)} %, about {format_duration(left)} to go")
        self._stream.logger.info("progress: %s", ", ".join(parts))


class GracefulTap(Tap):
    """A tap that a signal stops between two records, with a state that is true.

    The SDK's own handler writes a state from inside the handler, possibly in the middle of a
    record's line, and exits 0 as if the run had ended well.
    """

    @cached_property
    def shutdown(self) -> Shutdown:
        """Stop flag, shared by the streams and the client."""
        return Shutdown()

    @cached_property
    def candidates(self) -> Candidates:
        """What the stream of customers hands to the stream of reward events."""
        return Candidates()

    def write_lines(self, lines: bytes) -> None:
        """Write messages that are lines already."""
        sys.stdout.buffer.write(lines)
        sys.stdout.flush()

    @property
    @abc.abstractmethod
    def client(self) -> Client:
        """The one connection that all streams share, so that calls are counted once."""

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Ask the run to stop; a second signal ends the process at once."""
        self.shutdown.request(signum)
        signal.signal(signum, signal.SIG_DFL)


class IncrementalStream(VoucherifyStream):
    """A stream with one bookmark that never passes the start of the run less the lookback."""

    @property
    def bookmark(self) -> datetime | None:
        """Everything before this instant was read by an earlier run."""
        value = self.stream_state.get("replication_key_value")
        return None if value is None else parse(value, what=f"The bookmark of {self.name}")

    def move_bookmark(self, reached: datetime, started: datetime) -> None:
        """Move the bookmark to `reached`, capped by the run's start, and never back."""
        capped = min(reached, started - self.lookback)
        bookmark = self.bookmark
        self.stream_state["replication_key"] = self.replication_key
        self.stream_state["replication_key_value"] = to_iso(
            capped if bookmark is None else max(bookmark, capped)
        )

    def instant_setting(self, name: str) -> datetime | None:
        """The instant that a setting such as `start_date` names."""
        value = self.config.get(name)
        return None if value is None else parse(value, what=f"The setting {name}")

    def span(self) -> tuple[datetime | None, datetime | None]:
        """First and last instant wanted, to the millisecond; without an `end_date` no last one.

        With an `end_date` the run is a slice, whose beginning is `start_date` whatever the state
        says.
        """
        until = self.instant_setting("end_date")
        since = self.since() if until is None else self.instant_setting("start_date")
        return (
            None if since is None else whole_millisecond(since),
            None if until is None else whole_millisecond(until),
        )

    def since(self) -> datetime | None:
        """Where this run starts: the bookmark less the lookback or `start_date`, the later one."""
        bookmark, start_date = self.bookmark, self.instant_setting("start_date")
        if bookmark is None:
            return start_date
        behind = bookmark - self.lookback
        return behind if start_date is None else max(behind, start_date)
