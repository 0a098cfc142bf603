"""An activity of a customer as a row of `reward_events`: pure functions of what the API sent.

Which members a real event fills is not published, and the activity form and the webhook form of
one event differ (reference §10.4 to §10.6), so each column is looked for in every place that one
of the two is known to use, and may stay null.
"""

from __future__ import annotations

from typing import Any

from tap_voucherify.amounts import given
from tap_voucherify.instants import parse, written
from tap_voucherify.payloads import (
    Json,
    first,
    integer,
    member,
    order_behind,
    text,
    transaction_details,
)
from tap_voucherify.roles import recipient_role, referrer_id

REWARD_EVENT_TYPES = (
    "customer.rewarded",
    "customer.rewarded.loyalty_points",
    "customer.reward_redemptions.created",
    "customer.reward_redemptions.pending",
    "customer.reward_redemptions.completed",
    "customer.reward_redemptions.rolledback",
    "customer.voucher.gift.balance_added",
    "customer.voucher.loyalty_card.points_added",
    "customer.referred",
    "customer.redemption.succeeded",
    "customer.redemption.rollback.succeeded",
)
"""The events that tell of rewards and of what they were given for (reference §10.3)."""


def reward_event(activity: Json, customer_id: str | None) -> dict[str, Any]:
    """The columns of one activity of the customer who was asked for, if one was.

    Raises:
        VoucherifyError: the activity's time cannot be read.
    """
    envelope = member(activity, "data")
    payload = member(envelope, "data")
    # A webhook knows no customer who was asked for, so the event's own word comes first.
    customer_id = text(member(payload, "customer"), "id") or customer_id or ""
    what = given(payload, customer_id)
    voucher = member(payload, "voucher")
    reward = member(payload, "reward")
    order = order_behind(payload)
    created_at = activity.get("created_at")
    return {
        "id": activity.get("id"),
        "type": activity.get("type"),
        "created_at": created_at and written(parse(created_at, what="`created_at` of an event")),
        "group_id": activity.get("group_id"),
        "customer_id": customer_id or None,
        "customer_source_id": _source_id(payload, customer_id),
        "recipient_role": recipient_role(payload, customer_id),
        **_campaign(payload, voucher),
        "voucher_id": text(voucher, "id"),
        "voucher_code": text(voucher, "code"),
        "reward_id": text(reward, "id"),
        "reward_name": text(reward, "name"),
        "reward_type": text(reward, "type"),
        "reward_assignment_id": first(
            text(reward, "assignment_id"),
            text(member(payload, "reward_assignment"), "id"),
            text(member(payload, "reward_redemption"), "reward_assignment_id"),
        ),
        "reward_voucher_code": text(member(reward, "voucher"), "code"),
        "amount": what.get("amount"),
        "points": what.get("points"),
        "redemption_id": _redemption_id(payload),
        "order_id": text(order, "id"),
        "order_source_id": text(order, "source_id"),
        "order_amount": integer(order, "amount"),
        "order_total_amount": integer(order, "total_amount"),
        "referrer_id": referrer_id(payload),
        "referral_tier_id": text(member(payload, "referral_tier"), "id"),
        "channel": text(member(envelope, "event_source"), "channel"),
        "data": payload or None,
    }


def _campaign(payload: Json, voucher: Json) -> dict[str, str | None]:
    campaign = member(payload, "campaign")
    return {
        "campaign_id": first(text(campaign, "id"), text(voucher, "campaign_id")),
        "campaign_name": first(
            text(campaign, "name"),
            text(voucher, "campaign"),
            text(member(payload, "redemption"), "campaign_name"),
        ),
        "campaign_type": text(campaign, "campaign_type"),
    }


def _redemption_id(payload: Json) -> str | None:
    source = member(payload, "source")
    given_for = member(payload, "reward_redemption")
    return first(
        text(member(payload, "redemption"), "id"),
        text(member(payload, "redemption_rollback"), "redemption"),
        text(source, "id") if source.get("type") == "redemption" else None,
        text(given_for, "source_id") if given_for.get("source_type") == "redemption" else None,
        text(member(transaction_details(payload), "redemption"), "id"),
    )


def _source_id(payload: Json, customer_id: str) -> str | None:
    """The CRM's key of the event's customer, from whichever copy of the customer has it."""
    redemption = member(payload, "redemption")
    customer = member(payload, "customer")
    copies = (
        member(payload, "holder"),
        member(payload, "referrer"),
        member(redemption, "customer"),
        member(member(payload, "custom_event"), "customer"),
    )
    mine = (copy for copy in copies if text(copy, "id") == customer_id)
    return first(text(customer, "source_id"), *(text(copy, "source_id") for copy in mine))
