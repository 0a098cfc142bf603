"""The walk against a model of the list that takes every reading of what the API leaves open."""

from __future__ import annotations

import itertools
import random
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tap_voucherify.pagination.parallel_windows import ParallelWindows, Window
from tap_voucherify.pagination.replication_value import changed_rows
from tap_voucherify.pagination.time_cursor import (
    LAST_PAGE_BY_TIME,
    PAGE_ROWS,
    Fetch,
    Page,
    Query,
    ReadStats,
    TimedRow,
    TimeOrderedEndpoint,
    rows_by_time,
)
from tap_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Iterator

BY_CREATION = TimeOrderedEndpoint("created_at", time_field="created_at", tie_order="source_id")
BY_UPDATE = TimeOrderedEndpoint("updated_at", time_field="updated_at", tie_order="source_id")
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def at(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


@dataclass
class Readings:
    """One answer to each open question that a list can show."""

    inclusive: bool = False
    ties: Literal["stable", "reversed", "random"] = "random"
    never_updated: Literal["first", "last", "excluded", "mixed", "mixed, unfiltered"] = "excluded"
    has_more: bool = False
    total_filtered: bool = True
    printed: Literal["cut", "rounded", "micro", "seconds", "mixed"] = "cut"


@dataclass
class Api:
    """Customers as stored, to the microsecond, and the list as one set of readings shows it."""

    readings: Readings = field(default_factory=Readings)
    stored: dict[str, dict[str, datetime | None]] = field(default_factory=dict)
    seed: int = 0
    queries: list[Query] = field(default_factory=list)
    between: Any = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(self.seed)

    def fetch(self, query: Query) -> Page:
        assert len(self.queries) < 3_000, "no progress"
        if self.between is not None:
            self.between(len(self.queries))
        self.queries.append(query)
        found = [key for key in self._in_order(query) if self._selected(query, key)]
        start = ((query.page or 1) - 1) * PAGE_ROWS
        rows = [self._row(key) for key in found[start : start + PAGE_ROWS]]
        total = len(found if self.readings.total_filtered else self.stored)
        more = len(found) > start + PAGE_ROWS if self.readings.has_more else None
        return Page(rows, total, more)

    def locked_fetch(self, query: Query) -> Page:
        """As `fetch`, for several threads."""
        with self._lock:
            return self.fetch(query)

    def _in_order(self, query: Query) -> list[str]:
        keys = list(self.stored)
        if query.order == "source_id":
            return sorted(keys)
        if self.readings.ties == "random":
            self._random.shuffle(keys)
        elif self.readings.ties == "reversed":
            keys.sort(reverse=True)
        else:
            keys.sort()
        unset = at(10**15 if self.readings.never_updated == "last" else -(10**15))
        is_mixed = self.readings.never_updated.startswith("mixed")

        def place(key: str) -> datetime:
            stored = self.stored[key]
            return stored[query.order] or (is_mixed and stored["created_at"]) or unset

        return sorted(keys, key=place)

    def _selected(self, query: Query, key: str) -> bool:
        instant = self.stored[key][query.field]
        if instant is None and self.readings.never_updated == "mixed":
            instant = self.stored[key]["created_at"]
        if instant is None:
            return self.readings.never_updated != "excluded"
        if self.readings.inclusive:
            return (query.after is None or instant >= query.after) and (
                query.before is None or instant <= query.before
            )
        return (query.after is None or instant > query.after) and (
            query.before is None or instant < query.before
        )

    def _row(self, key: str) -> dict[str, Any]:
        row = {name: self._print(instant) for name, instant in self.stored[key].items() if instant}
        return {"id": key, "source_id": key, **row}

    def _print(self, instant: datetime) -> str:
        """Cut or rounded to milliseconds, to seconds, or with as many decimals as it happens."""
        micro, kind = instant.microsecond, self.readings.printed
        if kind == "mixed":
            kind = ("cut", "micro", "seconds", "short")[micro // 7 % 4]
        if kind == "micro":
            return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")
        if kind == "seconds":
            return instant.isoformat(timespec="seconds").replace("+00:00", "Z")
        if kind == "short":
            return f"{instant.isoformat(timespec='seconds')[:19]}.{micro // 10_000:02}+00:00"
        rounded = min(999_000, round(micro, -3)) if kind == "rounded" else micro
        return instant.replace(microsecond=rounded).isoformat(timespec="milliseconds")


# A failure here shows itself in any size of population; shrinking it would take minutes.
FEW = settings(deadline=None, max_examples=100, report_multiple_bugs=False, phases=PHASES)

readings = st.builds(
    Readings,
    inclusive=st.booleans(),
    ties=st.sampled_from(["stable", "reversed", "random"]),
    never_updated=st.sampled_from(["first", "last", "excluded", "mixed", "mixed, unfiltered"]),
    has_more=st.booleans(),
    total_filtered=st.booleans(),
    printed=st.sampled_from(["cut", "rounded", "micro", "seconds", "mixed"]),
)


@st.composite
def populations(draw: st.DrawFn) -> list[int]:
    """Creation times in microseconds: scattered, clustered, and many in one instant."""
    clusters = draw(
        st.lists(
            st.tuples(st.integers(0, 20_000), st.integers(1, 330), st.sampled_from([0, 0, 1, 400])),
            min_size=1,
            max_size=4,
        )
    )
    return [
        start * 500 + step * number for start, count, step in clusters for number in range(count)
    ]


PLANNING = 15
"""Requests at most to find how many rows lie where, in a span of months with a burst in it."""

COARSE = {"seconds", "mixed"}
"""Prints that leave open, by up to a second, when a row was stored."""


def in_order(rows: list[TimedRow], reading: Readings) -> bool:
    """Whether rows ascend, as far as their prints tell."""
    slack = timedelta(seconds=reading.printed in COARSE)
    latest = EPOCH
    for instant, _ in rows:
        if instant < latest - slack:
            return False
        latest = max(latest, instant)
    return True


def filled(api: Api, times: list[int], updated_every: int = 2) -> Api:
    for number, time in enumerate(times):
        updated = at(time * 2 + 7) if updated_every and number % updated_every == 0 else None
        api.stored[f"c{number:05}"] = {"created_at": at(time), "updated_at": updated}
    return api


@FEW
@given(readings, populations(), st.integers(0, 2**16))
def test_every_row_comes_once_and_in_order(reading: Readings, times: list[int], seed: int) -> None:
    api = filled(Api(reading, seed=seed), times)

    rows = list(rows_by_time(api.fetch, BY_CREATION))

    assert sorted(row["id"] for _, row in rows) == sorted(api.stored)
    assert in_order(rows, reading)


@FEW
@given(readings, populations(), st.integers(0, 40_000_000), st.integers(0, 2**16))
def test_every_change_since_the_bookmark_comes(
    reading: Readings, times: list[int], since: int, seed: int
) -> None:
    api = filled(Api(reading, seed=seed), times, updated_every=3)

    rows = list(changed_rows(api.fetch, BY_CREATION, BY_UPDATE, at(since), ReadStats()))

    changed = {
        key
        for key, customer in api.stored.items()
        if (customer["updated_at"] or customer["created_at"]) >= at(since)  # type: ignore[operator]
    }
    assert changed <= {row["id"] for _, row in rows}
    assert in_order(rows, reading)


@FEW
@given(readings, populations(), st.integers(0, 2**16), st.integers(0, 2**16))
def test_rows_that_move_come_again_and_none_is_lost(
    reading: Readings, times: list[int], seed: int, chaos: int
) -> None:
    """Between requests customers are created, changed and deleted."""
    api = filled(Api(reading, seed=seed), times, updated_every=1)
    throughout = set(api.stored)
    rolls = random.Random(chaos)
    later = 50_000_000

    def between(number: int) -> None:
        key = rolls.choice(sorted(throughout))
        if number % 3 == 0:
            api.stored[key]["updated_at"] = at(later + number * 1_000)
        elif number % 3 == 1:
            new = at(later + number * 1_000)
            api.stored[f"new{number:05}"] = {"created_at": new, "updated_at": None}
        elif len(throughout) > 1:
            throughout.discard(key)
            del api.stored[key]

    api.between = between
    by_creation = {row["id"] for _, row in rows_by_time(api.fetch, BY_CREATION)}

    assert throughout <= by_creation

    api.queries.clear()
    by_update = {row["id"] for _, row in rows_by_time(api.fetch, BY_UPDATE)}

    assert {key for key in throughout if api.stored[key]["updated_at"]} <= by_update


def test_many_rows_never_updated_among_the_others_are_read_by_time() -> None:
    """More of them in a row than the pages of one instant reach."""
    api = filled(Api(Readings(never_updated="mixed")), [n * 1_000 for n in range(12_000)], 0)
    api.stored["c00000"]["updated_at"] = at(1)

    rows = list(changed_rows(api.fetch, BY_CREATION, BY_UPDATE, at(0), ReadStats()))

    assert {row["id"] for _, row in rows} == api.stored.keys()
    assert len(api.queries) <= 2 * 120 * 1.1


@FEW
@given(readings, populations(), st.integers(0, 2**16), st.data())
def test_a_walk_cut_anywhere_goes_on_from_the_last_instant(
    reading: Readings, times: list[int], seed: int, data: st.DataObject
) -> None:
    api = filled(Api(reading, seed=seed), times)
    whole = list(rows_by_time(api.fetch, BY_CREATION))
    cut = data.draw(st.integers(1, len(whole)))

    first = whole[:cut]
    rest = rows_by_time(api.fetch, BY_CREATION, since=first[-1][0])

    assert {row["id"] for _, row in first} | {row["id"] for _, row in rest} == set(api.stored)


@FEW
@given(readings, populations(), st.lists(st.integers(0, 11_000_000), min_size=1, max_size=4))
def test_slices_share_no_row_and_miss_none(
    reading: Readings, times: list[int], borders: list[int]
) -> None:
    api = filled(Api(reading), times)
    bounds = [None, *(at(border) for border in sorted(set(borders))), None]

    slices = [
        [row["id"] for _, row in rows_by_time(api.fetch, BY_CREATION, since=since, until=until)]
        for since, until in itertools.pairwise(bounds)
    ]

    found = [key for part in slices for key in part]
    assert set(found) == set(api.stored)
    assert len(found) == len(api.stored) or reading.printed in COARSE


class SmallWindows(ParallelWindows):
    """Windows of few rows, so that a small population has several."""

    window_rows = 300
    short_list = 0


def side_by_side(
    api: Api, span: Window, *, now: int, fetch: Fetch | None = None, concurrency: int = 3
) -> Iterator[TimedRow]:
    windows = SmallWindows(
        fetch or api.locked_fetch,
        BY_CREATION,
        concurrency=lambda: concurrency,
        stats=ReadStats(),
        fail=lambda _: None,
    )
    return windows.rows(span, lambda: at(now))


@pytest.mark.parametrize("counted", ["after the deletion", "before it"])
def test_a_deletion_between_two_pages_of_a_window_skips_no_row(counted: str) -> None:
    """All pages after the deletion begin one row later, and all of them are full.

    The first of them may still count the row.
    """
    api = filled(Api(), [number * 1_000 for number in range(3_000)])
    whole, changed = dict(api.stored), threading.Condition()
    answered: set[int] = set()

    def fetch(query: Query) -> Page:
        number = query.page or 0
        with changed:
            if number >= 20:
                earlier = set(range(2, 20)) if number == 20 else {20}
                changed.wait_for(lambda: earlier <= answered, timeout=30)
            before = api.fetch(query)
            if number == 20:
                del api.stored[min(api.stored)]
            page = api.fetch(query)
            if counted == "before it":
                page = Page(page.rows, before.total, page.has_more)
            answered.add(number)
            changed.notify_all()
        return page

    windows = ParallelWindows(
        fetch, BY_CREATION, concurrency=lambda: 8, stats=ReadStats(), fail=lambda _: None
    )
    rows = [row["id"] for _, row in windows.rows(Window(None, None), lambda: at(10**9))]

    assert {*rows} >= whole.keys() - {min(whole)}


@FEW
@given(
    readings,
    populations(),
    st.integers(1, 5),
    st.sampled_from(["long ago", "until now"]),
    st.integers(0, 2**16),
)
def test_pages_read_side_by_side_are_the_one_walk(
    reading: Readings, times: list[int], at_once: int, when: str, seed: int
) -> None:
    api = filled(Api(reading, seed=seed), times)
    now = 40_000_000 if when == "long ago" else max(times) // 2 + 1_000

    rows = list(side_by_side(api, Window(None, None), now=now, concurrency=at_once))

    assert {row["id"] for _, row in rows} == set(api.stored)
    assert len(rows) == len(api.stored) or reading.printed in COARSE
    assert in_order(rows, reading)


@FEW
@given(
    readings,
    populations(),
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2**16)), min_size=1, max_size=12),
    st.sampled_from(["a listing, then a deletion", "a count, a deletion, a listing"]),
)
def test_no_row_that_stays_is_lost_while_others_are_deleted(
    reading: Readings,
    times: list[int],
    at_once: int,
    deletions: list[tuple[int, int]],
    order: str,
) -> None:
    api = filled(Api(reading), times)
    whole, gone = dict(api.stored), set[str]()
    due = dict(deletions)

    def delete(number: int) -> None:
        if number in due and len(api.stored) > 1:
            key = sorted(api.stored)[due[number] % len(api.stored)]
            gone.add(key)
            del api.stored[key]

    def fetch(query: Query) -> Page:
        with lock:
            before = api.fetch(query)
            delete(len(api.queries))
            after = api.fetch(query)
        is_split = order.startswith("a count")
        return Page(after.rows, before.total, before.has_more) if is_split else before

    lock = threading.Lock()
    rows = list(
        side_by_side(api, Window(None, None), now=40_000_000, fetch=fetch, concurrency=at_once)
    )

    assert {row["id"] for _, row in rows} >= whole.keys() - gone
    assert in_order(rows, reading)


