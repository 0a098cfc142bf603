"""Whether a whole read saw everything that the API counts, while the project goes on changing.

One rule, for every list that has a `total`:

    read      distinct rows read that were created before the read began
    total     rows that the first answer counts
    counted   rows created before the read began that the API counts afterwards

A read is complete if `read` reaches `total`, or `counted`, because the rest was deleted meanwhile.
Rows created since the read began are in neither figure.

A difference fails the run once and keeps the position. The next run goes on from there, and if the
rows that are missing do not come, it reads the list once more. A difference that two whole reads
show is a matter of what `total` counts, so it ends in a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from tap_voucherify.pagination.time_cursor import Fetch, Listing, Query, walk
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import MILLISECOND, parse, to_iso

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from tap_voucherify.pagination.page_number import NumberedPages
    from tap_voucherify.pagination.time_cursor import Page, Tally

Item = TypeVar("Item")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

COUNTS = 3
"""Times that a list is counted whose rows come faster than they can be read."""

SAME_DIFFERENCE = 2
"""How many times the rows that a read lacked may be missing from the next one to count as the same
difference: it can grow with each deletion, and a list cut short lacks far more."""


@dataclass
class WholeRead:
    """How far the read of a whole list has come, and what it has to account for.

    Attributes:
        started: when the read began, at its first answer or before; the bookmark that it leaves.
        reached: time of creation of the last record written.
        total: rows that the read has to account for: `total` of the first answer, once the read
            failed less what was deleted.
        rows: distinct rows read that were created before the read began.
        missing: rows that the read lacked when it came to its end; `None` until then.
        lacked: rows that the whole read before this one lacked; `None` if this is the first.
    """

    started: datetime | None = None
    reached: datetime | None = None
    total: int | None = None
    rows: int = 0
    missing: int | None = None
    lacked: int | None = None

    newest_first: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._resumed_at = self.reached
        self._rows_at_reached = 0

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The read that an earlier run left, or a new one."""

        def instant(name: str) -> datetime | None:
            text = state.get(name)
            return parse(text, what=f"`{name}` in the state") if text else None

        return cls(
            started=instant("started"),
            reached=instant("reached"),
            total=state.get("total"),
            rows=int(state.get("rows", 0)),
            missing=state.get("missing"),
            lacked=state.get("lacked"),
        )

    def to_state(self) -> dict[str, Any]:
        """The read as JSON values, of constant size.

        The rows of the last instant are not counted in it, because the next run reads them again.
        """
        values = {
            "started": self.started and to_iso(self.started),
            "reached": self.reached and to_iso(self.reached),
            "total": self.total,
            "rows": self.rows - self._rows_at_reached,
            "missing": self.missing,
            "lacked": self.lacked,
        }
        return {name: value for name, value in values.items() if value is not None}

    def begin(self, started: datetime, total: int | None) -> None:
        """Note what the first answer says; later answers change nothing."""
        if self.started is None:
            self.started, self.total = started, total

    def again(self) -> Self:
        """A new read of the same list."""
        return type(self)(lacked=self.missing)

    @property
    def border(self) -> datetime:
        """Rows created before this instant have to be there.

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

    def _is_beyond(self, one: datetime, other: datetime) -> bool:
        return one < other if self.newest_first else one > other

    def check(self, count: Callable[[datetime], int | None]) -> None:
        """Note how many rows are missing, at the end of the read.

        A read that failed in an earlier run is not counted again: what was deleted since then
        would be taken for what is missing.

        Args:
            count: asks how many rows the API counts that were created before an instant.
        """
        if self.total is not None and self.rows < self.total and self.missing is None:
            counted = count(self.border)
            self.total = self.total if counted is None else min(self.total, counted)
        self.missing = max(0, (self.total or 0) - self.rows) or None

    @property
    def is_known_difference(self) -> bool:
        """Whether the rows missing are those that the whole read before this one lacked."""
        return (self.missing or 0) <= SAME_DIFFERENCE * (self.lacked or 0)


Read = TypeVar("Read", bound=WholeRead)


class CheckedStream(Protocol):
    """What of a stream the check needs: its name, where it logs, and what its read cost."""

    name: str
    tally: Tally

    @property
    def logger(self) -> logging.Logger:
        """Where the completeness line goes."""


def verified(
    stream: CheckedStream,
    read: Read,
    rows: Callable[[Read], Iterator[Item]],
    count: Callable[[datetime], int | None],
) -> Iterator[Item]:
    """Everything that a whole read gives, and a second one where an earlier run lacked rows.

    Args:
        stream: the stream that reads.
        read: how far it has come.
        rows: gives what is left of a read, and counts it there.
        count: asks how many rows the API counts that were created before an instant.

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
    conclude(stream, read)


def conclude(stream: CheckedStream, read: WholeRead) -> None:
    """Log how a whole read ended.

    Raises:
        VoucherifyError: rows are missing, and the read before this one did not show the same.
    """
    if read.missing is None:
        counted = f"{read.total} {stream.name} counted by the API"
        if read.total is None:
            counted = f"{stream.name} without a total to compare with"
        stream.logger.info(
            "complete: %s, %d distinct rows created before the read began, %d duplicates "
            "dropped, %d calls",
            counted,
            read.rows,
            stream.tally.duplicates,
            stream.tally.calls,
        )
    elif read.is_known_difference:
        stream.logger.warning(
            "%s: in two whole reads the API counts more rows than it lists (%s and %s); the "
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
    """What `total` says of a list that takes the time of creation as a filter.

    Whether `total` heeds filters is not published (reference §5.2).
    """

    def __init__(self, fetch: Fetch, listing: Listing) -> None:
        self._fetch = fetch
        self._listing = listing

    @cached_property
    def heeds_filters(self) -> bool:
        """Whether `total` counts only what a filter selects: nothing was created so long ago."""
        return self._total(EPOCH) == 0

    def before(self, border: datetime) -> int | None:
        """Rows created before an instant, as far as the API counts them now.

        Where `total` counts everything, the rows created since are read. They come last, so the
        last answer counts just those that were read and those created before.
        """
        # A row stored in the last millisecond may or may not be selected.
        total = self._total(border - MILLISECOND)
        if total is None or self.heeds_filters:
            return total
        totals: list[int | None] = []

        def noted(query: Query) -> Page:
            page = self._fetch(query)
            totals.append(page.total)
            return page

        newer = sum(1 for _ in walk(noted, self._listing, since=border))
        last = totals[-1]
        return None if last is None else last - newer

    def _total(self, before: datetime) -> int | None:
        field = self._listing.field
        return self._fetch(Query(field, field, before=before)).total


def counted_in_pages(pages: Callable[[], NumberedPages], border: datetime) -> int | None:
    """Rows created before an instant, as a list without a time filter counts them now.

    The rows created since are read and taken off. Where rows come meanwhile the figure may be too
    high, never too low, so it is taken a few times.

    Args:
        pages: the pages that hold what was created since, anew at each call.
        border: the instant.
    """
    counts: list[int] = []
    for _ in range(COUNTS):
        listed = pages()
        newer = sum(not is_older(row, border) for row in listed.rows())
        total = listed.tally.total
        if total is None:
            return None
        counts.append(total - newer)
        if listed.first_total == total:
            break
    return min(counts)


def is_older(row: dict[str, Any], border: datetime) -> bool:
    """Whether a row was created before an instant; one without a time counts as old."""
    created = created_at(row)
    return created is None or created < border


def created_at(row: dict[str, Any]) -> datetime | None:
    """When a row was created, if it says so."""
    text = row.get("created_at")
    return None if text is None else parse(text, what="`created_at` of a row")
