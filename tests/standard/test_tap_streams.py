"""The streams beside customers and reward events: nothing lost, few calls, limits said aloud."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from filling import fill
from singer import Run, run
from tap_voucherify.streams.catalog import STREAMS
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0
OTHERS = sorted(
    {stream.name for stream in STREAMS} - {"customers", "customer_deletions", "reward_events"}
)


@pytest.fixture(scope="module")
def discovered() -> dict[str, Any]:
    catalog: dict[str, Any] = json.loads(run("tap_voucherify", {}, "--discover").stdout)
    return catalog


class Tap:
    """Runs the tap with some streams selected, each run going on from the last state."""

    def __init__(self, connection: dict[str, Any], catalog: dict[str, Any], folder: Path) -> None:
        self.connection = connection
        self.catalog = catalog
        self.folder = folder
        self.state: dict[str, Any] = {}

    def run(self, *streams: str, **settings: Any) -> Run:
        for stream in self.catalog["streams"]:
            root = next(one for one in stream["metadata"] if not one["breadcrumb"])
            root["metadata"]["selected"] = stream["tap_stream_id"] in streams
        paths = {"catalog": self.catalog, "state": self.state}
        for name, content in paths.items():
            (self.folder / f"{name}.json").write_text(json.dumps(content))
        done = run(
            "tap_voucherify",
            {**self.connection, **settings},
            "--catalog",
            str(self.folder / "catalog.json"),
            "--state",
            str(self.folder / "state.json"),
        )
        self.state = done.states[-1] if done.states else self.state
        return done


@pytest.fixture
def tap(connection: dict[str, Any], discovered: dict[str, Any], tmp_path: Path) -> Tap:
    return Tap(connection, discovered, tmp_path)


def ids(done: Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for message in done.messages:
        if message["type"] == "RECORD":
            found.setdefault(message["stream"], set()).add(message["record"]["id"])
    return found


def everything(sandbox: Sandbox) -> dict[str, set[str]]:
    """The ids of every row that each stream should give."""
    project = sandbox.project
    programs, records = project.programs, project.records
    return {
        "redemptions": set(records.redemptions),
        "orders": set(records.orders),
        "publications": set(programs.publications),
        "campaigns": set(programs.campaigns),
        "campaign_transactions": set(programs.transactions),
        "vouchers": set(programs.vouchers),
        "rewards": set(programs.rewards),
        "reward_assignments": set(programs.assignments),
        "referral_holders": set(programs.holders),
        "segments": set(project.segments.all),
        "products": set(project.products.all),
        "skus": set(project.products.skus),
        "loyalty_tiers": set(project.loyalty.tiers),
        "pending_points": set(project.loyalty.pending_points),
        "promotion_tiers": set(project.promotions.tiers),
        "promotion_stacks": set(project.promotions.stacks),
        "validation_rules": set(project.promotions.rules),
        "validation_rule_assignments": set(project.promotions.assignments),
        "metadata_schemas": {schema["id"] for schema in project.schemas.values()},
    }


def test_each_stream_gives_every_row(sandbox: Sandbox, tap: Tap) -> None:
    fill(sandbox.project)

    done = tap.run(*OTHERS)

    assert done.exit_code == 0, done.log
    assert ids(done) == everything(sandbox)


# What a run costs where nothing happened since the last one, in the project that `fill` makes.
QUIET_CALLS = {
    "campaign_transactions": 1 + 3,  # the campaigns, and each that can have transactions
    "campaigns": 2,
    "loyalty_tiers": 1 + 1,  # the campaigns, and each of them
    "metadata_schemas": 1,
    "orders": 2,
    "pending_points": 1 + 1,
    "products": 2,
    "promotion_stacks": 2,
    "promotion_tiers": 2,
    "publications": 1,
    "redemptions": 1,
    # The referral campaigns, changed codes of three, all of the one that converts by an event,
    # redemptions, and the holders of that one code.
    "referral_holders": 1 + 3 * 2 + 1 + 1 + 1,
    "reward_assignments": 1 + 4,
    "rewards": 1,
    "segments": 1,
    "skus": 1,
    "validation_rule_assignments": 1,
    "validation_rules": 2,
    "vouchers": 2,
}


def test_completeness_lines_count_the_rows_of_the_run(sandbox: Sandbox, tap: Tap) -> None:
    """Of a later run, because that of a first run counts what was there when it began."""
    fill(sandbox.project)
    streams = ("customers", "reward_events", *OTHERS)
    lookback = {"lookback_window": 86_400}
    tap.run(*streams, **lookback)

    again = tap.run(*streams, **lookback)

    rows = Counter(line["stream"] for line in again.messages if line["type"] == "RECORD")
    said = re.findall(r"complete: ([\d,]+) (?:changed )?(\w+) (?:since|of)", again.log)
    assert len(said) >= 8
    assert {name: int(figure) for figure, name in said} == {name: rows[name] for _, name in said}
    assert sum(rows[name] > 0 for _, name in said) >= 6


@pytest.mark.parametrize("stream", OTHERS)
def test_a_run_with_nothing_new_costs_few_calls(sandbox: Sandbox, tap: Tap, stream: str) -> None:
    sandbox.clock.advance(-6 * HOUR)
    fill(sandbox.project)
    sandbox.clock.set(None)
    tap.run(stream)
    sandbox.forget_requests()

    again = tap.run(stream)

    assert again.exit_code == 0, again.log
    assert sandbox.calls == QUIET_CALLS[stream]
    incremental = "replication_key_value" in tap.state["bookmarks"][stream]
    assert bool(again.records(stream)) is not incremental


def test_the_next_run_gives_what_is_new_or_changed(sandbox: Sandbox, tap: Tap) -> None:
    sandbox.clock.advance(-6 * HOUR)
    fill(sandbox.project)
    sandbox.clock.set(None)
    tap.run(*OTHERS)
    before = everything(sandbox)
    project = sandbox.project
    order, voucher = next(iter(before["orders"])), next(iter(before["vouchers"]))
    project.records.orders[order]["updated_at"] = sandbox.clock.now()
    project.programs.vouchers[voucher]["updated_at"] = sandbox.clock.now()
    # One code redeemed again, another converted by an event, and a new one published.
    gifts = next(v for v in project.programs.vouchers.values() if v["campaign"] == "Gifts")
    events = next(v for v in project.programs.vouchers.values() if v["campaign"] == "Events")
    project.redeem(gifts["code"], "nina", {"amount": 500})
    project.track_event("signed_up", "otto", {"code": events["code"]})
    project.referral_code("Points", "rita")
    project.settle()

    found = ids(tap.run(*OTHERS))

    for stream, rows in everything(sandbox).items():
        assert found.get(stream, set()) >= rows - before[stream], stream
    assert order in found["orders"]
    assert voucher in found["vouchers"]
    assert (
        found["referral_holders"]
        == everything(sandbox)["referral_holders"] - before["referral_holders"]
    )
    assert len(found["orders"]) == 2


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_run_cut_at_any_call_loses_nothing(sandbox: Sandbox, tap: Tap, first: int) -> None:
    fill(sandbox.project)
    whole = ids(tap.run(*OTHERS))
    calls = sandbox.calls

    for cut in range(first, calls, 3):
        tap.state = {}
        found = ids(tap.run(*OTHERS, max_calls=cut))
        for stream, rows in ids(tap.run(*OTHERS)).items():
            found.setdefault(stream, set()).update(rows)
        assert found == whole, f"cut after call {cut} of {calls}"


def test_one_schema_and_one_bookmark_for_all_parents(sandbox: Sandbox, tap: Tap) -> None:
    fill(sandbox.project)
    children = ("campaign_transactions", "referral_holders", "reward_assignments")

    done = tap.run(*children)

    announced = Counter(m["stream"] for m in done.messages if m["type"] == "SCHEMA")
    assert announced == dict.fromkeys(children, 1)
    assert tap.state["bookmarks"]["campaign_transactions"].keys() == {
        "replication_key",
        "replication_key_value",
    }
    asked = [s.path.split("/")[3] for s in sandbox.requests if s.path.endswith("/transactions")]
    kinds = {sandbox.project.programs.campaigns[key]["campaign_type"] for key in asked}
    assert kinds == {"GIFT_VOUCHERS", "LOYALTY_PROGRAM"}


def copies(rows: dict[str, Any], count: int, start: Any, step: timedelta) -> None:
    """Fill a list up with copies of its first row, each later than the one before."""
    pattern = next(iter(rows.values()))
    rows.clear()
    for number in range(count):
        key = f"{pattern['object']}_{number:05}"
        rows[key] = {**pattern, "id": key, "created_at": start + number * step}


@pytest.mark.parametrize("stream", ["orders", "publications"])
def test_a_list_longer_than_its_pages_is_an_error_that_says_so(
    sandbox: Sandbox, tap: Tap, stream: str
) -> None:
    fill(sandbox.project)
    held = sandbox.project.records if stream == "orders" else sandbox.project.programs
    start = sandbox.clock.now() - timedelta(hours=6)
    copies(getattr(held, stream), 10_050, start, timedelta(seconds=1))

    done = tap.run(stream)

    assert done.exit_code == 1
    assert f"{stream}: the API lists 10,000 rows at most and there are 10,050" in done.log
    assert len(ids(done)[stream]) == 10_000
    assert "replication_key_value" not in tap.state["bookmarks"][stream]

    tap.state = {}
    reachable = start + timedelta(seconds=9_000)
    done = tap.run(stream, start_date=reachable.isoformat())

    assert done.exit_code == 0, done.log
    assert len(ids(done)[stream]) == 1_050


def test_a_long_list_goes_on_at_its_page_after_a_cut(sandbox: Sandbox, tap: Tap) -> None:
    fill(sandbox.project)
    start = sandbox.clock.now() - timedelta(hours=6)
    copies(sandbox.project.records.orders, 2_030, start, timedelta(seconds=1))
    found: set[str] = set()
    runs = 0
    while "replication_key_value" not in tap.state.get("bookmarks", {}).get("orders", {}):
        found |= ids(tap.run("orders", max_calls=8)).get("orders", set())
        runs += 1

    assert found == set(sandbox.project.records.orders)
    assert sandbox.calls <= 21 + 2 * runs


@pytest.mark.parametrize("place", ["first", "last", "excluded", "mixed"])
def test_updated_orders_are_found_wherever_the_others_sort(
    sandbox: Sandbox, tap: Tap, place: str
) -> None:
    fill(sandbox.project)
    sandbox.readings.change(never_updated=place)
    orders = sandbox.project.records.orders
    start = sandbox.clock.now() - timedelta(hours=6)
    copies(orders, 3_000, start, timedelta(seconds=1))
    since = (start + timedelta(hours=5)).isoformat()
    assert tap.run("orders", start_date=since).records() == []
    assert sandbox.calls == 3
    sandbox.forget_requests()
    changed = list(orders)[::100]
    for number, key in enumerate(changed):
        orders[key]["updated_at"] = start + timedelta(hours=5, seconds=number)

    tap.state = {}
    found = ids(tap.run("orders", start_date=since))

    assert found == {"orders": set(changed)}
    assert sandbox.calls <= (12 if place == "first" else 3)


@pytest.mark.parametrize("stream", ["orders", "vouchers", "campaigns"])
def test_changes_are_found_where_rows_never_updated_stand_between_them(
    sandbox: Sandbox, tap: Tap, stream: str
) -> None:
    fill(sandbox.project)
    sandbox.readings.change(never_updated="mixed")
    held = sandbox.project.records if stream == "orders" else sandbox.project.programs
    rows = getattr(held, stream)
    start = sandbox.clock.now() - timedelta(hours=6)
    copies(rows, 700, start, timedelta(seconds=1))
    bookmark = start + timedelta(hours=4)
    wanted = set()
    for number, row in enumerate(list(rows.values())[-600:]):
        changed = bookmark + timedelta(minutes=1, seconds=number)
        # The row at each page's edge is one that was never updated.
        is_new = number % 100 in {99, 0} or 150 < number < 350 or number > 470
        row["created_at" if is_new else "updated_at"] = changed
        if is_new:
            row["updated_at"] = None
        wanted.add(row["id"])
    key = {"replication_key": "modified_at", "replication_key_value": bookmark.isoformat()}
    tap.state = {"bookmarks": {stream: key}}

    found = tap.run(stream)

    assert found.exit_code == 0, found.log
    assert ids(found)[stream] >= wanted


@pytest.mark.parametrize("stream", ["rewards", "segments", "redemptions", "orders"])
def test_a_stream_that_was_given_too_little_is_an_error(
    sandbox: Sandbox, tap: Tap, stream: str
) -> None:
    sandbox.clock.set(datetime(2026, 3, 2, 12, tzinfo=UTC))
    fill(sandbox.project)
    sandbox.clock.set(None)
    rows = everything(sandbox)[stream]
    sandbox.project.hide(next(iter(rows)))

    done = tap.run(stream)

    assert done.exit_code == 1
    assert f"{stream}: the API counted {len(rows)} {stream} but gave {len(rows) - 1}" in done.log
    assert "replication_key_value" not in tap.state.get("bookmarks", {}).get(stream, {})


@pytest.mark.parametrize("status", [402, 403])
def test_a_stream_that_the_key_may_not_read_says_what_to_do(
    sandbox: Sandbox, tap: Tap, status: int
) -> None:
    sandbox.faults.add(Fault(kind="status", status=status, path="/v1/orders"))

    done = tap.run("orders")

    assert done.exit_code == 1
    (sentence,) = (line for line in done.log.splitlines() if "| CRITICAL" in line)
    assert "Or deselect orders to read the other streams" in sentence
    assert "Traceback" not in done.log


def test_a_slice_takes_what_was_created_in_it_and_keeps_no_state(
    sandbox: Sandbox, tap: Tap
) -> None:
    fill(sandbox.project)
    start = sandbox.clock.now() - timedelta(hours=6)
    copies(sandbox.project.records.orders, 300, start, timedelta(seconds=1))

    done = tap.run(
        "orders",
        start_date=(start + timedelta(seconds=50)).isoformat(),
        end_date=(start + timedelta(seconds=150)).isoformat(),
    )

    assert len(ids(done)["orders"]) == 100
    assert tap.state.get("bookmarks", {}).get("orders", {}) == {}


def test_by_default_only_customers_and_reward_events_are_read(
    connection: dict[str, Any], sandbox: Sandbox
) -> None:
    fill(sandbox.project)

    done = run("tap_voucherify", connection)

    assert set(ids(done)) == {"customers", "reward_events"}
