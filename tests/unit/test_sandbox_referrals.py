"""Referrals in the sandbox: records of a redemption, rewards, and their times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox.errors import ApiError
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox import Sandbox

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ORDER = {"source_id": "shop-1", "amount": 12_000}


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    connected = Wire(sandbox)
    yield connected
    connected.close()


def refer(sandbox: Sandbox, referee: dict[str, int], referrer: dict[str, int]) -> dict[str, Any]:
    """One friend refers another, in a campaign that gives these rewards."""
    project = sandbox.project
    project.create_referral_campaign("Friends", referee_reward=referee, referrer_reward=referrer)
    code = project.referral_code("Friends", {"source_id": "adam", "email": "adam@x.io"})
    return project.redeem(code, {"source_id": "rita"}, ORDER)


def events(wire: Wire, customer: str, kind: str | None = None) -> list[dict[str, Any]]:
    """The activity of a customer, oldest first, all of it or of one type."""
    query = {"type": kind} if kind else {}
    page = wire.get(f"customers/{customer}/activity", order="created_at", limit=100, **query)
    found: list[dict[str, Any]] = page["data"]
    return found


def role(payload: dict[str, Any]) -> str | None:
    """Referee or referrer, derived from the payload alone, as no field names the role."""
    customer, voucher = payload["customer"]["id"], payload["voucher"]
    if payload["referral_tier"]:
        return "referrer"
    holders = (voucher["referrer_id"], voucher["holder_id"], payload["holder"]["id"])
    if payload["campaign"]["campaign_type"] == "REFERRAL_PROGRAM" and customer in holders:
        return "referrer"
    return "referee" if customer == payload["redemption"]["customer_id"] else None


def test_both_parties_are_rewarded_for_one_order(sandbox: Sandbox, wire: Wire) -> None:
    redemption = refer(sandbox, {"gift_credit": 500}, {"gift_credit": 1000})
    for customer, expected, amount in (("rita", "referee", 500), ("adam", "referrer", 1000)):
        (event,) = events(wire, customer, "customer.rewarded")
        payload = event["data"]["data"]
        assert role(payload) == expected
        assert payload["balance"] == {"amount": amount}
        assert payload["campaign"]["name"] == "Friends"
        assert payload["redemption"]["id"] == redemption["id"]
        assert payload["redemption"]["order"]["source_id"] == "shop-1"
        assert payload["reward"]["voucher"]["gift"]["balance"] == amount


def test_the_events_of_one_redemption_share_their_group(sandbox: Sandbox, wire: Wire) -> None:
    refer(sandbox, {"gift_credit": 500}, {"loyalty_points": 10})
    kinds = ("customer.redemption.succeeded", "customer.referred", "customer.rewarded")
    groups = {events(wire, "rita", kind)[0]["group_id"] for kind in kinds}
    groups.add(events(wire, "adam", "customer.rewarded")[0]["group_id"])
    assert len(groups) == 1


@pytest.mark.parametrize(
    ("reward", "referee", "referrer"),
    [
        pytest.param(
            {"gift_credit": 5},
            ["customer.rewarded", "customer.voucher.gift.balance_added"],
            [
                "customer.reward_redemptions.created",
                "customer.reward_redemptions.completed",
                "customer.rewarded",
                "customer.voucher.gift.balance_added",
            ],
            id="gift credit",
        ),
        pytest.param(
            {"loyalty_points": 5},
            [
                "customer.rewarded",
                "customer.voucher.loyalty_card.points_added",
                "customer.rewarded.loyalty_points",
            ],
            [
                "customer.reward_redemptions.created",
                "customer.reward_redemptions.completed",
                "customer.rewarded",
                "customer.voucher.loyalty_card.points_added",
                "customer.rewarded.loyalty_points",
            ],
            id="loyalty points",
        ),
        pytest.param(
            {"discount": 5},
            [],
            [
                "customer.reward_redemptions.created",
                "customer.reward_redemptions.completed",
                "customer.rewarded",
            ],
            id="a discount, which for the referee is part of the order",
        ),
    ],
)
def test_each_kind_of_reward_has_its_events(
    sandbox: Sandbox, wire: Wire, reward: dict[str, int], referee: list[str], referrer: list[str]
) -> None:
    refer(sandbox, reward, reward)
    common = ["created", "redemption.succeeded", "order.created", "order.paid", "referred"]
    shown = [event["type"] for event in events(wire, "rita")]
    assert shown == [*(f"customer.{kind}" for kind in common), *referee]
    shown = [event["type"] for event in events(wire, "adam")]
    assert shown == ["customer.created", "customer.publication.succeeded", *referrer]


def test_a_discount_lowers_the_order(sandbox: Sandbox) -> None:
    order = refer(sandbox, {"discount": 25}, {"gift_credit": 1})["order"]
    assert (order["amount"], order["discount_amount"], order["total_amount"]) == (
        12_000,
        3_000,
        9_000,
    )


def test_rewards_and_counters_come_some_seconds_later(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.clock.set(NOON)
    sandbox.readings.settle_seconds = 5
    refer(sandbox, {"gift_credit": 500}, {"loyalty_points": 100})
    before = wire.get("customers/rita")
    assert events(wire, "rita", "customer.referred") != []
    assert events(wire, "rita", "customer.rewarded") == []
    assert (before["summary"]["orders"]["total_count"], "updated_at" in before) == (0, False)
    sandbox.clock.advance(7)
    after = wire.get("customers/rita")
    assert after["updated_at"] == "2026-03-02T12:00:05.000Z"
    assert after["summary"]["orders"]["total_amount"] == 12_000
    assert after["summary"]["orders"]["last_order_date"] == "2026-03-02T12:00:05.000Z"
    assert after["summary"]["redemptions"]["total_succeeded"] == 1
    assert after["summary"]["redemptions"]["gift"]["amount_to_go"] == 500
    assert after["referrals"]["total"] == 1
    referrer = wire.get("customers/adam")
    assert referrer["loyalty"]["points"] == 100
    assert referrer["loyalty"]["referred_customers"] == 1
    assert referrer["loyalty"]["campaigns"]["Friends points"]["points"] == 100
    assert referrer["updated_at"] == after["updated_at"]


def test_settling_does_at_once_what_is_still_to_come(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.readings.settle_seconds = 3600
    refer(sandbox, {"gift_credit": 500}, {"gift_credit": 1000})
    assert sandbox.project.books() == {}
    assert sandbox.project.settle() == 2
    assert len(events(wire, "adam", "customer.rewarded")) == 1


def test_the_books_say_what_was_given(sandbox: Sandbox) -> None:
    refer(sandbox, {"gift_credit": 500}, {"loyalty_points": 100})
    code = sandbox.project.referral_code("Friends", "adam")
    sandbox.project.redeem(code, "olga", {"amount": 1})
    assert sandbox.project.books() == {
        "Friends": {
            "referee": {"gift_credit": {"count": 2, "sum": 1000}},
            "referrer": {"loyalty_points": {"count": 2, "sum": 200}},
        }
    }


def test_credit_adds_up_on_one_card(sandbox: Sandbox, wire: Wire) -> None:
    refer(sandbox, {"gift_credit": 1}, {"gift_credit": 1000})
    code = sandbox.project.referral_code("Friends", "adam")
    sandbox.project.redeem(code, "olga", {"amount": 1})
    first, second = events(wire, "adam", "customer.voucher.gift.balance_added")
    balances = [one["data"]["data"]["balance"] for one in (first, second)]
    assert [(one["amount"], one["balance"]) for one in balances] == [(1000, 1000), (1000, 2000)]
    campaign = sandbox.project.programs.campaign("Friends credit")["id"]
    page = wire.get(f"campaigns/{campaign}/transactions", limit=3)
    assert (len(page["data"]), page["has_more"]) == (3, True)
    rest = wire.get(
        f"campaigns/{campaign}/transactions", starting_after_id=page["more_starting_after"]
    )
    assert (len(rest["data"]), rest["has_more"]) == (1, False)


def test_nobody_refers_oneself(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.create_referral_campaign("Friends", referee_reward={"gift_credit": 1})
    code = sandbox.project.referral_code("Friends", "adam")
    with pytest.raises(ApiError, match="own referral code"):
        sandbox.project.redeem(code, "adam", {"amount": 1})
    (failed,) = wire.get("redemptions", result="FAILURE")["redemptions"]
    assert failed["status"] == "FAILED"
    assert len(events(wire, "adam", "customer.redemption.failed")) == 1


def test_a_rollback_is_a_row_of_its_own(sandbox: Sandbox, wire: Wire) -> None:
    redemption = refer(sandbox, {"gift_credit": 500}, {"gift_credit": 1000})
    sandbox.project.roll_back(redemption)
    newest, first = wire.get("redemptions", order="-created_at")["redemptions"]
    assert (newest["object"], newest["redemption"]) == ("redemption_rollback", redemption["id"])
    assert first["status"] == "ROLLED_BACK"
    (event,) = events(wire, "rita", "customer.redemption.rollback.succeeded")
    assert event["data"]["data"]["redemption"]["status"] == "ROLLED BACK"
    (taken,) = events(wire, "adam", "customer.reward_redemptions.rolledback")
    assert taken["data"]["data"]["balance"] == -1000
    assert wire.get("customers/rita")["summary"]["redemptions"]["total_rolled_back"] == 1


def test_a_custom_event_can_be_what_converts(sandbox: Sandbox, wire: Wire) -> None:
    project = sandbox.project
    project.create_referral_campaign(
        "Sign-ups",
        referee_reward={"loyalty_points": 5},
        referrer_reward={"gift_credit": 9},
        custom_event="signed_up",
    )
    code = project.referral_code("Sign-ups", "adam")
    for event in ("looked", "signed_up"):
        body = {"event": event, "customer": {"source_id": "rita"}, "referral": {"code": code}}
        assert wire("POST", "/v1/events", body).status == 200
    (rewarded,) = events(wire, "rita", "customer.rewarded")
    payload = rewarded["data"]["data"]
    assert (payload["redemption"], payload["custom_event"]["type"]) == (None, "signed_up")
    assert len(events(wire, "adam", "customer.rewarded")) == 1


def test_a_code_has_its_holders_and_its_publication(sandbox: Sandbox, wire: Wire) -> None:
    redemption = refer(sandbox, {"gift_credit": 500}, {"gift_credit": 1000})
    code = redemption["voucher"]["code"]
    holders = wire.get(f"referrals/members/{code}/holders")["data"]
    assert sorted(holder["holder_role"] for holder in holders) == ["REFEREE", "REFERRER"]
    assert wire.get("publications", customer="adam")["total"] == 1
    assert wire.get("publications", customer="rita")["total"] == 0
    assert wire.get(f"vouchers/{code}")["redemption"]["redeemed_quantity"] == 1
    assert [one["voucher_type"] for one in wire.get("customers/rita/redeemables")["data"]] == [
        "GIFT_VOUCHER"
    ]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 2),
        ({"created_at[after]": "2026-03-02T12:00:00Z"}, 1),
        ({"created_at[before]": "2026-03-02T12:30:00Z"}, 1),
        ({"customer": "rita"}, 1),
        ({"customer": "nobody"}, 0),
        ({"campaign": "Friends"}, 2),
        ({"campaign": "Others"}, 0),
        ({"result": "FAILURE"}, 0),
        ({"filters[result][conditions][$in][0]": "SUCCESS", "limit": 1}, 1),
        ({"filters[customer_id][conditions][$is][0]": "x", "filters[junction]": "or"}, 0),
    ],
)
def test_redemptions_can_be_filtered(
    sandbox: Sandbox, wire: Wire, query: dict[str, Any], count: int
) -> None:
    sandbox.clock.set(NOON)
    code = refer(sandbox, {"gift_credit": 500}, {"gift_credit": 1000})["voucher"]["code"]
    sandbox.clock.set(NOON + timedelta(hours=1))
    sandbox.project.redeem(code, "olga", {"amount": 1})
    assert len(wire.get("redemptions", **query)["redemptions"]) == count
