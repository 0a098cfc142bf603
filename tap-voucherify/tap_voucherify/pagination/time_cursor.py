"""Read a list in order of time by moving a time filter, without losing a row.

It is not published whether time filters include their bound, how rows with equal times are ordered,
whether stored times are finer than printed ones, or where rows without `updated_at` sort: first,
last, or by their creation among the others. So only documented filters are used, and in a way that
is right under each of these readings:

    ── rows by time ──────────────────────────────────────────────►
    request 1   [ 100 rows ........ last ]
    request 2                   (last - 1 ms  [ 100 rows ........ last ]
                                 └ rows seen before: dropped by id and time

A full page that does not get past its own start is one instant with more rows than a page holds.
Only such an instant is read by page number, in an order that has no ties.

This module knows no HTTP: the function `fetch` returns a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import (
    LONGEST_RESOLUTION,
    MILLISECOND,
    parse,
    resolution,
    whole_millisecond,
)

Row = dict[str, Any]
TimedRow = tuple[datetime, Row]

PAGE_ROWS = 100
"""Rows per request: the documented maximum of `limit`."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LAST_PAGE_BY_TIME = 99
"""The highest `page` that the published description of `GET /v1/customers` allows."""

PASSES_OF_AN_INSTANT = 2
"""Passes over the pages of one instant that must find nothing new: one up and one down."""


