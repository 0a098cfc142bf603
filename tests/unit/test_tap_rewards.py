"""Activities as columns: every published shape of an event, and what is missing from it."""

from __future__ import annotations

from typing import Any

import pytest

from tap_run import REWARD_EVENT_TYPES
from tap_voucherify.rewards.event import RewardPayload, reward_event

REFEREE = {"id": "cust_rita", "source_id": "crm-2", "object": "customer"}
REFERRER = {"id": "cust_adam", "source_id": "crm-1", "object": "customer"}
CODE = {
    "id": "v_code",
    "code": "ADAM-1",
    "type": "DISCOUNT_VOUCHER",
    "campaign": "Friends",
    "campaign_id": "camp_friends",
    "is_referral_code": True,
    "holder_id": "cust_adam",
    "referrer_id": "cust_adam",
}
FRIENDS = {"id": "camp_friends", "name": "Friends", "campaign_type": "REFERRAL_PROGRAM"}
LOYALTY = {"id": "camp_loyal", "name": "Loyal", "campaign_type": "LOYALTY_PROGRAM"}
ORDER = {
    "id": "ord_1",
    "source_id": "shop-1",
    "amount": 12_000,
    "total_amount": 11_000,
    "customer_id": "cust_rita",
    "referrer_id": "cust_adam",
}
REDEMPTION = {
    "id": "r_1",
    "created_at": "2026-03-02T10:15:30.861Z",
    "customer_id": "cust_rita",
    "campaign_name": "Friends",
    "order": ORDER,
}
BY_EVENT = {
    "id": "event_1",
    "type": "signed_up",
    "customer": REFEREE,
    "referral": {"code": "ADAM-1", "referrer_id": "cust_adam"},
}
CARD = {"id": "v_card", "code": "CARD-1", "type": "LOYALTY_CARD", "campaign_id": "camp_points"}
GIFT = {"id": "v_gift", "code": "GIFT-1", "type": "GIFT_VOUCHER", "campaign_id": "camp_gift"}
TIER = {"id": "rft_1", "campaign_id": "camp_friends", "banner": "Every friend counts"}
REFEREE_REWARDED = {
    "customer": REFEREE,
    "holder": REFERRER,
    "voucher": CODE,
    "campaign": FRIENDS,
    "redemption": REDEMPTION,
    "reward": {"type": "CAMPAIGN", "voucher": GIFT, "customer": {"id": "cust_rita"}},
    "referral_tier": None,
    "balance": {"amount": 500},
    "custom_event": None,
    "customer_event": None,
}
TEN_CREDIT = {
    "id": "rew_1",
    "name": "10 credit",
    "type": "CAMPAIGN",
    "assignment_id": "rewa_1",
    "voucher": GIFT,
    "parameters": {"campaign": {"id": "camp_gift", "balance": 1000, "type": "GIFT_VOUCHERS"}},
}
POINTS = {
    "id": "rew_2",
    "parameters": {"campaign": {"id": "camp_points", "balance": 200, "type": "LOYALTY_PROGRAM"}},
}
COUPON = {"id": "rew_3", "parameters": {"campaign": {"type": "DISCOUNT_COUPONS"}}}
REFERRER_REWARDED = {
    **REFEREE_REWARDED,
    "customer": REFERRER,
    "reward": TEN_CREDIT,
    "referral_tier": TIER,
    "balance": {"amount": 1000},
}
REWARD_REDEMPTION = {
    "customer": REFERRER,
    "holder": REFERRER,
    "voucher": CODE,
    "campaign": FRIENDS,
    "reward_redemption": {
        "id": "rewr_1",
        "state": "COMPLETED",
        "reward_assignment_id": "rewa_2",
        "source_id": "r_1",
        "source_type": "redemption",
    },
    "reward": POINTS,
    "reward_assignment": {"id": "rewa_1"},
}
GIFT_ADDED = {
    "customer": REFERRER,
    "campaign": {"id": "camp_gift", "name": "Credit", "campaign_type": "GIFT_VOUCHERS"},
    "voucher": GIFT,
    "balance": {"type": "gift_voucher", "total": 1500, "amount": 1000, "balance": 1400},
    "transaction": {
        "id": "vtx_1",
        "type": "CREDITS_ADDITION",
        "details": {
            "order": {"id": "ord_1", "source_id": "shop-1"},
            "redemption": {"id": "r_1"},
        },
    },
}
POINTS_ADDED = {
    "customer": REFERRER,
    "campaign": LOYALTY,
    "voucher": CARD,
    "balance": {"type": "loyalty_card", "total": 900, "points": 40, "balance": 900},
}
NO_ONE = "cust_asked"


