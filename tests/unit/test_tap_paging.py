"""Lists without a time filter, against a model of a list whose rows come, go and change places."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_voucherify.pagination.page_number import NumberedPages, is_newest_first, pages_by_cursor
from tap_voucherify.pagination.time_cursor import (
    PAGE_ROWS,
    Page,
    Query,
    ReadStats,
    TimeOrderedEndpoint,
    rows_by_time,
)
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import to_iso

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def at(second: float) -> str:
    return (EPOCH + timedelta(seconds=second)).isoformat()


@dataclass
class List:
    """Rows by id, each with the second of its time or none; shown newest first."""

    rows: dict[str, float | None] = field(default_factory=dict)
    untimed: str = "last"
    has_total: bool = True
    shuffled: bool = False
    seed: int = 0
    asked: list[int] = field(default_factory=list)
    between: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def page(self, number: int) -> Page:
        assert len(self.asked) < 2_000, "no progress"
        self.asked.append(number)
        self.between.pop(len(self.asked), lambda: None)()
        start = (number - 1) * PAGE_ROWS
        rows = [self._row(key) for key in self._ordered()[start : start + PAGE_ROWS]]
        return Page(rows, len(self.rows) if self.has_total else None)

    def _ordered(self) -> list[str]:
        keys = list(self.rows)
        if self.shuffled:
            self._random.shuffle(keys)
        lowest, highest = float("-inf"), float("inf")
        untimed = lowest if self.untimed == "last" else highest
        time = {key: untimed if value is None else value for key, value in self.rows.items()}
        return sorted(keys, key=lambda key: -time[key])

    def _row(self, key: str) -> dict[str, Any]:
        time = self.rows[key]
        return {"id": key} if time is None else {"id": key, "time": at(time)}


def listing(count: int, **options: Any) -> List:
    return List({f"r{number}": float(number) for number in range(count)}, **options)


def read(listed: List, since: float | None = None, time_field: str | None = "time") -> list[str]:
    instant = None if since is None else EPOCH + timedelta(seconds=since)
    pages = NumberedPages(listed.page, ReadStats(), time_field, instant)
    return [row["id"] for row in pages.rows()]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_everything_is_read_page_by_page_and_once(count: int) -> None:
    listed = listing(count)

    assert read(listed) == [f"r{number}" for number in range(count - 1, -1, -1)]
    assert len(listed.asked) <= count // PAGE_ROWS + 1


def test_reading_ends_at_the_page_that_reaches_back_to_the_bookmark() -> None:
    listed = listing(5_000)

    assert set(read(listed, since=4_850)) >= {f"r{number}" for number in range(4_850, 5_000)}
    assert listed.asked == [1, 2]


@pytest.mark.parametrize("untimed", ["first", "last"])
def test_rows_that_were_never_updated_end_no_reading_too_soon(untimed: str) -> None:
    listed = listing(150, untimed=untimed)
    listed.rows |= {f"never{number}": None for number in range(450)}

    assert set(read(listed, since=20)) >= {f"r{number}" for number in range(20, 150)}
    assert len(listed.asked) <= (2 if untimed == "last" else 7)


@pytest.mark.parametrize("since", [0, 260, 390])
def test_rows_never_updated_may_stand_by_their_creation_among_the_others(since: int) -> None:
    never = {number for number in range(400) if number % 100 in {0, 99} or 120 < number < 280}
    rows = [
        {"id": f"r{number}", "created_at": at(number if number in never else -number)}
        | ({} if number in never else {"updated_at": at(number)})
        for number in range(399, -1, -1)
    ]

    def page(number: int) -> Page:
        return Page(rows[(number - 1) * PAGE_ROWS : number * PAGE_ROWS], len(rows))

    instant = EPOCH + timedelta(seconds=since)
    pages = NumberedPages(page, ReadStats(), "updated_at", instant)
    found = {row["id"] for row in pages.rows()}

    assert {f"r{number}" for number in range(since, 400) if number not in never} <= found


def test_an_empty_page_by_number_whose_total_says_more_is_requested_again_or_an_error() -> None:
    asked: list[int] = []

    def page(number: int, empty: int = 1) -> Page:
        asked.append(number)
        rows = [{"id": f"o-{each}"} for each in range(100 * (number - 1), 100 * number)]
        is_empty = number == 2 and asked.count(2) <= empty
        return Page([] if is_empty else rows[: 240 - 100 * (number - 1)], 240)

    assert len(list(NumberedPages(page, ReadStats()).rows())) == 240

    asked.clear()
    with pytest.raises(VoucherifyError, match="Page 2 of a list is empty although"):
        list(NumberedPages(lambda number: page(number, empty=9), ReadStats()).rows())


def test_a_row_deleted_between_two_pages_hides_no_other() -> None:
    listed = listing(350)
    listed.between[3] = lambda: listed.rows.pop("r349")

    assert set(read(listed)) == {f"r{number}" for number in range(350)}


def test_rows_that_come_in_meanwhile_show_others_twice_and_they_are_read_once() -> None:
    listed = listing(350)
    listed.between[2] = lambda: listed.rows.update({f"new{n}": 1_000.0 + n for n in range(7)})

    found = read(listed)

    assert len(found) == len(set(found))
    assert set(found) >= {f"r{number}" for number in range(350)}


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_one_instant_may_come_in_another_order_at_each_request(seed: int) -> None:
    listed = listing(120, shuffled=True, seed=seed)
    listed.rows |= {f"tie{number}": 1_000.0 for number in range(130)}

    assert set(read(listed)) == set(listed.rows)
    assert set(read(listed, since=500)) >= {f"tie{number}" for number in range(130)}


@pytest.mark.parametrize("seed", range(5))
def test_a_list_in_no_order_is_read_until_its_count_is_met_or_nothing_new_comes(seed: int) -> None:
    listed = List({f"r{number}": 0.0 for number in range(250)}, shuffled=True, seed=seed)

    assert set(read(listed, time_field=None)) == set(listed.rows)


def test_a_list_without_a_count_is_read_down_and_up_again() -> None:
    listed = listing(250, has_total=False)

    assert len(read(listed)) == 250
    assert listed.asked == [1, 2, 3, *([3, 2, 1, 1, 2, 3] * 3)]


@pytest.mark.parametrize("number", [1, 60])
@pytest.mark.parametrize(("count", "capped"), [(9_999, False), (10_000, False), (10_001, True)])
def test_the_cap_of_the_pages_is_told(
    count: int,
    capped: bool,  # noqa: FBT001 - a table
    number: int,
) -> None:
    listed = listing(count)
    pages = NumberedPages(listed.page, ReadStats(), "time", number=number)

    assert len(list(pages.rows())) == min(count, 10_000) - (number - 1) * PAGE_ROWS
    assert pages.capped is capped
    assert max(listed.asked) <= 100


def times(*seconds: float) -> list[datetime]:
    return [EPOCH + timedelta(seconds=second) for second in seconds]


@pytest.mark.parametrize(
    ("seconds", "newest_first"),
    [
        pytest.param(range(100, 0, -1), True, id="descending"),
        pytest.param([*range(100, 50, -1), 99], False, id="one out of place"),
        pytest.param([5.0] * 100, False, id="all of one instant"),
        pytest.param([3, 2, 1], False, id="too few to be sure"),
    ],
)
def test_that_ids_grow_with_time_is_believed_only_where_it_shows(
    seconds: Any,
    newest_first: bool,  # noqa: FBT001 - a table
) -> None:
    assert is_newest_first(times(*seconds)) is newest_first


def body(*ids: str, more: bool = False, cursor: str | None = None) -> dict[str, Any]:
    rows = [{"id": identity} for identity in ids]
    named = {} if cursor is None else {"more_starting_after": cursor}
    return {"object": "list", "data_ref": "data", "data": rows, "has_more": more, **named}


def test_a_cursor_is_the_answers_own_or_the_last_id() -> None:
    asked = []
    answers = iter([body("c", more=True), body("d")])

    def ask(cursor: str) -> dict[str, Any]:
        asked.append(cursor)
        return next(answers)

    pages = pages_by_cursor(body("a", "b", more=True, cursor="B"), ask)

    assert [row["id"] for page in pages for row in page.rows] == ["a", "b", "c", "d"]
    assert asked == ["B", "c"]


def test_a_cursor_that_leads_nowhere_is_an_error_and_no_endless_run() -> None:
    with pytest.raises(VoucherifyError, match="repeats a page"):
        list(pages_by_cursor(body("a", more=True), lambda _: body("a", more=True)))


def parent_list(
    count: int, *, size: int, total: str, has_more: bool
) -> tuple[dict[str, Any], Callable[[str], dict[str, Any]]]:
    """The first page of a parent's list, and the function that gives those behind a cursor."""

    def page(start: int) -> dict[str, Any]:
        rows = [{"id": f"e{number:04}"} for number in range(start, min(count, start + size))]
        left = {"total": count if total == "all" else count - start}
        more = {"has_more": start + size < count} if has_more else {}
        return {"object": "list", "data_ref": "data", "data": rows, **left, **more}

    return page(0), lambda cursor: page(int(cursor[1:]) + 1)


