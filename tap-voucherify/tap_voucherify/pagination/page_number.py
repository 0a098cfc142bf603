"""Lists without a time filter, read to their end or back to an instant: nothing may slip through.

Between two requests rows can come, go and move, and rows of one instant may change places. A row
that comes or moves to the front pushes others down, which shows them twice; a row that goes pulls
others up, past a page that was read. So pages are read again, down and up, until that brought
nothing new, unless the first pass already proves that nothing was pulled.

Nothing here knows HTTP: a page comes from a function.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tap_voucherify.pagination.endpoints import page_of
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_voucherify.pagination.time_cursor import Page, Row, Tally

LAST_PAGE = 100
"""The last page of the lists that have no time filter (reference §12); 10,000 rows."""

QUIET_PASSES = 6
"""Passes, down and up in turn, that must bring nothing new where no count proves it.

They cost something only where rows of one instant lie across a page's edge, or where the list has
neither an order nor a count that holds.
"""

DISTINCT_TIMES = 20
"""Times in falling order on one page that show that the list's ids grow with time."""

Body = dict[str, Any]


@dataclass(slots=True)
class NumberedPages:
    """One list by page number, its newest rows first or in no known order.

    Attributes:
        ask: fetches the page with this number.
        tally: counts calls and duplicates, and keeps the last `total`.
        stamp: the time that orders the list, newest first; none if no order is known.
        since: rows older than this end the reading; none reads everything.
        began: when the reading began; rows that came since are given as far as they are met, and
            nothing is read again for them, or a busy list would never end.
        number: the page being read; rows of earlier pages were all given.
        last_page: the last page that the API serves.
        capped: whether the API served no further page although there were more rows.
        first_total: `total` of the first answer.
    """

    ask: Callable[[int], Page]
    tally: Tally
    stamp: str | None = None
    since: datetime | None = None
    began: Callable[[], datetime] | None = None
    number: int = 1
    last_page: int = LAST_PAGE
    capped: bool = False
    first_total: int | None = None
    distinct: set[str] = field(default_factory=set)
    _totals: list[int | None] = field(default_factory=list)
    _edge: Row | None = None
    _timed: bool = False
    _begun: bool = False
    _awaited: int = 0
    _ended: bool = False
    _tied: bool = False

    def rows(self) -> Iterator[Row]:
        """Each row once; old ones may be among them."""
        first = self.number
        for number in range(first, self.last_page + 1):
            self.number = number
            page = self._asked(number)
            yield from self._fresh(page)
            if self._is_last(page):
                break
        else:
            # Rows that come meanwhile push others off the last page, which were read before.
            total = self._totals[-1] if self.stamp is None else self.first_total
            self.capped = total is None or len(self.distinct) < total
        if self.number > first and not self._is_proven():
            yield from self._again(first, self.number)

    def _again(self, first: int, last: int) -> Iterator[Row]:
        quiet, numbers = 0, range(last, first - 1, -1)
        while quiet < QUIET_PASSES and not self._is_counted():
            known = self._awaited
            for number in numbers:
                yield from self._fresh(self._asked(number))
            quiet = quiet + 1 if self._awaited == known else 0
            numbers = numbers[::-1]

    def _asked(self, number: int) -> Page:
        page = self.ask(number)
        self.tally.calls += 1
        if not self._begun:
            self._begun, self.first_total = True, page.total
        if page.total is not None:
            self.tally.total = page.total
        return page

    def _fresh(self, page: Page) -> list[Row]:
        fresh = []
        for row in page.rows:
            identity = row.get("id")
            if identity in self.distinct:
                self.tally.duplicates += 1
            else:
                self.distinct.add(str(identity))
                self._awaited += not self._came_since(row)
                fresh.append(row)
        return fresh

    def _came_since(self, row: Row) -> bool:
        time = row.get(self.stamp or "created_at")
        if self.began is None or time is None:
            return False
        return parse(time, what="the time of a row") >= self.began()

    def _is_last(self, page: Page) -> bool:
        """Whether nothing wanted can follow; notes what `_is_proven` needs of the page."""
        self._totals.append(page.total)
        self._ended = not page.may_have_successor
        if not page.rows:
            return True
        self._tied = self._tied or self._is_tied(page.rows[0])
        self._edge = page.rows[-1]
        return self._ended or self._is_old(page)

    def _is_tied(self, row: Row) -> bool:
        """Whether the first row of a page and the last one before could change places unseen."""
        if self.stamp is None or self._edge is None:
            return self._edge is not None
        time = row.get(self.stamp)
        if time is None or self._edge.get(self.stamp) != time:
            return False
        # The same row again is one that a new row pushed down, if the count grew with it.
        pushed = self._edge.get("id") == row.get("id") and len(set(self._totals[-2:])) > 1
        return not pushed

    def _is_counted(self) -> bool:
        """Whether the list was read whole and its count shows that every row was seen.

        Rows that come in go to the front of a list with the newest first, so there the count of
        the first answer is enough; elsewhere every answer must count the same.
        """
        if self.stamp is None or self._shrank():
            return self._ended and set(self._totals) == {len(self.distinct)}
        first = self._totals[0]
        return self._ended and first is not None and len(self.distinct) >= first

    def _is_proven(self) -> bool:
        """Whether the first pass shows that no row was pulled past it."""
        return self._is_counted() or not (self._tied or self._shrank())

    def _shrank(self) -> bool:
        """Whether rows may have gone meanwhile: the count fell, or there is none."""
        known = [total for total in self._totals if total is not None]
        fell = any(later < total for total, later in pairwise(known))
        return fell or len(known) < len(self._totals)

    def _is_old(self, page: Page) -> bool:
        """Whether the page reaches past `since`, or past all rows that have the time."""
        if self.since is None or self.stamp is None:
            return False
        last = page.rows[-1].get(self.stamp)
        self._timed = self._timed or bool(page.rows[0].get(self.stamp))
        if last is None:
            return self._timed  # whether rows without the time sort first or last is not published
        return parse(last, what=f"`{self.stamp}` of a row") < self.since


def is_newest_first(times: list[datetime]) -> bool:
    """Whether rows that came in the order of their ids are so surely ordered by time as well.

    That ids grow with time is not published. Where it does not hold, that many distinct times
    would stand in order by chance once in 20! pages.
    """
    return len(set(times)) >= DISTINCT_TIMES and times == sorted(times, reverse=True)


def pages_by_cursor(body: Body | None, ask: Callable[[str], Body | None]) -> Iterator[Page]:
    """All pages behind a first answer; the cursor is the last row's id unless the answer names it.

    Args:
        body: the first answer; none for a parent that is gone.
        ask: fetches the answer behind a cursor, none if the parent is gone by then.

    Raises:
        VoucherifyError: the cursor leads nowhere, so rows could be missed.
    """
    used: str | None = None
    while body is not None:
        page = page_of(body)
        yield page
        if not page.may_have_successor:
            return
        cursor = str(body.get("more_starting_after") or page.rows[-1].get("id"))
        if cursor == used:
            raise VoucherifyError(
                "The API repeats a page, so rows could be missed: report it to Voucherify's "
                "support with the time of this run."
            )
        used = cursor
        body = ask(cursor)