def columns(payload: Any, asked: str = NO_ONE, **envelope: Any) -> dict[str, Any]:
    activity = {
        "id": "evcus_1",
        "type": "customer.rewarded",
        "created_at": "2026-03-02T10:15:31.412Z",
        "group_id": "v-1",
        "data": {"data": payload, "event_source": {"channel": "API"}},
        **envelope,
    }
    return reward_event(activity, asked)


def without(payload: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in names}


def test_a_referee_reward_answers_the_four_questions() -> None:
    row = columns(REFEREE_REWARDED)

    assert without(row, "data") == {
        "id": "evcus_1",
        "type": "customer.rewarded",
        "created_at": "2026-03-02T10:15:31.412000Z",
        "group_id": "v-1",
        "customer_id": "cust_rita",
        "customer_source_id": "crm-2",
        "recipient_role": "referee",
        "campaign_id": "camp_friends",
        "campaign_name": "Friends",
        "campaign_type": "REFERRAL_PROGRAM",
        "voucher_id": "v_code",
        "voucher_code": "ADAM-1",
        "reward_id": None,
        "reward_name": None,
        "reward_type": "CAMPAIGN",
        "reward_assignment_id": None,
        "reward_voucher_code": "GIFT-1",
        "amount": 500,
        "points": None,
        "redemption_id": "r_1",
        "order_id": "ord_1",
        "order_source_id": "shop-1",
        "order_amount": 12_000,
        "order_total_amount": 11_000,
        "referrer_id": "cust_adam",
        "referral_tier_id": None,
        "channel": "API",
    }
    assert row["data"] is REFEREE_REWARDED


@pytest.mark.parametrize(
    ("payload", "role"),
    [
        pytest.param(REFEREE_REWARDED, "referee", id="who redeemed"),
        pytest.param(REFERRER_REWARDED, "referrer", id="a tier rewards referrers only"),
        pytest.param(
            {**REFERRER_REWARDED, "referral_tier": None}, "referrer", id="whose code it is"
        ),
        pytest.param({"referral_tier": TIER}, "referrer", id="a tier and nothing else"),
        pytest.param(
            {"customer": REFERRER, "campaign": FRIENDS, "holder": REFERRER},
            "referrer",
            id="who holds the voucher",
        ),
        pytest.param(
            {"customer": REFERRER, "campaign": FRIENDS, "redemption": REDEMPTION},
            "referrer",
            id="the referrer of the order",
        ),
        pytest.param(
            {"customer": REFERRER, "campaign": FRIENDS, "custom_event": BY_EVENT},
            "referrer",
            id="the referrer of a custom event",
        ),
        pytest.param(
            {**without(REFEREE_REWARDED, "redemption"), "custom_event": BY_EVENT},
            "referee",
            id="who fired the converting event",
        ),
        pytest.param(
            {"customer": REFEREE, "campaign": FRIENDS, "order": without(ORDER, "referrer_id")},
            "referee",
            id="whose order it is",
        ),
        pytest.param(
            {"customer": REFEREE, "campaign": FRIENDS, "redemption": {"customer": REFEREE}},
            "referee",
            id="a redemption that names the customer as an object",
        ),
        pytest.param(
            {"customer": REFEREE, "referrer": REFERRER, "campaign": FRIENDS, "voucher": CODE},
            "referee",
            id="the customer of customer.referred",
        ),
        pytest.param(
            {"customer": REFERRER, "referrer": REFERRER, "campaign": FRIENDS},
            "referrer",
            id="the referrer of customer.referred",
        ),
        pytest.param(
            {**without(REFEREE_REWARDED, "campaign")}, "referee", id="known by the code alone"
        ),
        pytest.param(
            {"customer": REFEREE, "campaign": {"is_referral_code": True}, "redemption": REDEMPTION},
            "referee",
            id="known by the campaign's codes",
        ),
        pytest.param(
            {**REFEREE_REWARDED, "campaign": LOYALTY}, None, id="a loyalty campaign has no roles"
        ),
        pytest.param(POINTS_ADDED, None, id="points on a card"),
        pytest.param(GIFT_ADDED, None, id="credit on a gift card"),
        pytest.param({"customer": REFEREE, "campaign": FRIENDS}, None, id="nothing to tell by"),
        pytest.param({**REFEREE_REWARDED, "referral_tier": {}}, "referee", id="an empty tier"),
        pytest.param({}, None, id="an empty payload"),
    ],
)
def test_the_role_of_the_recipient(payload: dict[str, Any], role: str | None) -> None:
    asked = (payload.get("customer") or REFERRER)["id"]

    assert RewardPayload(payload, asked).recipient_role == role
    assert columns(payload, asked)["recipient_role"] == role


