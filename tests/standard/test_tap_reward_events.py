"""Reward events: every one once, roles and amounts right, at the cost of what changed."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from singer import Run, run
from tap_run import REWARD_EVENT_TYPES
from voucherify_sandbox import Fault, Movement, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0
DAY = 24 * HOUR
UNKNOWN = "customer.something.unheard_of"


class Tap:
    """Runs the tap, each run going on from the last state of the one before."""

    def __init__(self, connection: dict[str, Any], folder: Path) -> None:
        self.connection = connection
        self.folder = folder
        self.state: dict[str, Any] = {}
        self.catalog: list[str] = []
        self.ever: list[str] = []

    def only(self, wanted: str) -> None:
        catalog = json.loads(run("tap_voucherify", {}, "--discover").stdout)
        for stream in catalog["streams"]:
            root = next(one for one in stream["metadata"] if not one["breadcrumb"])
            root["metadata"]["selected"] = stream["tap_stream_id"] == wanted
        path = self.folder / "catalog.json"
        path.write_text(json.dumps(catalog))
        self.catalog = ["--catalog", str(path)]

    def run(self, **settings: Any) -> Run:
        path = self.folder / "state.json"
        path.write_text(json.dumps(self.state))
        config = {**self.connection, **settings}
        done = run("tap_voucherify", config, "--state", str(path), *self.catalog)
        self.state = done.states[-1] if done.states else self.state
        self.ever += events(done)
        return done


@pytest.fixture
def tap(connection: dict[str, Any], tmp_path: Path) -> Tap:
    return Tap(connection, tmp_path)


def happened(sandbox: Sandbox, *types: str) -> set[str]:
    """The ids of all events of these types, of customers who still exist."""
    wanted = types or REWARD_EVENT_TYPES
    return {
        event.id
        for customer in sandbox.project.people.by_id.values()
        for event in customer.activity
        if event.type in wanted
    }


def events(done: Run) -> list[str]:
    return [record["id"] for record in done.records("reward_events")]


CAMPAIGNS = (("Gifts", "gift_credit"), ("Points", "loyalty_points"), ("Coupons", "discount"))


def refer(sandbox: Sandbox, numbers: range) -> list[Any]:
    """One referral for each number, each of a referrer and a referee of its own."""
    redeemed = []
    for number in numbers:
        campaign = CAMPAIGNS[number % 3][0]
        code = sandbox.project.referral_code(campaign, f"crm-{2 * number}")
        order = {"amount": 1_000 + number, "source_id": f"shop-{number}"}
        redeemed.append(sandbox.project.redeem(code, f"crm-{2 * number + 1}", order))
    sandbox.project.settle()
    return redeemed


def cost_by_campaign(records: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[int, int]]:
    """Campaign and role → how many rewards and their sum, by SQL over the columns alone."""
    with duckdb.connect() as warehouse:
        warehouse.execute(
            "CREATE TABLE reward_events (id TEXT PRIMARY KEY, type TEXT, campaign_name TEXT, "
            "recipient_role TEXT, amount BIGINT, points BIGINT)"
        )
        names = ("id", "type", "campaign_name", "recipient_role", "amount", "points")
        warehouse.executemany(
            "INSERT OR REPLACE INTO reward_events VALUES (?, ?, ?, ?, ?, ?)",
            [[record[name] for name in names] for record in records],
        )
        rows = warehouse.execute(
            "SELECT campaign_name, recipient_role, count(*), "
            "coalesce(sum(amount), 0) + coalesce(sum(points), 0) "
            "FROM reward_events WHERE type = 'customer.rewarded' GROUP BY ALL"
        ).fetchall()
    return {(campaign, role): (count, int(total)) for campaign, role, count, total in rows}


def books(sandbox: Sandbox) -> dict[tuple[str, str], tuple[int, int]]:
    """The same as the sandbox itself kept it; a discount is counted and has no sum."""
    kept = {}
    for campaign, roles in sandbox.project.books().items():
        for role, kinds in roles.items():
            for kind, line in kinds.items():
                kept[campaign, role] = (line["count"], 0 if kind == "discount" else line["sum"])
    # What a referee is spared is taken off the order and is no reward event.
    kept.pop(("Coupons", "referee"))
    return kept


def test_five_hundred_referrals_among_twenty_thousand_customers(sandbox: Sandbox, tap: Tap) -> None:
    project = sandbox.project
    sandbox.clock.advance(-7 * DAY)
    project.add_customers(20_000, spread=timedelta(days=2))
    for name, kind in CAMPAIGNS:
        project.create_referral_campaign(name, referee_reward={kind: 7}, referrer_reward={kind: 11})
    sandbox.clock.advance(3 * DAY)
    for redemption in refer(sandbox, range(460))[:3]:
        project.roll_back(redemption)
    project.settle()
    # Five more happen just before the first run, and lists show them only after it.
    sandbox.clock.advance(4 * DAY - 6 * HOUR)
    refer(sandbox, range(460, 465))
    sandbox.readings.list_lag_seconds = 40

    first = tap.run()

    assert first.exit_code == 0, first.log
    assert len(first.records("customers")) == 20_000
    collecting, asking = 200 + 10, 2 * 465
    assert sandbox.calls <= 1.03 * collecting + asking
    sandbox.readings.list_lag_seconds = 0
    sandbox.clock.advance(3 * HOUR)
    refer(sandbox, range(465, 500))
    sandbox.clock.advance(2 * HOUR)
    sandbox.forget_requests()

    second = tap.run()

    assert second.exit_code == 0, second.log
    assert sandbox.calls <= 40 * 2 + 3
    found = events(first) + events(second)
    assert set(found) == happened(sandbox)
    assert len(found) == len(set(found))
    records = first.records("reward_events") + second.records("reward_events")
    assert cost_by_campaign(records) == books(sandbox)

    sandbox.clock.set(None)
    sandbox.forget_requests()
    third = tap.run()

    assert third.exit_code == 0, third.log
    assert third.records() == []
    assert sandbox.calls == 3


def test_an_upsert_of_every_customer_costs_pages_and_no_call_for_each(
    sandbox: Sandbox, tap: Tap
) -> None:
    sandbox.clock.advance(-DAY)
    sandbox.project.add_customers(2_000, spread=timedelta(hours=1))
    sandbox.clock.advance(12 * HOUR)
    tap.run()
    sandbox.clock.advance(6 * HOUR)
    for number in range(2_000):
        sandbox.clock.advance(0.05)
        sandbox.project.upsert_customer({"source_id": f"crm-{number}"})
    sandbox.clock.set(None)
    sandbox.forget_requests()

    done = tap.run()

    assert len(done.records("customers")) == 2_000
    pages = 20
    assert sandbox.calls <= 1.03 * pages + 2 + 1


def small(sandbox: Sandbox) -> None:
    """Six referrals, one by a custom event, some of them long enough to need a second page."""
    project = sandbox.project
    for name, kind in CAMPAIGNS:
        project.create_referral_campaign(name, referee_reward={kind: 7}, referrer_reward={kind: 11})
    project.create_referral_campaign(
        "Events", referee_reward={"gift_credit": 3}, custom_event="signed_up"
    )
    refer(sandbox, range(3))
    code = project.referral_code("Gifts", "adam")
    for number in range(30):
        project.redeem(code, f"friend-{number % 3}", {"amount": 100 + number})
    project.track_event("signed_up", "eve", {"code": project.referral_code("Events", "adam")})
    project.settle()


@pytest.mark.parametrize("streams", ["alone", "after customers"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_run_cut_after_each_call_loses_nothing(
    sandbox: Sandbox, tap: Tap, concurrency: int, streams: str
) -> None:
    small(sandbox)
    if streams == "alone":
        tap.only("reward_events")
    tap.run(max_concurrency=concurrency)
    calls = sandbox.calls

    for cut in range(1, calls):
        tap.state = {}
        found = events(tap.run(max_concurrency=concurrency, max_calls=cut))
        found += events(tap.run(max_concurrency=concurrency))
        assert set(found) == happened(sandbox), f"cut after call {cut} of {calls}"


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/redemptions", "/v1/customers/*/activity"])
def test_a_run_that_fails_goes_on_where_it_was(sandbox: Sandbox, tap: Tap, path: str) -> None:
    small(sandbox)
    tap.only("reward_events")
    found: list[str] = []
    for nth in (1, 2, 5):
        sandbox.faults.add(Fault(kind="status", status=403, path=path, nth=[nth]))
        done = tap.run(max_concurrency=2)
        found += events(done)
        sandbox.faults.clear()
    found += events(tap.run())

    assert set(found) == happened(sandbox)


def test_the_position_among_the_customers_is_part_of_the_state_and_nothing_grows(
    sandbox: Sandbox, tap: Tap
) -> None:
    small(sandbox)
    tap.only("reward_events")

    done = tap.run(max_calls=9, max_concurrency=1)

    assert tap.state["bookmarks"]["reward_events"].keys() == {"scan"}
    assert tap.state["bookmarks"]["reward_events"]["scan"].keys() >= {"started", "position"}
    assert done.exit_code == 0
    assert len(json.dumps(tap.state)) < 400, tap.state


def test_customers_asked_again_within_the_lookback_give_the_same_rows(
    sandbox: Sandbox, tap: Tap
) -> None:
    small(sandbox)
    first, second = tap.run(), tap.run()

    assert Counter(events(first)) == Counter(events(second))


def test_rewards_that_move_no_customer_are_found_by_their_redemptions(
    sandbox: Sandbox, tap: Tap
) -> None:
    sandbox.clock.advance(-DAY)
    sandbox.project.add_customers(60)
    small(sandbox)
    sandbox.clock.advance(HOUR)
    tap.run()
    before = happened(sandbox)
    sandbox.clock.advance(6 * HOUR)
    sandbox.readings.recalculation_updates = False
    refer(sandbox, range(20, 23))
    sandbox.clock.advance(HOUR)

    done = tap.run()

    assert len(happened(sandbox) - before) > len(CAMPAIGNS)
    assert happened(sandbox) - before <= set(events(done))


def test_the_audit_says_how_much_the_cheap_way_had_missed(sandbox: Sandbox, tap: Tap) -> None:
    """Rewards that do not move `updated_at` are what `changed` cannot see."""
    sandbox.clock.advance(-DAY)
    small(sandbox)
    tap.only("reward_events")
    sandbox.clock.advance(12 * HOUR)
    tap.run()
    before = happened(sandbox)
    sandbox.clock.advance(6 * HOUR)
    sandbox.readings.recalculation_updates = False
    project = sandbox.project
    events_code = next(
        voucher["code"]
        for voucher in project.programs.vouchers.values()
        if voucher["campaign"] == "Events"
    )
    project.track_event("signed_up", "friend-0", {"code": events_code})
    project.settle()
    sandbox.clock.set(None)
    missed = happened(sandbox) - before
    state = tap.state

    cheap = tap.run()
    tap.state = state
    audit = tap.run(reward_events_scan="all")

    assert missed
    assert set(events(cheap)).isdisjoint(missed)
    assert missed <= set(events(audit))
    assert f"would have missed {len(missed)} events of this audit" in audit.log


@pytest.fixture
def members(sandbox: Sandbox) -> list[str]:
    """Twenty customers of two hours ago, who have never taken part in anything."""
    sandbox.clock.set(datetime.now(UTC) - timedelta(hours=2))
    sandbox.project.create_referral_campaign(
        "Events", referee_reward={"gift_credit": 3}, custom_event="signed_up"
    )
    keys = [f"member-{number}" for number in range(20)]
    for key in keys:
        sandbox.project.upsert_customer({"source_id": key})
    return keys


def reward_each(sandbox: Sandbox, members: list[str]) -> None:
    """Reward each member now, without a redemption."""
    sandbox.clock.set(None)
    for key, friend in pairwise([*members, members[0]]):
        code = sandbox.project.referral_code("Events", key)
        sandbox.project.track_event("signed_up", friend, {"code": code})
    sandbox.project.settle()


def test_events_of_a_customer_who_is_first_updated_during_the_run_are_read(
    sandbox: Sandbox, tap: Tap
) -> None:
    sandbox.readings.change(recalculation_updates=False)
    sandbox.clock.set(datetime.now(UTC) - timedelta(hours=2))
    sandbox.project.create_referral_campaign(
        "Events", referee_reward={"gift_credit": 3}, custom_event="signed_up"
    )
    code = sandbox.project.referral_code("Events", "member")
    tap.only("reward_events")
    tap.run()
    for number in range(150):
        sandbox.clock.advance(1)
        friend = {"source_id": f"friend-{number}"}
        sandbox.project.track_event("signed_up", friend, {"code": code})
    sandbox.clock.set(None)
    update = {"action": "update_customer", "key": "friend-140", "fields": {"name": "Moved"}}
    sandbox.movements.add(Movement(action=update, nth=(3,)))

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert happened(sandbox) <= set(tap.ever)


def test_an_audit_asks_everyone_although_a_cheap_scan_was_cut(
    sandbox: Sandbox, tap: Tap, members: list[str]
) -> None:
    tap.only("reward_events")
    tap.run()
    reward_each(sandbox, members)
    cut = tap.run(max_calls=9)
    assert "scan" in tap.state["bookmarks"]["reward_events"], cut.log
    sandbox.forget_requests()

    audit = tap.run(reward_events_scan="all")

    asked = {one.path for one in sandbox.requests if one.path.endswith("/activity")}
    assert audit.exit_code == 0, audit.log
    assert len(asked) == len(sandbox.project.customers)
    assert happened(sandbox) <= set(tap.ever)


def test_a_type_asked_for_later_comes_of_everyone_whom_the_cut_run_would_have_asked(
    sandbox: Sandbox, tap: Tap, members: list[str]
) -> None:
    reward_each(sandbox, members)
    tap.only("reward_events")
    cut = tap.run(reward_event_types=["customer.referred"], max_calls=9)
    assert "scan" in tap.state["bookmarks"]["reward_events"], cut.log

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert set(events(done)) == happened(sandbox)


@pytest.mark.parametrize("asked_for", [False, True], ids=["as it comes", "asked for"])
def test_an_event_type_and_fields_nobody_heard_of_are_no_error(
    sandbox: Sandbox,
    tap: Tap,
    asked_for: bool,  # noqa: FBT001 - a table
) -> None:
    small(sandbox)
    sandbox.readings.change(unknown_event_types=True, unknown_fields=True)
    types = [*REWARD_EVENT_TYPES, UNKNOWN]

    done = tap.run(**({"reward_event_types": types} if asked_for else {}))

    assert done.exit_code == 0, done.log
    found = {record["type"] for record in done.records("reward_events")}
    assert (UNKNOWN in found) is asked_for
    assert "added_later" not in json.dumps(done.records())


def test_a_proxy_that_knows_no_such_page_hides_no_events(sandbox: Sandbox, tap: Tap) -> None:
    small(sandbox)
    body = {"message": "no Route matched"}
    sandbox.faults.add(Fault(kind="status", status=404, body=body, path="*/activity"))

    done = tap.run()

    assert done.exit_code == 1
    assert "check that api_url" in done.log


def test_a_404_that_cannot_be_read_is_repeated_and_hides_no_events(
    sandbox: Sandbox, tap: Tap
) -> None:
    small(sandbox)
    body = "<html>Nothing here</html>"
    sandbox.faults.add(Fault(kind="status", status=404, body=body, path="*/activity"))

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert set(events(done)) == happened(sandbox)


def test_a_customer_deleted_meanwhile_is_skipped_and_counted(sandbox: Sandbox, tap: Tap) -> None:
    small(sandbox)
    gone = {"action": "delete_customer", "key": "eve"}
    sandbox.faults.add(Fault(kind="act", path="/v1/redemptions", action=gone))

    done = tap.run()

    assert done.exit_code == 0, done.log
    assert set(events(done)) == happened(sandbox)
    assert "1 of them deleted meanwhile" in done.log


MORE_THAN_WINDOWS_NEED = 1_200


def lists_read(sandbox: Sandbox) -> int:
    """How many pages of the list of customers were asked for; forgotten after that."""
    found = sum(call.path == "/v1/customers" for call in sandbox.requests)
    sandbox.forget_requests()
    return found


MAPPED = {"stream_maps": {"customers": {"id": "id", "source_id": "source_id"}}}


@pytest.mark.parametrize("settings", [{}, MAPPED, {"max_concurrency": 1}], ids=str)
@pytest.mark.parametrize("start", ["first run", "later run", "first run from a date"])
def test_the_list_of_customers_is_read_once_for_both_streams(
    sandbox: Sandbox, tap: Tap, settings: dict[str, Any], start: str
) -> None:
    sandbox.clock.advance(-2 * DAY)
    sandbox.project.add_customers(MORE_THAN_WINDOWS_NEED, spread=timedelta(hours=1))
    small(sandbox)
    before: set[str] = set()
    if start == "first run from a date":
        settings = {**settings, "start_date": (sandbox.clock.now() - timedelta(1)).isoformat()}
    if start == "later run":
        before = happened(sandbox)
        sandbox.clock.advance(DAY)
        tap.run(**settings)
        sandbox.clock.advance(HOUR)
        refer(sandbox, range(20, 23))
    sandbox.clock.set(None)
    state = tap.state
    lists_read(sandbox)

    both, pages_of_both = tap.run(**settings), lists_read(sandbox)
    tap.state = state
    tap.only("customers")
    tap.run(**settings)
    pages = lists_read(sandbox)
    tap.state = state
    tap.only("reward_events")
    alone, pages_alone = tap.run(**settings), lists_read(sandbox)

    assert set(events(both)) == set(events(alone)) >= happened(sandbox) - before
    assert pages_of_both == pages
    assert pages_alone > 0


def cut(_: Sandbox, tap: Tap) -> dict[str, Any]:
    """The run before read a part of the customers and stopped."""
    tap.run(max_calls=3)
    assert "first_run" in tap.state["bookmarks"]["customers"]
    return {}


def ahead(sandbox: Sandbox, tap: Tap) -> dict[str, Any]:
    """A run in between read customers alone, so that events have more to catch up with."""
    tap.run()
    refer(sandbox, range(20, 23))
    sandbox.clock.advance(12 * HOUR)
    catalog = tap.catalog
    tap.only("customers")
    tap.run()
    tap.catalog = catalog
    return {}


def an_export(_: Sandbox, __: Tap) -> dict[str, Any]:
    """Rows of an export do not say whether there were referrals."""
    return {"customers_backfill": "export"}


def an_audit(sandbox: Sandbox, tap: Tap) -> dict[str, Any]:
    """Everybody is to be asked, however little changed."""
    tap.run()
    sandbox.clock.advance(12 * HOUR)
    return {"reward_events_scan": "all"}


def a_slice(sandbox: Sandbox, tap: Tap) -> dict[str, Any]:
    """A slice holds the customers created in it, and events of customers who are older."""
    tap.run()
    sandbox.clock.advance(HOUR)
    start = sandbox.clock.now()
    refer(sandbox, range(20, 23))
    sandbox.clock.advance(HOUR)
    return {"start_date": start.isoformat(), "end_date": sandbox.clock.now().isoformat()}


@pytest.mark.parametrize(
    "begin", [cut, ahead, an_export, an_audit, a_slice], ids=lambda one: one.__name__
)
def test_where_customers_say_too_little_their_list_is_read_again(
    sandbox: Sandbox, tap: Tap, begin: Any
) -> None:
    sandbox.clock.advance(-2 * DAY)
    sandbox.project.add_customers(MORE_THAN_WINDOWS_NEED, spread=timedelta(hours=1))
    small(sandbox)
    sandbox.clock.advance(HOUR)
    settings = begin(sandbox, tap)
    before = set(tap.ever)
    state = tap.state
    sandbox.clock.set(None)
    lists_read(sandbox)

    done, pages = tap.run(**settings), lists_read(sandbox)
    tap.state = state
    tap.only("customers")
    tap.run(**settings)

    assert set(events(done)) >= happened(sandbox) - before
    assert pages > lists_read(sandbox)


@pytest.mark.parametrize("cut_first", [False, True])
def test_a_slice_gives_its_events_whatever_the_state_says(
    sandbox: Sandbox, tap: Tap, *, cut_first: bool
) -> None:
    small(sandbox)
    tap.only("reward_events")
    since = sandbox.clock.now() - timedelta(days=30)
    tap.run(**({"max_calls": 6} if cut_first else {}))
    assert tap.state["bookmarks"]["reward_events"]

    done = tap.run(start_date=since.isoformat(), end_date=sandbox.clock.now().isoformat())

    assert done.exit_code == 0, done.log
    assert set(events(done)) == happened(sandbox)
