"""An activity of a customer as a row of `reward_events`: pure functions of what the API sent.

Which members a real event fills is not published, and the activity form and the webhook form of
one event differ (reference §10.4 to §10.6), so each column is looked for in every place that one
of the two is known to use, and may stay null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from tap_voucherify.instants import parse, written

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

Json = Mapping[str, Any]
Value = TypeVar("Value")
Role = Literal["referee", "referrer"]


def reward_event(activity: Json, customer_id: str) -> dict[str, Any]:
    """The columns of one activity of the customer who was asked for.

    Raises:
        VoucherifyError: the activity's time cannot be read.
    """
    envelope = _object(activity, "data")
    payload = _object(envelope, "data")
    voucher = _object(payload, "voucher")
    reward = _object(payload, "reward")
    order = _order(payload)
    created_at = activity.get("created_at")
    return {
        "id": activity.get("id"),
        "type": activity.get("type"),
        "created_at": created_at and written(parse(created_at, what="`created_at` of an event")),
        "group_id": activity.get("group_id"),
        "customer_id": customer_id,
        "customer_source_id": _text(_object(payload, "customer"), "source_id"),
        "recipient_role": recipient_role(payload),
        **_campaign(payload, voucher),
        "voucher_id": _text(voucher, "id"),
        "voucher_code": _text(voucher, "code"),
        "reward_id": _text(reward, "id"),
        "reward_name": _text(reward, "name"),
        "reward_type": _text(reward, "type"),
        "reward_assignment_id": _first(
            _text(reward, "assignment_id"),
            _text(_object(payload, "reward_assignment"), "id"),
            _text(_object(payload, "reward_redemption"), "reward_assignment_id"),
        ),
        "reward_voucher_code": _text(_object(reward, "voucher"), "code"),
        "amount": _amount(payload),
        "points": _points(payload),
        "redemption_id": _redemption_id(payload),
        "order_id": _text(order, "id"),
        "order_source_id": _text(order, "source_id"),
        "order_amount": _integer(order, "amount"),
        "order_total_amount": _integer(order, "total_amount"),
        "referrer_id": _referrer_id(payload),
        "referral_tier_id": _text(_object(payload, "referral_tier"), "id"),
        "channel": _text(_object(envelope, "event_source"), "channel"),
        "data": payload or None,
    }


def recipient_role(payload: Json) -> Role | None:
    """Whether the event's customer is the referee or the referrer; neither outside referrals.

    No member says it, so it is derived (reference §10.5): tiers reward referrers only; the holder
    of the referral code is the referrer; who redeemed it, or fired the conversion event, is the
    referee.
    """
    if _object(payload, "referral_tier"):
        return "referrer"
    customer_id = _text(_object(payload, "customer"), "id")
    if customer_id is None or not _is_referral(payload):
        return None
    if customer_id in _referrers(payload):
        return "referrer"
    return "referee" if customer_id in _referees(payload) else None


def _is_referral(payload: Json) -> bool:
    campaign_type = _text(_object(payload, "campaign"), "campaign_type")
    if campaign_type is not None:
        return campaign_type == "REFERRAL_PROGRAM"
    voucher = _object(payload, "voucher")
    return voucher.get("is_referral_code") is True or bool(_object(payload, "referrer"))


def _referrers(payload: Json) -> set[str | None]:
    voucher = _object(payload, "voucher")
    order = _order(payload)
    return {
        _text(voucher, "referrer_id"),
        _text(voucher, "holder_id"),
        _text(_object(payload, "holder"), "id"),
        _text(_object(payload, "referrer"), "id"),
        _text(order, "referrer_id"),
        _text(_object(order, "referrer"), "id"),
        _text(_object(_object(payload, "custom_event"), "referral"), "referrer_id"),
    }


def _referees(payload: Json) -> set[str | None]:
    redemption = _object(payload, "redemption")
    custom_event = _object(payload, "custom_event")
    redeemed_by = {
        _text(redemption, "customer_id"),
        _text(_object(redemption, "customer"), "id"),
        _text(_object(custom_event, "customer"), "id"),
    }
    if _object(payload, "referrer"):  # `customer.referred` names the referee as its customer
        redeemed_by.add(_text(_object(payload, "customer"), "id"))
    return redeemed_by


def _referrer_id(payload: Json) -> str | None:
    """The referring customer, where the event belongs to a referral."""
    order = _order(payload)
    told = _first(
        _text(order, "referrer_id"),
        _text(_object(order, "referrer"), "id"),
        _text(_object(payload, "referrer"), "id"),
        _text(_object(_object(payload, "custom_event"), "referral"), "referrer_id"),
        _text(_object(payload, "voucher"), "referrer_id"),
    )
    if told is not None or not _is_referral(payload):
        return told
    return _first(
        _text(_object(payload, "voucher"), "holder_id"), _text(_object(payload, "holder"), "id")
    )


def _campaign(payload: Json, voucher: Json) -> dict[str, str | None]:
    campaign = _object(payload, "campaign")
    return {
        "campaign_id": _first(_text(campaign, "id"), _text(voucher, "campaign_id")),
        "campaign_name": _first(
            _text(campaign, "name"),
            _text(voucher, "campaign"),
            _text(_object(payload, "redemption"), "campaign_name"),
        ),
        "campaign_type": _text(campaign, "campaign_type"),
    }


def _order(payload: Json) -> Json:
    """The order behind the event: beside the payload, in its redemption, or named by a balance."""
    return (
        _object(payload, "order")
        or _object(_object(payload, "redemption"), "order")
        or _object(_object(payload, "redemption_rollback"), "order")
        or _object(_details(payload), "order")
    )


def _redemption_id(payload: Json) -> str | None:
    source = _object(payload, "source")
    return _first(
        _text(_object(payload, "redemption"), "id"),
        _text(_object(payload, "redemption_rollback"), "redemption"),
        _text(source, "id") if source.get("type") == "redemption" else None,
        _text(_object(_details(payload), "redemption"), "id"),
    )


def _details(payload: Json) -> Json:
    return _object(_object(payload, "transaction"), "details")


def _amount(payload: Json) -> int | None:
    """What was given, in the smallest currency unit, with its sign; null for points and the like.

    The amount that a redemption states is no reward: it is what the order was worth.
    """
    balance = payload.get("balance")
    if isinstance(balance, int):
        return None if _gives_points(payload) else balance
    return _first(
        _integer(_object(payload, "balance"), "amount"),
        _given_by_reward(payload, "GIFT_VOUCHERS", "GIFT_VOUCHER"),
    )


def _points(payload: Json) -> int | None:
    """The points that were given, with their sign; null for credit and the like."""
    balance = payload.get("balance")
    if isinstance(balance, int):
        return balance if _gives_points(payload) else None
    return _first(
        _integer(_object(payload, "balance"), "points"),
        _given_by_reward(payload, "LOYALTY_PROGRAM", "LOYALTY_CARD"),
    )


def _given_by_reward(payload: Json, campaign_kind: str, voucher_kind: str) -> int | None:
    """What the definition of the reward gives, for an event that states no balance.

    The voucher topped up is no source: its amount adds up everything it ever received.
    """
    parameters = _object(_object(_object(payload, "reward"), "parameters"), "campaign")
    if parameters.get("type") == campaign_kind:
        return _integer(parameters, "balance")
    program = _object(_object(payload, "campaign"), "referral_program")
    referee_reward = _object(program, "referee_reward")
    if referee_reward.get("type") == voucher_kind and _object(payload, "reward"):
        return _integer(referee_reward, "amount") if recipient_role(payload) == "referee" else None
    return None


def _gives_points(payload: Json) -> bool:
    """Whether a bare number in `balance` counts points: its voucher or its reward tells."""
    reward = _object(payload, "reward")
    kinds = {
        _object(_object(reward, "parameters"), "campaign").get("type"),
        _object(reward, "voucher").get("type"),
        _object(payload, "voucher").get("type"),
    }
    return bool(kinds & {"LOYALTY_PROGRAM", "LOYALTY_CARD"}) and "GIFT_VOUCHERS" not in kinds


def _object(parent: Json, name: str) -> Json:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _text(parent: Json, name: str) -> str | None:
    value = parent.get(name)
    return value if isinstance(value, str) and value else None


def _integer(parent: Json, name: str) -> int | None:
    """A whole number; the published samples also write some as text (reference §12.3)."""
    value = parent.get(name)
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.removeprefix("-").isdecimal():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def _first(*candidates: Value | None) -> Value | None:
    return next((value for value in candidates if value is not None), None)
