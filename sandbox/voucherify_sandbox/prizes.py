"""What referral campaigns give, and the types of campaign and voucher that hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voucherify_sandbox.errors import invalid_payload

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a reward gives, as its only key; the value is cents, points or percent.
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
}
POOLS = {"gift_credit": "credit", "loyalty_points": "points", "discount": "coupons"}


@dataclass(frozen=True)
class Prize:
    """What one party of a referral gets: `value` is cents, points or percent, by `kind`."""

    kind: str
    value: int
    pool_id: str
    reward_id: str | None = None
    assignment_id: str | None = None
    tier_id: str | None = None


@dataclass
class Referral:
    """The rules of one referral campaign."""

    campaign_id: str
    referee: Prize | None = None
    referrer: Prize | None = None
    custom_event: str | None = None


def kind_and_value(given: Mapping[str, int]) -> tuple[str, int]:
    """A reward as its maker wrote it, taken apart.

    Raises:
        ApiError: 400; it has not exactly one kind.
    """
    if len(given) != 1 or next(iter(given)) not in KINDS:
        raise invalid_payload(f"a reward has exactly one of {', '.join(KINDS)}, with its value")
    return next(iter(given.items()))
