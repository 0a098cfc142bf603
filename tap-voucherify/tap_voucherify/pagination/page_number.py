"""Read lists without a time filter by page number or cursor, without losing a row.

Between two requests rows can come, go and move, and rows of one instant may change places. A row
that comes or moves to the front pushes others down, which shows them twice; a row that goes pulls
others up, onto a page that was read already. So pages are read again, down and up, until that finds
nothing new, unless the first pass already proves that nothing was pulled.

This module knows no HTTP: a function returns a page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from tap_voucherify.pagination.endpoints import ResponseBody, page_of
from tap_voucherify.pagination.time_cursor import (
    PAGE_ROWS,
    TimeOrderedEndpoint,
    pages_to_reread,
)
from tap_voucherify.voucherify_client.errors import (
    NotFoundError,
    RefusedRequestError,
    VoucherifyError,
)
from tap_voucherify.voucherify_client.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_voucherify.pagination.time_cursor import Page, ReadStats, Row

LAST_PAGE = 100
"""The highest `page` in the published description of lists without a time filter: 10,000 rows."""

QUIET_PASSES = 6
"""Passes, down and up in turn, that must find nothing new where no count proves it.

They cost something only where rows of one instant lie across a page's edge, or where the list has
neither an order nor a reliable count.
"""

READS = 3
"""Reads of a list whose rows go while it is read."""

DISTINCT_TIMES = 20
"""Times in falling order on one page that show that the list's ids grow with time."""


@dataclass(slots=True)
class NumberedPages:
    """One list by page number, its newest rows first or in no known order.

    Attributes:
        fetch_page: returns the page with this number.
        stats: counts calls and duplicates, and keeps the last `total`.
        time_field: the time that orders the list, newest first; `None` if no order is known.
        since: rows older than this end the read; `None` reads everything.
        started: when the read began. Rows that came since are given if they are met, but nothing
            is read again for them, or the read of a busy list would never end.
        number: the page being read; rows of earlier pages were all given.
        in_doubt: whether a row may have been pulled onto an earlier page, or have changed places
            with one of it, unseen.
        last_page: the last page that the API serves.
        went: whether rows went since the read began. It is asked where `total` may not show it, as
            rows without the time, such as new ones, may come last and so push no others.
        untimed_among: whether rows without the time may stand by their creation among the others,
            although no page has shown it yet.
        capped: whether the API served no further page although there were more rows.
        first_total: `total` of the first response.
    """

    fetch_page: Callable[[int], Page]
    stats: ReadStats
    time_field: str | None = None
    since: datetime | None = None
    started: Callable[[], datetime] | None = None
    number: int = 1
    last_page: int = LAST_PAGE
    untimed_among: bool = False
    went: Callable[[], bool] | None = None
    in_doubt: bool = False
    capped: bool = False
    first_total: int | None = None
    distinct: set[str] = field(default_factory=set)
    _totals: list[int | None] = field(default_factory=list)
    _edge: Row | None = None
    _timed: bool = False
    _begun: bool = False
    _awaited: int = 0
    _old: int = 0
    _ended: bool = False
    _tied: bool = False

    def rows(self) -> Iterator[Row]:
        """Each row once; some may be older than `since`."""
        first = self.number
        for number in range(first, self.last_page + 1):
            page = self._fetch(number)
            is_last = self._is_last(number, page)
            self.number, self.in_doubt = number, self._tied or self._shrank()
            yield from self._deduplicate(page)
            if is_last:
                break
        else:
            # Rows that come meanwhile push others off the last page, which were read before.
            total = self._totals[-1] if self.time_field is None else self.first_total
            before = (first - 1) * PAGE_ROWS
            self.capped = total is None or before + len(self.distinct) < total
        if self.number == first or self._is_proven():
            return
        numbers = pages_to_reread(
            first, self.number, QUIET_PASSES, lambda: self._awaited, self._is_counted
        )
        for number in numbers:
            yield from self._deduplicate(self._fetch(number))

    def _fetch(self, number: int) -> Page:
        page = self._fetch_listed(number)
        if not self._begun:
            self._begun, self.first_total = True, page.total
        if page.total is not None:
            self.stats.total = page.total
        return page

    def _fetch_listed(self, number: int) -> Page:
        """A page; requested twice if it is empty although the API says that rows are on it.

        Raises:
            VoucherifyError: it is empty again.
        """
        for _ in range(2):
            page = self.fetch_page(number)
            self.stats.calls += 1
            if not page.is_empty_too_soon((number - 1) * PAGE_ROWS):
                return page
        raise VoucherifyError(
            f"Page {number} of a list is empty although the API says that rows are on it: run "
            "again; if it persists, report it to Voucherify's support with the time of this run."
        )

    def _deduplicate(self, page: Page) -> list[Row]:
        fresh = []
        for row in page.rows:
            row_id = row.get("id")
            if row_id in self.distinct:
                self.stats.duplicates += 1
            else:
                self.distinct.add(str(row_id))
                self._awaited += not self._came_since(row, self.time_field or "created_at")
                self._old += not self._came_since(row, "created_at")
                fresh.append(row)
        return fresh

    def _came_since(self, row: Row, field: str) -> bool:
        time = row.get(field)
        if self.started is None or time is None:
            return False
        return parse(time, what="the time of a row") >= self.started()

    def _is_last(self, number: int, page: Page) -> bool:
        """Whether nothing wanted can follow; notes what `_is_proven` needs of the page."""
        self._totals.append(page.total)
        self._ended = not page.goes_on(number)
        if not page.rows:
            return True
        self._tied = self._tied or self._is_tied(page.rows[0])
        self._edge = page.rows[-1]
        return self._ended or self._is_old(page)

    def _is_tied(self, row: Row) -> bool:
        """Whether the first row of a page and the last one before could change places unseen."""
        if self.time_field is None or self._edge is None:
            return self._edge is not None
        time = row.get(self.time_field)
        if time is None or self._edge.get(self.time_field) != time:
            return False
        # If the count grew, the same row again is one that a new row pushed down.
        pushed = self._edge.get("id") == row.get("id") and len(set(self._totals[-2:])) > 1
        return not pushed

    def _is_counted(self) -> bool:
        """Whether the list was read to its end and its count shows that every row was seen.

        Rows that come in push no other out of a list with the newest first, so there the count of
        the first response is enough; elsewhere every response must count the same.
        """
        if self.time_field is None or self._shrank():
            return self._ended and set(self._totals) == {len(self.distinct)}
        first = self._totals[0]
        return self._ended and first is not None and self._old >= first

    def _is_proven(self) -> bool:
        """Whether the first pass shows that no row was pulled past it."""
        if self._is_counted():
            return True
        return not (self._tied or self._shrank() or (self.went is not None and self.went()))

    def _shrank(self) -> bool:
        """Whether rows may have gone meanwhile: the count fell, or there is none."""
        known = [total for total in self._totals if total is not None]
        fell = any(later < total for total, later in pairwise(known))
        return fell or len(known) < len(self._totals)

    def _is_old(self, page: Page) -> bool:
        """Whether the page reaches past `since`, or past all rows that have the time."""
        if self.since is None or self.time_field is None:
            return False
        last = page.rows[-1].get(self.time_field)
        self._timed = self._timed or any(row.get(self.time_field) for row in page.rows)
        if last is not None:
            return parse(last, what=f"`{self.time_field}` of a row") < self.since
        if not (self._timed or self.untimed_among):
            return False
        # Whether rows without the time come last, or by their creation, is not published.
        created = places_descend(self.time_field, page.rows)
        return created is None or created < self.since


