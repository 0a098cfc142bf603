"""The counters on a customer that Voucherify keeps itself (reference §4.1)."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from voucherify_sandbox.customers import NO_LOYALTY, NO_REFERRALS, NO_SUMMARY

if TYPE_CHECKING:
    from datetime import datetime

    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json


def _summary(customer: Customer) -> Json:
    """The sums to change: a copy, because a lagging list may still show the old ones."""
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
    """One more in each of the named counters of `summary.redemptions`."""
    redemptions = _summary(customer)["redemptions"]
    for counter in counters:
        redemptions[counter] += 1


def count_order(customer: Customer, amount: int, at: datetime) -> None:
    """One more paid order of so many cents."""
    orders = _summary(customer)["orders"]
    orders["total_amount"] += amount
    orders["total_count"] += 1
    orders["average_amount"] = round(orders["total_amount"] / orders["total_count"])
    orders["last_order_amount"] = amount
    orders["last_order_date"] = at


def count_referred(referrer: Customer, campaign: str) -> None:
    """One more customer this one has referred."""
    loyalty = _loyalty(referrer)
    loyalty["referred_customers"] += 1
    _in_campaign(loyalty, campaign)["referred_customers"] += 1


def note_referral(referee: Customer, referral: Json) -> None:
    """This customer was referred."""
    referee.referrals = deepcopy(referee.referrals or NO_REFERRALS)
    referee.referrals["total"] += 1
    referee.referrals["campaigns"].append(referral)


def add_credit(customer: Customer, cents: int) -> None:
    """So many cents more to spend from gift vouchers."""
    _summary(customer)["redemptions"]["gift"]["amount_to_go"] += cents


def add_points(customer: Customer, campaign: str, points: int) -> None:
    """So many points more on the loyalty card of a campaign."""
    _summary(customer)["redemptions"]["loyalty_card"]["points_to_go"] += points
    loyalty = _loyalty(customer)
    loyalty["points"] += points
    _in_campaign(loyalty, campaign)["points"] += points
