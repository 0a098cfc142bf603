"""Coupons, gift vouchers and loyalty cards in the sandbox: what they hold adds up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox.errors import ApiError

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox
    from voucherify_sandbox.project import Project


@pytest.fixture
def project(sandbox: Sandbox) -> Project:
    project = sandbox.project
    project.create_campaign("Gift cards", "GIFT_VOUCHERS")
    project.create_campaign("Points", "LOYALTY_PROGRAM", cents_per_point=100)
    project.create_campaign("Welcome", "DISCOUNT_COUPONS")
    return project


def transactions(project: Project, code: str) -> list[tuple[str, int, int]]:
    """Type, value and balance of each transaction of a code."""
    voucher = project.programs.voucher(code)
    unit = "amount" if voucher["gift"] else "points"
    rows = (row for row in project.programs.transactions.values())
    mine = [row for row in rows if row["voucher_id"] == voucher["id"]]
    balances = [row["details"]["balance"] for row in mine]
    return [
        (row["type"], balance[unit], balance["balance"])
        for row, balance in zip(mine, balances, strict=True)
    ]


def summary(project: Project, source_id: str) -> dict[str, Any]:
    customer = project.customer_by_source_id(source_id)
    assert customer is not None
    counted: dict[str, Any] = customer["summary"]["redemptions"]
    return counted


def types_of(project: Project, source_id: str) -> list[str]:
    customer = project.people.with_source_id(source_id)
    assert customer is not None
    return [event.type.removeprefix("customer.") for event in customer.activity]


def test_a_gift_voucher_pays_until_it_is_empty(project: Project) -> None:
    code = project.publish("Gift cards", "rita", 5_000)

    first = project.redeem(code, "rita", {"amount": 3_500})
    second = project.redeem(code, "rita", {"amount": 4_000})
    third = project.redeem(code, "rita", {"amount": 1_000})

    assert [one["gift"]["amount"] for one in (first, second, third)] == [3_500, 1_500, 0]
    assert [one["amount"] for one in (first, second, third)] == [3_500, 1_500, 0]
    totals = [one["order"]["total_amount"] for one in (first, second, third)]
    assert totals == [0, 2_500, 1_000]
    assert transactions(project, code) == [
        ("CREDITS_ADDITION", 5_000, 5_000),
        ("CREDITS_REDEMPTION", -3_500, 1_500),
        ("CREDITS_REDEMPTION", -1_500, 0),
    ]
    assert project.programs.voucher(code)["gift"] == {"amount": 5_000, "balance": 0}
    assert summary(project, "rita")["gift"] == {"redeemed_amount": 5_000, "amount_to_go": 0}
    assert types_of(project, "rita")[:3] == [
        "created",
        "publication.succeeded",
        "voucher.gift.balance_added",
    ]


def test_a_loyalty_card_earns_by_paid_orders_and_pays_with_points(project: Project) -> None:
    code = project.publish("Points", "rita")
    project.place_order("rita", {"amount": 12_345})
    project.place_order("rita", {"amount": 9_900, "status": "CREATED"})
    project.place_order("adam", {"amount": 50_000})

    paid = project.redeem(code, "rita", {"amount": 1_020}, points=20)

    assert (paid["amount"], paid["loyalty_card"]) == (20, {"points": 20})
    assert paid["order"]["total_amount"] == 1_000
    assert transactions(project, code) == [
        ("POINTS_ACCRUAL", 123, 123),
        ("POINTS_REDEMPTION", -20, 103),
        ("POINTS_ACCRUAL", 10, 113),
    ]
    assert project.programs.voucher(code)["loyalty_card"] == {"points": 133, "balance": 113}
    counted = summary(project, "rita")["loyalty_card"]
    assert counted == {"redeemed_points": 20, "points_to_go": 113}
    assert project.people.get("rita").resource()["loyalty"]["points"] == 133
    assert types_of(project, "rita").count("rewarded.loyalty_points") == 2
    assert types_of(project, "adam") == ["created", "order.created", "order.paid"]


@pytest.mark.parametrize("points", [None, 0, 11])
def test_a_card_pays_no_more_points_than_it_has(project: Project, points: int | None) -> None:
    code = project.publish("Points", "rita", 10)
    with pytest.raises(ApiError):
        project.redeem(code, "rita", {"amount": 1_000}, points=points)
    assert project.programs.voucher(code)["loyalty_card"] == {"points": 10, "balance": 10}
    assert project.counts()["orders"] == 0


@pytest.mark.parametrize(("campaign", "points"), [("Gift cards", None), ("Points", 300)])
def test_a_rollback_gives_back_what_was_spent(
    project: Project, campaign: str, points: int | None
) -> None:
    code = project.publish(campaign, "rita", 500)
    redeemed = project.redeem(code, "rita", {"amount": 300}, points=points)

    rollback = project.roll_back(redeemed)

    assert rollback["amount"] == -300
    kinds = [kind.partition("_")[2] for kind, _, _ in transactions(project, code)]
    assert kinds == ["ADDITION", "REDEMPTION", "REFUND"]
    assert transactions(project, code)[-1][1:] == (300, 500)
    voucher = project.programs.voucher(code)
    assert (voucher["gift"] or voucher["loyalty_card"])["balance"] == 500


def test_a_coupon_lowers_the_order_of_whoever_redeems_it(project: Project) -> None:
    code = project.publish("Welcome", "rita", 10)
    redemption = project.redeem(code, "adam", {"amount": 2_000})
    assert redemption["order"]["total_amount"] == 1_800
    assert redemption["amount"] == 1_800
    assert transactions(project, code) == []


def test_a_customer_has_one_card_of_a_loyalty_program(project: Project) -> None:
    assert project.publish("Points", "rita") == project.publish("Points", "rita")
    assert project.publish("Gift cards", "rita", 1) != project.publish("Gift cards", "rita", 1)