@pytest.mark.parametrize("total", ["all", "remaining"])
@pytest.mark.parametrize("has_more", [True, False])
@pytest.mark.parametrize("count", [0, 1, 49, 50, 60, 100, 130])
def test_pages_by_cursor_may_be_shorter_than_the_limit(
    count: int, total: str, *, has_more: bool
) -> None:
    first, fetch = parent_list(count, size=50, total=total, has_more=has_more)

    found = [row["id"] for page in pages_by_cursor(first, fetch) for row in page.rows]

    assert found == [f"e{number:04}" for number in range(count)]


def test_an_empty_page_of_a_parent_that_says_more_is_an_error() -> None:
    empty = {"object": "list", "data_ref": "data", "data": [], "total": 5}
    with pytest.raises(VoucherifyError, match="gives an empty one"):
        list(pages_by_cursor({**empty, "has_more": True}, lambda _: empty))
    with pytest.raises(VoucherifyError, match="gives an empty one"):
        list(pages_by_cursor(empty, lambda _: empty, is_filtered=False))

    # A filter may have left out all rows that the total counts.
    assert len(list(pages_by_cursor(empty, lambda _: empty, is_filtered=True))) == 1


def test_a_parent_that_is_gone_has_no_pages() -> None:
    assert list(pages_by_cursor(None, lambda _: None)) == []
    assert len(list(pages_by_cursor(body("a", more=True), lambda _: None))) == 1