@dataclass(frozen=True, slots=True)
class Query:
    """One request for a page: rows whose `field` lies after and before the given instants."""

    field: str
    order: str
    after: datetime | None = None
    before: datetime | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one response; `total` and `has_more` may be missing from it."""

    rows: list[Row]
    total: int | None = None
    has_more: bool | None = None

    @property
    def may_have_successor(self) -> bool:
        """Whether another page may follow.

        `has_more` is optional and a page may be short before the last, so neither decides alone.
        """
        return bool(self.rows) and (len(self.rows) >= PAGE_ROWS or self.has_more is True)

    @property
    def counts_more(self) -> bool:
        """Whether a short page does not say whether more follow, and its `total` is larger."""
        is_short = self.has_more is None and 0 < len(self.rows) < PAGE_ROWS
        return is_short and self.total is not None and self.total > len(self.rows)

    def goes_on(self, number: int) -> bool:
        """Whether another page may follow this one, by the number of this one."""
        passed = (number - 1) * PAGE_ROWS + len(self.rows)
        return self.may_have_successor or (self.counts_more and passed < (self.total or 0))

    def is_empty_too_soon(self, start: int) -> bool:
        """Whether the API says that rows follow the first `start` ones, and gives none."""
        counts_more = self.has_more is None and (self.total or 0) > start
        return not self.rows and (self.has_more is True or counts_more)

    @property
    def is_unproven(self) -> bool:
        """Whether a short page says neither whether more follow nor how many there are."""
        return self.has_more is None and self.total is None and 0 < len(self.rows) < PAGE_ROWS


Fetch = Callable[[Query], Page]


@dataclass(frozen=True, slots=True)
class TimeOrderedEndpoint:
    """A list that can be ordered and filtered by a time.

    Attributes:
        field: the time in `order` and in the filters.
        time_field: the member of a row that holds this time, which may have another name.
        tie_order: an order without ties, for paging inside one instant.
    """

    field: str
    time_field: str
    tie_order: str

    def instant(self, row: Row) -> datetime | None:
        """The time of a row; `None` for a row without it."""
        text = row.get(self.time_field)
        return None if text is None else parse(text, what=f"`{self.time_field}` of a row")

    @property
    def may_lack_time(self) -> bool:
        """Whether rows may lack the time, as those never updated lack `updated_at`."""
        return self.time_field == "updated_at"

    def place(self, row: Row) -> TimedRow | None:
        """A row and its time, or its creation if it lacks the time; `None` if it lacks both."""
        text = row.get(self.time_field) or row.get("created_at")
        return None if text is None else (parse(text, what="the time of a row"), row)

    def end(self, timed: TimedRow) -> datetime:
        """The instant before which a row was stored, given the one it prints."""
        instant, row = timed
        return end(instant, row.get(self.time_field) or row.get("created_at"))

    def ascends(self, places: list[TimedRow], floor: datetime | None) -> bool:
        """Whether rows ascend from an instant on, as far as their prints tell."""
        for one in places:
            if floor is not None and one[0] < floor and self.end(one) < floor - MILLISECOND:
                return False
            floor = one[0] if floor is None else max(floor, one[0])
        return True


def end(instant: datetime, text: str | None) -> datetime:
    """The instant before which a row was stored whose time is printed as this text, if at all."""
    finest = LONGEST_RESOLUTION if text is None else resolution(text)
    return whole_millisecond(instant) + finest


@dataclass(slots=True)
class ReadStats:
    """What a read of a list has cost and found, for the completeness line.

    Attributes:
        duplicates: rows that were dropped because they came before.
        total: `total` of the first response, which counts all rows or those of the filter.
        calls: requests made.
        heeds_filters: whether `total` counts only what a filter selects; `None`: not known yet.
        instant_calls: calls for the rows of the last instant that was read by page number, as far
            as its first page tells.
        is_counted: whether the caller compares the rows with a count at the end.
        started: returns when the read began. What came since belongs to the next run, or a list
            that grows with every request would have no end.
    """

    duplicates: int = 0
    total: int | None = None
    calls: int = 0
    heeds_filters: bool | None = None
    instant_calls: int = 0
    is_counted: bool = False
    started: Callable[[], datetime] | None = None

    def add(self, part: ReadStats) -> None:
        """Add the figures of a part of the list; `total` stays that of the whole list."""
        self.duplicates += part.duplicates
        self.calls += part.calls


def rows_by_time(
    fetch: Fetch,
    endpoint: TimeOrderedEndpoint,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    stats: ReadStats | None = None,
) -> Iterator[TimedRow]:
    """Each row with `since` <= time < `until`, once, ascending; both bounds to the millisecond.

    Rows never updated are left out of a read by `updated_at`. A row whose time moves meanwhile may
    come again with its new time.

    Raises:
        VoucherifyError: the list breaks its order, a row has no id, or one instant holds more
            rows than the API can page through.
    """
    since = None if since is None else whole_millisecond(since)
    until = None if until is None else whole_millisecond(until)
    cursor = TimeCursor(fetch, endpoint, stats if stats is not None else ReadStats())
    for timed in cursor.rows(*widened(since, until)):
        if is_within(endpoint, timed, since, until):
            yield timed


def is_within(
    endpoint: TimeOrderedEndpoint,
    timed: TimedRow,
    since: datetime | None,
    until: datetime | None,
) -> bool:
    """Whether a row lies in a span, or may, where its time is printed coarsely."""
    begins = since is None or timed[0] >= since or endpoint.end(timed) > since
    return begins and (until is None or timed[0] < until)


def widened(
    since: datetime | None, until: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """The bounds as filters that select enough whether the API includes a bound or not."""
    return (
        None if since is None else since - MILLISECOND,
        None if until is None else until + MILLISECOND,
    )


class TimeCursor:
    """Moves the time filter from page to page, and drops the rows of the overlap."""

    def __init__(self, fetch: Fetch, endpoint: TimeOrderedEndpoint, stats: ReadStats) -> None:
        self._fetch_page = fetch
        self._endpoint = endpoint
        self._stats = stats
        self._seen = SeenRows(endpoint, stats)
        self._timed_precede = self._untimed_precede = False

    def rows(self, cursor: datetime | None, before: datetime | None) -> Iterator[TimedRow]:
        """Every row between two instants, ascending, and perhaps some just outside."""
        while True:
            query = Query(self._endpoint.field, self._endpoint.field, cursor, before)
            page = self._fetch_listed(query)
            timed = timed_rows(self._endpoint, page.rows, cursor)
            check_order(self._endpoint, timed, cursor)
            fresh = self._seen.fresh(timed)
            yield from fresh
            if self._is_last(page, fresh):
                return
            places = self._places(page.rows, timed, cursor)
            if places is None:
                return
            following = whole_millisecond(places[-1][0]) - MILLISECOND if places else None
            if following is None or (cursor is not None and following <= cursor):
                following = self._end_of_instant(places, cursor)
                yield from self._instant(query, following)
                if following is None:
                    return
            self._seen.forget_before(following - MILLISECOND)
            cursor = following

    def _fetch_listed(self, query: Query) -> Page:
        """A page; requested twice if it is empty although the API says that rows follow.

        Raises:
            VoucherifyError: it is empty again.
        """
        start = ((query.page or 1) - 1) * PAGE_ROWS
        for _ in range(2):
            page = self._fetch(query)
            is_suspect = page.is_empty_too_soon(start)
            if not is_suspect or not (page.has_more or self._heeds_filters()):
                return page
        raise self._missing(page)

    def _is_last(self, page: Page, fresh: list[TimedRow]) -> bool:
        """Whether no page follows.

        A short page is the last if a count says so. If none does, the page after it brings nothing
        new, or only rows that came since the read began.

        Raises:
            VoucherifyError: the API counts more rows than it lists, and the page repeats others.
        """
        if page.may_have_successor:
            return False
        if not (page.counts_more or page.is_unproven):
            return True
        if page.is_unproven or not self._heeds_filters():
            started = self._stats.started
            return not fresh or (started is not None and fresh[0][0] >= started())
        if not fresh:
            raise self._missing(page)
        return False

    def _missing(self, page: Page) -> VoucherifyError:
        counts = "says that more follow"
        if page.total is not None:
            counts = f"counts {page.total:,} in it"
        return VoucherifyError(
            f"The API lists {len(page.rows):,} rows of a span of `{self._endpoint.field}` and "
            f"{counts}, so rows could be missed: run again; if it persists, "
            "report it to Voucherify's support with the time of this run."
        )

    def _places(
        self, rows: list[Row], timed: list[TimedRow], cursor: datetime | None
    ) -> list[TimedRow] | None:
        """The rows of a full page by which the next one is found; `None` if nothing is left.

        Rows without the time come first, last, or by their creation among the others. They are
        among the others if one of them follows a row with the time and all ascend.
        """
        if len(timed) == len(rows):
            return timed
        have_time = [self._endpoint.instant(row) is not None for row in rows]
        for one, following in pairwise(have_time):
            self._timed_precede |= one and not following
            self._untimed_precede |= following and not one
        if not self._timed_precede and (timed or not self._selects_by_creation(cursor)):
            return timed
        places = [place for row in rows if (place := self._endpoint.place(row)) is not None]
        if self._endpoint.ascends(places, cursor):
            return places
        is_ambiguous = self._untimed_precede or self._endpoint.ascends(places, None)
        return timed if have_time[-1] or is_ambiguous else None

    def _selects_by_creation(self, cursor: datetime | None) -> bool:
        """Whether a filter selects rows without the time by their creation.

        It selected a page of them; if it did so whatever their creation, it would also select
        them before 1970.
        """
        if cursor is not None and not self._timed_precede:
            field = self._endpoint.field
            self._timed_precede = not self._fetch(Query(field, field, before=EPOCH)).rows
        return self._timed_precede

    def _heeds_filters(self) -> bool:
        """Whether `total` counts only what a filter selects: nothing was created before 1970."""
        if self._stats.is_counted:
            return False  # it is not needed
        if self._stats.heeds_filters is None:
            field = self._endpoint.field
            total = self._fetch(Query(field, field, before=EPOCH)).total
            self._stats.heeds_filters = total == 0
        return self._stats.heeds_filters

    def _end_of_instant(self, places: list[TimedRow], cursor: datetime | None) -> datetime | None:
        """The instant before which a stuck page's rows were stored; `None` if none has a place."""
        if not places:
            return None
        end = max(self._endpoint.end(one) for one in places)
        return end if cursor is None else max(end, cursor + MILLISECOND)

    def _instant(self, query: Query, end: datetime | None) -> Iterator[TimedRow]:
        """Every row from the query's start up to `end`, in order of time.

        `end` is `None` behind a whole page of rows without the time: then everything that the
        query selects is paged through.
        """
        bounds = (query.before, None if end is None else end + MILLISECOND)
        before = min((bound for bound in bounds if bound is not None), default=None)
        query = replace(query, order=self._endpoint.tie_order, before=before)
        yield from self._seen.fresh(sorted(self._by_page(query), key=lambda timed: timed[0]))

    def _by_page(self, query: Query) -> list[TimedRow]:
        """All rows of a query that have the time, by page number.

        A row that leaves moves later rows to an earlier page, so a pass up the pages can miss one;
        a row that enters does the same to a pass down. One pass is enough if all its pages count
        as many rows as it found: no row enters a span that lies in the past.

        Raises:
            VoucherifyError: the query selects more rows than the API's pages reach.
        """
        pages = list(self._pages_up(query))
        listed = (timed_rows(self._endpoint, page.rows, query.after) for page in pages)
        found = {row["id"]: (at, row) for timed in listed for at, row in timed}
        counted = query.before is not None and {page.total for page in pages} == {len(found)}
        if len(pages) == 1 or counted:
            return list(found.values())
        if pages[-1].may_have_successor:
            raise VoucherifyError(
                f"More than {LAST_PAGE_BY_TIME * PAGE_ROWS:,} rows share one instant of "
                f"`{query.field}`, and the API pages no further: ask Voucherify's support for an "
                "export of them."
            )
        for number in pages_to_reread(1, len(pages), PASSES_OF_AN_INSTANT, lambda: len(found)):
            rows = self._fetch_listed(replace(query, page=number)).rows
            timed = timed_rows(self._endpoint, rows, query.after)
            found.update((row["id"], (at, row)) for at, row in timed)
        return list(found.values())

    def _pages_up(self, query: Query) -> Iterator[Page]:
        """The pages of a query from the first to its last, or to the last that the API serves."""
        for number in range(1, LAST_PAGE_BY_TIME + 1):
            page = self._fetch_listed(replace(query, page=number))
            pages = min(LAST_PAGE_BY_TIME, math.ceil((page.total or 0) / PAGE_ROWS))
            self._stats.instant_calls = pages * (1 + PASSES_OF_AN_INSTANT)
            yield page
            if not page.may_have_successor:
                return

    def _fetch(self, query: Query) -> Page:
        page = self._fetch_page(query)
        if self._stats.calls == 0:
            self._stats.total = page.total
        self._stats.calls += 1
        return page


