"""An activity of a customer as a row of `reward_events`: pure functions of what the API sent.

Which members a real event fills is not published, and the activity form and the webhook form of
one event differ (reference §10.4 to §10.6), so each column is looked for in every place that one
of the two is known to use, and may stay null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from tap_voucherify.records.conformance import whole_number
from tap_voucherify.voucherify_client.timestamps import parse, to_iso

Unit = Literal["amount", "points"]

UNITS: Mapping[str, Unit | None] = {
    "GIFT_VOUCHERS": "amount",
    "GIFT_VOUCHER": "amount",
    "LOYALTY_PROGRAM": "points",
    "LOYALTY_CARD": "points",
    "DISCOUNT_COUPONS": None,
    "DISCOUNT_VOUCHER": None,
}
"""What campaigns and vouchers of a type hold: credit, points, or nothing that is counted."""


def given(payload: Json, customer_id: str) -> dict[Unit, int]:
    """What was given, with its sign: cents as `amount`, points as `points`, or neither.

    The amount that a redemption states is no reward: it is what the order was worth. Nor is the
    amount of the voucher topped up: it adds up everything the voucher ever received.
    """
    balance = member(payload, "balance")
    units: tuple[Unit, ...] = ("amount", "points")
    stated = {unit: value for unit in units if (value := integer(balance, unit)) is not None}
    bare = integer(payload, "balance")
    if bare is None and member(payload, "reward_redemption") and set(stated) == {"amount"}:
        # The webhook form of a reward redemption calls it amount, whatever the reward gives.
        bare = stated["amount"]
    if bare is not None:
        unit = _unit(payload)
        return {} if unit is None else {unit: bare}
    if not stated and (expired := integer(payload, "points")) is not None:
        return {"points": expired}
    return stated or _given_by_reward(payload, customer_id)


def _given_by_reward(payload: Json, customer_id: str) -> dict[Unit, int]:
    """What the definition of the reward gives, for an event that states no balance."""
    if text(member(payload, "reward_redemption"), "state") == "ROLLEDBACK":
        return {}  # it gave nothing, and how much it took back is not said
    reward = member(payload, "reward")
    parameters = member(member(reward, "parameters"), "campaign")
    program = member(member(payload, "campaign"), "referral_program")
    kind, value = text(parameters, "type"), integer(parameters, "balance")
    if not parameters and reward and recipient_role(payload, customer_id) == "referee":
        promised = member(program, "referee_reward")
        kind, value = text(promised, "type"), integer(promised, "amount")
    unit = UNITS.get(kind or "")
    return {} if unit is None or value is None else {unit: value}


def _unit(payload: Json) -> Unit | None:
    """What a bare number counts: the reward tells, else the voucher behind the event."""
    reward = member(payload, "reward")
    kinds = (
        text(member(member(reward, "parameters"), "campaign"), "type"),
        text(member(reward, "voucher"), "type"),
    )
    told = next((kind for kind in kinds if kind in UNITS), None)
    if told is not None:
        return UNITS[told]
    return UNITS.get(text(member(payload, "voucher"), "type") or "") or "amount"


Role = Literal["referee", "referrer"]


def recipient_role(payload: Json, customer_id: str) -> Role | None:
    """Whether the customer whose event it is was referee or referrer; neither outside referrals.

    No member says it, so it is derived (reference §10.5): tiers reward referrers only; the holder
    of the referral code is the referrer; who redeemed it, or fired the conversion event, is the
    referee.
    """
    if member(payload, "referral_tier"):
        return "referrer"
    if not _is_referral(payload):
        return None
    if customer_id in _referrers(payload):
        return "referrer"
    return "referee" if customer_id in _referees(payload) else None


def _is_referral(payload: Json) -> bool:
    campaign = member(payload, "campaign")
    campaign_type = text(campaign, "campaign_type")
    if campaign_type is not None:
        return campaign_type == "REFERRAL_PROGRAM"
    told = (part.get("is_referral_code") for part in (campaign, member(payload, "voucher")))
    return any(one is True for one in told) or bool(
        member(campaign, "referral_program") or member(payload, "referrer")
    )


def _referrers(payload: Json) -> set[str | None]:
    voucher = member(payload, "voucher")
    order = order_behind(payload)
    return {
        text(voucher, "referrer_id"),
        text(voucher, "holder_id"),
        text(member(payload, "holder"), "id"),
        text(member(payload, "referrer"), "id"),
        text(order, "referrer_id"),
        text(member(order, "referrer"), "id"),
        text(member(member(payload, "custom_event"), "referral"), "referrer_id"),
    }


def _referees(payload: Json) -> set[str | None]:
    redemption = member(payload, "redemption")
    order = order_behind(payload)
    redeemed_by = {
        text(redemption, "customer_id"),
        text(member(redemption, "customer"), "id"),
        text(order, "customer_id"),
        text(member(order, "customer"), "id"),
        text(member(member(payload, "custom_event"), "customer"), "id"),
    }
    if member(payload, "referrer"):  # `customer.referred` names the referee as its customer
        redeemed_by.add(text(member(payload, "customer"), "id"))
    return redeemed_by


def referrer_id(payload: Json) -> str | None:
    """The referring customer, where the event belongs to a referral."""
    order = order_behind(payload)
    told = first(
        text(order, "referrer_id"),
        text(member(order, "referrer"), "id"),
        text(member(payload, "referrer"), "id"),
        text(member(member(payload, "custom_event"), "referral"), "referrer_id"),
        text(member(payload, "voucher"), "referrer_id"),
    )
    if told is not None or not _is_referral(payload):
        return told
    return first(
        text(member(payload, "voucher"), "holder_id"), text(member(payload, "holder"), "id")
    )


Json = Mapping[str, Any]
Value = TypeVar("Value")


def member(parent: Json, name: str) -> Json:
    """An object inside another; empty where there is none."""
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def text(parent: Json, name: str) -> str | None:
    """A text that is not empty."""
    value = parent.get(name)
    return value if isinstance(value, str) and value else None


def integer(parent: Json, name: str) -> int | None:
    """A whole number; the published samples also write some as text (reference §12.3)."""
    return whole_number(parent.get(name))


def first(*candidates: Value | None) -> Value | None:
    """The first that is there."""
    return next((value for value in candidates if value is not None), None)


def order_behind(payload: Json) -> Json:
    """The order behind the event: beside the payload, in its redemption, or named by a balance."""
    return (
        member(payload, "order")
        or member(member(payload, "redemption"), "order")
        or member(member(payload, "redemption_rollback"), "order")
        or member(transaction_details(payload), "order")
    )


def transaction_details(payload: Json) -> Json:
    """What the transaction of a balance event says about its cause (reference §10.4)."""
    return member(member(payload, "transaction"), "details")


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
        "created_at": created_at and to_iso(parse(created_at, what="`created_at` of an event")),
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
