"""One long walk cut into windows of time that are read ahead and given back in order.

A walk needs each answer before it can ask again, so it is bound by latency: at 200 ms an answer it
uses a tenth of a large plan's quota. Consecutive windows of `created_at`, which never changes, can
be read side by side. Each is a walk of its own and holds by itself; their rows in the order of the
windows are the rows of the one walk.

    probe ─► [ window 1 ][ window 2 ][ window 3 ] … [ last, open ended ]
               read by several threads, packed, handed on in this order

How many rows a window holds is a guess from the windows before it. One that turns out larger stops
at a bound, and the rest of it is cut again.
"""

from __future__ import annotations

import sys
from collections import deque
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Self

import msgspec

from tap_voucherify.pagination.time_cursor import PAGE_ROWS, Query, Row, Tally, walk, widened
from tap_voucherify.pagination.total_check import FilteredCount
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import MILLISECOND, whole_millisecond

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_voucherify.pagination.time_cursor import Fetch, Listing

WINDOW_ROWS = 5_000
"""Rows a window should hold: many, because each ends with a page that is not full."""

MOST_WINDOWS_WORTH = 1.6
"""A window that holds this many times what it should is cut, so that memory stays bounded."""

FAR_TOO_LARGE = 2.5
"""How many times its bound a window holds that is cut at once; each piece may cost a call more."""

LAST_WINDOWS_WORTH = 0.5
"""A window at the end of a long walk holds no less of what it should, so that no thread is left to
read alone for long. Smaller ones would cost more calls than the time is worth."""

LONG_WALK = 10
"""How many windows a walk must be worth for that: a shorter one is over in seconds anyway."""

CALLS_A_WINDOW = WINDOW_ROWS // PAGE_ROWS + 2

LIGHT_ROWS = 3 * PAGE_ROWS
"""Rows that a window may keep in memory without counting among those that are read side by side."""

MOST_PIECES = 16
"""Into how many windows the rest of one that held too many rows is cut at once."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, closed at `since` and open at `until`; none means unbounded."""

    since: datetime | None
    until: datetime | None


