"""Whom the tap asks for reward events: from a customer's counters, and from redemptions."""

from __future__ import annotations

from typing import Any

import pytest

from tap_voucherify.rewards.candidates import may_have_rewards

ZERO: dict[str, Any] = {
    "summary": {
        "redemptions": {"total_redeemed": 0, "gift": {"redeemed_amount": 0}},
        "orders": {"total_count": 0, "last_order_date": None},
    },
    "loyalty": {"points": 0, "campaigns": {}},
    "referrals": {"total": 0, "campaigns": []},
}


def test_a_customer_who_never_took_part_is_not_asked() -> None:
    assert may_have_rewards(ZERO) is False


@pytest.mark.parametrize(
    "counters",
    [
        pytest.param({"loyalty": {"points": 5}}, id="points"),
        pytest.param({"referrals": {"total": 1}}, id="a referral"),
        pytest.param({"summary": {"redemptions": {"n": 0}, "orders": {"n": 2}}}, id="orders"),
        pytest.param({"summary": {"redemptions": {}}}, id="no orders counted"),
        pytest.param({"summary": None}, id="a counter that is null"),
        pytest.param({"loyalty": {}}, id="a counter without its members"),
        pytest.param({"referrals": "none"}, id="a counter of another type"),
    ],
)
def test_who_may_have_taken_part_is_asked(counters: dict[str, Any]) -> None:
    assert may_have_rewards({**ZERO, **counters}) is True


@pytest.mark.parametrize("name", ZERO)
def test_a_counter_that_is_missing_counts_as_one_that_moved(name: str) -> None:
    assert may_have_rewards({key: value for key, value in ZERO.items() if key != name}) is True
