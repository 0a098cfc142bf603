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

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Self

import msgspec

from tap_voucherify.errors import VoucherifyError
from tap_voucherify.instants import MILLISECOND, whole_millisecond
from tap_voucherify.walk import PAGE_ROWS, Query, Row, Tally, walk, widened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_voucherify.walk import Fetch, Listing

WINDOW_ROWS = 5500
"""Rows a window should hold: many, because each ends with a page that is not full."""

MOST_WINDOWS_WORTH = 1.6
"""A window that holds this many times what it should is cut, so that memory stays bounded."""

CALLS_A_WINDOW = WINDOW_ROWS // PAGE_ROWS + 2

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


@dataclass(frozen=True, slots=True)
class Source:
    """Where windows are read from.

    Attributes:
        fetch: answers a query; called from several threads.
        listing: the list, ordered by a time that never changes.
        record: makes the record of a row and its time; called from several threads.
    """

    fetch: Fetch
    listing: Listing
    record: Callable[[Row, datetime], Record]


def read(source: Source, window: Window, most_rows: int) -> Part:
    """Walk one window, up to `most_rows` rows and then to the next row that is surely later."""
    part, listing = Part(), source.listing
    chunk: list[TimedRecord] = []
    ceiling: datetime | None = None
    try:
        for timed in walk(
            source.fetch, listing, since=window.since, until=window.until, tally=part.tally
        ):
            instant, row = timed
            if part.rows >= most_rows and ceiling is not None and instant >= ceiling:
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


class WindowedWalk:
    """The records of one walk, read `at_once` windows at a time.

    Args:
        source: the list, and what becomes of its rows.
        at_once: windows read side by side.
        tally: its `total` is the count of all rows to read; gets the sums of the windows.
        window_rows: rows that a window should hold.
    """

    def __init__(
        self,
        source: Source,
        *,
        at_once: int,
        tally: Tally,
        window_rows: int = WINDOW_ROWS,
    ) -> None:
        self._window_rows = window_rows
        self._source = source
        self._at_once = at_once
        self._tally = tally
        self._width = MILLISECOND
        self._pending: deque[tuple[Window, Future[Part]]] = deque()

    def rows(self, span: Window, first: datetime, now: datetime) -> Iterator[TimedRecord]:
        """The records of every row of a span of time, ascending.

        Args:
            span: what to read.
            first: time of the first row in it.
            now: up to here the rows are settled; the last window begins before and has no bound
                of its own.

        Raises:
            VoucherifyError: a window gave fewer rows than the API counts in it.
        """
        settled = now if span.until is None else min(now, span.until)
        self._width = max(
            MILLISECOND, (settled - first) * self._window_rows / max(1, self._tally.total or 1)
        )
        windows = self._windows(span, first, settled)
        with ThreadPoolExecutor(max_workers=self._at_once) as pool:
            try:
                self._fill(pool, windows)
                while self._pending:
                    yield from self._oldest(pool)
                    self._fill(pool, windows)
            finally:
                for _, future in self._pending:
                    future.cancel()

    def _windows(self, span: Window, first: datetime, settled: datetime) -> Iterator[Window]:
        """Consecutive windows, each as wide as seems right when it is asked for."""
        since, frontier = span.since, first
        while True:
            until = whole_millisecond(frontier + self._width)
            if until >= settled:
                yield Window(since, span.until)
                return
            yield Window(since, until)
            since = frontier = until

    def _fill(self, pool: ThreadPoolExecutor, windows: Iterator[Window]) -> None:
        while len(self._pending) < self._at_once:
            window = next(windows, None)
            if window is None:
                return
            self._pending.append((window, self._submit(pool, window)))

    def _submit(self, pool: ThreadPoolExecutor, window: Window) -> Future[Part]:
        most_rows = int(self._window_rows * MOST_WINDOWS_WORTH)
        return pool.submit(read, self._source, window, most_rows)

    def _oldest(self, pool: ThreadPoolExecutor) -> Iterator[TimedRecord]:
        """The records of the oldest window; what is left of it goes to the front of the queue."""
        window, future = self._pending.popleft()
        part = future.result()
        self._tally.add(part.tally)
        if part.rest is None and part.failure is None:
            self._check(window, part.tally)
        while part.chunks:
            yield from part.chunks.popleft().records()
        if part.failure is not None:
            raise part.failure
        if part.rest is None:
            self._learn(window, part.rows)
            return
        pieces = ((part.tally.total or 0) - part.rows) // self._window_rows
        for piece in reversed(_cut(part.rest, min(pieces, MOST_PIECES))):
            self._pending.appendleft((piece, self._submit(pool, piece)))

    def _check(self, window: Window, tally: Tally) -> None:
        """Hold a window's rows against the API's count of it, unless that counts everything."""
        if tally.total in {None, self._tally.total} or tally.rows >= (tally.total or 0):
            return
        field = self._source.listing.field
        recount = self._source.fetch(
            Query(field, field, *widened(window.since, window.until))
        ).total
        if recount is not None and tally.rows < recount:
            raise VoucherifyError(
                f"The API counts {recount:,} rows in a span of `{field}` but gave "
                f"{tally.rows:,}: run again; the state goes on before the span."
            )

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