Record = Row | msgspec.Raw
TimedRecord = tuple[datetime, Record]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records as they wait for those before them, in a fifth of the memory of objects."""

    instants: list[datetime]
    text: bytes
    untouched: bool

    @classmethod
    def of(cls, records: list[TimedRecord]) -> Self:
        """These records: a line each where they are text already, else an array."""
        instants = [instant for instant, _ in records]
        texts = [record for _, record in records if isinstance(record, msgspec.Raw)]
        if len(texts) == len(records):
            return cls(instants, b"\n".join(texts), untouched=True)
        return cls(
            instants, msgspec.json.encode([record for _, record in records]), untouched=False
        )

    def records(self) -> Iterator[TimedRecord]:
        """The records again, in their order."""
        records: Iterable[Record] = (
            map(msgspec.Raw, self.text.split(b"\n"))
            if self.untouched
            else msgspec.json.decode(self.text)
        )
        return zip(self.instants, records, strict=False)


@dataclass(slots=True)
class Part:
    """What one window gave: its records, and what is left to read of it."""

    chunks: deque[Chunk] = field(default_factory=deque)
    rows: int = 0
    rest: Window | None = None
    tally: Tally = field(default_factory=Tally)
    failure: Exception | None = None
    """Why the window ended early; its rows up to there are whole."""


@dataclass(frozen=True)
class Source:
    """Where windows are read from.

    Attributes:
        fetch: answers a query; called from several threads.
        listing: the list, ordered by a time that never changes.
        record: makes the record of a row and its time; called from several threads.
        total: the count of all rows; an answer with the same count says nothing of its window.
        fail: ends the waits of all threads that read; called where the walk ends early.
    """

    fetch: Fetch
    listing: Listing
    record: Callable[[Row, datetime], Record]
    total: int | None = None
    fail: Callable[[Exception], None] = field(default=lambda _error: None)

    def counted(self, tally: Tally) -> int | None:
        """How many rows the API counts in a window; none where it counts all, or not at all."""
        if tally.total is None or tally.total == self.total:
            return None
        # A count of all rows moves while they are read, but it does not fall by half.
        is_small = self.total is None or 2 * tally.total <= self.total
        return tally.total if is_small or self._count.heeds_filters else None

    @cached_property
    def _count(self) -> FilteredCount:
        return FilteredCount(self.fetch, self.listing)


def read(source: Source, window: Window, most_rows: int, part: Part) -> Part:
    """Walk one window, up to `most_rows` rows and then to the next row that is surely later.

    Of a window that the first answer shows to hold far more, only a page is read: the rest of it
    can be cut in pieces at once, and these be read side by side.

    Args:
        source: where it is read from.
        window: what to read.
        most_rows: after so many rows the rest is left for other windows.
        part: gets what the window gives.
    """
    listing, limit = source.listing, most_rows
    chunk: list[TimedRecord] = []
    ceiling: datetime | None = None
    try:
        for timed in walk(
            source.fetch, listing, since=window.since, until=window.until, tally=part.tally
        ):
            instant, row = timed
            if part.rows == 0 and _is_worth_cutting(window, instant):
                is_far_too_large = (source.counted(part.tally) or 0) > FAR_TOO_LARGE * most_rows
                limit = PAGE_ROWS if is_far_too_large else most_rows
            if part.rows >= limit and ceiling is not None and instant >= ceiling:
                part.rest = Window(instant, window.until)
                break
            end = listing.end(timed)
            ceiling = end if ceiling is None or end > ceiling else ceiling
            chunk.append((instant, source.record(row, instant)))
            part.rows += 1
            if len(chunk) == PAGE_ROWS:
                part.chunks.append(Chunk.of(chunk))
                chunk = []
    except Exception as failure:  # noqa: BLE001 - raised again after the rows before it were given
        part.failure = failure
    part.chunks.append(Chunk.of(chunk))
    return part


def _is_worth_cutting(window: Window, first: datetime) -> bool:
    """Whether the window is wide enough for as many pieces as one may be cut into."""
    return window.until is not None and window.until - first >= MOST_PIECES * MILLISECOND


@dataclass(slots=True)
class Reading:
    """A window whose turn comes, or that is being read, or that was read."""

    window: Window
    future: Future[Part] | None = None
    is_cut: bool = False
    begun: Part = field(default_factory=Part)
    """What it has given so far, which the thread that reads it goes on to fill."""

    @property
    def part(self) -> Part | None:
        """What it gave, once it was read."""
        return self.future.result() if self.future is not None and self.future.done() else None

    @property
    def is_light(self) -> bool:
        """Whether it waits for its turn with next to nothing in memory."""
        part = self.part
        return self.future is None or (part is not None and part.rows <= LIGHT_ROWS)


class WindowedWalk:
    """The records of one walk, read `at_once` windows at a time.

    Args:
        source: the list, and what becomes of its rows.
        at_once: windows read side by side.
        tally: its `total` is the count of all rows to read; gets the sums of the windows.
        window_rows: rows that a window should hold.
        fails_early: whether a window that lacks rows ends the walk; not where all rows are held
            against a count at its end.
    """

    def __init__(
        self,
        source: Source,
        *,
        at_once: int,
        tally: Tally,
        window_rows: int = WINDOW_ROWS,
        fails_early: bool = True,
    ) -> None:
        self._fails_early = fails_early
        self._window_rows = window_rows
        self._source = source
        self._at_once = at_once
        self._tally = tally
        self._width = MILLISECOND
        self._readings: deque[Reading] = deque()
        self._given = 0
        self._settled: datetime | None = None

    def rows(self, span: Window, first: datetime, now: datetime) -> Iterator[TimedRecord]:
        """The records of every row of a span of time, ascending.

        Args:
            span: what to read.
            first: time of the first row in it.
            now: up to here the rows are settled; the last window begins before and has no bound
                of its own.

        Raises:
            VoucherifyError: a window gave fewer rows than the API counts in it, twice.
        """
        settled = self._settled = now if span.until is None else min(now, span.until)
        self._width = max(
            MILLISECOND, (settled - first) * self._window_rows / max(1, self._tally.total or 1)
        )
        windows = self._windows(span, first, settled)
        with ThreadPoolExecutor(max_workers=self._at_once) as pool:
            try:
                self._fill(pool, windows)
                while self._readings:
                    yield from self._oldest()
                    self._cut_what_holds_too_much()
                    self._fill(pool, windows)
            finally:
                if not all(future.done() for future in self._futures()):
                    self._source.fail(CancelledError())  # or the pool waits for threads that wait
                for future in self._futures():
                    future.cancel()

    def _windows(self, span: Window, first: datetime, settled: datetime) -> Iterator[Window]:
        """Consecutive windows, each as wide as seems right when it is asked for."""
        since, frontier = span.since, first
        while frontier + MILLISECOND < settled:
            if self._rows_to_come() <= 0:
                # Nothing is counted there. If something is there all the same it can be cut, as
                # this window has an end.
                yield Window(since, whole_millisecond(settled))
                since = whole_millisecond(settled)
                break
            width = self._width * self._wanted_rows() / self._window_rows
            until = whole_millisecond(frontier + max(MILLISECOND, width))
            if until >= settled:
                break
            yield Window(since, until)
            since = frontier = until
        if since is None or span.until is None or since < span.until:
            yield Window(since, span.until)

    def _fill(self, pool: ThreadPoolExecutor, windows: Iterator[Window]) -> None:
        """Let the oldest windows be read, as many as may be in memory."""
        while len(self._readings) < self._at_once and (window := next(windows, None)) is not None:
            self._readings.append(Reading(window))
        if self._rows_to_come() <= 0:
            self._join_what_waits()
        places = self._at_once - sum(not reading.is_light for reading in self._readings)
        waiting = (reading for reading in self._readings if reading.future is None)
        for reading in islice(waiting, max(0, places)):
            most_rows = int(self._wanted_rows() * MOST_WINDOWS_WORTH)
            reading.future = pool.submit(
                read, self._source, reading.window, most_rows, reading.begun
            )

    def _join_what_waits(self) -> None:
        """Make one of neighbouring windows that are not begun: nothing is counted in them.

        The last one stays alone where it has no end, as such a window cannot be cut.
        """
        readings: deque[Reading] = deque()
        for reading in self._readings:
            until = reading.window.until
            if reading.future is None and until and readings and readings[-1].future is None:
                readings.append(Reading(Window(readings.pop().window.since, until)))
            else:
                readings.append(reading)
        self._readings = readings

    def _wanted_rows(self) -> int:
        """Rows that a window begun now should hold: fewer towards the end of a long walk."""
        if (self._tally.total or 0) < LONG_WALK * self._window_rows:
            return self._window_rows
        least = int(LAST_WINDOWS_WORTH * self._window_rows)
        return min(self._window_rows, max(least, self._rows_to_come() // self._at_once))

    def _rows_to_come(self) -> int:
        """Rows in windows that were not begun, as far as the API counts them."""
        if self._tally.total is None:
            return self._window_rows
        begun = self._given + sum(self._expected(reading) for reading in self._readings)
        return self._tally.total - begun

    def _expected(self, reading: Reading) -> int:
        """Rows that a window has given and will give, as far as is known."""
        part = reading.begun
        counted = None if reading.part else self._source.counted(part.tally)
        return max(part.rows, counted or 0)

    def _futures(self) -> list[Future[Part]]:
        return [reading.future for reading in self._readings if reading.future is not None]

    def _oldest(self) -> Iterator[TimedRecord]:
        """The records of the oldest window; nothing if another one was read before it was."""
        part = self._readings[0].part
        if part is None:
            unread = [future for future in self._futures() if not future.done()]
            wait(unread, return_when=FIRST_COMPLETED)
            return
        self._cut_what_holds_too_much()
        window = self._readings.popleft().window
        self._tally.add(part.tally)
        if part.rest is None and part.failure is None:
            if self._lacks(window, part.tally):
                part = self._read_again(window)
            self._learn(window, part.rows)
        self._given += part.rows
        while part.chunks:
            yield from part.chunks.popleft().records()
        if part.failure is not None:
            raise part.failure

    def _cut_what_holds_too_much(self) -> None:
        """Put the rest of each window that was not read to its end behind it, in pieces."""
        readings: deque[Reading] = deque()
        for reading in self._readings:
            readings.append(reading)
            part = reading.part
            if part is None or part.rest is None or reading.is_cut:
                continue
            reading.is_cut = True
            pieces = max(2, ((part.tally.total or 0) - part.rows) // self._wanted_rows())
            readings.extend(Reading(piece) for piece in _cut(part.rest, min(pieces, MOST_PIECES)))
        self._readings = readings

    def _lacks(self, window: Window, tally: Tally) -> int:
        """How many rows a window lacks by the API's count of it; 0 where that counts everything.

        Rows that came after its last answer count nowhere: only settled time is counted again.
        """
        if self._settled is None or tally.rows >= (self._source.counted(tally) or 0):
            return 0
        ends = [at for at in (window.until, self._settled) if at is not None]
        span = widened(window.since, min(ends))
        if window.since is not None and min(ends) <= window.since:
            return 0
        field = self._source.listing.field
        recount = self._source.fetch(Query(field, field, *span)).total
        return max(0, (recount or 0) - tally.rows)

    def _read_again(self, window: Window) -> Part:
        """A window that lacked rows, whole.

        Raises:
            VoucherifyError: it still lacks rows, and nothing holds them against a count later.
        """
        part = read(self._source, window, sys.maxsize, Part())
        self._tally.add(part.tally)
        lacking = 0 if part.failure else self._lacks(window, part.tally)
        if lacking and self._fails_early:
            raise VoucherifyError(
                f"The API counts {part.tally.rows + lacking:,} rows in a span of "
                f"`{self._source.listing.field}` but gave {part.tally.rows:,}, twice: run again; "
                "if the figures stay, ask Voucherify's support what `total` counts in this project."
            )
        return part

    def _learn(self, window: Window, rows: int) -> None:
        """Guess the next width from a window that was read to its end."""
        size = self._window_rows
        if window.until is not None and window.since is not None:
            width = (window.until - window.since) * size / max(rows, size // 8)
            self._width = max(MILLISECOND, width)


def _cut(rest: Window, pieces: int) -> list[Window]:
    """The rest of a window in pieces of equal width; whole, if it has no end or is too narrow."""
    if rest.since is None or rest.until is None or pieces <= 1:
        return [rest]
    step = (rest.until - rest.since) / pieces // MILLISECOND * MILLISECOND
    if step < MILLISECOND:
        return [rest]
    borders = [rest.since + step * number for number in range(pieces)]
    return [
        Window(since, until)
        for since, until in zip(borders, [*borders[1:], rest.until], strict=True)
    ]