def test_an_event_that_names_no_customer_is_of_the_one_who_was_asked() -> None:
    row = columns({**REFEREE_REWARDED, "customer": None}, "cust_adam")

    assert row["customer_id"] == "cust_adam"
    assert row["customer_source_id"] == "crm-1"
    assert row["recipient_role"] == "referrer"


def test_an_event_listed_elsewhere_is_of_the_customer_it_names() -> None:
    assert columns(REFEREE_REWARDED, "cust_adam") == columns(REFEREE_REWARDED, "cust_rita")


ACTIVITY = {**REWARD_REDEMPTION, "source": "redemption", "balance": 200}
WEBHOOK = {
    **REWARD_REDEMPTION,
    "source": {"id": "r_1", "type": "redemption"},
    "balance": {"amount": 200},
}


@pytest.mark.parametrize(
    ("payload", "amount", "points"),
    [
        pytest.param(REFEREE_REWARDED, 500, None, id="credit"),
        pytest.param({**REFEREE_REWARDED, "balance": {"points": 50}}, None, 50, id="points"),
        pytest.param(
            {**REFEREE_REWARDED, "balance": {"amount": None, "points": 50}}, None, 50, id="a null"
        ),
        pytest.param({**REFEREE_REWARDED, "balance": {"amount": "500"}}, 500, None, id="as text"),
        pytest.param({**REFEREE_REWARDED, "balance": {"amount": 500.0}}, 500, None, id="a float"),
        pytest.param({**REFEREE_REWARDED, "balance": {"amount": "much"}}, None, None, id="a word"),
        pytest.param({**REFEREE_REWARDED, "balance": {"amount": True}}, None, None, id="a truth"),
        pytest.param({**REFEREE_REWARDED, "balance": {"amount": 0}}, 0, None, id="zero"),
        pytest.param({**REFEREE_REWARDED, "balance": True}, None, None, id="a bare truth"),
        pytest.param({**REFEREE_REWARDED, "balance": {"amount": -500}}, -500, None, id="negative"),
        pytest.param(ACTIVITY, None, 200, id="a bare number of points"),
        pytest.param({**ACTIVITY, "balance": -200}, None, -200, id="points taken back"),
        pytest.param({**ACTIVITY, "balance": "200"}, None, 200, id="a bare number as text"),
        pytest.param({**ACTIVITY, "reward": TEN_CREDIT}, 200, None, id="a bare number of cents"),
        pytest.param({**ACTIVITY, "reward": COUPON}, None, None, id="a bare number of coupons"),
        pytest.param({**ACTIVITY, "reward": None}, 200, None, id="a bare number and no reward"),
        pytest.param(
            {**ACTIVITY, "reward": {"voucher": GIFT}, "voucher": CARD},
            200,
            None,
            id="credit bought with points",
        ),
        pytest.param({**ACTIVITY, "reward": {}, "voucher": CARD}, None, 200, id="a card's points"),
        pytest.param(WEBHOOK, None, 200, id="the webhook's amount of points"),
        pytest.param({**WEBHOOK, "reward": TEN_CREDIT}, 200, None, id="the webhook's cents"),
        pytest.param({**WEBHOOK, "balance": None}, None, 200, id="the reward's own definition"),
        pytest.param({**REFERRER_REWARDED, "balance": None}, 1000, None, id="defined as credit"),
        pytest.param(
            {**WEBHOOK, "balance": None, "reward_redemption": {"state": "ROLLEDBACK"}},
            None,
            None,
            id="taken back, how much is not said",
        ),
        pytest.param(
            {
                **REFEREE_REWARDED,
                "balance": None,
                "campaign": {
                    **FRIENDS,
                    "referral_program": {"referee_reward": {"type": "GIFT_VOUCHER", "amount": 500}},
                },
            },
            500,
            None,
            id="what the campaign promises a referee",
        ),
        pytest.param(GIFT_ADDED, 1000, None, id="credit added, not its total"),
        pytest.param(POINTS_ADDED, None, 40, id="points added, not their total"),
        pytest.param({"voucher": CARD, "points": 30}, None, 30, id="points expired"),
        pytest.param(
            {"customer": REFEREE, "order": ORDER, "redemption": {**REDEMPTION, "amount": 11_000}},
            None,
            None,
            id="an order's worth is no reward",
        ),
    ],
)
def test_what_was_given(payload: dict[str, Any], amount: int | None, points: int | None) -> None:
    row = columns(payload, "cust_adam")

    assert (row["amount"], row["points"]) == (amount, points)


