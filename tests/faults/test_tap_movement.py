"""A project that changes while it is read: first runs end well, and missing rows are noticed."""

from __future__ import annotations

import itertools
import json
import re
import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from filling import fill
from singer import Process, Run, command, run, selecting
from voucherify_sandbox import Fault, Movement, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

LONG_AGO = datetime(2026, 1, 10, 12, tzinfo=UTC)
TOTALS = ("filtered", "all", "absent")

SIGN_UP = {"action": "upsert_customer", "fields": {"source_id": "new-{n}"}}
PUBLISH = {"action": "referral_code", "campaign": "Gifts", "referrer": "new-{n}"}
REDEEM = {"action": "redeem", "customer": "new-{n}", "order": {"amount": 100}}
LAUNCH = {
    "action": "create_referral_campaign",
    "name": "Campaign {n}",
    "referrer_reward": {"gift_credit": 5},
}
GROUP = {"action": "create_segment", "name": "Segment {n}", "members": []}
STOCK = {"action": "create_product", "fields": {"source_id": "product-{n}"}}
VARIANT = {"action": "create_product", "fields": {"source_id": "new"}, "skus": [{"sku": "{n}"}]}
PROMOTE = {"action": "create_promotion", "name": "Sale", "percents": [5], "least_amount": 100}

ARRIVALS = {
    "customers": SIGN_UP,
    "vouchers": PUBLISH,
    "publications": PUBLISH,
    "orders": REDEEM,
    "redemptions": REDEEM,
    "campaigns": LAUNCH,
    "rewards": LAUNCH,
    "segments": GROUP,
    "products": STOCK,
    "skus": VARIANT,
    "promotion_tiers": PROMOTE,
    "promotion_stacks": PROMOTE,
    "validation_rules": PROMOTE,
    "validation_rule_assignments": PROMOTE,
}
"""What brings a new row to each stream."""

RATES = {"rewards": 0.1}
"""New rows at each request, 2 unless given: a list without any order is counted when still."""


@dataclass
class Tap:
    """Runs the tap for one stream, each run going on from the last state."""

    sandbox: Sandbox
    connection: dict[str, Any]
    folder: Path
    stream: str
    state: dict[str, Any] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._catalog = selecting(self.folder, self.stream)

    def arguments(self) -> list[str]:
        path = self.folder / "state.json"
        path.write_text(json.dumps(self.state))
        return [*self._catalog, "--state", str(path)]

    def run(self, **settings: Any) -> Run:
        return self.ran(run("tap_voucherify", {**self.connection, **settings}, *self.arguments()))

    def ran(self, done: Run) -> Run:
        self.state = done.states[-1] if done.states else self.state
        self.found.update(record["id"] for record in done.records())
        return done

    @property
    def bookmark(self) -> dict[str, Any]:
        kept: dict[str, Any] = self.state.get("bookmarks", {}).get(self.stream, {})
        return kept

    @property
    def is_complete(self) -> bool:
        return "replication_key_value" in self.bookmark


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "customers"))


@pytest.fixture
def tap(sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, stream: str) -> Tap:
    return Tap(sandbox, connection, tmp_path, stream)


def customers(sandbox: Sandbox, count: int) -> None:
    sandbox.project.add_customers(
        count, prefix="old", created_at=LONG_AGO, spread=timedelta(days=30)
    )


def rows_of(sandbox: Sandbox, stream: str) -> dict[str, Any]:
    project = sandbox.project
    return {
        "customers": project.people.by_id,
        "orders": project.records.orders,
        "redemptions": project.records.redemptions,
        "segments": project.segments.all,
        "products": project.products.all,
        "skus": project.products.skus,
        "promotion_tiers": project.promotions.tiers,
        "promotion_stacks": project.promotions.stacks,
        "validation_rules": project.promotions.rules,
        "validation_rule_assignments": project.promotions.assignments,
    }.get(stream) or dict.__getitem__(vars(project.programs), stream)


