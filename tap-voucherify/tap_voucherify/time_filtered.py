"""The base of streams whose list takes time filters: a first walk, then walks of what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_voucherify.completeness import FirstRun, incomplete, is_complete
from tap_voucherify.incremental import IncrementalStream
from tap_voucherify.instants import written
from tap_voucherify.listings import pages_of
from tap_voucherify.modified import changed_rows, modified_at
from tap_voucherify.walk import Fetch, Listing, Query, Row, Timed, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from tap_voucherify.emission import Record


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

    _first_run: FirstRun | None = None
    _reached: datetime | None = None

    @override
    def rows(self) -> Iterator[Record | None]:
        fetch = pages_of(self.client.get, self.path, filters=self.filters)
        since, until = self.span()
        if until is not None:
            created = walk(fetch, self.by_creation, since=since, until=until, tally=self.tally)
            yield from (self._record(row, instant) for instant, row in created)
        elif since is None:
            yield from self._everything(fetch)
        else:
            yield from self._changes(fetch, since)

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

    def _changes(self, fetch: Fetch, since: datetime) -> Iterator[Record]:
        for instant, row in self._changed(fetch, since):
            yield self._record(row, instant)
            self._reached = instant
        self.logger.info(
            "complete: %d rows changed since %s, %d duplicates dropped, %d calls",
            self.report.rows,
            written(since),
            self.tally.duplicates,
            self.tally.calls,
        )

    def _changed(self, fetch: Fetch, since: datetime) -> Iterator[Timed]:
        if self.by_update is None:
            return walk(fetch, self.by_creation, since=since, tally=self.tally)
        return changed_rows(fetch, self.by_creation, self.by_update, since, self.tally)

    def _everything(self, fetch: Fetch) -> Iterator[Record]:
        """Each row once, ascending by its creation, from where an earlier run was cut."""
        run = self._first_run = FirstRun.from_state(self.stream_state.get("first_run", {}))
        seen, newer = run.rows, 0
        for instant, row in walk(fetch, self.by_creation, since=run.reached, tally=self.tally):
            self._begin(run)
            yield self._record(row, instant)
            if instant != run.reached:
                run.reached, run.rows = instant, seen
            seen += 1
            newer += run.started is not None and instant >= run.started
        self._begin(run)
        query = Query(self.by_creation.field, self.by_creation.field)
        if not is_complete(run.total, seen, newer, lambda: fetch(query).total):
            self._first_run = FirstRun()
            self.stream_state["first_run"] = {}
            raise incomplete(self.name, run.total, seen)
        self._tell_complete(run, seen)

    def _begin(self, run: FirstRun) -> None:
        """Note when the walk began and how many rows there were, once the first answer is in."""
        if run.started is None:
            run.started, run.total = self.client.run_started, self.tally.total

    def _tell_complete(self, run: FirstRun, seen: int) -> None:
        self.logger.info(
            "complete: %s rows counted by the API, %d distinct rows, %d duplicates dropped, "
            "%d calls",
            "no" if run.total is None else run.total,
            seen,
            self.tally.duplicates,
            self.tally.calls,
        )

    def _record(self, row: Row, instant: datetime) -> Record:
        if self.by_update is not None:
            instant = modified_at(row, self.name)
        return {**row, str(self.replication_key): written(instant)}
