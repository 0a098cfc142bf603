"""The base of every stream: when a STATE goes out, what it may say, and what is told on the way.

The SDK sets a bookmark from each record it has written. Here the streams know better: a bookmark
must never pass the start of the run, and the position inside a long scan matters even where no
record comes. So the SDK's steps are replaced in this file, and nowhere else.
"""

from __future__ import annotations

import abc
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from singer_sdk import SchemaDirectory, Stream, StreamSchema, Tap
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from typing_extensions import override

from tap_voucherify import schemas
from tap_voucherify.errors import CallsSpentError
from tap_voucherify.fitting import Fitting
from tap_voucherify.stopping import StopRequest
from tap_voucherify.walk import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from tap_voucherify.client import VoucherifyClient

HOOKS = (
    "_increment_stream_state",
    "_write_starting_replication_value",
    "_sync_records",
    "_write_state_message",
    "_handle_termination",
)
"""Private members of the SDK that are replaced here, or whose way of calling is relied on."""

ROWS_BETWEEN_STATES = 1_000
SECONDS_BETWEEN_STATES = 10.0
"""A STATE goes out when the first of the two is reached, so a kill costs at most this much."""

SECONDS_BETWEEN_PROGRESS_LINES = 10.0

SCHEMAS = SchemaDirectory(schemas)

Record = dict[str, Any]


@dataclass(slots=True)
class StreamReport:
    """What one stream did, for the completeness line and the run summary."""

    rows: int = 0
    complete: bool = False


class VoucherifyStream(Stream):
    """A stream that keeps its own state.

    A subclass yields its records from `rows`, and `None` where nothing came but its position
    moved; `mark` writes the position of what was yielded so far into `stream_state`.
    """

    primary_keys = ("id",)
    schema = StreamSchema(SCHEMAS)
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: InterruptibleTap) -> None:
        super().__init__(tap)
        self._voucherify_tap = tap
        self.report = StreamReport()
        self.tally = Tally()

    @property
    def client(self) -> VoucherifyClient:
        """The connection of the tap, which all its streams share."""
        return self._voucherify_tap.client

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
    def get_records(self, context: Mapping[str, Any] | None) -> Iterator[Record]:
        if self._starts_over:
            self.stream_state.clear()
        try:
            yield from self._paced()
        except CallsSpentError as reason:
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

    def _paced(self) -> Iterator[Record]:
        """The records, with a STATE and a look at the signals between two of them when due."""
        pace = _Pace(self)
        for record in self.rows():
            if record is not None:
                yield self.fitting.fitted(record)
                self.report.rows += 1
            pace.checkpoint()
            self._voucherify_tap.stop.raise_if_asked()

    @property
    def _starts_over(self) -> bool:
        """Whether the catalog asks a stream with a bookmark for everything, each time.

        A part of the rows under a new ACTIVATE_VERSION would delete the others, so such a run
        neither goes on from a state nor leaves one.
        """
        incremental = isinstance(type(self).replication_key, str)
        return incremental and self.replication_method == REPLICATION_FULL_TABLE

    def _mark(self) -> None:
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

    def in_columns(self, row: Record) -> Record:
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
            parts.append(f"{min(100, 100 * rows // total)} %, about {left:,.0f} s to go")
        self._stream.logger.info("progress: %s", ", ".join(parts))


class InterruptibleTap(Tap):
    """A tap that a signal stops between two records, with a state that is true.

    The SDK's own handler writes a state from inside the handler, possibly in the middle of a
    record's line, and exits 0 as if the run had ended well.
    """

    @cached_property
    def stop(self) -> StopRequest:
        """The wish of a signal, shared by the streams and the client."""
        return StopRequest()

    @property
    @abc.abstractmethod
    def client(self) -> VoucherifyClient:
        """The one connection that all streams share, so that calls are counted once."""

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Ask the run to stop; a second signal ends the process at once."""
        self.stop.ask(signum)
        signal.signal(signum, signal.SIG_DFL)