def test_a_reward_redemption_is_the_same_row_by_activity_and_by_webhook() -> None:
    assert without(columns(ACTIVITY), "data") == without(columns(WEBHOOK), "data")
    assert columns(ACTIVITY)["redemption_id"] == "r_1"


def test_a_redemption_is_the_same_row_under_both_names_of_its_date() -> None:
    dated = {**without(REDEMPTION, "created_at"), "date": REDEMPTION["created_at"]}
    row = columns({**REFEREE_REWARDED, "redemption": dated})

    assert without(row, "data") == without(columns(REFEREE_REWARDED), "data")


ROLLBACK = {
    "customer": REFEREE,
    "campaign": FRIENDS,
    "voucher": CODE,
    "redemption_rollback": {"id": "rr_1", "redemption": "r_1", "order": ORDER},
}


@pytest.mark.parametrize(
    ("payload", "column", "value"),
    [
        pytest.param(GIFT_ADDED, "redemption_id", "r_1", id="a redemption in a transaction"),
        pytest.param(GIFT_ADDED, "order_source_id", "shop-1", id="an order in a transaction"),
        pytest.param(ROLLBACK, "redemption_id", "r_1", id="what a rollback takes back"),
        pytest.param(
            {"source": {"id": "event_1", "type": "custom_event"}},
            "redemption_id",
            None,
            id="a reward given for an event",
        ),
        pytest.param(ROLLBACK, "order_amount", 12_000, id="the order of a rollback"),
        pytest.param(
            {"order": {**ORDER, "amount": "12000"}}, "order_amount", 12_000, id="amount as text"
        ),
        pytest.param({"voucher": CODE}, "campaign_name", "Friends", id="a voucher's campaign"),
        pytest.param({"redemption": REDEMPTION}, "campaign_name", "Friends", id="a redemption's"),
        pytest.param(WEBHOOK, "reward_assignment_id", "rewa_1", id="an assignment beside"),
        pytest.param(
            {"reward_redemption": {"reward_assignment_id": "rewa_2"}},
            "reward_assignment_id",
            "rewa_2",
            id="an assignment inside",
        ),
        pytest.param(REFERRER_REWARDED, "referral_tier_id", "rft_1", id="the tier"),
        pytest.param(
            {"customer": REFEREE, "referrer": REFERRER}, "referrer_id", "cust_adam", id="referred"
        ),
        pytest.param({"custom_event": BY_EVENT}, "referrer_id", "cust_adam", id="by custom event"),
        pytest.param(
            {"campaign": FRIENDS, "voucher": {"holder_id": "cust_adam"}},
            "referrer_id",
            "cust_adam",
            id="the holder of a referral code",
        ),
        pytest.param(
            {"campaign": LOYALTY, "voucher": {"holder_id": "cust_adam"}},
            "referrer_id",
            None,
            id="the holder of a loyalty card refers nobody",
        ),
    ],
)
def test_where_a_column_is_found(payload: dict[str, Any], column: str, value: object) -> None:
    assert columns(payload)[column] == value


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="an array, as an older schema had it"),
        pytest.param("text", id="text"),
        pytest.param({}, id="empty"),
        pytest.param(dict.fromkeys(REFEREE_REWARDED), id="nulls everywhere"),
        pytest.param(dict.fromkeys(REFEREE_REWARDED, "text"), id="text everywhere"),
        pytest.param({key: [1] for key in REFEREE_REWARDED}, id="arrays everywhere"),
        pytest.param({"reward": {"voucher": {"type": ["x"]}}, "balance": 5}, id="a list as type"),
    ],
)
def test_what_is_missing_is_null_and_no_error(payload: object) -> None:
    row = columns(payload, "cust_asked")

    assert set(row) == set(columns(REFEREE_REWARDED))
    assert row["customer_id"] == "cust_asked"
    assert row["recipient_role"] is None
    assert row["campaign_id"] is None


def test_an_envelope_without_data_still_is_a_row() -> None:
    row = reward_event({"id": "evcus_1", "type": "customer.rewarded"}, "cust_asked")

    assert {name for name, value in row.items() if value is not None} == {
        "id",
        "type",
        "customer_id",
    }


@pytest.mark.parametrize("name", REWARD_EVENT_TYPES)
def test_every_type_has_the_same_columns(name: str) -> None:
    assert list(columns({}, type=name)) == list(columns(REFEREE_REWARDED))
