"""Read settled spans of time by page number, several pages side by side, and give rows in order.

A read by time needs each response before it can request the next page, so latency bounds it: at
200 ms per response it uses a tenth of a large plan's quota. No row enters a span of `created_at`
that lies in the past, so its pages stay as they are until a row leaves it, and then `total`, which
is published as the matches of the filter, falls. So the pages of such a span can be requested by
number, side by side:

    ── rows by time ──────────────────────────────────────────────►
    [ window: pages 1 2 3 … 99 ][ window: pages 1 2 3 … ][ the last minute, by time ]

A page is given once a response that was requested after it had arrived still counts the same. Where
one counts another number, or a page repeats a row because rows of one instant change places, the
pages that wait are dropped and the rows that follow are read by time.

This module knows no HTTP: the function `fetch` returns a page.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from tap_voucherify.pagination.ordered_map import ordered_map
from tap_voucherify.pagination.position import LATEST
from tap_voucherify.pagination.time_cursor import (
    LAST_PAGE_BY_TIME,
    PAGE_ROWS,
    Page,
    Query,
    ReadStats,
    SeenRows,
    TimedRow,
    check_order,
    is_within,
    rows_by_time,
    timed_rows,
    widened,
)
from tap_voucherify.pagination.total_check import FilteredCount
from tap_voucherify.voucherify_client.timestamps import MILLISECOND, whole_millisecond

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_voucherify.pagination.time_cursor import Fetch, TimeOrderedEndpoint

MOST_ROWS = (LAST_PAGE_BY_TIME - 1) * PAGE_ROWS
"""Rows of a window at most: the page after its last must be there to be requested."""

WINDOW_ROWS = 8_500
"""Rows that a window should hold: fewer than its pages reach, because its width is an estimate."""

MOST_CHANGE = 8
"""How many times wider a window after a nearly empty one is."""

SHORT_LIST = 1_000
"""Rows up to which a list is read by time: it takes few requests in any case."""

ROWS_BY_TIME = 1_000
"""Rows, about, that are read by time where the pages of a window changed."""

MOST_FAILURES = 2
"""Windows in a row whose pages change, after which the rest is read by time."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, closed at `since` and open at `until`; `None` means unbounded."""

    since: datetime | None
    until: datetime | None


class Answer(NamedTuple):
    """A page of a window.

    Attributes:
        page: its rows.
        before: answers of the window that had arrived when this one was requested.
        arrived: its number among the window's answers; 0 for the first page.
    """

    page: Page
    before: int
    arrived: int


@dataclass(slots=True)
class PagedWindow:
    """A window whose pages are requested by number.

    Attributes:
        since: its first instant; `None`: the first of the list.
        until: the instant before which it ends.
        first: its first page, whose `total` all others must repeat.
        total: that figure.
        arrived: answers that arrived after the first.
    """

    since: datetime | None
    until: datetime
    first: Page
    total: int
    arrived: int = 0
    _ids: set[str] = field(default_factory=set)
    _waiting: deque[Answer] = field(default_factory=deque)
    _confirmed: int = -1

    @property
    def span(self) -> Window:
        """What it holds."""
        return Window(self.since, self.until)

    @property
    def pages(self) -> int:
        """The number of its last page."""
        return max(1, math.ceil(self.total / PAGE_ROWS))

    def take(self, number: int, answer: Answer) -> bool:
        """Take the next page in order; False if it does not continue those before it."""
        rows, expected = answer.page.rows, min(number * PAGE_ROWS, self.total)
        self._ids.update(str(row.get("id")) for row in rows)
        self._waiting.append(answer)
        self._confirmed = max(self._confirmed, answer.before)
        has_all = len(rows) == expected - (number - 1) * PAGE_ROWS
        return has_all and answer.page.total == self.total and len(self._ids) == expected

    def end(self, behind: Page) -> bool:
        """Confirm all pages by the one behind them; False if that does not fit."""
        self._confirmed = self.arrived
        return behind.total == self.total and not behind.rows

    def confirmed(self) -> Iterator[Page]:
        """The pages that later answers confirm, in order."""
        while self._waiting and self._waiting[0].arrived <= self._confirmed:
            yield self._waiting.popleft().page


