"""The base of streams whose list takes time filters: a full first run, then what changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_voucherify.pagination.endpoints import pages_of
from tap_voucherify.pagination.parallel_windows import (
    CALLS_PER_WINDOW,
    WINDOW_ROWS,
    ParallelWindows,
    Source,
    Window,
)
from tap_voucherify.pagination.replication_value import changed_rows, modified_at_text
from tap_voucherify.pagination.time_cursor import (
    Fetch,
    Query,
    Row,
    TimedRow,
    TimeOrderedEndpoint,
    rows_by_time,
    widened,
)
from tap_voucherify.pagination.total_check import FilteredCount, FullRead, verified_rows
from tap_voucherify.streams.stream import IncrementalStream, RunRange
from tap_voucherify.voucherify_client.timestamps import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from tap_voucherify.pagination.parallel_windows import TimedRecord
    from tap_voucherify.records.encoder import Record


class TimeRangeStream(IncrementalStream):
    """A list read by the time of creation and, if rows change, by the time of update.

    Attributes:
        path: of the list.
        by_creation: the list, ordered by the time that never changes.
        by_update: the list, ordered by the time of update; `None` if rows never change.
        filters: the names of the times in `filters`, for a list that takes them only there.
    """

    selected_by_default = False
    path: ClassVar[str]
    by_creation: ClassVar[TimeOrderedEndpoint]
    by_update: ClassVar[TimeOrderedEndpoint | None] = None
    filters: ClassVar[Mapping[str, str] | None] = None

    _first_run: FullRead | None = None
    _reached: datetime | None = None

    @override
    def rows_in(self, run: RunRange) -> Iterator[Record | None]:
        get = partial(self.client.get, decode=self.records.page)
        fetch = pages_of(get, self.path, filters=self.filters)
        if run.until is not None:
            return (record for _, record in self._created(fetch, Window(run.since, run.until)))
        if run.since is None:
            return self.first_run(fetch)
        return self._changes(fetch, run.since)

    @override
    def write_position(self) -> None:
        if self._first_run is not None or self.report.complete:
            read = self._first_run or FullRead(started=self.client.run_started)
            self.save("first_run", read)
        elif self._reached is not None:
            self.move_bookmark(self._reached, self.client.run_started)

    def _changes(self, fetch: Fetch, since: datetime) -> Iterator[Record]:
        for instant, row in self._changed(fetch, since):
            yield self._record(row, instant)
            self._reached = instant
            self.note(instant)
        self.logger.info(
            "complete: %s changed %s since %s, %d duplicates dropped, %d calls",
            f"{self.rows_written:,}",
            self.name,
            to_iso(since),
            self.stats.duplicates,
            self.stats.calls,
        )

    def _changed(self, fetch: Fetch, since: datetime) -> Iterator[TimedRow]:
        if self.by_update is None:
            return rows_by_time(fetch, self.by_creation, since=since, stats=self.stats)
        return changed_rows(fetch, self.by_creation, self.by_update, since, self.stats)

    def first_run(self, fetch: Fetch) -> Iterator[Record | None]:
        """Each row once, ascending by its creation, from where an earlier run was cut."""
        read = FullRead.from_state(self.saved("first_run"))
        count = FilteredCount(fetch, self.by_creation)
        return verified_rows(self, read, partial(self._rest, fetch), count.before)

    def _rest(self, fetch: Fetch, read: FullRead) -> Iterator[Record]:
        """What is left of a first run."""
        self._first_run = read
        for instant, record in self._created(fetch, Window(read.reached, None), first_run=True):
            if read.started is None:
                read.begin(self.client.run_started, self.stats.total)
            yield record
            read.add(instant)
        read.begin(self.client.run_started, self.stats.total)

    def _created(
        self, fetch: Fetch, span: Window, *, first_run: bool = False
    ) -> Iterator[TimedRecord]:
        """Records of what was created in a span, ascending: in parallel windows if that pays."""
        query = Query(
            self.by_creation.field, self.by_creation.field, *widened(span.since, span.until)
        )
        page = fetch(query)
        self.stats.total = page.total
        if first_run:
            self.stats.heeds_filters = False  # its total is checked at the end, as of all rows
        concurrency = self._concurrency()
        if concurrency == 1 or not page.rows or (page.total or 0) < 2 * WINDOW_ROWS:
            # The first page is there already: the read by time begins with the same query.
            pages = {query: page}
            rows = rows_by_time(
                lambda query: pages.pop(query, None) or fetch(query),
                self.by_creation,
                since=span.since,
                until=span.until,
                stats=self.stats,
            )
            return ((instant, self._record(row, instant)) for instant, row in rows)
        self.stats.calls += 1
        source = Source(fetch, self.by_creation, self._record, page.total, self.client.fail)
        windows = ParallelWindows(
            source,
            concurrency=concurrency,
            stats=self.stats,
            fails_early=not first_run,
        )
        first = self.by_creation.instant(page.rows[0]) or self.client.run_started
        return windows.records(span, first, self.client.run_started - self.lookback)

    def _concurrency(self) -> int:
        """Windows to read at a time: no more than the calls left by `max_calls` can finish.

        What was read ahead when the calls run out is lost, and has to be read again.
        """
        concurrency = int(self.config["max_concurrency"])
        return int(max(1, min(concurrency, self.client.calls_left // CALLS_PER_WINDOW)))

    def _record(self, row: Row, instant: datetime) -> Record:
        text = to_iso(instant) if self.by_update is None else modified_at_text(row, self.name)
        return self.records.record(row, text)
