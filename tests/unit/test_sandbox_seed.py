"""`--seed demo`: the same shop each time, and everything in it adds up."""

from __future__ import annotations

import re
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.readings import answers, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox.project import Project

README = (Path(__file__).parents[2] / "sandbox" / "README.md").read_text()
SECONDS = 2


@pytest.fixture(scope="module")
def project() -> Project:
    return Sandbox(seed="demo", readings=Readings(settle_seconds=3)).project


def cards(project: Project) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Each gift voucher and loyalty card, the member with its balance, and its unit."""
    for voucher in project.programs.vouchers.values():
        if voucher["gift"]:
            yield voucher, "gift", "amount"
        elif voucher["loyalty_card"]:
            yield voucher, "loyalty_card", "points"


def test_it_is_quick_and_the_same_each_time(project: Project) -> None:
    began = time.process_time()
    again = Sandbox(seed="demo", readings=Readings(settle_seconds=3)).project
    assert time.process_time() - began < SECONDS
    assert again.counts() == project.counts()
    assert list(again.programs.vouchers) == list(project.programs.vouchers)
    assert again.books() == project.books()
    orders = [
        [
            (order["id"], order["amount"], order["created_at"])
            for order in one.records.orders.values()
        ]
        for one in (again, project)
    ]
    assert orders[0] == orders[1]


def test_there_is_every_kind_of_campaign_and_of_redemption(project: Project) -> None:
    kinds = Counter(one["campaign_type"] for one in project.programs.campaigns.values())
    assert kinds == {
        "DISCOUNT_COUPONS": 1,
        "GIFT_VOUCHERS": 2,
        "LOYALTY_PROGRAM": 2,
        "PROMOTION": 1,
        "REFERRAL_PROGRAM": 2,
    }
    redeemed = {row["voucher"]["campaign"] for row in project.records.redemptions.values()}
    assert {"Welcome 10 %", "Gift cards", "Club points"} < redeemed
    assert {"Refer a friend", "Bring a buddy"} < redeemed
    states = Counter((row["object"], row["status"]) for row in project.records.redemptions.values())
    assert states["redemption", "ROLLED_BACK"] == states["redemption_rollback", "SUCCEEDED"] == 2
    assert states["redemption", "FAILED"] == 1


def test_it_lasted_eight_weeks_until_last_midnight_and_nothing_is_pending(project: Project) -> None:
    now = project.clock.now()
    times = [order["created_at"] for order in project.records.orders.values()]
    assert times == sorted(times)
    assert timedelta(days=54) < times[-1] - times[0] < timedelta(days=56)
    assert timedelta() < now - times[-1] < timedelta(days=2)
    for person in project.people.by_id.values():
        moments = [event.created_at for event in person.activity]
        assert moments == sorted(moments)
        assert moments[-1] < now
    assert project.counts()["pending"] == 0


def test_the_balance_of_each_card_is_the_sum_of_its_transactions(project: Project) -> None:
    rows = list(project.programs.transactions.values())
    found = 0
    for voucher, held, unit in cards(project):
        mine = [row for row in rows if row["voucher_id"] == voucher["id"]]
        changes = [row["details"]["balance"][unit] for row in mine]
        added = [value for value in changes if value > 0]
        refunds = [
            row["details"]["balance"][unit] for row in mine if row["type"].endswith("_REFUND")
        ]
        assert voucher[held]["balance"] == sum(changes) >= 0
        assert voucher[held][unit] == sum(added) - sum(refunds)
        spent = voucher["redemption"].get(f"redeemed_{unit}", 0)
        assert voucher[held]["balance"] == voucher[held][unit] - spent
        found += bool(mine)
    assert found > 40


def test_the_counters_of_each_customer_are_the_sums_of_what_happened(project: Project) -> None:
    orders = list(project.records.orders.values())
    redemptions = list(project.records.redemptions.values())
    for person in project.people.by_id.values():
        shown = person.resource()
        mine = [order for order in orders if order["customer_id"] == person.id]
        counted = shown["summary"]["orders"]
        assert counted["total_count"] == len(mine)
        assert counted["total_amount"] == sum(order["amount"] for order in mine)
        counted = shown["summary"]["redemptions"]
        kinds = Counter(
            row["id"].split("_")[0] for row in redemptions if row["customer_id"] == person.id
        )
        assert counted["total_succeeded"] == kinds["r"]
        assert counted["total_failed"] == kinds["rf"]
        assert counted["total_rolled_back"] == kinds["rr"]
        for name, unit in (("gift", "amount"), ("loyalty_card", "points")):
            held = [
                v[name]
                for v, held, _ in cards(project)
                if (v["holder_id"], held) == (person.id, name)
            ]
            assert counted[name][f"{unit}_to_go"] == sum(one["balance"] for one in held)
        points = [
            v["loyalty_card"]["points"]
            for v, held, _ in cards(project)
            if held == "loyalty_card" and v["holder_id"] == person.id
        ]
        assert shown["loyalty"]["points"] == sum(points)


def test_each_thing_that_happened_has_its_event(project: Project) -> None:
    events = Counter(
        event.type.removeprefix("customer.")
        for person in project.people.by_id.values()
        for event in person.activity
    )
    counts = project.counts()
    rewards = [line for roles in project.books().values() for line in roles.values()]
    given = sum(kind["count"] for kinds in rewards for kind in kinds.values())
    added = [row["type"] for row in project.programs.transactions.values()]
    states = Counter((row["object"], row["status"]) for row in project.records.redemptions.values())
    assert events["created"] == counts["customers"]
    assert events["order.paid"] == events["order.created"] == counts["orders"]
    assert events["publication.succeeded"] == counts["publications"]
    assert events["rewarded"] == given == 2 * events["referred"] > 0
    assert events["redemption.rollback.succeeded"] == states["redemption_rollback", "SUCCEEDED"]
    assert events["redemption.failed"] == states["redemption", "FAILED"]
    assert events["redemption.succeeded"] == (
        states["redemption", "SUCCEEDED"] + states["redemption", "ROLLED_BACK"]
    )
    assert events["voucher.gift.balance_added"] == added.count("CREDITS_ADDITION")
    assert events["voucher.loyalty_card.points_added"] == added.count("POINTS_ACCRUAL")


def test_the_readme_says_how_much_there_is(project: Project) -> None:
    part = README.split("### The seed")[1].split("In Python")[0]
    figures = {int(figure) for figure in re.findall(r"\b\d{2,}\b", part)} - {1}
    codes = [row for row in project.records.redemptions.values() if row["id"].startswith("r_")]
    buyers = {order["customer_id"] for order in project.records.orders.values()}
    referred = sum("REF-" in row["voucher"]["code"] for row in codes)
    counts = project.counts()
    assert figures == {counts["customers"], len(buyers), counts["orders"], len(codes), referred}


def test_it_can_be_planted_under_other_readings() -> None:
    readings = Readings()
    others = {name: answers(name)[-1] for name in names() if answers(name) != ("a number",)}
    readings.change(**others)
    assert Sandbox(seed="demo", readings=readings).project.counts()["orders"] > 0