ROWS = [
    {"id": f"c-{number}", "created_at": to_iso(EPOCH + timedelta(seconds=number))}
    for number in range(190)
]
BY_CREATION = TimeOrderedEndpoint("created_at", "created_at", tie_order="id")


def selected(query: Query) -> list[dict[str, Any]]:
    return [
        row
        for row in ROWS
        if (query.after is None or row["created_at"] > to_iso(query.after))
        and (query.before is None or row["created_at"] < to_iso(query.before))
    ]


@pytest.mark.parametrize("total", ["filtered", "all", "absent"])
@pytest.mark.parametrize("since", [None, 60])
def test_a_short_page_does_not_end_a_read_unless_a_count_does(total: str, since: int) -> None:
    """The server gives 40 rows where 100 were requested, and does not say whether more follow."""

    def fetch(query: Query) -> Page:
        chosen = selected(query)
        totals = {"filtered": len(chosen), "all": len(ROWS), "absent": None}
        return Page(chosen[:40], totals[total])

    stats = ReadStats()
    begin = None if since is None else EPOCH + timedelta(seconds=since)
    found = {row["id"] for _, row in rows_by_time(fetch, BY_CREATION, since=begin, stats=stats)}

    assert len(found) == len(ROWS) - (since or 0)
    assert stats.calls <= len(found) // 39 + 3


def test_nothing_new_costs_one_call_where_the_count_proves_it() -> None:
    stats, since = ReadStats(), EPOCH + timedelta(seconds=150)
    rows_read = rows_by_time(
        lambda query: Page(selected(query), len(selected(query))),
        BY_CREATION,
        since=since,
        stats=stats,
    )

    assert len(list(rows_read)) == 40
    assert stats.calls == 1


@pytest.mark.parametrize("more", [None, True])
@pytest.mark.parametrize("times", [1, 9])
@pytest.mark.parametrize("place", [1, 2])
def test_an_empty_page_that_says_more_is_requested_again_or_an_error(
    place: int,
    times: int,
    more: bool | None,  # noqa: FBT001 - a table
) -> None:
    calls: list[Query] = []

    def fetch(query: Query) -> Page:
        chosen = selected(query)
        if query.before is None:
            calls.append(query)
            if place <= len(calls) < place + times:
                return Page([], len(chosen), more)
        return Page(chosen[:100], len(chosen))

    def found() -> set[str]:
        return {row["id"] for _, row in rows_by_time(fetch, BY_CREATION, since=EPOCH)}

    if times == 1:
        assert found() == {row["id"] for row in ROWS}
    else:
        with pytest.raises(VoucherifyError, match="lists 0 rows of a span"):
            found()


@pytest.mark.parametrize("row", [0, 50, 99, 100, 189])
@pytest.mark.parametrize("total", [True, False])
def test_a_row_without_a_time_of_creation_is_kept(row: int, *, total: bool) -> None:
    def fetch(query: Query) -> Page:
        chosen = selected(query)
        shown = [
            {**each, "created_at": None} if each is ROWS[row] else each for each in chosen[:100]
        ]
        return Page(shown, len(chosen) if total else None)

    rows_read = list(rows_by_time(fetch, BY_CREATION))
    since = {each["id"] for _, each in rows_by_time(fetch, BY_CREATION, since=EPOCH)}

    assert {each["id"] for _, each in rows_read} == since == {each["id"] for each in ROWS}


def test_a_page_of_rows_without_a_time_of_creation_is_an_error() -> None:
    rows = [{"id": f"c-{number}", "created_at": None} for number in range(100)]
    with pytest.raises(VoucherifyError, match="No row of a page has `created_at`"):
        list(rows_by_time(lambda _: Page(rows, 100), BY_CREATION, since=EPOCH))


def test_a_short_page_that_repeats_is_an_error() -> None:
    rows = [{"id": f"c-{number}", "created_at": "2026-01-01T00:00:00.000Z"} for number in range(9)]

    def fetch(query: Query) -> Page:
        is_before = query.before is not None and query.before.year < 2026
        return Page([], 0) if is_before else Page(rows[:4], len(rows))

    with pytest.raises(VoucherifyError, match="counts 9 in it"):
        list(rows_by_time(fetch, BY_CREATION))


def test_short_pages_by_number_go_on_while_the_total_says_more() -> None:
    asked: list[int] = []

    def page(number: int) -> Page:
        asked.append(number)
        first = 100 * (number - 1)
        return Page([{"id": f"o-{first + each}"} for each in range(40)][: 240 - first], 240)

    list(NumberedPages(page, ReadStats()).rows())

    assert set(asked) == {1, 2, 3}
