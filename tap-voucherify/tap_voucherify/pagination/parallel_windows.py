"""Read consecutive windows of time side by side, and give their rows in order.

A read by time needs each response before it can request the next page, so latency bounds it: at
200 ms per response it uses a tenth of a large plan's quota. Windows of `created_at`, which never
changes, can be read side by side. Each is a read by time of its own; their rows in the order of
the windows are the rows of the whole list.

    first page ─► [ window 1 ][ window 2 ][ window 3 ] … [ last, open ended ]
                    read by several threads, packed, given in this order

The number of rows in a window is estimated from the windows before it. A window that turns out
larger stops at a bound, and the rest of it is cut again.
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

from tap_voucherify.pagination.time_cursor import (
    PAGE_ROWS,
    Query,
    ReadStats,
    Row,
    rows_by_time,
    widened,
)
from tap_voucherify.pagination.total_check import FilteredCount
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import MILLISECOND, whole_millisecond

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_voucherify.pagination.time_cursor import Fetch, TimeOrderedEndpoint

WINDOW_ROWS = 5_000
"""Rows that a window should hold: many, because each window ends with a page that is not full."""

MAX_OVERFILL = 1.6
"""A window with this many times the rows it should hold is cut, so that memory stays bounded."""

CUT_AT_ONCE = 2.5
"""How many times that bound a window holds that is cut before it is read; each piece may cost one
more call."""

MIN_WINDOW_SHARE = 0.5
"""Minimum window size near the end of a long list, as a share of `WINDOW_ROWS`, so that threads
stay busy. Smaller windows would cost more calls than the time is worth."""

LONG_LIST = 10
"""Windows in a list for which that pays: a shorter one is read in seconds."""

CALLS_PER_WINDOW = WINDOW_ROWS // PAGE_ROWS + 2

LIGHT_ROWS = 3 * PAGE_ROWS
"""Rows of a window in memory up to which it does not count among those being read."""

MAX_PIECES = 16
"""Pieces into which the rest of a window is cut at most."""

TimedRecord = tuple[datetime, msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, closed at `since` and open at `until`; `None` means unbounded."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class PackedRecords:
    """Records waiting for those before them, a line each."""

    instants: list[datetime]
    lines: bytes

    @classmethod
    def of(cls, records: list[TimedRecord]) -> Self:
        """Pack records."""
        return cls([at for at, _ in records], b"\n".join(record for _, record in records))

    def records(self) -> Iterator[TimedRecord]:
        """The records in their order."""
        return zip(self.instants, map(msgspec.Raw, self.lines.split(b"\n")), strict=False)


@dataclass(slots=True)
class WindowResult:
    """The records of one window so far, and what is left to read of it.

    Attributes:
        packed: the records, given and freed from the left.
        rows: how many there were.
        rest: what was not read because the window holds too many rows.
        stats: what reading it has cost; windows are compared with a count afterwards.
        failure: why it ended early; the records up to there are complete.
    """

    packed: deque[PackedRecords] = field(default_factory=deque)
    rows: int = 0
    rest: Window | None = None
    stats: ReadStats = field(default_factory=lambda: ReadStats(heeds_filters=False))
    failure: Exception | None = None


@dataclass(frozen=True)
class Source:
    """The list that windows are read from.

    Attributes:
        fetch: returns a page; called from several threads.
        endpoint: the list, ordered by a time that never changes.
        record: makes the record of a row and its time; called from several threads.
        total: the count of all rows; a page with the same count says nothing about its window.
        fail: ends the waits of all reading threads when the read ends early.
    """

    fetch: Fetch
    endpoint: TimeOrderedEndpoint
    record: Callable[[Row, datetime], msgspec.Raw]
    total: int | None = None
    fail: Callable[[Exception], None] = field(default=lambda _error: None)

    def counted(self, stats: ReadStats) -> int | None:
        """Rows that the API counts in a window; `None` if it counts all rows, or none at all."""
        if stats.total is None or stats.total == self.total:
            return None
        # A count of all rows moves during the read, but it does not fall by half.
        is_small = self.total is None or 2 * stats.total <= self.total
        return stats.total if is_small or self._count.heeds_filters else None

    @cached_property
    def _count(self) -> FilteredCount:
        return FilteredCount(self.fetch, self.endpoint)


def read(source: Source, window: Window, max_rows: int, result: WindowResult) -> WindowResult:
    """Read one window, up to `max_rows` rows and then to the next row that is surely later.

    If the first page shows that the window holds far more, only that page is read: the rest can
    be cut in pieces at once, and these be read side by side.

    Args:
        source: the list.
        window: what to read.
        max_rows: the bound at which the rest is left for other windows.
        result: is filled.
    """
    endpoint, limit = source.endpoint, max_rows
    records: list[TimedRecord] = []
    ceiling: datetime | None = None
    try:
        for timed in rows_by_time(
            source.fetch, endpoint, since=window.since, until=window.until, stats=result.stats
        ):
            instant, row = timed
            if result.rows == 0 and _is_worth_cutting(window, instant):
                is_far_too_large = (source.counted(result.stats) or 0) > CUT_AT_ONCE * max_rows
                limit = PAGE_ROWS if is_far_too_large else max_rows
            if result.rows >= limit and ceiling is not None and instant >= ceiling:
                result.rest = Window(instant, window.until)
                break
            end = endpoint.end(timed)
            ceiling = end if ceiling is None or end > ceiling else ceiling
            records.append((instant, source.record(row, instant)))
            result.rows += 1
            if len(records) == PAGE_ROWS:
                result.packed.append(PackedRecords.of(records))
                records = []
    except Exception as failure:  # noqa: BLE001 - raised again once the rows before it are given
        result.failure = failure
    result.packed.append(PackedRecords.of(records))
    return result


def _is_worth_cutting(window: Window, first: datetime) -> bool:
    """Whether the window is wide enough for as many pieces as one may be cut into."""
    return window.until is not None and window.until - first >= MAX_PIECES * MILLISECOND


@dataclass(slots=True)
class WindowTask:
    """A window that waits to be read, is being read, or was read.

    Attributes:
        window: what to read.
        future: its read, once that began.
        is_cut: whether its rest became tasks of their own.
        result: what it has given so far; the thread that reads it goes on to fill it.
    """

    window: Window
    future: Future[WindowResult] | None = None
    is_cut: bool = False
    result: WindowResult = field(default_factory=WindowResult)

    @property
    def done(self) -> WindowResult | None:
        """The result, once the window was read."""
        return self.future.result() if self.future is not None and self.future.done() else None

    @property
    def is_light(self) -> bool:
        """Whether it waits with next to nothing in memory."""
        done = self.done
        return self.future is None or (done is not None and done.rows <= LIGHT_ROWS)


class ParallelWindows:
    """The records of one list, several windows of which are read at a time.

    Args:
        source: the list, and how a row becomes a record.
        concurrency: windows read side by side.
        stats: its `total` is the count of all rows to read; gets the sums of the windows.
        window_rows: rows that a window should hold.
        fails_early: whether a window that lacks rows ends the read; not where all rows are
            compared with a count at its end.
    """

    def __init__(
        self,
        source: Source,
        *,
        concurrency: int,
        stats: ReadStats,
        window_rows: int = WINDOW_ROWS,
        fails_early: bool = True,
    ) -> None:
        self._fails_early = fails_early
        self._window_rows = window_rows
        self._source = source
        self._concurrency = concurrency
        self._stats = stats
        self._width = MILLISECOND
        self._tasks: deque[WindowTask] = deque()
        self._given = 0
        self._settled: datetime | None = None

    def records(self, span: Window, first: datetime, now: datetime) -> Iterator[TimedRecord]:
        """The records of a span of time, ascending.

        Args:
            span: what to read.
            first: time of the first row in it.
            now: before this instant rows are settled; the last window begins before it and has no
                bound of its own.

        Raises:
            VoucherifyError: a window gave fewer rows than the API counts in it, twice.
        """
        settled = self._settled = now if span.until is None else min(now, span.until)
        self._width = max(
            MILLISECOND, (settled - first) * self._window_rows / max(1, self._stats.total or 1)
        )
        windows = self._windows(span, first, settled)
        with ThreadPoolExecutor(max_workers=self._concurrency) as pool:
            try:
                self._fill(pool, windows)
                while self._tasks:
                    yield from self._oldest()
                    self._cut_overfull()
                    self._fill(pool, windows)
            finally:
                if not all(future.done() for future in self._futures()):
                    self._source.fail(CancelledError())  # or the pool waits for threads that wait
                for future in self._futures():
                    future.cancel()

    def _windows(self, span: Window, first: datetime, settled: datetime) -> Iterator[Window]:
        """Consecutive windows, each as wide as seems right when it is requested."""
        since, frontier = span.since, first
        while frontier + MILLISECOND < settled:
            if self._rows_to_come() <= 0:
                # The API counts nothing there. If rows are there all the same, this window can be
                # cut, as it has an end.
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
        """Begin to read the oldest windows, as many as may be in memory."""
        while len(self._tasks) < self._concurrency and (window := next(windows, None)) is not None:
            self._tasks.append(WindowTask(window))
        if self._rows_to_come() <= 0:
            self._join_waiting()
        places = self._concurrency - sum(not task.is_light for task in self._tasks)
        waiting = (task for task in self._tasks if task.future is None)
        for task in islice(waiting, max(0, places)):
            max_rows = int(self._wanted_rows() * MAX_OVERFILL)
            task.future = pool.submit(read, self._source, task.window, max_rows, task.result)

    def _join_waiting(self) -> None:
        """Join neighbouring windows that were not begun: the API counts nothing in them.

        The last one stays alone if it has no end, as such a window cannot be cut.
        """
        tasks: deque[WindowTask] = deque()
        for task in self._tasks:
            until = task.window.until
            if task.future is None and until and tasks and tasks[-1].future is None:
                tasks.append(WindowTask(Window(tasks.pop().window.since, until)))
            else:
                tasks.append(task)
        self._tasks = tasks

    def _wanted_rows(self) -> int:
        """Rows that a window begun now should hold: fewer towards the end of a long list."""
        if (self._stats.total or 0) < LONG_LIST * self._window_rows:
            return self._window_rows
        least = int(MIN_WINDOW_SHARE * self._window_rows)
        return min(self._window_rows, max(least, self._rows_to_come() // self._concurrency))

    def _rows_to_come(self) -> int:
        """Rows in windows that were not begun, as far as the API counts them."""
        if self._stats.total is None:
            return self._window_rows
        begun = self._given + sum(self._expected(task) for task in self._tasks)
        return self._stats.total - begun

    def _expected(self, task: WindowTask) -> int:
        """Rows that a window has given and will give, as far as is known."""
        counted = None if task.done else self._source.counted(task.result.stats)
        return max(task.result.rows, counted or 0)

    def _futures(self) -> list[Future[WindowResult]]:
        return [task.future for task in self._tasks if task.future is not None]

    def _oldest(self) -> Iterator[TimedRecord]:
        """The records of the oldest window; nothing if another window was read before it."""
        result = self._tasks[0].done
        if result is None:
            unread = [future for future in self._futures() if not future.done()]
            wait(unread, return_when=FIRST_COMPLETED)
            return
        self._cut_overfull()
        window = self._tasks.popleft().window
        self._stats.add(result.stats)
        if result.rest is None and result.failure is None:
            if self._lacks(window, result.stats):
                result = self._read_again(window)
            self._learn(window, result.rows)
        self._given += result.rows
        while result.packed:
            yield from result.packed.popleft().records()
        if result.failure is not None:
            raise result.failure

    def _cut_overfull(self) -> None:
        """Put the rest of each window that was not read to its end behind it, in pieces."""
        tasks: deque[WindowTask] = deque()
        for task in self._tasks:
            tasks.append(task)
            result = task.done
            if result is None or result.rest is None or task.is_cut:
                continue
            task.is_cut = True
            pieces = max(2, ((result.stats.total or 0) - result.rows) // self._wanted_rows())
            tasks.extend(WindowTask(piece) for piece in _cut(result.rest, min(pieces, MAX_PIECES)))
        self._tasks = tasks

    def _lacks(self, window: Window, stats: ReadStats) -> int:
        """How many rows a window lacks by the API's count of it; 0 if that counts all rows.

        Rows that came after its last page are in neither figure: only settled time is counted
        again.
        """
        if self._settled is None or stats.rows >= (self._source.counted(stats) or 0):
            return 0
        ends = [at for at in (window.until, self._settled) if at is not None]
        span = widened(window.since, min(ends))
        if window.since is not None and min(ends) <= window.since:
            return 0
        field = self._source.endpoint.field
        recount = self._source.fetch(Query(field, field, *span)).total
        return max(0, (recount or 0) - stats.rows)

    def _read_again(self, window: Window) -> WindowResult:
        """The result of a second, whole read of a window that lacked rows.

        Raises:
            VoucherifyError: it still lacks rows, and they are not compared with a count later.
        """
        result = read(self._source, window, sys.maxsize, WindowResult())
        self._stats.add(result.stats)
        lacking = 0 if result.failure else self._lacks(window, result.stats)
        if lacking and self._fails_early:
            raise VoucherifyError(
                f"The API counts {result.stats.rows + lacking:,} rows in a span of "
                f"`{self._source.endpoint.field}` but gave {result.stats.rows:,}, twice: run "
                "again; if the figures stay, ask Voucherify's support what `total` counts in this "
                "project."
            )
        return result

    def _learn(self, window: Window, rows: int) -> None:
        """Estimate the next width from a window that was read to its end."""
        size = self._window_rows
        if window.until is not None and window.since is not None:
            width = (window.until - window.since) * size / max(rows, size // 8)
            self._width = max(MILLISECOND, width)


def _cut(rest: Window, pieces: int) -> list[Window]:
    """The window in pieces of equal width; in one, if it has no end or is too narrow."""
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