def populate(sandbox: Sandbox, stream: str, count: int) -> dict[str, Any]:
    """Rows of one stream, created over some hours long ago; gives what brings a new one."""
    if stream == "customers":
        customers(sandbox, count)
        return SIGN_UP
    sandbox.clock.set(LONG_AGO)
    fill(sandbox.project)
    code = sandbox.project.referral_code("Gifts", "adam")
    sandbox.clock.set(None)
    rows = rows_of(sandbox, stream)
    pattern = next(iter(rows.values()))
    for number in range(count - len(rows)):
        key = f"{pattern['object']}_{number:05}"
        created = LONG_AGO + timedelta(seconds=number)
        rows[key] = {**pattern, "id": key, "created_at": created, "name": key}
        if "date" in pattern:
            rows[key]["date"] = created
    arrival = dict(ARRIVALS[stream])
    return {**arrival, "code": code} if arrival is REDEEM or "order" in arrival else arrival


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize("count", [450, 12_000])
def test_one_deletion_and_one_sign_up_fail_no_first_run(
    sandbox: Sandbox, tap: Tap, total: Any, concurrency: int, count: int
) -> None:
    customers(sandbox, count)
    sandbox.readings.change(total=total)
    last = -(-count // 99)
    sandbox.movements.add(
        Movement(
            action={"action": "remove", "kind": "customers", "position": count - 50}, nth=(2,)
        ),
        Movement(action=SIGN_UP, after=True, nth=range(last - 3, last + 20)),
    )

    done = tap.run(max_concurrency=concurrency)

    assert done.exit_code == 0, done.log
    assert tap.is_complete
    assert {key for key, row in sandbox.project.customers.items() if is_old(row)} <= tap.found


def is_old(row: Any) -> bool:
    return str(row["source_id"]).startswith("old")


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("total", TOTALS)
def test_twenty_thousand_customers_while_others_sign_up_and_leave(
    sandbox: Sandbox, tap: Tap, total: Any, concurrency: int
) -> None:
    customers(sandbox, 20_000)
    sandbox.readings.change(total=total)
    sandbox.movements.add(
        Movement(action=SIGN_UP, rate=2),
        Movement(action={"action": "delete_customer", "key": "old-{n}99"}, rate=0.4),
    )

    done = tap.run(max_concurrency=concurrency)

    assert done.exit_code == 0, done.log
    assert tap.is_complete
    assert {key for key, row in sandbox.project.customers.items() if is_old(row)} <= tap.found
    # Where rows leave with two of five requests, pages are not worth reading side by side.
    assert sandbox.calls <= (1.03 if concurrency == 1 else 1.2) * 200 + 20
    sandbox.movements.clear()
    tap.run()
    assert set(sandbox.project.customers) <= tap.found


@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize("stream", sorted(ARRIVALS), indirect=True)
def test_rows_that_come_and_go_while_paging_fail_no_first_run(
    sandbox: Sandbox, tap: Tap, stream: str, total: Any
) -> None:
    arrival = populate(sandbox, stream, 450)
    before = set(rows_of(sandbox, stream))
    sandbox.readings.change(total=total)
    sandbox.movements.add(Movement(action=arrival, rate=RATES.get(stream, 2)))
    for position in (20, 400):
        gone = {"action": "remove", "kind": stream, "position": position}
        sandbox.movements.add(Movement(action=gone, nth=(2,)))

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert set(rows_of(sandbox, stream)) - before
    assert set(rows_of(sandbox, stream)) & before <= tap.found
    sandbox.movements.clear()
    again = tap.run()
    assert again.exit_code == 0, again.log
    assert set(rows_of(sandbox, stream)) <= tap.found


BOOKMARK = LONG_AGO + timedelta(days=1)


def updated_since_the_bookmark(sandbox: Sandbox, tap: Tap, updated: range, count: int) -> set[str]:
    """Products of long ago, the newest last, some of them updated since a bookmark; their ids."""
    populate(sandbox, "products", count)
    bookmark = {"replication_key": "modified_at", "replication_key_value": BOOKMARK.isoformat()}
    tap.state = {"bookmarks": {"products": bookmark}}
    rows = sandbox.project.products.all
    names = list(rows)
    for number in updated:
        rows[names[number]]["updated_at"] = BOOKMARK + timedelta(seconds=1 + number)
    return {names[number] for number in updated}


def remove(position: int, **occasion: Any) -> Movement:
    action = {"action": "remove", "kind": "products", "position": position}
    return Movement(action=action, **occasion)


@pytest.mark.parametrize("place", ["excluded", "first", "mixed"])
@pytest.mark.parametrize("stream", ["products"], indirect=True)
def test_a_new_row_does_not_make_up_for_one_that_goes(
    sandbox: Sandbox, tap: Tap, place: Any
) -> None:
    updated = updated_since_the_bookmark(sandbox, tap, range(350), 350)
    sandbox.readings.change(never_updated=place)
    gone = list(sandbox.project.products.all)[-1]
    # The second page of changed rows is the third request.
    sandbox.movements.add(remove(-1, nth=(3,)), Movement(action=STOCK, nth=(3,)))

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert tap.found >= updated - {gone}


@pytest.mark.parametrize("stream", ["products"], indirect=True)
def test_a_run_that_was_cut_finds_what_a_new_row_hid(sandbox: Sandbox, tap: Tap) -> None:
    updated = updated_since_the_bookmark(sandbox, tap, range(650), 650)
    gone = list(sandbox.project.products.all)[-1]
    sandbox.movements.add(remove(-1, nth=(3,)), Movement(action=STOCK, nth=(3,)))

    assert tap.run(max_calls=6).exit_code == 0
    assert not tap.found >= updated - {gone}
    done = tap.run()

    assert done.exit_code == 0, done.log
    assert tap.found >= updated - {gone}


@pytest.mark.parametrize("stream", ["products"], indirect=True)
def test_a_list_that_nothing_moves_is_read_once_by_update(sandbox: Sandbox, tap: Tap) -> None:
    updated = updated_since_the_bookmark(sandbox, tap, range(350), 650)

    tap.run()

    assert tap.found >= updated
    # One to see whether there are rows, four by update, and one by creation.
    assert sandbox.calls == 6


MOVES = {
    "a new row pushes them off the last page": (300, range(299, 300), [Movement(action=STOCK)]),
    "a row goes, and the last page with it": (301, range(250, 301), [remove(0)]),
    "many rows come": (300, range(290, 300), [Movement(action=STOCK, rate=150)]),
    "nothing moves": (301, range(250, 301), []),
}


@pytest.mark.parametrize("total", ["filtered", "absent"])
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("stream", ["products"], indirect=True)
def test_rows_behind_those_never_updated_are_found_wherever_they_move(
    sandbox: Sandbox, tap: Tap, move: str, total: Any
) -> None:
    count, numbers, movements = MOVES[move]
    updated = updated_since_the_bookmark(sandbox, tap, numbers, count)
    sandbox.readings.change(never_updated="first", total=total)
    # Before the request for what seems to be the last page.
    for one in movements:
        sandbox.movements.add(Movement(action=one.action, rate=one.rate, nth=(3,)))

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert tap.found >= updated


@pytest.mark.parametrize("request_number", [2, 3, 5])
@pytest.mark.parametrize("stream", ["orders", "publications"], indirect=True)
def test_one_row_that_comes_while_paging_fails_no_first_run(
    sandbox: Sandbox, tap: Tap, stream: str, request_number: int
) -> None:
    arrival = populate(sandbox, stream, 450)
    before = set(rows_of(sandbox, stream))
    sandbox.movements.add(Movement(action=arrival, nth=(request_number,)))

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert tap.found >= before
    assert tap.is_complete
    assert sandbox.calls <= 6


@pytest.mark.parametrize("total", TOTALS)
def test_an_export_bears_sign_ups_and_deletions(sandbox: Sandbox, tap: Tap, total: Any) -> None:
    customers(sandbox, 450)
    sandbox.readings.change(total=total)
    gone = {"action": "remove", "kind": "customers", "position": 7}
    touched = {"action": "update_customer", "key": "old-{n}", "fields": {"name": "Zed"}}
    sandbox.movements.add(
        Movement(action=SIGN_UP, rate=3),
        Movement(action=gone, path="/v1/exports*"),
        Movement(action=touched, path="/v1/exports*", rate=5),
    )

    done = tap.run(customers_backfill="export")

    assert done.exit_code == 0, done.log
    assert tap.is_complete
    assert {key for key, row in sandbox.project.customers.items() if is_old(row)} <= tap.found


@pytest.mark.parametrize("total", ["filtered", "all"])
@pytest.mark.parametrize(
    ("stream", "count"),
    [*((stream, 450) for stream in sorted(ARRIVALS)), ("customers", 12_000)],
    indirect=["stream"],
)
def test_a_row_that_is_counted_and_never_listed_fails_once_and_then_is_a_warning(
    sandbox: Sandbox, tap: Tap, stream: str, count: int, total: Any
) -> None:
    arrival = populate(sandbox, stream, count)
    sandbox.readings.change(total=total)
    hidden = list(rows_of(sandbox, stream))[count // 2]
    listed = set(rows_of(sandbox, stream)) - {hidden}
    sandbox.project.hide(hidden)
    sandbox.movements.add(Movement(action=arrival, rate=RATES.get(stream, 2)))

    first = tap.run()

    assert first.exit_code == 1
    assert f"{stream}: the API counted {count:,} {stream} but gave {count - 1:,}" in first.log
    assert tap.bookmark.items() >= ({"missing": 1}.items() if stream in FULL_TABLES else set())
    assert tap.found >= listed

    tap.found.clear()
    second = tap.run()

    assert second.exit_code == 0, second.log
    assert "in two full reads the API counts more rows than it lists" in second.log
    assert tap.found >= listed
    assert tap.is_complete is (stream not in FULL_TABLES)

    third = tap.run()
    assert third.exit_code == 0, third.log


FULL_TABLES = {"rewards", "segments", "skus"}


@pytest.mark.parametrize("total", ["filtered", "all"])
@pytest.mark.parametrize("stream", ["customers", "orders", "segments"], indirect=True)
def test_rows_created_just_before_the_read_do_not_make_up_for_a_row_never_listed(
    sandbox: Sandbox, tap: Tap, stream: str, total: Any
) -> None:
    began = LONG_AGO + timedelta(days=60)
    populate(sandbox, stream, 450)
    sandbox.readings.change(total=total)
    sandbox.project.hide(list(rows_of(sandbox, stream))[200])
    if stream == "customers":
        just_before = began - timedelta(milliseconds=1)
        sandbox.project.add_customers(1, prefix="late", created_at=just_before)
    else:
        *_, last = rows_of(sandbox, stream).values()
        last["created_at"] = last["date"] = began - timedelta(milliseconds=1)
    sandbox.clock.set(began)

    done = tap.run()

    count = len(rows_of(sandbox, stream))
    assert done.exit_code == 1
    assert f"{stream}: the API counted {count} {stream} but gave {count - 1}" in done.log


def test_a_row_that_no_export_holds_fails_once_and_then_is_a_warning(
    sandbox: Sandbox, tap: Tap
) -> None:
    customers(sandbox, 450)
    hidden = list(sandbox.project.people.by_id)[200]
    sandbox.project.hide(hidden)

    first = tap.run(customers_backfill="export")
    ordered = len(sandbox.project.exports.all)
    second = tap.run(customers_backfill="export")

    assert first.exit_code == 1
    assert "the API counted 450 customers but gave 449" in first.log
    assert second.exit_code == 0, second.log
    assert "in two full reads the API counts more rows than it lists" in second.log
    assert len(sandbox.project.exports.all) == ordered + 1
    assert tap.is_complete


@pytest.mark.parametrize("stream", ["customers", "orders"], indirect=True)
def test_the_second_read_is_resumed_where_it_was_cut(
    sandbox: Sandbox, tap: Tap, stream: str
) -> None:
    populate(sandbox, stream, 1_500)
    sandbox.project.hide(list(rows_of(sandbox, stream))[700])
    tap.run()
    listed = set(rows_of(sandbox, stream)) - sandbox.project.hidden
    tap.found.clear()
    sandbox.forget_requests()

    runs = [tap.run(max_calls=7) for _ in range(12) if not tap.is_complete]

    assert tap.is_complete
    assert [done.exit_code for done in runs] == [0] * len(runs)
    assert "in two full reads" in runs[-1].log
    assert len(runs) >= 3
    assert tap.found == listed
    assert sandbox.calls <= 2 + 16 + 3 * len(runs) + 4


@pytest.mark.parametrize("stream", ["customers", "orders"], indirect=True)
def test_a_resumed_first_run_is_held_against_the_count_too(
    sandbox: Sandbox, tap: Tap, stream: str
) -> None:
    arrival = populate(sandbox, stream, 1_500)
    # So few that those of the run fit on one page, which makes the count exact.
    sandbox.movements.add(Movement(action=arrival, rate=4))
    cut = tap.run(max_calls=6)
    assert cut.exit_code == 0, cut.log
    # What was not read yet is hidden: it lies behind the place where the run was cut.
    sandbox.project.hide(list(rows_of(sandbox, stream))[1_400 if stream == "customers" else 100])

    done = tap.run()

    assert done.exit_code == 1
    assert f"{stream}: the API counted 1,500 {stream} but gave 1,499" in done.log


def test_killed_runs_of_a_moving_project_go_on(
    sandbox: Sandbox, tap: Tap, connection: dict[str, Any], tmp_path: Path
) -> None:
    customers(sandbox, 3_000)
    sandbox.movements.add(
        Movement(action=SIGN_UP, rate=2),
        Movement(action={"action": "delete_customer", "key": "old-{n}77"}, rate=0.4),
    )
    for number in (5, 14, 25):
        process = Process(command("tap_voucherify", connection, tmp_path, *tap.arguments()))
        sandbox.forget_requests()
        killer = threading.Thread(target=kill_at, args=(sandbox, process, number))
        killer.start()
        stdout, stderr = process.communicate(timeout=60)
        killer.join()
        tap.ran(Run(process.returncode, stdout.decode(), stderr.decode()))

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert {key for key, row in sandbox.project.customers.items() if is_old(row)} <= tap.found


def kill_at(sandbox: Sandbox, process: Process, number: int) -> None:
    while process.poll() is None:
        if sandbox.calls >= number:
            process.send_signal(signal.SIGKILL)
            return
        time.sleep(0.001)


BEGUN = {"replication_key_value": (LONG_AGO - timedelta(days=1)).isoformat()}
"""The bookmark of a stream whose rows all came since."""

LATER_RUN = pytest.mark.parametrize("is_later_run", [False, True], ids=["first", "later"])


@LATER_RUN
@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize("stream", ["orders", "publications"], indirect=True)
def test_a_row_pulled_onto_an_earlier_page_comes_with_the_run_that_goes_on(
    sandbox: Sandbox, tap: Tap, stream: str, total: Any, *, is_later_run: bool
) -> None:
    populate(sandbox, stream, 1_500)
    sandbox.readings.change(total=total)
    tap.state = {"bookmarks": {stream: BEGUN}} if is_later_run else {}
    gone = {"action": "remove", "kind": stream, "position": 1_490}
    sandbox.movements.add(Movement(action=gone, nth=(5,)))
    cut = tap.run(max_calls=9)
    assert cut.exit_code == 0, cut.log

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert set(rows_of(sandbox, stream)) <= tap.found


@LATER_RUN
@pytest.mark.parametrize("total", TOTALS)
@pytest.mark.parametrize("stream", ["orders", "publications"], indirect=True)
def test_rows_that_go_between_two_runs_hide_none_from_the_run_that_goes_on(
    sandbox: Sandbox, tap: Tap, stream: str, total: Any, *, is_later_run: bool
) -> None:
    populate(sandbox, stream, 1_500)
    sandbox.readings.change(total=total)
    tap.state = {"bookmarks": {stream: BEGUN}} if is_later_run else {}
    tap.run(max_calls=9)
    rows = rows_of(sandbox, stream)
    for key in sorted(rows, key=lambda key: rows[key]["created_at"])[-250:]:
        del rows[key]
    sandbox.forget_requests()

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert set(rows) <= tap.found
    assert total == "absent" or sandbox.calls <= 16


@pytest.mark.parametrize("total", ["filtered", "absent"])
@pytest.mark.parametrize("stream", ["orders", "publications"], indirect=True)
def test_pages_of_one_instant_need_a_number_of_calls_that_is_soon_named(
    sandbox: Sandbox, tap: Tap, stream: str, total: Any
) -> None:
    populate(sandbox, stream, 1_500)
    sandbox.readings.change(total=total, ties="random")
    for row in rows_of(sandbox, stream).values():
        row["created_at"] = LONG_AGO
        row.pop("updated_at", None)
    calls, numbers = 8, 0

    while not tap.is_complete and numbers <= 2:
        done = tap.run(max_calls=calls)
        if named := re.findall(r"ends every run before .* at least (\d+)", done.log):
            calls, numbers = int(named[0]), numbers + 1

    assert tap.is_complete
    assert set(rows_of(sandbox, stream)) <= tap.found


@pytest.mark.parametrize("timestamps", ["milliseconds", "seconds"])
@pytest.mark.parametrize("stream", ["customers", "orders", "vouchers"], indirect=True)
def test_a_row_first_updated_between_the_two_reads_of_a_run_comes_with_it(
    sandbox: Sandbox, tap: Tap, stream: str, timestamps: Any
) -> None:
    populate(sandbox, stream, 250)
    sandbox.readings.change(timestamps=timestamps)
    for row in rows_of(sandbox, stream).values():
        if isinstance(row, dict):
            row.pop("updated_at", None)
    tap.state = {"bookmarks": {stream: BEGUN}}
    before = set(rows_of(sandbox, stream))
    position = 130 if stream == "orders" else 230
    first = {"action": "change", "kind": stream, "position": position, "fields": {"metadata": {}}}
    sandbox.movements.add(Movement(action=first, nth=(3,)))

    done = tap.run(max_concurrency=1)

    assert done.exit_code == 0, done.log
    assert before <= tap.found


@pytest.mark.parametrize("stream", ["customers", "orders", "vouchers"], indirect=True)
def test_a_read_cut_under_a_later_start_date_begins_anew(
    sandbox: Sandbox, tap: Tap, stream: str
) -> None:
    populate(sandbox, stream, 1_500)
    times = sorted(row["created_at"] for row in rows(sandbox, stream))
    tap.run(start_date=times[700].isoformat(), max_calls=6)
    assert not tap.is_complete

    done = tap.run(start_date=times[300].isoformat())

    assert done.exit_code == 0, done.log
    wanted = {one["id"] for one in rows(sandbox, stream) if one["created_at"] >= times[300]}
    assert wanted <= tap.found


def test_a_bookmark_behind_a_start_date_stays_and_says_what_is_not_read(
    sandbox: Sandbox, tap: Tap
) -> None:
    customers(sandbox, 450)
    later = (LONG_AGO + timedelta(days=15)).isoformat()
    tap.run(start_date=later)
    same = tap.run(start_date=later)
    found = set(tap.found)

    done, again = tap.run(), tap.run()

    assert tap.found == found
    assert ["remove the state of that stream" in one.log for one in (same, done, again)] == [
        False,
        True,
        False,
    ]


def test_a_list_cut_short_once_is_read_to_its_end_by_the_next_run(
    sandbox: Sandbox, tap: Tap
) -> None:
    customers(sandbox, 950)
    empty = {"object": "list", "data_ref": "customers", "customers": [], "total": 950}
    sandbox.faults.add(Fault(kind="status", path="/v1/customers", nth=(4,), status=200, body=empty))

    first = tap.run()
    sandbox.forget_requests()
    second = tap.run()

    assert first.exit_code == 1
    assert second.exit_code == 0, second.log
    assert tap.found == set(sandbox.project.customers)
    assert sandbox.calls <= 8


def test_a_list_that_lacks_far_more_the_second_time_is_no_known_difference(
    sandbox: Sandbox, tap: Tap
) -> None:
    customers(sandbox, 950)
    sandbox.project.hide(list(sandbox.project.people.by_id)[500])
    assert tap.run().exit_code == 1
    empty = {"object": "list", "data_ref": "customers", "customers": [], "total": 950}
    sandbox.faults.add(Fault(kind="status", path="/v1/customers", nth=(4,), status=200, body=empty))

    second, third = tap.run(), tap.run()

    assert second.exit_code == 1
    assert third.exit_code == 0, third.log
    assert tap.found == set(sandbox.project.customers) - sandbox.project.hidden


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_window_cut_short_once_is_read_again_in_the_same_run(
    sandbox: Sandbox, tap: Tap, concurrency: int
) -> None:
    customers(sandbox, 12_000)
    sandbox.movements.add(Movement(action=SIGN_UP, rate=2))
    empty = {"object": "list", "data_ref": "customers", "customers": [], "total": 12_000}
    sandbox.faults.add(
        Fault(kind="status", path="/v1/customers", nth=(20,), status=200, body=empty)
    )

    done = tap.run(max_concurrency=concurrency)
    if concurrency == 1:  # no windows: the rest comes with the next run
        assert done.exit_code == 1
        done = tap.run(max_concurrency=concurrency)

    assert done.exit_code == 0, done.log
    assert {key for key, row in sandbox.project.customers.items() if is_old(row)} <= tap.found


@pytest.mark.parametrize("stream", ["customers", "orders"], indirect=True)
def test_a_slice_looks_at_no_state_and_leaves_none(sandbox: Sandbox, tap: Tap, stream: str) -> None:
    populate(sandbox, stream, 450)
    tap.run(max_calls=4)
    kept = tap.state
    times = sorted(row["created_at"] for row in rows(sandbox, stream))
    borders = [times[0], times[200], times[-1] + timedelta(seconds=1)]
    tap.found.clear()

    for since, until in itertools.pairwise(borders):
        tap.state = kept
        done = tap.run(start_date=since.isoformat(), end_date=until.isoformat())
        assert done.exit_code == 0, done.log
        assert tap.bookmark == kept["bookmarks"][stream]

    assert tap.found == set(rows_of(sandbox, stream))


def rows(sandbox: Sandbox, stream: str) -> list[dict[str, Any]]:
    return [
        {"id": key, "created_at": getattr(row, "created_at", None) or row["created_at"]}
        for key, row in rows_of(sandbox, stream).items()
    ]
