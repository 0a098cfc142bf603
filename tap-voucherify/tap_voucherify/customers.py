"""The stream `customers`: a first run, runs of what changed, and slices for parallel backfills."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_voucherify.changes import changed_customers, modified_at
from tap_voucherify.completeness import FirstRun, incomplete, is_complete
from tap_voucherify.export_file import rows_of
from tap_voucherify.exporting import Export, customer_definitions, fetched
from tap_voucherify.incremental import IncrementalStream
from tap_voucherify.instants import written
from tap_voucherify.listings import CUSTOMERS, CUSTOMERS_BY_CREATION, pages_of
from tap_voucherify.walk import Query, walk, widened
from tap_voucherify.windows import CALLS_A_WINDOW, WINDOW_ROWS, Window, WindowedWalk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.emission import Record
    from tap_voucherify.walk import Fetch, Row, Timed

EVERY_CUSTOMER = Query(CUSTOMERS_BY_CREATION.field, CUSTOMERS_BY_CREATION.field)


class Customers(IncrementalStream):
    """Every customer of the project, with the instant of its last change."""

    name = "customers"
    replication_key = "modified_at"

    _first_run: FirstRun | None = None
    _export: Export | None = None
    _reached: datetime | None = None

    @override
    def rows(self) -> Iterator[Record | None]:
        fetch = pages_of(self.client.get, CUSTOMERS)
        since = self.since()
        if self.instant_setting("end_date") is not None:
            yield from self._slice(fetch)
        elif since is None and self._takes_export():
            yield from self._exported(fetch)
        elif since is None:
            yield from self._everything(fetch)
        else:
            yield from self._changes(fetch, since)

    @override
    def mark(self) -> None:
        started = self._started()
        if self.instant_setting("end_date") is not None or started is None:
            return  # a slice keeps no state, and nothing was read yet
        if self.report.complete:
            self.stream_state.pop("first_run", None)
            self.stream_state.pop("export", None)
            self.move_bookmark(started, started)
        elif self._export is not None:
            self.stream_state["export"] = self._export.to_state()
        elif self._first_run is not None:
            self.stream_state["first_run"] = self._first_run.to_state()
        elif self._reached is not None:
            self.move_bookmark(self._reached, started)

    def _started(self) -> datetime | None:
        run = self._export or self._first_run
        return self.client.run_started if run is None else run.started

    def _takes_export(self) -> bool:
        """Whether the first run goes through an export; one begun through the list ends there."""
        wanted = self.config["customers_backfill"] == "export"
        return "first_run" not in self.stream_state and (wanted or "export" in self.stream_state)

    def _slice(self, fetch: Fetch) -> Iterator[Record]:
        """Customers created in [`start_date`, `end_date`), whatever the state says."""
        since, until = self.instant_setting("start_date"), self.instant_setting("end_date")
        for _, row in self._created(fetch, Window(since, until)):
            yield self._record(row)

    def _created(self, fetch: Fetch, span: Window) -> Iterator[Timed]:
        """Customers created in a span, ascending: in windows side by side where that pays."""
        field = CUSTOMERS_BY_CREATION.field
        query = Query(field, field, *widened(span.since, span.until))
        page = fetch(query)
        self.tally.total = page.total
        at_once = self._windows_at_once()
        if at_once == 1 or not page.rows or (page.total or 0) < 2 * WINDOW_ROWS:
            # The first page is at hand already: the walk begins with the same query.
            answers = {query: page}
            yield from walk(
                lambda asked: answers.pop(asked, None) or fetch(asked),
                CUSTOMERS_BY_CREATION,
                since=span.since,
                until=span.until,
                tally=self.tally,
            )
            return
        self.tally.calls += 1
        windowed = WindowedWalk(fetch, CUSTOMERS_BY_CREATION, at_once=at_once, tally=self.tally)
        first = CUSTOMERS_BY_CREATION.instant(page.rows[0]) or self.client.run_started
        yield from windowed.rows(span, first, self.client.run_started - self.lookback)

    def _windows_at_once(self) -> int:
        """As many as requests may be in flight, and as the calls left by `max_calls` can finish.

        What is read ahead when the calls run out is lost, and has to be read again.
        """
        at_once = int(self.config["max_concurrency"])
        left = self.client.calls_left
        return at_once if left is None else max(1, min(at_once, left // CALLS_A_WINDOW))

    def _changes(self, fetch: Fetch, since: datetime) -> Iterator[Record]:
        for instant, row in changed_customers(fetch, since, self.tally):
            yield self._record(row)
            self._reached = instant
        self.logger.info(
            "complete: %d changed customers since %s, %d duplicates dropped, %d calls",
            self.report.rows,
            written(since),
            self.tally.duplicates,
            self.tally.calls,
        )

    def _everything(self, fetch: Fetch) -> Iterator[Record]:
        """Each customer once, ascending by `created_at`, which never changes."""
        run = self._first_run = FirstRun.from_state(self.stream_state.get("first_run", {}))
        seen, newer = run.rows, 0
        for instant, row in self._created(fetch, Window(run.reached, None)):
            if run.started is None:
                run.started, run.total = self.client.run_started, self.tally.total
            yield self._record(row)
            if instant != run.reached:
                run.reached, run.rows = instant, seen
            seen += 1
            newer += instant >= run.started
        if run.started is None:
            run.started, run.total = self.client.run_started, self.tally.total
        self._prove_complete(fetch, run, seen, newer)

    def _exported(self, fetch: Fetch) -> Iterator[Record | None]:
        """Each customer once, from the file of an export."""
        export = self._export = Export.from_state(self.stream_state.get("export", {}))
        total = None if export.id else fetch(EVERY_CUSTOMER).total
        schema = customer_definitions(self.client)
        for file in fetched(self.client, export, total):
            yield None
            if file is None:
                continue
            newer, done = 0, export.rows
            for row in islice(rows_of(file, schema), done, None):
                yield self._record(row)
                export.rows += 1
                newer += export.started is not None and modified_at(row) >= export.started
        self._prove_complete(fetch, export, export.rows, newer)

    def _prove_complete(self, fetch: Fetch, run: FirstRun | Export, seen: int, newer: int) -> None:
        """Hold the rows of a first run against the API's own count at its beginning.

        Raises:
            VoucherifyError: rows are missing and no deletion explains it.
        """
        if not is_complete(run.total, seen, newer, lambda: fetch(EVERY_CUSTOMER).total):
            self._first_run = self._export = None
            self.stream_state.clear()
            raise incomplete(self.name, run.total, seen)
        self.logger.info(
            "complete: %s customers counted by the API, %d distinct rows (%d of them created "
            "during the run), %d duplicates dropped, %d calls",
            "no" if run.total is None else run.total,
            seen,
            newer,
            self.tally.duplicates,
            self.tally.calls,
        )

    def _record(self, row: Row) -> Record:
        return {**self.in_columns(row), "modified_at": written(modified_at(row))}
