"""Check that a full read has every row that the API counts, while the project goes on changing.

One rule, for every list that has a `total`:

    rows      distinct rows read that were created before the read began
    total     rows that the first response counts
    recount   rows created before the read began that the API counts afterwards

A read is complete if `rows` reaches `total`, or `recount`, because the rest was deleted meanwhile.
Rows created since the read began are in neither figure.

A difference fails the run once and keeps the position. The next run goes on from there, and if the
missing rows do not come, it reads the list once more. A difference that two full reads show is a
matter of what `total` counts, so it ends in a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from typing_extensions import override

from tap_voucherify.pagination.position import Position
from tap_voucherify.pagination.time_cursor import EPOCH, Query, ReadStats, rows_by_time
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import MILLISECOND, parse

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_voucherify.pagination.page_number import NumberedPages
    from tap_voucherify.pagination.time_cursor import (
        Fetch,
        Page,
        Row,
        TimeOrderedEndpoint,
    )

Item = TypeVar("Item")

COUNTS = 3
"""Times that a list is counted whose rows come faster than they can be read."""

SAME_DIFFERENCE_FACTOR = 2
"""Missing rows count as those that the read before lacked up to this many times their number: the
difference can grow with each deletion, and a truncated list lacks far more."""


@dataclass
class FullRead(Position):
    """The progress of the read of a whole list, and what it has to account for.

    Attributes:
        reached: time of creation of the last record written.
        total: rows that the read has to account for: `total` of the first response; once the read
            failed, less what was deleted.
        rows: distinct rows read that were created before the read began.
        missing: rows that the read lacked at its end; `None` until then.
        lacked: rows that the full read before this one lacked; `None` if this is the first.
        changed: time of the last change among rows created before `start_date`, which are read
            last; `None` until then.
    """

    reached: datetime | None = None
    total: int | None = None
    rows: int = 0
    missing: int | None = None
    lacked: int | None = None
    changed: datetime | None = None

    newest_first: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._resumed_at = self.reached
        self._rows_at_reached = 0
        self._rows_just_before = 0

    @override
    def to_state(self) -> dict[str, Any]:
        """As the base, without the rows of the last instant: the next run reads them again."""
        return {**super().to_state(), "rows": self.rows - self._rows_at_reached}

    def begin(self, started: datetime, total: int | None) -> None:
        """Note what the first response says; later calls change nothing."""
        if self.started is None:
            self.started, self.total = started, total

    def again(self) -> Self:
        """A new read of the same list."""
        return type(self)(lacked=self.missing)

    @cached_property
    def border(self) -> datetime:
        """The instant before which rows were created that have to be there.

        It is a whole second, because a time printed without decimals may stand for any in it.
        """
        if self.started is None:
            raise AssertionError("nothing was read yet")
        return self.started.replace(microsecond=0)

    def add(self, created: datetime | None) -> None:
        """Count a row by its time of creation, once it is written.

        A row without that time counts as one that was there before.
        """
        if created is None:
            self.rows += 1
            return
        if self.reached is None or self._is_beyond(created, self.reached):
            self.reached, self._rows_at_reached = created, 0
        known = self._resumed_at is not None and self._is_beyond(self._resumed_at, created)
        if known or created >= self.border:
            return
        self.rows += 1
        self._rows_at_reached += created == self.reached
        self._rows_just_before += created >= self._recount_border

    @property
    def _recount_border(self) -> datetime:
        """The instant before which rows are counted again.

        Whether a filter selects a row of its very instant is not published, so it is not asked
        about the border.
        """
        return self.border - MILLISECOND

    def _is_beyond(self, one: datetime, other: datetime) -> bool:
        return one < other if self.newest_first else one > other

    def check(self, count: Callable[[datetime], int | None]) -> None:
        """Note how many rows are missing, at the end of the read.

        A read that failed in an earlier run is not counted again: what was deleted since then
        would be taken for what is missing.

        Args:
            count: returns how many rows the API counts that were created before an instant.
        """
        if self.total is not None and self.rows < self.total and self.missing is None:
            recount = count(self._recount_border)
            if recount is not None:
                self.total = min(self.total, recount + self._rows_just_before)
        self.missing = max(0, (self.total or 0) - self.rows) or None

    @property
    def is_known_difference(self) -> bool:
        """Whether the missing rows are those that the full read before this one lacked."""
        return (self.missing or 0) <= SAME_DIFFERENCE_FACTOR * (self.lacked or 0)


Read = TypeVar("Read", bound=FullRead)


class CheckedStream(Protocol):
    """What the check needs of a stream: its name, its log, and what the read has cost."""

    name: str
    stats: ReadStats

    @property
    def logger(self) -> logging.Logger:
        """The log for the completeness line."""


def verified_rows(
    stream: CheckedStream,
    read: Read,
    rows: Callable[[Read], Iterator[Item]],
    count: Callable[[datetime], int | None],
) -> Iterator[Item]:
    """All rows of a full read, and of a second one if rows are missing as in an earlier run.

    Args:
        stream: the stream that reads.
        read: its progress.
        rows: yields what is left of a read, and counts it there.
        count: returns how many rows the API counts that were created before an instant.

    Raises:
        VoucherifyError: rows are missing and no deletion explains it.
    """
    failed_before = read.missing is not None
    yield from rows(read)
    read.check(count)
    if failed_before and read.missing is not None:
        stream.logger.info(
            "%s: %s rows are still missing; reading the list once more",
            stream.name,
            f"{read.missing:,}",
        )
        read = read.again()
        yield from rows(read)
        read.check(count)
    report_or_raise(stream, read)


def report_or_raise(stream: CheckedStream, read: FullRead) -> None:
    """Log how a full read ended.

    Raises:
        VoucherifyError: rows are missing, and the read before this one did not lack the same.
    """
    if read.missing is None:
        counted = "the API gave no total to compare with"
        if read.total is not None:
            counted = f"the API counts {read.total:,}"
        stream.logger.info(
            "complete: %s %s created before the read began (%s), %d duplicates dropped, %d calls",
            f"{read.rows:,}",
            stream.name,
            counted,
            stream.stats.duplicates,
            stream.stats.calls,
        )
    elif read.is_known_difference:
        stream.logger.warning(
            "%s: in two full reads the API counts more rows than it lists (%s and %s); the "
            "stream ends here: ask Voucherify's support what `total` counts in this project",
            stream.name,
            f"{read.rows + read.missing:,}",
            f"{read.rows:,}",
        )
    else:
        raise VoucherifyError(
            f"{stream.name}: the API counted {read.rows + read.missing:,} {stream.name} but gave "
            f"{read.rows:,}: run again, which goes on from here and, if the difference stays, "
            "reads the list once more."
        )


class FilteredCount:
    """Counts rows by `total` of a list that takes the time of creation as a filter.

    It is not published whether `total` heeds filters.

    Args:
        fetch: returns a page.
        endpoint: the list.
        since: only rows created later count; `None` counts all.
    """

    def __init__(
        self, fetch: Fetch, endpoint: TimeOrderedEndpoint, since: datetime | None = None
    ) -> None:
        self._fetch = fetch
        self._endpoint = endpoint
        self._since = since

    @cached_property
    def heeds_filters(self) -> bool:
        """Whether `total` counts only what a filter selects: nothing was created before 1970."""
        return self._total(None, EPOCH) == 0

    def now(self) -> int | None:
        """Rows there are; `None` if the API does not count them alone."""
        return self._total(self._since, None) if self.heeds_filters else None

    def before(self, border: datetime) -> int | None:
        """Rows created before an instant, as far as the API counts them now.

        If `total` counts all rows, those created since are read. They come last, so the last
        response counts just those that were read and those created before.
        """
        total = self._total(self._since, border)
        if total is None or self._since is not None or self.heeds_filters:
            return total
        totals: list[int | None] = []

        def fetch(query: Query) -> Page:
            page = self._fetch(query)
            totals.append(page.total)
            return page

        # Known, so no request asks for it between two totals.
        stats = ReadStats(heeds_filters=False, started=lambda: border)
        newer = sum(1 for _ in rows_by_time(fetch, self._endpoint, since=border, stats=stats))
        last = totals[-1]
        return None if last is None else last - newer

    def _total(self, after: datetime | None, before: datetime | None) -> int | None:
        field = self._endpoint.field
        return self._fetch(Query(field, field, after, before)).total


def counted_in_pages(pages: Callable[[], NumberedPages], border: datetime) -> int | None:
    """Rows created before an instant, as a list without a time filter counts them now.

    The rows created since are read and subtracted. If rows come meanwhile the figure may be too
    high, never too low, so it is taken a few times.

    Args:
        pages: makes a new read of the pages that hold what was created since.
        border: the instant.
    """
    counts: list[int] = []
    for _ in range(COUNTS):
        listed = pages()
        newer = sum(not is_older(row, border) for row in listed.rows())
        total = listed.stats.total
        if total is None:
            return None
        counts.append(total - newer)
        if listed.first_total == total:
            break
    return min(counts)


def is_older(row: Row, border: datetime) -> bool:
    """Whether a row was created before an instant; a row without the time counts as old."""
    created = created_at(row)
    return created is None or created < border


def created_at(row: Row) -> datetime | None:
    """When a row was created; `None` for a row without the time."""
    text = row.get("created_at")
    return None if text is None else parse(text, what="`created_at` of a row")