class ParallelWindows:
    """The rows of one list, in the order of their creation.

    Args:
        fetch: returns a page; called from several threads.
        endpoint: the list, ordered by a time that never changes.
        concurrency: returns how many pages are requested side by side, once the first response has
            said how many calls there are.
        stats: gets what the read costs, and `total` of the first response.
        fail: ends the waits of all reading threads when the read ends early.
    """

    window_rows = WINDOW_ROWS
    short_list = SHORT_LIST

    def __init__(
        self,
        fetch: Fetch,
        endpoint: TimeOrderedEndpoint,
        *,
        concurrency: Callable[[], int],
        stats: ReadStats,
        fail: Callable[[Exception], None],
    ) -> None:
        self._fetch = fetch
        self._endpoint = endpoint
        self._allowed_concurrency = concurrency
        self._concurrency = 1
        self._stats = stats
        self._fail = fail
        self._lock = Lock()
        self._seen = SeenRows(endpoint, stats)
        self._width = timedelta()
        self._to_come = 0
        """Rows in windows that are not planned yet, by the first count."""
        self._has_moved = False
        self._failures = 0
        self._read_ahead = 1
        """Pages requested and not given: more with each page that fits, one after one that does
        not, because they are dropped then."""

    def rows(self, span: Window, settled: Callable[[], datetime]) -> Iterator[TimedRow]:
        """Each row of a span once, ascending.

        Args:
            span: what to read.
            settled: returns the instant before which no more rows are created, once the first
                response has said what time it is.

        Raises:
            VoucherifyError: as `rows_by_time`.
        """
        query = Query(self._endpoint.field, self._endpoint.field, *widened(span.since, span.until))
        first = self._fetch(query)
        total = self._stats.total = first.total
        begin = self._endpoint.instant(first.rows[0]) if first.rows else None
        end = whole_millisecond(min(settled(), span.until or LATEST))
        self._concurrency = self._allowed_concurrency()
        is_long = self._concurrency > 1 and (total or 0) > self.short_list
        if not is_long or begin is None or begin >= end:
            pages = {query: first}  # the read by time begins with the same query
            yield from self._by_time(
                span, lambda asked: pages.pop(asked, None) or self._fetch(asked)
            )
            return
        self._stats.calls += 1
        self._to_come = total or 0
        self._width = self._width_of(end - begin, self._to_come)
        yield from self._settled(span.since, begin, end)
        if span.until is None or end < span.until:
            yield from self._by_time(Window(end, span.until), self._fetch)

    def _settled(
        self, since: datetime | None, start: datetime, end: datetime
    ) -> Iterator[TimedRow]:
        """The rows of a settled span, of which the first is created at `start`."""
        while start < end:
            if self._failures < MOST_FAILURES:
                for timed in self._side_by_side(since, start, end):
                    since = start = max(start, timed[0])
                    yield timed
                if not self._has_moved:
                    return
            until = end
            if self._failures < MOST_FAILURES:
                width = max(MILLISECOND, self._width * ROWS_BY_TIME / self.window_rows)
                until = min(end, whole_millisecond(start + width))
            yield from self._by_time(Window(since, until), self._fetch)
            since = start = until

    def _side_by_side(
        self, since: datetime | None, start: datetime, end: datetime
    ) -> Iterator[TimedRow]:
        """The rows created before `end`, or up to where the pages of a window changed."""
        self._has_moved = False
        floor: datetime | None = None
        for (window, number), answer in ordered_map(
            self._answer,
            self._pages(since, start, end),
            concurrency=self._concurrency,
            read_ahead=lambda: self._read_ahead,
            fail=self._fail,
        ):
            if answer is None or not self._takes(window, number, answer):
                self._give_up()
                continue  # what was requested already has to arrive before anything else
            self._read_ahead = min(self._read_ahead + 1, 2 * self._concurrency)
            for page in window.confirmed():
                timed = timed_rows(self._endpoint, page.rows)
                floor = check_order(self._endpoint, timed, floor)
                yield from self._fresh(window.span, timed)
                self._seen.forget_before((floor or start) - MILLISECOND)
            if number == window.pages:
                self._failures, floor = 0, None

    def _takes(self, window: PagedWindow, number: int, answer: Answer) -> bool:
        """Take the next page; False if the pages of its window have changed."""
        if self._has_moved or not window.take(number, answer):
            return False
        if number < window.pages or window.total < PAGE_ROWS:
            return True
        return window.end(self._get(self._query(window.span, number + 1)))

    def _give_up(self) -> None:
        self._failures += not self._has_moved
        self._has_moved, self._read_ahead = True, 1

    def _pages(
        self, since: datetime | None, start: datetime, end: datetime
    ) -> Iterator[tuple[PagedWindow, int]]:
        """The pages of consecutive windows, each planned when its first page is wanted."""
        while start < end:
            window = None if self._has_moved else self._planned(since, start, end)
            if window is None:
                self._give_up()
                return
            for number in range(1, window.pages + 1):
                yield window, number
            since = start = window.until

    def _planned(
        self, since: datetime | None, start: datetime, end: datetime
    ) -> PagedWindow | None:
        """The next window that its pages reach through; `None` if its rows cannot be counted."""
        width = max(MILLISECOND, self._width) if self._to_come > 0 else end - start
        before: int | None = None
        while True:
            until = min(end, whole_millisecond(start + width))
            first = self._get(self._query(Window(since, until), 1))
            total = first.total
            if total is not None and total <= MOST_ROWS:
                self._width = self._width_of(until - start, total)
                self._to_come -= total
                return PagedWindow(since, until, first, total)
            is_one_instant = width == MILLISECOND  # with more rows than its pages reach
            if total is None or is_one_instant or self._is_unfiltered(total, before):
                self._failures = MOST_FAILURES
                return None
            width, before = self._narrower(until - start, first), total

    def _is_unfiltered(self, total: int, before: int | None) -> bool:
        """Whether a narrower window counts as many rows as one before because all are counted."""
        return total == before and not self._count.heeds_filters

    def _narrower(self, width: timedelta, first: Page) -> timedelta:
        """The width of a window instead of one with too many rows: if these begin densely, less."""
        even = width * min(0.5, self.window_rows / (first.total or 1))
        timed = timed_rows(self._endpoint, first.rows)
        span = timed[-1][0] - timed[0][0] if timed else even
        begins = span * self.window_rows / PAGE_ROWS
        return max(MILLISECOND, min(even, max(begins, even / MOST_CHANGE**3)))

    def _width_of(self, width: timedelta, rows: int) -> timedelta:
        """The width of a window that should hold as many rows as wanted, by those in another."""
        return width * self.window_rows / max(rows, self.window_rows // MOST_CHANGE)

    @cached_property
    def _count(self) -> FilteredCount:
        return FilteredCount(self._get, self._endpoint)

    def _query(self, span: Window, number: int) -> Query:
        field = self._endpoint.field
        return Query(field, field, *widened(span.since, span.until), page=number)

    def _get(self, query: Query) -> Page:
        page = self._fetch(query)
        with self._lock:
            self._stats.calls += 1
        return page

    def _answer(self, page: tuple[PagedWindow, int]) -> Answer | None:
        """One page of a window; `None` if it is not wanted any more."""
        window, number = page
        if self._has_moved or number == 1:
            return None if self._has_moved else Answer(window.first, 0, 0)
        before = window.arrived
        answer = self._get(self._query(window.span, number))
        with self._lock:
            window.arrived += 1
            return Answer(answer, before, window.arrived)

    def _by_time(self, span: Window, fetch: Fetch) -> Iterator[TimedRow]:
        part = replace(self._stats, duplicates=0, calls=0)
        rows = rows_by_time(fetch, self._endpoint, since=span.since, until=span.until, stats=part)
        for number, timed in enumerate(rows):
            yield from self._fresh(span, [timed])
            if number % PAGE_ROWS == 0:
                self._seen.forget_before(timed[0] - MILLISECOND)
        self._stats.add(part)

    def _fresh(self, span: Window, timed: list[TimedRow]) -> list[TimedRow]:
        """The rows of a span that were not given yet."""
        wanted = (one for one in timed if is_within(self._endpoint, one, span.since, span.until))
        return self._seen.fresh(wanted)