class SeenRows:
    """Drops rows that were seen before, as far as spans overlap."""

    def __init__(self, endpoint: TimeOrderedEndpoint, stats: ReadStats) -> None:
        self._endpoint = endpoint
        self._stats = stats
        self._seen: dict[tuple[str, datetime], str | None] = {}

    def fresh(self, timed: Iterable[TimedRow]) -> list[TimedRow]:
        """The rows not seen before; a row with another time than before is a new row."""
        fresh = []
        for instant, row in timed:
            known = (row["id"], instant)
            if known in self._seen:
                self._stats.duplicates += 1
            else:
                self._seen[known] = row.get(self._endpoint.time_field)
                fresh.append((instant, row))
        return fresh

    def forget_before(self, kept: datetime) -> None:
        """Keep only rows stored at `kept` or later, so that memory stays constant."""
        earliest = kept - LONGEST_RESOLUTION  # a row that prints an earlier time was stored before
        self._seen = {
            known: text
            for known, text in self._seen.items()
            if known[1] >= earliest and end(known[1], text) >= kept
        }


def timed_rows(
    endpoint: TimeOrderedEndpoint, rows: list[Row], cursor: datetime | None = None
) -> list[TimedRow]:
    """The rows that have the time, with it.

    A row that lacks a time of creation, which every row has, stands beside its neighbour, or at
    `cursor`.

    Raises:
        VoucherifyError: a row has no id, a time is none, or no row of a page has one.
    """
    timed = [(endpoint.instant(row), row) for row in rows if _checked_id(row)]
    known = [(instant, row) for instant, row in timed if instant is not None]
    if endpoint.may_lack_time or len(known) == len(rows):
        return known
    beside = known[0][0] if known else cursor
    if beside is None or (len(rows) >= PAGE_ROWS and not known):
        raise VoucherifyError(
            f"No row of a page has `{endpoint.time_field}`, so rows could be missed: report it to "
            "Voucherify's support with the time of this run."
        )
    placed: list[TimedRow] = []
    for instant, row in timed:
        beside = instant or beside
        placed.append((beside, row))
    return placed