def test_pages_of_a_burst_are_requested_side_by_side() -> None:
    early = [number * 1_000 for number in range(3_000)]
    late = [90_000_000 + number * 1_000 for number in range(10)]
    api = filled(Api(), [*early, *late])
    meeting, numbers = threading.Barrier(3), itertools.count()

    def fetch(query: Query) -> Page:
        if next(numbers) in {10, 11, 12}:
            meeting.wait(timeout=60)  # breaks where one thread reads the burst alone
        return api.locked_fetch(query)

    rows = list(side_by_side(api, Window(None, None), now=100_000_000, fetch=fetch))

    assert [row["id"] for _, row in rows] == sorted(api.stored)


def test_a_burst_costs_one_call_a_hundred_rows() -> None:
    early = [number * 1_000 for number in range(12_000)]
    late = [10**12 + number * 1_000 for number in range(10)]
    api = filled(Api(), [*early, *late])
    windows = ParallelWindows(
        api.locked_fetch, BY_CREATION, concurrency=lambda: 3, stats=ReadStats(), fail=lambda _: None
    )

    rows = list(windows.rows(Window(None, None), lambda: at(10**13)))

    assert [row["id"] for _, row in rows] == sorted(api.stored)
    assert len(api.queries) <= 1.02 * 120 + PLANNING


