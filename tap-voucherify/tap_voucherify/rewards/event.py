"""Make a row of `reward_events` from an activity of a customer.

It is not published which members a real event fills, and the activity form and the webhook form of
one event differ. So each column is looked up in every place that one of the two is known to use,
and may stay null.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, TypeVar

from tap_voucherify.records.conformance import whole_number
from tap_voucherify.voucherify_client.timestamps import parse, to_iso

JsonObject = Mapping[str, Any]
Value = TypeVar("Value")
Unit = Literal["amount", "points"]
Role = Literal["referee", "referrer"]

UNITS: Mapping[str, Unit | None] = {
    "GIFT_VOUCHERS": "amount",
    "GIFT_VOUCHER": "amount",
    "LOYALTY_PROGRAM": "points",
    "LOYALTY_CARD": "points",
    "DISCOUNT_COUPONS": None,
    "DISCOUNT_VOUCHER": None,
}
"""What a campaign or voucher of a type holds: credit, points, or nothing that is counted."""


def reward_event(activity: JsonObject, customer_id: str | None) -> dict[str, Any]:
    """The columns of one activity.

    Args:
        activity: as the activity list has it.
        customer_id: the customer whose activity was requested; `None` for a webhook.

    Raises:
        VoucherifyError: the activity's time cannot be read.
    """
    envelope = member(activity, "data")
    payload = member(envelope, "data")
    customer_id = text(member(payload, "customer"), "id") or customer_id or ""
    parts = RewardPayload(payload, customer_id)
    created_at = activity.get("created_at")
    return {
        "id": activity.get("id"),
        "type": activity.get("type"),
        "created_at": created_at and to_iso(parse(created_at, what="`created_at` of an event")),
        "group_id": activity.get("group_id"),
        "customer_id": customer_id or None,
        **parts.columns(),
        "channel": text(member(envelope, "event_source"), "channel"),
        "data": payload or None,
    }


class RewardPayload:
    """The payload of an event, each part of it looked up once.

    Args:
        payload: `data.data` of the activity.
        customer_id: the customer whose event it is.
    """

    def __init__(self, payload: JsonObject, customer_id: str) -> None:
        self._payload = payload
        self._customer_id = customer_id
        self._customer = member(payload, "customer")
        self._holder = member(payload, "holder")
        self._referrer = member(payload, "referrer")
        self._voucher = member(payload, "voucher")
        self._campaign = member(payload, "campaign")
        self._redemption = member(payload, "redemption")
        self._rollback = member(payload, "redemption_rollback")
        self._reward = member(payload, "reward")
        self._reward_redemption = member(payload, "reward_redemption")
        self._custom_event = member(payload, "custom_event")
        self._transaction_details = member(member(payload, "transaction"), "details")
        self._order = (
            member(payload, "order")
            or member(self._redemption, "order")
            or member(self._rollback, "order")
            or member(self._transaction_details, "order")
        )

    def columns(self) -> dict[str, Any]:
        """The columns that come from the payload."""
        campaign, voucher, reward, order = self._campaign, self._voucher, self._reward, self._order
        value = self.reward_value()
        return {
            "customer_source_id": self._source_id(),
            "recipient_role": self.recipient_role,
            "campaign_id": first(text(campaign, "id"), text(voucher, "campaign_id")),
            "campaign_name": first(
                text(campaign, "name"),
                text(voucher, "campaign"),
                text(self._redemption, "campaign_name"),
            ),
            "campaign_type": text(campaign, "campaign_type"),
            "voucher_id": text(voucher, "id"),
            "voucher_code": text(voucher, "code"),
            "reward_id": text(reward, "id"),
            "reward_name": text(reward, "name"),
            "reward_type": text(reward, "type"),
            "reward_assignment_id": first(
                text(reward, "assignment_id"),
                text(member(self._payload, "reward_assignment"), "id"),
                text(self._reward_redemption, "reward_assignment_id"),
            ),
            "reward_voucher_code": text(member(reward, "voucher"), "code"),
            "amount": value.get("amount"),
            "points": value.get("points"),
            "redemption_id": self._redemption_id(),
            "order_id": text(order, "id"),
            "order_source_id": text(order, "source_id"),
            "order_amount": integer(order, "amount"),
            "order_total_amount": integer(order, "total_amount"),
            "referrer_id": self._referrer_id(),
            "referral_tier_id": text(member(self._payload, "referral_tier"), "id"),
        }

    def reward_value(self) -> dict[Unit, int]:
        """What was given, with its sign: cents as `amount`, points as `points`, or neither.

        The amount in a redemption is no reward, but the value of the order. Nor is the amount of
        the voucher topped up, which adds up everything the voucher ever received.
        """
        balance = member(self._payload, "balance")
        units: tuple[Unit, ...] = ("amount", "points")
        stated = {unit: value for unit in units if (value := integer(balance, unit)) is not None}
        bare = integer(self._payload, "balance")
        if bare is None and self._reward_redemption and set(stated) == {"amount"}:
            # The webhook form of a reward redemption says amount, whatever the reward gives.
            bare = stated["amount"]
        if bare is not None:
            unit = self._unit()
            return {} if unit is None else {unit: bare}
        if not stated and (expired := integer(self._payload, "points")) is not None:
            return {"points": expired}
        return stated or self._value_by_definition()

    def _value_by_definition(self) -> dict[Unit, int]:
        """What the definition of the reward gives, for an event without a balance."""
        if text(self._reward_redemption, "state") == "ROLLEDBACK":
            return {}  # it gave nothing, and does not say how much it took back
        parameters = member(member(self._reward, "parameters"), "campaign")
        kind, value = text(parameters, "type"), integer(parameters, "balance")
        if not parameters and self._reward and self.recipient_role == "referee":
            promised = member(member(self._campaign, "referral_program"), "referee_reward")
            kind, value = text(promised, "type"), integer(promised, "amount")
        unit = UNITS.get(kind or "")
        return {} if unit is None or value is None else {unit: value}

    def _unit(self) -> Unit | None:
        """What a bare number counts, by the reward, else by the voucher behind the event."""
        kinds = (
            text(member(member(self._reward, "parameters"), "campaign"), "type"),
            text(member(self._reward, "voucher"), "type"),
        )
        known = next((kind for kind in kinds if kind in UNITS), None)
        if known is not None:
            return UNITS[known]
        return UNITS.get(text(self._voucher, "type") or "") or "amount"

    @cached_property
    def recipient_role(self) -> Role | None:
        """Whether the customer was referee or referrer; `None` outside referrals.

        No member says it, so it is inferred: tiers reward referrers only; the holder of the
        referral code is the referrer; the customer who redeemed it, or fired the conversion event,
        is the referee.
        """
        if member(self._payload, "referral_tier"):
            return "referrer"
        if not self._is_referral:
            return None
        if self._customer_id in self._referrers():
            return "referrer"
        return "referee" if self._customer_id in self._referees() else None

    @cached_property
    def _is_referral(self) -> bool:
        campaign_type = text(self._campaign, "campaign_type")
        if campaign_type is not None:
            return campaign_type == "REFERRAL_PROGRAM"
        flags = (part.get("is_referral_code") for part in (self._campaign, self._voucher))
        return any(flag is True for flag in flags) or bool(
            member(self._campaign, "referral_program") or self._referrer
        )

    def _referrers(self) -> set[str | None]:
        return {
            text(self._voucher, "referrer_id"),
            text(self._voucher, "holder_id"),
            text(self._holder, "id"),
            text(self._referrer, "id"),
            text(self._order, "referrer_id"),
            text(member(self._order, "referrer"), "id"),
            text(member(self._custom_event, "referral"), "referrer_id"),
        }

    def _referees(self) -> set[str | None]:
        redeemed_by = {
            text(self._redemption, "customer_id"),
            text(member(self._redemption, "customer"), "id"),
            text(self._order, "customer_id"),
            text(member(self._order, "customer"), "id"),
            text(member(self._custom_event, "customer"), "id"),
        }
        if self._referrer:  # `customer.referred` names the referee as its customer
            redeemed_by.add(text(self._customer, "id"))
        return redeemed_by

    def _referrer_id(self) -> str | None:
        """The referring customer, if the event belongs to a referral."""
        named = first(
            text(self._order, "referrer_id"),
            text(member(self._order, "referrer"), "id"),
            text(self._referrer, "id"),
            text(member(self._custom_event, "referral"), "referrer_id"),
            text(self._voucher, "referrer_id"),
        )
        if named is not None or not self._is_referral:
            return named
        return first(text(self._voucher, "holder_id"), text(self._holder, "id"))

    def _redemption_id(self) -> str | None:
        source, rewarded = member(self._payload, "source"), self._reward_redemption
        return first(
            text(self._redemption, "id"),
            text(self._rollback, "redemption"),
            text(source, "id") if source.get("type") == "redemption" else None,
            text(rewarded, "source_id") if rewarded.get("source_type") == "redemption" else None,
            text(member(self._transaction_details, "redemption"), "id"),
        )

    def _source_id(self) -> str | None:
        """The CRM's key of the customer, from whichever copy of the customer has it."""
        copies = (
            self._holder,
            self._referrer,
            member(self._redemption, "customer"),
            member(self._custom_event, "customer"),
        )
        same = (copy for copy in copies if text(copy, "id") == self._customer_id)
        return first(text(self._customer, "source_id"), *(text(copy, "source_id") for copy in same))


def member(parent: JsonObject, name: str) -> JsonObject:
    """An object inside another; empty if there is none."""
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def text(parent: JsonObject, name: str) -> str | None:
    """A text that is not empty."""
    value = parent.get(name)
    return value if isinstance(value, str) and value else None


def integer(parent: JsonObject, name: str) -> int | None:
    """A whole number; some published samples write it as text."""
    return whole_number(parent.get(name))


def first(*candidates: Value | None) -> Value | None:
    """The first that is not `None`."""
    return next((value for value in candidates if value is not None), None)
