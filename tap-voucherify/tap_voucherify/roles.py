"""Who referred whom, as far as an event's payload tells."""

from __future__ import annotations

from typing import Literal

from tap_voucherify.payloads import Json, first, member, order_behind, text

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
