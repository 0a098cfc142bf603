"""What an event says was given: credit or points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tap_voucherify.payloads import Json, integer, member, text
from tap_voucherify.roles import recipient_role

if TYPE_CHECKING:
    from collections.abc import Mapping

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
