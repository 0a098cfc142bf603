"""The bases of streams whose list takes a page number but no time filter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_voucherify.pagination.endpoints import page_of
from tap_voucherify.pagination.page_number import (
    LAST_PAGE,
    QUIET_PASSES,
    NumberedPages,
    places_descend,
)
from tap_voucherify.pagination.position import count_of
from tap_voucherify.pagination.replication_value import is_in_read_by_update, modified_at
from tap_voucherify.pagination.time_cursor import PAGE_ROWS, Page, ReadStats, Row, end
from tap_voucherify.pagination.total_check import (
    FullRead,
    counted_in_pages,
    created_at,
    is_older,
    report_or_raise,
    verified_rows,
)
from tap_voucherify.streams.incremental import IncrementalStream, RunRange
from tap_voucherify.streams.stream import GracefulTap, VoucherifyStream
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import LONGEST_RESOLUTION, parse, to_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_voucherify.records.encoder import Record


class PagedStream(VoucherifyStream):
    """A list read by page number.

    Attributes:
        path: of the list.
    """

    selected_by_default = False
    path: ClassVar[str]

    def get_page(self, path: str, segments: dict[str, str] | None = None, **params: Any) -> Page:
        """One page of a list of the stream's rows."""
        return page_of(self.client.get(path, segments, params, self.records.page))

    def refuse_capped(self, pages: NumberedPages, advice: str) -> None:
        """Raise if the list is longer than the API's pages reach.

        Raises:
            VoucherifyError: with advice.
        """
        if pages.capped:
            reach = pages.last_page * PAGE_ROWS
            raise VoucherifyError(
                f"{self.name}: the API lists {reach:,} rows at most and there are "
                f"{'more' if pages.stats.total is None else f'{pages.stats.total:,}'}: {advice}"
            )


class FullTableStream(PagedStream):
    """A list read whole, by page number; a run that was cut starts over.

    Its state is only how many rows the last read lacked, if any.

    Attributes:
        sizes: which of `limit` and `page` it takes; without `page` one response holds everything.
    """

    replication_key = None
    sizes: ClassVar[tuple[str, ...]] = ("limit", "page")

    _read = FullRead()

    @override
    def check_state(self) -> None:
        lacked = self.stream_state.get("missing")
        self._read = FullRead(lacked=None if lacked is None else count_of(lacked, "missing"))

    @override
    def rows(self) -> Iterator[Record | None]:
        self.check_state()
        yield from map(self.records.record, self.listed())
        report_or_raise(self, self._read)

    def listed(self) -> Iterator[Row]:
        """The rows of the stream."""
        return self.all_records(self.path)

    @override
    def write_position(self) -> None:
        if self._read.missing is not None:
            self.stream_state["missing"] = self._read.missing
        elif self.report.complete:
            self.stream_state.pop("missing", None)

    def all_records(
        self, path: str, parent_id: str = "", *, time: str | None = None, is_parents: bool = False
    ) -> Iterator[Row]:
        """Every row of a list, or of a parent's list.

        Args:
            path: of the list.
            parent_id: the parent.
            time: orders the list, newest first; `None` for a list that takes no order.
            is_parents: whether its rows are not of the stream but parents of such.

        Raises:
            NotFoundError: the parent is gone.
            VoucherifyError: the list is longer than its pages reach.
        """
        segments = {"id": parent_id} if parent_id else None
        order = {} if time is None else {"order": f"-{time}"}

        def page(number: int) -> Page:
            known = {"limit": PAGE_ROWS, "page": number}
            params = {**{name: known[name] for name in self.sizes}, **order}
            if is_parents:
                return page_of(self.client.get(path, segments, params))
            return self.get_page(path, segments, **params)

        def listed(since: datetime | None = None) -> NumberedPages:
            last_page = LAST_PAGE if "page" in self.sizes else 1
            started = lambda: self.client.run_started  # noqa: E731 - the first response sets it
            return NumberedPages(page, ReadStats(), time, since, started, last_page=last_page)

        pages, read = listed(), FullRead()
        for row in pages.rows():
            read.begin(self.client.run_started, pages.first_total)
            self.stats.total = pages.first_total
            read.add(created_at(row))
            yield row
        read.begin(self.client.run_started, pages.first_total)
        self.stats.add(pages.stats)
        self.refuse_capped(pages, "deselect the stream, and get the rows as an export.")
        count = lambda border: counted_in_pages(partial(listed, border), border)  # noqa: E731
        self.add_read(read, count, is_parents=is_parents)

    def add_read(
        self,
        read: FullRead,
        count: Callable[[datetime], int | None],
        *,
        is_parents: bool = False,
    ) -> None:
        """Add one whole list to what the stream has read.

        Args:
            read: the list, read to its end.
            count: returns how many of its rows the API counts that were created before an instant.
            is_parents: whether the list lacks rows of the stream only where it lacks a parent.
        """
        read.check(count)
        whole = self._read
        if not is_parents:
            if read.total is not None:
                whole.total = (whole.total or 0) + read.total
            whole.rows += read.rows
        whole.missing = ((whole.missing or 0) + (read.missing or 0)) or None


