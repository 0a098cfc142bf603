"""Short copies of objects for event payloads, as they are when the event happens."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voucherify_sandbox.errors import Json


def simple_voucher(voucher: Json) -> Json:
    """The published schema SimpleVoucher."""
    names = (
        "id",
        "code",
        "type",
        "campaign",
        "campaign_id",
        "is_referral_code",
        "holder_id",
        "referrer_id",
        "category_id",
        "active",
        "created_at",
        "updated_at",
        "object",
    )
    copy: Json = {name: voucher[name] for name in names}
    copy["redemption"] = {
        name: value for name, value in voucher["redemption"].items() if name != "object"
    }
    for name in ("gift", "loyalty_card", "discount"):
        if voucher[name]:
            copy[name] = dict(voucher[name])
    return copy


def simple_campaign(campaign: Json) -> Json:
    """The published schema SimpleCampaign."""
    names = (
        "id",
        "name",
        "campaign_type",
        "type",
        "is_referral_code",
        "active",
        "metadata",
        "category_id",
        "created_at",
        "updated_at",
        "object",
    )
    copy: Json = {name: campaign[name] for name in names}
    if "referral_program" in campaign:
        copy["referral_program"] = campaign["referral_program"]
    return copy


def simple_redemption(redemption: Json) -> Json:
    """The redemption inside `customer.redemption.*`, which spells its status `ROLLED BACK`."""
    left_out = {"related_redemptions", "voucher", "related_object_type", "related_object_id"}
    copy = {name: value for name, value in redemption.items() if name not in left_out}
    if copy["status"] == "ROLLED_BACK":
        copy["status"] = "ROLLED BACK"
    return deepcopy(copy)


def internal_redemption(redemption: Json, campaign: Json) -> Json:
    """The redemption inside `customer.rewarded`."""
    names = (
        "id",
        "object",
        "tracking_id",
        "customer_id",
        "customer",
        "metadata",
        "result",
        "status",
        "amount",
        "order",
        "related_object_type",
        "related_object_id",
    )
    copy = {name: redemption[name] for name in names}
    return deepcopy(
        {
            **copy,
            "created_at": redemption["date"],
            "channel_type": "API",
            "channel_id": "sandbox",
            "related_object_parent_id": campaign["id"],
            "campaign_name": campaign["name"],
        }
    )