def places_descend(time_field: str, rows: list[Row]) -> datetime | None:
    """The last row's place in time if all rows descend by it, as far as their prints tell.

    The place of a row without the time is its creation.
    """
    endpoint = TimeOrderedEndpoint(time_field, time_field, tie_order="")
    places = [place for row in reversed(rows) if (place := endpoint.place(row)) is not None]
    descend = len(places) == len(rows) > 0 and endpoint.ascends(places, None)
    return places[0][0] if descend else None


def is_newest_first(times: list[datetime]) -> bool:
    """Whether rows in descending order of their ids are surely in that order of time as well.

    It is not published that ids grow with time. If they do not, so many distinct times would stand
    in order by chance once in 20! pages.
    """
    return len(set(times)) >= DISTINCT_TIMES and times == sorted(times, reverse=True)


def pages_by_cursor(
    body: ResponseBody | None,
    fetch: Callable[[str], ResponseBody | None],
    *,
    is_filtered: bool = True,
) -> Iterator[Page]:
    """A first page and all that follow it by cursor.

    The cursor is `more_starting_after` if the response has it, else the id of the last row. A page
    without `has_more` is not the last one while `total` counts more.

    Args:
        body: the first response; `None` for a parent that is gone.
        fetch: returns the response behind a cursor, `None` if the parent is gone by then.
        is_filtered: whether rows are left out by a filter, which `total` may ignore.

    Raises:
        VoucherifyError: the cursor does not move, or a page is empty that should not be, so rows
            could be missed.
    """
    cursor: str | None = None
    total: int | None = None
    passed = 0
    while body is not None:
        page = page_of(body)
        total = page.total if total is None else total
        yield page
        # `total` may count all rows, or those behind the cursor.
        start = passed if page.total == total else 0
        passed += len(page.rows)
        counts_more = page.counts_more and (page.total or 0) > start + len(page.rows)
        is_empty_too_soon = page.is_empty_too_soon(start) and (page.has_more or not is_filtered)
        goes_on = page.has_more or page.may_have_successor or counts_more
        last_id = page.rows[-1].get("id") if page.rows else None
        following = body.get("more_starting_after") or last_id
        if (goes_on and following in {None, cursor}) or (is_empty_too_soon and not following):
            raise VoucherifyError(
                "The API repeats a page, or gives an empty one and says that rows follow, so rows "
                "could be missed: run again; if it persists, report it to Voucherify's support "
                "with the time of this run."
            )
        if not goes_on:
            return
        cursor = str(following)
        body = fetch(cursor)


def pages_while_rows_go(get: Callable[[str | None], ResponseBody]) -> Iterator[list[Row]]:
    """The pages of a list by cursor whose rows can go while it is read; each row once.

    It is not published what follows a cursor whose row is gone. If that may have cut the list
    short, it is read once more from its start.

    Args:
        get: returns the response behind a cursor, the first one for `None`.

    Raises:
        NotFoundError: the parent of the list is gone.
        VoucherifyError: rows went in each of a few reads, so some could be missed.
    """

    def behind(cursor: str) -> ResponseBody | None:
        try:
            return get(cursor)
        except (NotFoundError, RefusedRequestError):
            return None

    seen: set[str] = set()
    for _ in range(READS):
        says_more = is_cut = False
        for page in pages_by_cursor(get(None), behind):
            is_cut = says_more and not page.rows
            is_full = page.has_more is None and page.may_have_successor
            says_more = page.has_more is True or is_full
            fresh = [row for row in page.rows if row.get("id") not in seen]
            seen.update(str(row.get("id")) for row in fresh)
            yield fresh
        if not (is_cut or says_more):
            return
    raise VoucherifyError(
        "Rows go faster than their list can be read, so some could be missed: run again; if it "
        "persists, run at another hour."
    )