@pytest.mark.parametrize("rows_an_instant", [250, 2_500])
@pytest.mark.parametrize("ties", ["stable", "reversed", "random"])
def test_thousands_of_one_instant_cost_little_more(rows_an_instant: int, ties: Any) -> None:
    times = [10**7 * (1 + number // rows_an_instant) for number in range(10_000)]
    api = filled(Api(Readings(ties=ties)), times)
    stats = ReadStats()
    windows = ParallelWindows(
        api.locked_fetch, BY_CREATION, concurrency=lambda: 8, stats=stats, fail=lambda _: None
    )

    rows = list(windows.rows(Window(None, None), lambda: at(10**12)))

    assert {row["id"] for _, row in rows} == set(api.stored)
    assert len(rows) == len(api.stored)
    assert stats.calls == len(api.queries)
    assert len(api.queries) <= 100 * (1.02 if ties == "stable" else 2.5) + PLANNING


def test_an_instant_beyond_the_pages_of_a_window_is_an_error_in_few_calls() -> None:
    """No window holds it, and hours without rows lie before it."""
    api = filled(Api(), [*(number * 1_000 for number in range(150)), *[10**11] * 10_000])
    windows = ParallelWindows(
        api.locked_fetch, BY_CREATION, concurrency=lambda: 8, stats=ReadStats(), fail=lambda _: None
    )

    with pytest.raises(VoucherifyError, match="share one instant"):
        list(windows.rows(Window(None, None), lambda: at(10**13)))

    assert len(api.queries) <= 250


def test_an_instant_that_no_window_holds_is_read_by_time() -> None:
    times = [*range(0, 150_000, 1_000), *[10**11] * 9_850, *range(10**12, 10**12 + 150_000, 1_000)]
    api = filled(Api(Readings(ties="stable")), times)
    windows = ParallelWindows(
        api.locked_fetch, BY_CREATION, concurrency=lambda: 8, stats=ReadStats(), fail=lambda _: None
    )

    rows = list(windows.rows(Window(None, None), lambda: at(10**13)))

    assert {row["id"] for _, row in rows} == set(api.stored)
    assert len(rows) == len(api.stored)
    assert len(api.queries) <= 300


def test_the_first_row_is_given_after_the_second_request() -> None:
    api = filled(Api(), [number * 1_000 for number in range(3_000)])

    next(side_by_side(api, Window(None, None), now=10**9, concurrency=1))
    next(side_by_side(api, Window(None, None), now=10**9, concurrency=8))

    assert len(api.queries) <= 1 + 2 + 16


def test_few_pages_are_read_ahead_of_those_given() -> None:
    """16 are requested ahead, and as many may wait for an answer requested after a slow one."""
    ahead, around = 2 * 16, 4  # the first query twice, the page behind a window, the page given
    api = filled(Api(), [number * 1_000 for number in range(9_000)])
    read = ParallelWindows(
        api.locked_fetch, BY_CREATION, concurrency=lambda: 8, stats=ReadStats(), fail=lambda _: None
    ).rows(Window(None, None), lambda: at(10**9))

    for number, _ in enumerate(read, 1):
        if number % 500 == 0:
            assert len(api.queries) <= number // PAGE_ROWS + ahead + around


@pytest.mark.parametrize("count", [None, 1, 700, 3_000, 90_000])
@pytest.mark.parametrize("until", [None, 2_500_000])
def test_windows_lose_nothing_whatever_the_api_counts(count: int | None, until: int | None) -> None:
    api = filled(Api(), [number * 1_000 for number in range(3_000)])

    def fetch(query: Query) -> Page:
        page = api.locked_fetch(query)
        return Page(page.rows, count, page.has_more)

    span = Window(None, None if until is None else at(until))
    rows = [row["id"] for _, row in side_by_side(api, span, now=10**7, fetch=fetch)]

    assert rows == sorted(api.stored)[: None if until is None else 2_500]
    assert len(api.queries) <= 60


def test_a_page_that_lacks_a_row_is_not_taken() -> None:
    """A list that hides a row it counts is read by time, where the check at the end finds it."""
    api = filled(Api(), [number * 1_000 for number in range(2_000)])

    def hiding(query: Query) -> Page:
        page = api.locked_fetch(query)
        hidden = [row for row in page.rows if not row["id"].endswith("777")]
        return Page(hidden, page.total, len(page.rows) == PAGE_ROWS)

    rows = [row["id"] for _, row in side_by_side(api, Window(None, None), now=10**7, fetch=hiding)]

    assert rows == [key for key in sorted(api.stored) if not key.endswith("777")]


@pytest.mark.parametrize("total", [None, 10_000])
def test_a_list_that_grows_with_every_request_has_an_end(total: int | None) -> None:
    """Neither a count nor `has_more` proves the end, and each page brings new rows."""
    api = filled(Api(), [number * 1_000 for number in range(250)])
    before = set(api.stored)

    def grow(number: int) -> None:
        api.stored[f"new-{number}"] = {"created_at": at(10**9 + number * 10_000)}

    api.between = grow

    def fetch(query: Query) -> Page:
        return Page(api.fetch(query).rows, total)

    stats = ReadStats(started=lambda: at(10**9))
    found = {row["id"] for _, row in rows_by_time(fetch, BY_CREATION, stats=stats)}

    assert found >= before
    assert len(api.queries) <= 6


def test_an_instant_may_hold_as_many_rows_as_the_pages_reach() -> None:
    api = filled(Api(), [5_000] * (LAST_PAGE_BY_TIME * PAGE_ROWS) + [9_000_000] * 3)

    assert len(list(rows_by_time(api.fetch, BY_CREATION))) == LAST_PAGE_BY_TIME * PAGE_ROWS + 3


def test_an_instant_beyond_the_pages_is_an_error_and_no_silence() -> None:
    api = filled(Api(), [5_000] * (LAST_PAGE_BY_TIME * PAGE_ROWS + 1))

    with pytest.raises(VoucherifyError, match="More than 9,900 rows share one instant"):
        list(rows_by_time(api.fetch, BY_CREATION))


def test_the_cost_is_one_call_a_hundred_rows() -> None:
    api = filled(Api(), [number * 1_500 for number in range(5_000)])

    list(rows_by_time(api.fetch, BY_CREATION))

    assert len(api.queries) <= 1.03 * 50 + 10


def test_an_instant_over_many_pages_costs_its_pages_once() -> None:
    api = filled(Api(), [number * 1_500 for number in range(1_000)] + [2_000_000] * 1_500)

    list(rows_by_time(api.fetch, BY_CREATION))

    assert len(api.queries) <= 25 + 5


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        pytest.param(
            [{"id": f"c{n}", "created_at": at(n * 1_000_000).isoformat()} for n in range(100)],
            "does not keep the order",
            id="a page that repeats for ever",
        ),
        pytest.param([{"created_at": at(0).isoformat()}], "has no `id`", id="a row without an id"),
        pytest.param(
            [{"id": "c1", "created_at": "yesterday"}], "is not an ISO 8601", id="a bad timestamp"
        ),
        pytest.param(
            [
                {"id": "c1", "created_at": at(9_000_000).isoformat()},
                {"id": "c2", "created_at": at(0).isoformat()},
            ],
            "does not keep the order",
            id="rows out of order",
        ),
    ],
)
def test_an_answer_that_could_hide_rows_ends_the_run(
    answers: list[dict[str, Any]], sentence: str
) -> None:
    with pytest.raises(VoucherifyError, match=sentence):
        list(rows_by_time(lambda _: Page(answers), BY_CREATION))


def test_a_page_that_says_there_is_more_is_not_the_last() -> None:
    pages = iter(
        [
            Page([{"id": "c1", "created_at": at(0).isoformat()}], has_more=True),
            Page([{"id": "c2", "created_at": at(9_000).isoformat()}], has_more=False),
        ]
    )

    assert len(list(rows_by_time(lambda _: next(pages), BY_CREATION))) == 2


def test_duplicates_at_the_edge_are_counted() -> None:
    api = filled(Api(replace(Readings(), inclusive=True)), [n * 1_000 for n in range(250)])
    stats = ReadStats()

    list(rows_by_time(api.fetch, BY_CREATION, stats=stats))

    assert stats.total == 250
    assert stats.duplicates > 0