@dataclass
class PagePosition(FullRead):
    """How far the pages were read; only a first run has to account for all rows.

    Attributes:
        time: the time that orders the list being read.
        page: its page being read; rows of earlier pages were all written.
        newest: the instant before which the first row of the page was stored, by that time, so that
            the page is found again where rows went.
    """

    time: str = ""
    page: int = 1
    newest: datetime | None = None

    newest_first: ClassVar[bool] = True

    def count(self, newest: Page) -> None:
        """Note how many rows were created before the read began, by the newest ones."""
        if newest.total is not None:
            came = sum(not is_older(row, self.border) for row in newest.rows)
            self.total = newest.total - came


class NewestFirstStream(PagedStream, IncrementalStream):
    """A list read page by page from its newest row back to the bookmark, 10,000 rows at most.

    Rows that come or move to the front meanwhile belong to the next run: the bookmark is the
    instant the read began. A run that was cut goes on at its page, one page of overlap, or where
    that page's rows are by then. While a row may have been pulled onto a page that was read, the
    position stays behind that page, because a run that goes on knows nothing of the pages before.

    Attributes:
        times: the times that order the list, each newest first; `created_at` comes last and, after
            `updated_at`, gives the rows that were never updated.
    """

    positions: ClassVar = {"pages": PagePosition}
    times: ClassVar[tuple[str, ...]] = ("created_at",)

    _position = PagePosition()
    _kept: dict[str, Any] | None = None
    """The position before the first page that is in doubt, while the pages are read."""

    def __init__(self, tap: GracefulTap) -> None:
        super().__init__(tap)
        self._seen: dict[tuple[str, int], Page] = {}
        """Pages, by time and number, that were read to find where to begin."""

    @override
    def rows_in(self, run: RunRange) -> Iterator[Record | None]:
        self._position = PagePosition.from_state(self.saved("pages"))
        if run.since is None:
            yield from verified_rows(self, self._position, self._full_read, self._created_before)
            return
        if self._is_empty():
            self._log_complete()
            return
        times = self.times if run.is_resumable else self.times[-1:]
        first = times.index(self._position.time) if self._position.time in times else 0
        for time in times[first:]:
            pages = self._pages(time, run.since)
            if pages is not None:
                rows = pages.rows()
                yield from self._wanted(rows, pages, never_updated=time != times[0])
        self._log_complete()

    def _is_empty(self) -> bool:
        """Whether the project has no row at all, which is known by one call and not by two.

        The page is kept for the read by creation. It is not asked for where that has begun.
        """
        created = self.times[-1]
        if self._position.time:
            return False
        page = self._page(created, 1)
        self._seen[created, 1] = page
        self._position.count(page)
        return not page.rows and not page.is_empty_too_soon(0)

    def _full_read(self, read: PagePosition) -> Iterator[Record | None]:
        """What is left of a first run: each row by its creation."""
        self._position = read
        pages = self._pages(self.times[-1], None)
        if pages is not None:
            yield from self._wanted(self._counted(pages, read), pages, never_updated=False)

    def _counted(self, pages: NumberedPages, read: PagePosition) -> Iterator[Row]:
        for row in pages.rows():
            yield row
            read.add(created_at(row))

    def _created_before(self, border: datetime) -> int | None:
        created = self.times[-1]

        def pages() -> NumberedPages:
            page = partial(self._page, created)
            return NumberedPages(page, ReadStats(), created, border, self._started)

        return counted_in_pages(pages, border)

    @override
    def _least_calls(self, spent: int) -> int:
        """While pages are in doubt a run has to read them again, perhaps all of them."""
        least = super()._least_calls(spent)
        if self._kept is None:
            return least
        again = 2 if self.stats.total is not None else QUIET_PASSES
        return (1 + again) * least

    @override
    def write_position(self) -> None:
        if self._kept is None or self.report.complete:
            self.save("pages", self._position)
        else:
            self.stream_state["pages"] = self._kept

    def _pages(self, time: str, since: datetime | None) -> NumberedPages | None:
        """The pages by one time, from where an earlier run was cut; `None` if there is no page."""
        begin: int | None = self._resumed(time)
        untimed_among = False
        if begin is None:
            self._position.time, self._position.page, self._position.newest = time, 1, None
            begin = 1
            if time != self.times[-1]:
                begin, untimed_among = self._first_page(time)
        if begin is None:
            return None
        pages = NumberedPages(
            partial(self._page, time), self.stats, time, since, self._started, number=begin
        )
        pages.untimed_among = untimed_among
        if time != self.times[-1]:
            pages.went = self._rows_went
        return pages

    def _resumed(self, time: str) -> int | None:
        """The page to go on with: the last that begins before the first row not written.

        Rows that went meanwhile have pulled that row to an earlier page. `None` if the list was
        not begun by this time, or no page tells, or rows went from a list that others come to
        without pushing those: a row may have been pulled onto a page that was read.
        """
        at = self._position
        if time != at.time or at.newest is None:
            return None
        if time != self.times[-1] and self._rows_went():
            self._position = PagePosition(started=self.client.run_started)
            self._position.count(self._seen[self.times[-1], 1])
            return None
        for number in range(at.page - 1, 0, -1):
            page = self._page(time, number)
            times = _times(page, time)
            if times and max(times) > at.newest:
                self._seen[time, number] = page
                return number
            if page.rows and not times:
                return None
        return 1

    def _started(self) -> datetime:
        return self._position.started or self.client.run_started

    def _first_page(self, time: str) -> tuple[int | None, bool]:
        """The page to begin with, by a time that some rows lack, and whether none has it there.

        It is not published where rows without it stand. If they come first, they can fill more
        pages than there are, so the first page with the time is found by a binary search. They may
        as well stand by their creation among the others: then the read begins at the first page.
        """
        first = self._page(time, 1)
        self._seen[time, 1] = first
        if not first.may_have_successor or _has_time(first, time):
            return 1, False
        created = places_descend(time, first.rows)
        number, edge = self._edge(time, first)
        if _lacks_time(edge, time):
            self._warn_unseen(time, edge)
            return (None, False) if created is None else (1, True)
        times = _times(edge, time)
        is_later = created is not None and (
            created + LONGEST_RESOLUTION >= max(times, default=created)
        )
        is_mixed = is_later and (not times or places_descend(time, edge.rows) is not None)
        return (1 if is_mixed else number - 1), False

    def _edge(self, time: str, first: Page) -> tuple[int, Page]:
        """The first page with rows that have a time, if those without it come first.

        If no row has it, the last page. An empty page, if rows that have it may have been pulled
        off it: then they are on the page before.
        """
        low, high = 2, min(LAST_PAGE, -(-(first.total or LAST_PAGE * PAGE_ROWS) // PAGE_ROWS))
        before, edge = first, self._page(time, high)
        while high < LAST_PAGE and _lacks_time(edge, time) and _is_followed(edge, high):
            low, before = high + 1, edge  # rows that came meanwhile push the others
            high, edge = low, self._page(time, low)
        while low < high and not _lacks_time(edge, time):
            middle = (low + high) // 2
            page = self._page(time, middle)
            if _lacks_time(page, time):
                low, before = middle + 1, page
            else:
                high, edge = middle, page
        is_before_last = not edge.rows and not _is_followed(before, high - 1)
        return (high - 1, before) if is_before_last else (high, edge)

    def _rows_went(self) -> bool:
        """Whether rows went since the read began, as far as can be told.

        Where others came meanwhile, the list's `total` does not tell. The newest rows by creation
        are read anew for it, and kept for the read by creation.
        """
        at, created = self._position, self.times[-1]
        self._seen.pop((created, 1), None)
        fresh: dict[int, Page] = {}

        def page(number: int) -> Page:
            fresh[number] = self._page(created, number)
            return fresh[number]

        def pages() -> NumberedPages:
            return NumberedPages(page, ReadStats(), created, at.border, self._started)

        left = counted_in_pages(pages, at.border)
        self._seen[created, 1] = fresh[1]
        return left is None or at.total is None or left < at.total

    def _warn_unseen(self, time: str, edge: Page) -> None:
        total = edge.total
        if edge.may_have_successor and (total is None or total > LAST_PAGE * PAGE_ROWS):
            self.logger.warning(
                "no row with `%s` is on any page that the API lists; if rows are updated in this "
                "project, their changes are not read",
                time,
            )

    def _page(self, time: str, number: int) -> Page:
        if (time, number) in self._seen:
            return self._seen.pop((time, number))
        page = self.get_page(self.path, limit=PAGE_ROWS, order=f"-{time}", page=number)
        self._position.begin(self.client.run_started, page.total)
        return page

    def _wanted(
        self, rows: Iterator[Row], pages: NumberedPages, *, never_updated: bool
    ) -> Iterator[Record | None]:
        """The rows of the run's range; if `never_updated`, those that no read by update has."""
        for row in rows:
            self._note_page(row, pages)
            text = row.get(str(pages.time_field))
            is_read_by_creation = text is None and pages.time_field != self.times[-1]
            if is_read_by_creation or (never_updated and is_in_read_by_update(row, self._started)):
                yield None
                continue
            what = f"`{pages.time_field}` of {self.name}"
            instant = modified_at(row, self.name) if text is None else parse(text, what=what)
            self.note(instant)
            if self.run_range.holds(instant):
                yield self._record(row, instant)
        self._kept = None
        self.refuse_capped(
            pages,
            "older ones were not read and the bookmark stays where it was: set start_date to an "
            "instant those rows reach back to, and get the older ones as an export.",
        )

    def _note_page(self, row: Row, pages: NumberedPages) -> None:
        at = self._position
        if pages.in_doubt and self._kept is None:
            self._kept = at.to_state()
        if at.page != pages.number or at.newest is None:
            text = row.get(str(pages.time_field))
            at.newest = text and end(parse(text, what=f"the time of {self.name}"), text)
            at.page = pages.number

    def _record(self, row: Row, instant: datetime) -> Record:
        if len(self.times) > 1:
            instant = modified_at(row, self.name)
        return self.records.record(row, to_iso(instant))

    def _log_complete(self) -> None:
        total = self.stats.total
        self.logger.info(
            "complete: %s %s since the bookmark (%s), %d duplicates dropped, %d calls",
            f"{self.rows_written:,}",
            self.name,
            "the API gave no total" if total is None else f"the API counts {total:,} in all",
            self.stats.duplicates,
            self.stats.calls,
        )


def _has_time(page: Page, time: str) -> bool:
    return any(row.get(time) for row in page.rows)


def _lacks_time(page: Page, time: str) -> bool:
    """Whether a page has rows and none of them has the time."""
    return bool(page.rows) and not _has_time(page, time)


def _is_followed(page: Page, number: int) -> bool:
    """Whether rows may stand behind a page."""
    is_counted_out = page.total is not None and page.total <= number * PAGE_ROWS
    return page.goes_on(number) and not is_counted_out


def _times(page: Page, time: str) -> list[datetime]:
    return [parse(row[time], what=f"`{time}` of a row") for row in page.rows if row.get(time)]
