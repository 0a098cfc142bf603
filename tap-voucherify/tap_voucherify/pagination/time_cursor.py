"""Walk a list that is ordered by time, so that no row is lost whatever the API leaves open.

Published facts do not say whether time filters include their bound, how rows with equal times are
ordered, whether stored times are finer than printed ones, or where rows without a time sort
(reference §5.4 and §14). The walk therefore uses documented filters only and holds under each
answer:

    ── rows by time ──────────────────────────────────────────────►
    request 1   [ 100 rows ........ last ]
    request 2                   (last - 1 ms  [ 100 rows ........ last ]
                                 └ rows seen before: dropped by id and time

A full page that does not get past its own start is an instant with more rows than a page holds.
Only there the walk turns pages, by another order that has no ties, until it is sure of them.

Nothing here knows HTTP: a page comes from the function `fetch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
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
Timed = tuple[datetime, Row]

PAGE_ROWS = 100
"""Rows asked for in one request: the documented maximum of `limit` (reference §5.1)."""

LAST_PAGE = 99
"""The last page the API serves (reference §5.1); 99 pages hold 9,900 rows."""


BOTH_WAYS = 2
"""Passes over the pages of one instant that must bring nothing new: one up and one down."""


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
    """One answer: its rows, and what the API said about the rest (either may be missing)."""

    rows: list[Row]
    total: int | None = None
    has_more: bool | None = None

    @property
    def may_have_successor(self) -> bool:
        """Neither fullness nor `has_more` can be relied on alone (reference §14, question 6)."""
        return bool(self.rows) and (len(self.rows) >= PAGE_ROWS or self.has_more is True)


Fetch = Callable[[Query], Page]


@dataclass(frozen=True, slots=True)
class Listing:
    """How one list is walked.

    Attributes:
        field: the time that orders the list and that its filters take.
        stamp: the member of a row that holds this time, where it has another name.
        tie_order: an order without ties, for turning pages inside one instant.
    """

    field: str
    stamp: str
    tie_order: str

    def instant(self, row: Row) -> datetime | None:
        """The row's place in the walk; none for a row that has no such time."""
        text = row.get(self.stamp)
        return None if text is None else parse(text, what=f"`{self.stamp}` of a row")

    def end(self, timed: Timed) -> datetime:
        """Before which instant a row was stored, given the one it prints."""
        instant, row = timed
        return end(instant, row[self.stamp])


def end(instant: datetime, text: str) -> datetime:
    """Before which instant a row was stored whose time is printed as this text."""
    return whole_millisecond(instant) + resolution(text)


@dataclass(slots=True)
class Tally:
    """What a walk saw, for the completeness line."""

    duplicates: int = 0
    total: int | None = None
    """`total` of the first answer; it may or may not count filtered rows (reference §5.2)."""
    calls: int = 0
    rows: int = 0
    """Distinct rows of the answers, those a millisecond beyond the bounds included."""

    def add(self, part: Tally) -> None:
        """Add what a part of the walk saw; `total` stays that of the whole."""
        self.duplicates += part.duplicates
        self.calls += part.calls
        self.rows += part.rows


def walk(
    fetch: Fetch,
    listing: Listing,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tally: Tally | None = None,
) -> Iterator[Timed]:
    """Each row with `since` <= time < `until`, once, ascending; both bounds to the millisecond.

    Rows without the time are passed over. A row whose time moves while the walk is under way may
    come again with its new time.

    Raises:
        VoucherifyError: the list breaks its order, a row has no id, or one instant holds more
            rows than the API can page through.
    """
    since = None if since is None else whole_millisecond(since)
    until = None if until is None else whole_millisecond(until)
    steps = _Steps(fetch, listing, tally if tally is not None else Tally())
    for timed in steps.rows(*widened(since, until)):
        instant = timed[0]
        begins = since is None or instant >= since or listing.end(timed) > since
        if begins and (until is None or instant < until):
            yield timed


