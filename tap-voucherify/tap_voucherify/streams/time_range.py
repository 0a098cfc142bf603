"""The base of streams whose list takes time filters: a full first run, then what changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_voucherify.pagination.endpoints import Get, pages_of, sent_before
from tap_voucherify.pagination.parallel_windows import (
    ParallelWindows,
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
)
from tap_voucherify.pagination.total_check import FilteredCount, FullRead, verified_rows
from tap_voucherify.streams.incremental import IncrementalStream, RunRange
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import MILLISECOND, to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

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
    positions: ClassVar = {"first_run": FullRead}
    path: ClassVar[str]
    by_creation: ClassVar[TimeOrderedEndpoint]
    by_update: ClassVar[TimeOrderedEndpoint | None] = None
    filters: ClassVar[Mapping[str, str] | None] = None

    _first_run: FullRead | None = None
    _reached: datetime | None = None

    @override
    def rows_in(self, run: RunRange) -> Iterator[Record | None]:
        fetch = pages_of(self._get, self.path, filters=self.filters)
        if run.until is not None:
            return self._slice(fetch, Window(run.since, run.until))
        if self.bookmark is None:
            return self.first_run(fetch, run.since)
        return self._changes(fetch, run.since or self.bookmark)

    @property
    def _get(self) -> Get:
        """The GET of a page."""
        return partial(self.client.get, decode=self.records.page)

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

    def first_run(self, fetch: Fetch, since: datetime | None) -> Iterator[Record | None]:
        """What was created or changed since, each row once, from where an earlier run was cut.

        Args:
            fetch: returns a page.
            since: `start_date`; `None` for every row.
        """
        read = FullRead.from_state(self.saved("first_run"))
        count = FilteredCount(fetch, self.by_creation, since)
        return verified_rows(self, read, partial(self._rest, fetch, since, count), count.before)

    def _rest(
        self, fetch: Fetch, since: datetime | None, count: FilteredCount, read: FullRead
    ) -> Iterator[Record]:
        """What is left of a first run: what was created since, then older rows that changed."""
        self._first_run = read
        self.stats.is_counted = True
        if since is not None and read.started is None:
            counted = count.now()
            read.begin(self.client.run_started, counted)
        if read.changed is None:
            for instant, row in self._created(fetch, Window(read.reached or since, None)):
                read.begin(self.client.run_started, self.stats.total)
                yield self._record(row, instant)
                read.add(instant)
            read.begin(self.client.run_started, self.stats.total)
        self.stats.is_counted = False
        if since is not None and self.by_update is not None:
            for instant, row in self._older(self.by_update, since, read.changed or since):
                yield self._record(row, instant)
                read.changed = instant

    def _older(
        self, by_update: TimeOrderedEndpoint, since: datetime, begin: datetime
    ) -> Iterator[TimedRow]:
        """Rows created before `since` that changed at `begin` or later."""
        params = sent_before(self.by_creation.field, since + MILLISECOND, self.filters)
        fetch = pages_of(self._get, self.path, filters=self.filters, params=params)
        for instant, row in rows_by_time(fetch, by_update, since=begin, stats=self.stats):
            created = self.by_creation.instant(row)
            if created is None or created < since:
                yield instant, row

    def _slice(self, fetch: Fetch, span: Window) -> Iterator[Record]:
        """What was created between `start_date` and `end_date`.

        Raises:
            VoucherifyError: the API counts more rows inside the slice than it gave.
        """
        rows = 0
        for instant, row in self._created(fetch, span):
            yield self._record(row, instant)
            rows += 1
        if span.until is None:
            return
        settled = min(span.until, self.client.run_started - self.lookback)
        query = Query(
            self.by_creation.field, self.by_creation.field, span.since, settled - MILLISECOND
        )
        counted = fetch(query).total or 0
        self.stats.calls += 1
        if counted > rows and FilteredCount(fetch, self.by_creation).heeds_filters:
            raise VoucherifyError(
                f"{self.name}: the API counts {counted:,} {self.name} in the slice but gave "
                f"{rows:,}: run again; if the figures stay, ask Voucherify's support what `total` "
                "counts in this project."
            )
        self.logger.info(
            "complete: %s %s of the slice, %d duplicates dropped, %d calls",
            f"{self.rows_written:,}",
            self.name,
            self.stats.duplicates,
            self.stats.calls,
        )

    def _created(self, fetch: Fetch, span: Window) -> Iterator[TimedRow]:
        return rows_created(self, fetch, self.by_creation, span)

    def _record(self, row: Row, instant: datetime) -> Record:
        text = to_iso(instant) if self.by_update is None else modified_at_text(row, self.name)
        return self.records.record(row, text)


def rows_created(
    stream: IncrementalStream, fetch: Fetch, endpoint: TimeOrderedEndpoint, span: Window
) -> Iterator[TimedRow]:
    """What was created in a span, ascending; pages are read side by side where that pays."""
    windows = ParallelWindows(
        fetch,
        endpoint,
        concurrency=lambda: stream.concurrency,
        stats=stream.stats,
        fail=stream.client.fail,
    )
    return windows.rows(span, lambda: stream.client.run_started - stream.lookback)
