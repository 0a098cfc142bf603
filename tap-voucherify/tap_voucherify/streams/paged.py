"""The base of streams whose list has an order but no time filter: read back to the bookmark."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from typing_extensions import override

from tap_voucherify.pagination.endpoints import page_of
from tap_voucherify.pagination.page_number import LAST_PAGE, NumberedPages
from tap_voucherify.pagination.replication_value import modified_at
from tap_voucherify.pagination.time_cursor import PAGE_ROWS, Page, Row, Tally
from tap_voucherify.pagination.total_check import (
    WholeRead,
    conclude,
    counted_in_pages,
    created_at,
    verified,
)
from tap_voucherify.streams.stream import IncrementalStream, VoucherifyStream
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import parse, to_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_voucherify.records.untouched import Record


class FullTableStream(VoucherifyStream):
    """A list read whole, by page number; a run that was cut starts over.

    Its state is only how many rows the last read lacked, if any.

    Attributes:
        path: the list.
        is_paged: whether it takes `page` and `limit`; otherwise one answer holds everything.
    """

    selected_by_default = False
    replication_key = None
    path: ClassVar[str]
    is_paged: ClassVar[bool] = True

    _read = WholeRead()

    @override
    def rows(self) -> Iterator[Record | None]:
        self._read = WholeRead(lacked=self.stream_state.get("missing"))
        yield from self.listed()
        conclude(self, self._read)

    def listed(self) -> Iterator[Row]:
        """The rows of the stream."""
        return self.whole(self.path)

    @override
    def mark(self) -> None:
        if self._read.missing is not None:
            self.stream_state["missing"] = self._read.missing
        elif self.report.complete:
            self.stream_state.pop("missing", None)

    def whole(self, path: str, identity: str = "") -> Iterator[Row]:
        """Every row of a list; `identity` is what stands in its path.

        Raises:
            NotFoundError: the parent in the path is gone.
            VoucherifyError: the list is longer than its pages reach.
        """
        last_page = LAST_PAGE if self.is_paged else 1

        def listed() -> NumberedPages:
            page = partial(self._page, path, identity)
            return NumberedPages(
                page, Tally(), began=lambda: self.client.run_started, last_page=last_page
            )

        pages, read = listed(), WholeRead()
        tally = pages.tally
        for row in pages.rows():
            read.begin(self.client.run_started, pages.first_total)
            read.add(created_at(row))
            yield row
        read.begin(self.client.run_started, pages.first_total)
        self.tally.calls += tally.calls
        self.tally.duplicates += tally.duplicates
        if pages.capped:
            raise VoucherifyError(
                f"{self.name}: the API lists {LAST_PAGE * PAGE_ROWS:,} rows at most and there are "
                "more: deselect the stream, and get the rows as an export."
            )
        self.note(read, partial(counted_in_pages, listed))

    def note(self, read: WholeRead, count: Callable[[datetime], int | None]) -> None:
        """Add one whole list to what the stream has read.

        Args:
            read: the list, read to its end.
            count: asks how many of its rows the API counts that were created before an instant.
        """
        read.check(count)
        whole = self._read
        if read.total is not None:
            whole.total = (whole.total or 0) + read.total
        whole.rows += read.rows
        whole.missing = ((whole.missing or 0) + (read.missing or 0)) or None

    def _page(self, path: str, identity: str, number: int) -> Page:
        params = {"limit": PAGE_ROWS, "page": number} if self.is_paged else {}
        segments = {"id": identity} if identity else None
        return page_of(self.client.get(path, segments, params))


@dataclass
class Progress(WholeRead):
    """How far the pages were read; only a first run has to account for all rows.

    Attributes:
        time: the time that orders the list being read.
        page: its page being read; rows of earlier pages were all written.
    """

    time: str = ""
    page: int = 1

    newest_first: ClassVar[bool] = True

    @override
    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        progress = super().from_state(state)
        progress.time, progress.page = str(state.get("time", "")), int(state.get("page", 1))
        return progress

    @override
    def to_state(self) -> dict[str, Any]:
        return {**super().to_state(), "time": self.time, "page": self.page}


class NewestFirstStream(IncrementalStream):
    """A list read page by page from its newest row back to the bookmark, 10,000 rows at most.

    Rows that come or move to the front meanwhile belong to the next run: the bookmark is the
    instant the reading began. A run that was cut goes on at its page, one page of overlap.

    Attributes:
        path: the list.
        times: the times that it is read by, each newest first; `created_at` comes last and, after
            `updated_at`, gives the rows that were never updated.
    """

    selected_by_default = False
    path: ClassVar[str]
    times: ClassVar[tuple[str, ...]] = ("created_at",)

    _progress = Progress()
    _peeked: tuple[str, int, Page] | None = None

    @override
    def rows(self) -> Iterator[Record | None]:
        since, until = self.span()
        state = {} if until is not None else self.stream_state.get("pages", {})
        self._progress = Progress.from_state(state)
        if since is None:
            read = partial(self._whole, until)
            yield from verified(self, self._progress, read, self._created_before)
            return
        times = self.times if until is None else self.times[-1:]
        first = times.index(self._progress.time) if self._progress.time in times else 0
        for time in times[first:]:
            pages = self._pages(time, since)
            if pages is None:
                continue
            rows = pages.rows()
            yield from self._wanted(rows, pages, until, never_updated=time != times[0])
            self._refuse_cap(pages)
        self._tell_complete()

    def _whole(self, until: datetime | None, read: Progress) -> Iterator[Record | None]:
        """What is left of a first run: each row by its creation."""
        self._progress = read
        pages = self._pages(self.times[-1], None)
        if pages is not None:
            rows = self._counted(pages, read)
            yield from self._wanted(rows, pages, until, never_updated=False)
            self._refuse_cap(pages)

    def _counted(self, pages: NumberedPages, read: Progress) -> Iterator[Row]:
        for row in pages.rows():
            yield row
            read.add(created_at(row))

    def _created_before(self, border: datetime) -> int | None:
        created = self.times[-1]

        def pages() -> NumberedPages:
            return NumberedPages(
                partial(self._page, created), Tally(), created, border, self._began
            )

        return counted_in_pages(pages, border)

    @override
    def mark(self) -> None:
        progress = self._progress
        if self.instant_setting("end_date") is not None or progress.started is None:
            return
        if self.report.complete:
            self.stream_state.pop("pages", None)
            self.move_bookmark(progress.started, progress.started)
        else:
            self.stream_state["pages"] = progress.to_state()

    def _pages(self, time: str, since: datetime | None) -> NumberedPages | None:
        """The pages by one time, from where an earlier run was cut in them; none to read none."""
        begin: int | None = max(1, self._progress.page - 1)
        if time != self._progress.time:
            self._progress.time, self._progress.page = time, 1
            begin = 1 if time == self.times[-1] else self._first_page(time)
        if begin is None:
            return None
        page = partial(self._page, time)
        return NumberedPages(page, self.tally, time, since, self._began, number=begin)

    def _began(self) -> datetime:
        return self._progress.started or self.client.run_started

    def _first_page(self, time: str) -> int | None:
        """Where the rows begin that have a time which others lack; none if no row has it.

        Whether rows without it come first is not published. Where they do, they can fill more
        pages than there are, so the place is searched by halves.
        """
        first = self._page(time, 1)
        self._peeked = (time, 1, first)
        if not first.may_have_successor or _has_time(first, time):
            return 1
        reach = LAST_PAGE * PAGE_ROWS
        low, high = 2, min(LAST_PAGE, -(-(first.total or reach) // PAGE_ROWS))
        if not _has_time(self._page(time, high), time):
            self._tell_unseen(time, first.total)
            return None
        while low < high:
            middle = (low + high) // 2
            if _has_time(self._page(time, middle), time):
                high = middle
            else:
                low = middle + 1
        return low - 1

    def _tell_unseen(self, time: str, total: int | None) -> None:
        if total is None or total > LAST_PAGE * PAGE_ROWS:
            self.logger.warning(
                "no row with `%s` is on any page that the API lists; if rows are updated in this "
                "project, their changes are not read",
                time,
            )

    def _page(self, time: str, number: int) -> Page:
        if self._peeked is not None and (time, number) == self._peeked[:2]:
            page, self._peeked = self._peeked[2], None
            return page
        params = {"limit": PAGE_ROWS, "order": f"-{time}", "page": number}
        page = page_of(self.client.get(self.path, params=params))
        self._progress.begin(self.client.run_started, page.total)
        return page

    def _wanted(
        self,
        rows: Iterator[Row],
        pages: NumberedPages,
        until: datetime | None,
        *,
        never_updated: bool,
    ) -> Iterator[Record | None]:
        """The rows of the time wanted; of those ordered by creation perhaps the never updated."""
        for row in rows:
            self._progress.page = pages.number
            text = row.get(str(pages.stamp))
            if text is None or (never_updated and row.get("updated_at")):
                yield None
                continue
            instant = parse(text, what=f"`{pages.stamp}` of {self.name}")
            late_enough = pages.since is None or instant >= pages.since
            if late_enough and (until is None or instant < until):
                yield self._record(row, instant)

    def _record(self, row: Row, instant: datetime) -> Record:
        if len(self.times) > 1:
            instant = modified_at(row, self.name)
        return {**row, str(self.replication_key): to_iso(instant)}

    def _refuse_cap(self, pages: NumberedPages) -> None:
        if pages.capped:
            total = "more" if self.tally.total is None else f"{self.tally.total:,}"
            raise VoucherifyError(
                f"{self.name}: the API lists only the newest {LAST_PAGE * PAGE_ROWS:,} rows and "
                f"there are {total}; older ones were not read and the bookmark stays where it "
                "was: set start_date to an instant those rows reach back to, and get the older "
                "ones as an export."
            )

    def _tell_complete(self) -> None:
        self.logger.info(
            "complete: %s rows counted by the API, %d rows new since the bookmark, "
            "%d duplicates dropped, %d calls",
            "no" if self.tally.total is None else self.tally.total,
            self.report.rows,
            self.tally.duplicates,
            self.tally.calls,
        )


def _has_time(page: Page, time: str) -> bool:
    return any(row.get(time) for row in page.rows)