def widened(
    since: datetime | None, until: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """The bounds of a walk as filters that hold whether the API includes a bound or not."""
    return (
        None if since is None else since - MILLISECOND,
        None if until is None else until + MILLISECOND,
    )


class _Steps:
    """The moving filter of one walk and the rows known at its edge."""

    def __init__(self, fetch: Fetch, listing: Listing, tally: Tally) -> None:
        self._fetch = fetch
        self._listing = listing
        self._tally = tally
        self._edge: dict[tuple[str, datetime], str] = {}

    def rows(self, cursor: datetime | None, before: datetime | None) -> Iterator[Timed]:
        while True:
            query = Query(self._listing.field, self._listing.field, cursor, before)
            page = self._ask(query)
            timed = self._timed(page.rows)
            self._check_order(timed, cursor)
            fresh = self._fresh(timed)
            yield from fresh
            if not page.may_have_successor or self._is_past_all_times(page, timed):
                return
            following = whole_millisecond(timed[-1][0]) - MILLISECOND if timed else None
            if following is None or (cursor is not None and following <= cursor):
                following = self._end_of_instant(timed, cursor)
                yield from self._instant(query, following)
                if following is None:
                    return
            self._forget_before(following)
            cursor = following

    def _end_of_instant(self, timed: list[Timed], cursor: datetime | None) -> datetime | None:
        """Before which instant a stuck page's rows were stored; none if no row has a time."""
        if not timed:
            return None
        end = max(self._listing.end(one) for one in timed)
        return end if cursor is None else max(end, cursor + MILLISECOND)

    def _instant(self, query: Query, end: datetime | None) -> Iterator[Timed]:
        """Every row from the query's start up to `end`, in order of time.

        Without an end, a whole page of rows without the time stands in the way: everything that
        the query selects is paged through.
        """
        bounds = (query.before, None if end is None else end + MILLISECOND)
        before = min((bound for bound in bounds if bound is not None), default=None)
        window = replace(query, order=self._listing.tie_order, before=before)
        found = _page_through(self._ask, window, self._timed)
        yield from self._fresh(sorted(found, key=_time_of))

    def _ask(self, query: Query) -> Page:
        page = self._fetch(query)
        if self._tally.calls == 0:
            self._tally.total = page.total
        self._tally.calls += 1
        return page

    def _timed(self, rows: list[Row]) -> list[Timed]:
        timed = ((self._listing.instant(row), row) for row in rows if _id_of(row))
        return [(instant, row) for instant, row in timed if instant is not None]

    def _fresh(self, timed: list[Timed]) -> list[Timed]:
        """The rows not seen before; a row that came back with another time is a new row."""
        fresh = []
        for instant, row in timed:
            known = (row["id"], instant)
            if known in self._edge:
                self._tally.duplicates += 1
            else:
                self._edge[known] = row[self._listing.stamp]
                fresh.append((instant, row))
        self._tally.rows += len(fresh)
        return fresh

    def _forget_before(self, cursor: datetime) -> None:
        """Keep only what the next answers can hold again, so that memory stays constant."""
        kept = cursor - MILLISECOND
        earliest = kept - LONGEST_RESOLUTION  # whoever prints an earlier time was stored before
        self._edge = {
            known: text
            for known, text in self._edge.items()
            if known[1] >= earliest and end(known[1], text) >= kept
        }

    def _is_past_all_times(self, page: Page, timed: list[Timed]) -> bool:
        """Whether rows without the time sort last, and this page shows the first of them."""
        return bool(timed) and self._listing.instant(page.rows[-1]) is None

    def _check_order(self, timed: list[Timed], cursor: datetime | None) -> None:
        """A list that ignores its filter or its order would be read wrongly without a sign."""
        floor = timed[0][0] if cursor is None and timed else cursor
        for one in timed:
            if (
                floor is not None
                and one[0] < floor
                and self._listing.end(one) < floor - MILLISECOND
            ):
                raise VoucherifyError(
                    f"The list does not keep the order `{self._listing.field}` or its filter, so "
                    "rows could be missed; nothing past this point was read: report it to the "
                    "maintainers with the run's log."
                )
            floor = one[0] if floor is None else max(floor, one[0])


def _page_through(
    ask: Fetch, window: Query, timed: Callable[[list[Row]], list[Timed]]
) -> list[Timed]:
    """All rows of one window that have the time, by page number.

    A row that leaves the window moves later rows to an earlier page, so a pass up the pages can
    miss one, and a row that enters does the same to a pass down. Passes therefore alternate until
    one of each kind brought nothing new. One pass is enough if its answers all counted as many
    rows as it found: into a window that lies in the past no row enters.

    Raises:
        VoucherifyError: the window holds more rows than the API's pages reach.
    """
    pages = list(_pages_up(ask, window))
    found = {row["id"]: (instant, row) for page in pages for instant, row in timed(page.rows)}
    counted = window.before is not None and {page.total for page in pages} == {len(found)}
    if len(pages) == 1 or counted:
        return list(found.values())
    if pages[-1].may_have_successor:
        raise VoucherifyError(
            f"More than {LAST_PAGE * PAGE_ROWS:,} rows share one instant of `{window.field}`, "
            "and the API pages no further: ask Voucherify's support for an export of them."
        )
    quiet, numbers = 0, range(len(pages), 0, -1)
    while quiet < BOTH_WAYS:
        known = len(found)
        for number in numbers:
            page = ask(replace(window, page=number))
            found.update((row["id"], (instant, row)) for instant, row in timed(page.rows))
        quiet = quiet + 1 if len(found) == known else 0
        numbers = numbers[::-1]
    return list(found.values())


def _pages_up(ask: Fetch, window: Query) -> Iterator[Page]:
    """The pages of a window from the first to the last that it has, or that the API serves."""
    for number in range(1, LAST_PAGE + 1):
        page = ask(replace(window, page=number))
        yield page
        if not page.may_have_successor:
            return


def _id_of(row: Row) -> str:
    identity = row.get("id")
    if not isinstance(identity, str) or not identity:
        raise VoucherifyError(
            "A row of the list has no `id`, so it cannot be told from the others: report it to "
            "Voucherify's support with the time of this run."
        )
    return identity


def _time_of(timed: Timed) -> datetime:
    return timed[0]
