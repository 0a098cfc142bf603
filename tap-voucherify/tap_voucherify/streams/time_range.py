"""The base of streams whose list takes time filters: a first walk, then walks of what changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_voucherify.pagination.endpoints import Get, pages_of
from tap_voucherify.pagination.parallel_windows import (
    CALLS_A_WINDOW,
    WINDOW_ROWS,
    Source,
    Window,
    WindowedWalk,
)
from tap_voucherify.pagination.replication_value import changed_rows, modified_at_text
from tap_voucherify.pagination.time_cursor import Fetch, Listing, Query, Row, Timed, walk, widened
from tap_voucherify.pagination.total_check import FilteredCount, WholeRead, verified
from tap_voucherify.records.untouched import UntouchedRow
from tap_voucherify.streams.stream import IncrementalStream
from tap_voucherify.voucherify_client.timestamps import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from tap_voucherify.pagination.parallel_windows import TimedRecord
    from tap_voucherify.records.untouched import Record


class TimeFilteredStream(IncrementalStream):
    """A list walked by the time of creation and, where rows change, by the time of update.

    Attributes:
        path: the list.
        by_creation: how it is walked by the time that never changes.
        by_update: how it is walked by the time of update; none where rows never change.
        filters: names of the times in `filters`, for a list that takes them only there.
    """

    selected_by_default = False
    path: ClassVar[str]
    by_creation: ClassVar[Listing]
    by_update: ClassVar[Listing | None] = None
    filters: ClassVar[Mapping[str, str] | None] = None

    _first_run: WholeRead | None = None
    _reached: datetime | None = None

    @override
    def rows(self) -> Iterator[Record | None]:
        fetch = pages_of(self._get, self.path, filters=self.filters)
        since, until = self.span()
        if until is not None:
            yield from self._slice(fetch, Window(since, until))
        elif since is None:
            yield from self.first_run(fetch)
        else:
            yield from self._changes(fetch, since)

    def first_run(self, fetch: Fetch) -> Iterator[Record | None]:
        """Every row, where there is no bookmark yet."""
        return self._everything(fetch)

    @property
    def _get(self) -> Get:
        """How a page is asked for: with its rows untouched where nothing speaks against it."""
        if self.untouched is None:
            return self.client.get
        return partial(self.client.get, decode=self.untouched.page)

    @override
    def mark(self) -> None:
        run = self._first_run
        started = self.client.run_started if run is None else run.started
        if self.instant_setting("end_date") is not None or started is None:
            return  # a slice keeps no state, and nothing was read yet
        if self.report.complete:
            self.stream_state.pop("first_run", None)
            self.move_bookmark(started, started)
        elif run is not None:
            self.stream_state["first_run"] = run.to_state()
        elif self._reached is not None:
            self.move_bookmark(self._reached, started)

    def _slice(self, fetch: Fetch, span: Window) -> Iterator[Record]:
        """Rows created in [`start_date`, `end_date`), whatever the state says."""
        for _, record in self._created(fetch, span):
            yield record

    def _changes(self, fetch: Fetch, since: datetime) -> Iterator[Record]:
        for instant, row in self._changed(fetch, since):
            yield self._record(row, instant)
            self._reached = instant
        self.logger.info(
            "complete: %d changed %s since %s, %d duplicates dropped, %d calls",
            self.report.rows,
            self.name,
            to_iso(since),
            self.tally.duplicates,
            self.tally.calls,
        )

    def _changed(self, fetch: Fetch, since: datetime) -> Iterator[Timed]:
        if self.by_update is None:
            return walk(fetch, self.by_creation, since=since, tally=self.tally)
        return changed_rows(fetch, self.by_creation, self.by_update, since, self.tally)

    def _created(
        self, fetch: Fetch, span: Window, *, first_run: bool = False
    ) -> Iterator[TimedRecord]:
        """Records of what was created in a span, ascending: in windows where that pays."""
        query = Query(
            self.by_creation.field, self.by_creation.field, *widened(span.since, span.until)
        )
        page = fetch(query)
        self.tally.total = page.total
        at_once = self._windows_at_once()
        if at_once == 1 or not page.rows or (page.total or 0) < 2 * WINDOW_ROWS:
            # The first page is at hand already: the walk begins with the same query.
            answers = {query: page}
            rows = walk(
                lambda asked: answers.pop(asked, None) or fetch(asked),
                self.by_creation,
                since=span.since,
                until=span.until,
                tally=self.tally,
            )
            return ((instant, self._record(row, instant)) for instant, row in rows)
        self.tally.calls += 1
        source = Source(fetch, self.by_creation, self._record, page.total, self.client.fail)
        windowed = WindowedWalk(
            source,
            at_once=at_once,
            tally=self.tally,
            fails_early=not first_run,
        )
        first = self.by_creation.instant(page.rows[0]) or self.client.run_started
        return windowed.rows(span, first, self.client.run_started - self.lookback)

    def _windows_at_once(self) -> int:
        """As many as requests may be in flight, and as the calls left by `max_calls` can finish.

        What is read ahead when the calls run out is lost, and has to be read again.
        """
        at_once = int(self.config["max_concurrency"])
        left = self.client.calls_left
        return int(max(1, min(at_once, left // CALLS_A_WINDOW)))

    def _everything(self, fetch: Fetch) -> Iterator[Record]:
        """Each row once, ascending by its creation, from where an earlier run was cut."""
        read = WholeRead.from_state(self.stream_state.get("first_run", {}))
        count = FilteredCount(fetch, self.by_creation)
        return verified(self, read, partial(self._first, fetch), count.before)

    def _first(self, fetch: Fetch, run: WholeRead) -> Iterator[Record]:
        """What is left of a first run."""
        self._first_run = run
        for instant, record in self._created(fetch, Window(run.reached, None), first_run=True):
            run.begin(self.client.run_started, self.tally.total)
            yield record
            run.add(instant)
        run.begin(self.client.run_started, self.tally.total)

    def _record(self, row: Row, instant: datetime) -> Record:
        text = to_iso(instant) if self.by_update is None else modified_at_text(row, self.name)
        if isinstance(row, UntouchedRow):
            return row.record(text)
        return {**row, str(self.replication_key): text}
