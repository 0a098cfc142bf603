"""The counters in `summary`, `loyalty` and `referrals` of a customer."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from voucherify_sandbox.customers import NO_LOYALTY, NO_REFERRALS, NO_SUMMARY

if TYPE_CHECKING:
    from datetime import datetime

    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json


def _summary(customer: Customer) -> Json:
    """A copy of `summary` to change, because a lagging list may still show the old one."""
    customer.summary = deepcopy(customer.summary or NO_SUMMARY)
    return customer.summary


def _loyalty(customer: Customer) -> Json:
    customer.loyalty = deepcopy(customer.loyalty or NO_LOYALTY)
    return customer.loyalty


def _in_campaign(loyalty: Json, name: str) -> Json:
    none = {"points": 0, "referred_customers": 0}
    found: Json = loyalty["campaigns"].setdefault(name, none)
    return found


def count_redemption(customer: Customer, *counters: str) -> None:
    """Add 1 to each of the named counters of `summary.redemptions`."""
    redemptions = _summary(customer)["redemptions"]
    for counter in counters:
        redemptions[counter] += 1


def count_order(customer: Customer, amount: int, at: datetime) -> None:
    """Add a paid order of `amount` cents."""
    orders = _summary(customer)["orders"]
    orders["total_amount"] += amount
    orders["total_count"] += 1
    orders["average_amount"] = round(orders["total_amount"] / orders["total_count"])
    orders["last_order_amount"] = amount
    orders["last_order_date"] = at


def count_referred(referrer: Customer, campaign: str) -> None:
    """Add a customer that this one has referred."""
    loyalty = _loyalty(referrer)
    loyalty["referred_customers"] += 1
    _in_campaign(loyalty, campaign)["referred_customers"] += 1


def note_referral(referee: Customer, referral: Json) -> None:
    """Add a referral to the referee."""
    referee.referrals = deepcopy(referee.referrals or NO_REFERRALS)
    referee.referrals["total"] += 1
    referee.referrals["campaigns"].append(referral)


def add_credit(customer: Customer, cents: int) -> None:
    """Add cents that can be spent from gift vouchers."""
    _summary(customer)["redemptions"]["gift"]["amount_to_go"] += cents


def add_points(customer: Customer, campaign: str, points: int) -> None:
    """Add points of a campaign's loyalty card."""
    _summary(customer)["redemptions"]["loyalty_card"]["points_to_go"] += points
    loyalty = _loyalty(customer)
    loyalty["points"] += points
    _in_campaign(loyalty, campaign)["points"] += points


def count_spent(customer: Customer, kind: str, unit: str, value: int) -> None:
    """Count an `amount` of a `gift` or `points` of a `loyalty_card` as spent."""
    counted = _summary(customer)["redemptions"][kind]
    counted[f"redeemed_{unit}"] += value
    counted[f"{unit}_to_go"] -= value