def check_order(
    endpoint: TimeOrderedEndpoint, timed: list[TimedRow], floor: datetime | None
) -> datetime | None:
    """The latest time among rows of one page and `floor`, before which none of them lies.

    Raises:
        VoucherifyError: the list ignores its filter or its order, so rows could be missed.
    """
    if not endpoint.ascends(timed, floor):
        raise VoucherifyError(
            f"The list does not keep the order `{endpoint.field}` or its filter, so "
            "rows could be missed; nothing past this point was read: report it to the "
            "maintainers with the run's log."
        )
    times = [instant for instant, _ in timed]
    return max(times if floor is None else [*times, floor], default=None)


def pages_to_reread(
    first: int,
    last: int,
    quiet_passes: int,
    found: Callable[[], int],
    is_complete: Callable[[], bool] = lambda: False,
) -> Iterator[int]:
    """Numbers of pages to read again, down and up in turn, until that finds nothing new.

    Args:
        first: the lowest page.
        last: the highest page.
        quiet_passes: passes in a row that must find nothing new.
        found: the number of rows found so far.
        is_complete: whether a count proves, before a pass, that no row is missing.
    """
    quiet, numbers = 0, range(last, first - 1, -1)
    while quiet < quiet_passes and not is_complete():
        known = found()
        yield from numbers
        quiet = quiet + 1 if found() == known else 0
        numbers = numbers[::-1]


def _checked_id(row: Row) -> str:
    row_id = row.get("id")
    if not isinstance(row_id, str) or not row_id:
        raise VoucherifyError(
            "A row of the list has no `id`, so it cannot be told from the others: report it to "
            "Voucherify's support with the time of this run."
        )
    return row_id
