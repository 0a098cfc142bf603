"""The rules of referral campaigns: what each party gets, and what holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voucherify_sandbox.errors import invalid_payload

if TYPE_CHECKING:
    from collections.abc import Mapping

# The kinds of reward; the value is in cents, points or percent.
KINDS = ("gift_credit", "loyalty_points", "discount")
CAMPAIGN_TYPES = {
    "gift_credit": "GIFT_VOUCHERS",
    "loyalty_points": "LOYALTY_PROGRAM",
    "discount": "DISCOUNT_COUPONS",
}
VOUCHER_TYPES = {
    "GIFT_VOUCHERS": "GIFT_VOUCHER",
    "LOYALTY_PROGRAM": "LOYALTY_CARD",
    "DISCOUNT_COUPONS": "DISCOUNT_VOUCHER",
    "REFERRAL_PROGRAM": "DISCOUNT_VOUCHER",
    "PROMOTION": "DISCOUNT_VOUCHER",
}
POOLS = {"gift_credit": "credit", "loyalty_points": "points", "discount": "coupons"}


@dataclass(frozen=True)
class Reward:
    """The reward of one party: `value` is in cents, points or percent, by `kind`."""

    kind: str
    value: int
    pool_id: str
    reward_id: str | None = None
    assignment_id: str | None = None
    tier_id: str | None = None


@dataclass
class ReferralRules:
    """The rules of one referral campaign."""

    campaign_id: str
    referee: Reward | None = None
    referrer: Reward | None = None
    custom_event: str | None = None


def kind_and_value(given: Mapping[str, int]) -> tuple[str, int]:
    """The kind and value of a reward such as `{"gift_credit": 500}`.

    Raises:
        ApiError: 400 unless it has exactly one kind.
    """
    if len(given) != 1 or next(iter(given)) not in KINDS:
        raise invalid_payload(f"a reward has exactly one of {', '.join(KINDS)}, with its value")
    return next(iter(given.items()))
