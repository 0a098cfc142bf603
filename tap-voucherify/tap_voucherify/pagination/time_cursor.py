"""Read a list in order of time by moving a time filter, without losing a row.

It is not published whether time filters include their bound, how rows with equal times are ordered,
whether stored times are finer than printed ones, or where rows without a time sort. So only
documented filters are used, and in a way that is right under each of these readings:

    ── rows by time ──────────────────────────────────────────────►
    request 1   [ 100 rows ........ last ]
    request 2                   (last - 1 ms  [ 100 rows ........ last ]
                                 └ rows seen before: dropped by id and time

A full page that does not get past its own start is one instant with more rows than a page holds.
Only such an instant is read by page number, in an order that has no ties.

This module knows no HTTP: the function `fetch` returns a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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

    def end(self, timed: TimedRow) -> datetime:
        """The instant before which a row was stored, given the one it prints."""
        instant, row = timed
        return end(instant, row[self.time_field])


def end(instant: datetime, text: str) -> datetime:
    """The instant before which a row was stored whose time is printed as this text."""
    return whole_millisecond(instant) + resolution(text)


@dataclass(slots=True)
class ReadStats:
    """What a read of a list has cost and found, for the completeness line.

    Attributes:
        duplicates: rows that were dropped because they came before.
        total: `total` of the first response, which counts all rows or those of the filter.
        calls: requests made.
        heeds_filters: whether `total` counts only what a filter selects; `None`: not known yet.
    """

    duplicates: int = 0
    total: int | None = None
    calls: int = 0
    heeds_filters: bool | None = None

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

    Rows without the time are left out. A row whose time moves during the read may come again with
    its new time.

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

    def rows(self, cursor: datetime | None, before: datetime | None) -> Iterator[TimedRow]:
        """Every row between two instants, ascending, and perhaps some just outside."""
        while True:
            query = Query(self._endpoint.field, self._endpoint.field, cursor, before)
            page = self._fetch(query)
            timed = timed_rows(self._endpoint, page.rows)
            check_order(self._endpoint, timed, cursor)
            fresh = self._seen.fresh(timed)
            yield from fresh
            if self._is_last(page, fresh) or self._is_past_all_times(page, timed):
                return
            following = whole_millisecond(timed[-1][0]) - MILLISECOND if timed else None
            if following is None or (cursor is not None and following <= cursor):
                following = self._end_of_instant(timed, cursor)
                yield from self._instant(query, following)
                if following is None:
                    return
            self._seen.forget_before(following - MILLISECOND)
            cursor = following

    def _is_last(self, page: Page, fresh: list[TimedRow]) -> bool:
        """Whether no page follows.

        Raises:
            VoucherifyError: the API counts more rows than it lists, and the page repeats others.
        """
        if page.may_have_successor:
            return False
        if not page.counts_more or not self._heeds_filters():
            return True
        if not fresh:
            raise VoucherifyError(
                f"The API lists {len(page.rows):,} rows of a span of `{self._endpoint.field}` and "
                f"counts {page.total:,} in it, so rows could be missed: run again; if it persists, "
                "report it to Voucherify's support with the time of this run."
            )
        return False

    def _heeds_filters(self) -> bool:
        """Whether `total` counts only what a filter selects: nothing was created before 1970."""
        if self._stats.heeds_filters is None:
            field = self._endpoint.field
            total = self._fetch(Query(field, field, before=EPOCH)).total
            self._stats.heeds_filters = total == 0
        return self._stats.heeds_filters

    def _end_of_instant(self, timed: list[TimedRow], cursor: datetime | None) -> datetime | None:
        """The instant before which a stuck page's rows were stored; `None` if none has a time."""
        if not timed:
            return None
        end = max(self._endpoint.end(one) for one in timed)
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
        listed = (timed_rows(self._endpoint, page.rows) for page in pages)
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
            rows = self._fetch(replace(query, page=number)).rows
            found.update((row["id"], (at, row)) for at, row in timed_rows(self._endpoint, rows))
        return list(found.values())

    def _pages_up(self, query: Query) -> Iterator[Page]:
        """The pages of a query from the first to its last, or to the last that the API serves."""
        for number in range(1, LAST_PAGE_BY_TIME + 1):
            page = self._fetch(replace(query, page=number))
            yield page
            if not page.may_have_successor:
                return

    def _fetch(self, query: Query) -> Page:
        page = self._fetch_page(query)
        if self._stats.calls == 0:
            self._stats.total = page.total
        self._stats.calls += 1
        return page

    def _is_past_all_times(self, page: Page, timed: list[TimedRow]) -> bool:
        """Whether rows without the time sort last, and this page shows the first of them."""
        return bool(timed) and self._endpoint.instant(page.rows[-1]) is None


class SeenRows:
    """Drops rows that were seen before, as far as spans overlap."""

    def __init__(self, endpoint: TimeOrderedEndpoint, stats: ReadStats) -> None:
        self._endpoint = endpoint
        self._stats = stats
        self._seen: dict[tuple[str, datetime], str] = {}

    def fresh(self, timed: Iterable[TimedRow]) -> list[TimedRow]:
        """The rows not seen before; a row with another time than before is a new row."""
        fresh = []
        for instant, row in timed:
            known = (row["id"], instant)
            if known in self._seen:
                self._stats.duplicates += 1
            else:
                self._seen[known] = row[self._endpoint.time_field]
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


def timed_rows(endpoint: TimeOrderedEndpoint, rows: list[Row]) -> list[TimedRow]:
    """The rows that have the time, with it.

    Raises:
        VoucherifyError: a row has no id, or a time that is none.
    """
    timed = ((endpoint.instant(row), row) for row in rows if _checked_id(row))
    return [(instant, row) for instant, row in timed if instant is not None]


def check_order(
    endpoint: TimeOrderedEndpoint, timed: list[TimedRow], floor: datetime | None
) -> datetime | None:
    """The latest time among rows of one page and `floor`, before which none of them lies.

    Raises:
        VoucherifyError: the list ignores its filter or its order, so rows could be missed.
    """
    floor = timed[0][0] if floor is None and timed else floor
    for one in timed:
        if floor is not None and one[0] < floor and endpoint.end(one) < floor - MILLISECOND:
            raise VoucherifyError(
                f"The list does not keep the order `{endpoint.field}` or its filter, so "
                "rows could be missed; nothing past this point was read: report it to the "
                "maintainers with the run's log."
            )
        floor = one[0] if floor is None else max(floor, one[0])
    return floor


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
