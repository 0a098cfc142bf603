"""Fields of each exported object and their paths in a row, as the export endpoint lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voucherify_sandbox.errors import Json

_ADDRESS = ("city", "state", "line_1", "line_2", "country", "postal_code")
_REDEMPTIONS = (
    "total_redeemed",
    "total_failed",
    "total_succeeded",
    "total_rolled_back",
    "total_rollback_failed",
    "total_rollback_succeeded",
)
_ORDERS = (
    "total_amount",
    "total_count",
    "average_amount",
    "last_order_amount",
    "last_order_date",
)


@dataclass(frozen=True)
class Exported:
    """One exported object: the path of each field, its default fields, its orders."""

    paths: Mapping[str, str]
    default: tuple[str, ...]
    orders: tuple[str, ...]
    aliases: Mapping[str, str]


def _plain(names: str, **paths: str) -> dict[str, str]:
    """Fields whose path is their name, and others with their paths."""
    return {**{name: name for name in names.split()}, **paths}


_CUSTOMER = {
    **_plain("name id description email source_id created_at updated_at phone birthdate birthday"),
    **{f"address_{name}": f"address.{name}" for name in _ADDRESS},
    **{f"redemptions_{name}": f"summary.redemptions.{name}" for name in _REDEMPTIONS},
    **{f"orders_{name}": f"summary.orders.{name}" for name in _ORDERS},
    **_plain(
        "metadata",
        loyalty_points="loyalty.points",
        loyalty_referred_customers="loyalty.referred_customers",
    ),
}
_PARTY = {"customer_source_id": "customer.source_id", "customer_name": "customer.name"}

OBJECTS: dict[str, Exported] = {
    "customer": Exported(
        _CUSTOMER,
        ("name", "source_id"),
        ("name", "id", "email", "source_id", "created_at", "updated_at"),
        {"city": "address_city"},
    ),
    "redemption": Exported(
        _plain(
            "id object date customer_id tracking_id result failure_code failure_message metadata",
            **_PARTY,
            voucher_code="voucher.code",
            campaign="voucher.campaign",
            promotion_tier_id="promotion_tier.id",
            order_id="order.id",
            order_amount="order.amount",
            gift_amount="gift.amount",
            loyalty_points="loyalty_card.points",
        ),
        ("id", "object", "voucher_code", "customer_id", "date", "result"),
        ("id", "voucher_code", "tracking_id", "customer_id", "created_at"),
        {"created_at": "date", "campaign_name": "campaign"},
    ),
    "publication": Exported(
        _plain(
            "customer_id channel is_winner metadata",
            customer_source_id="customer.source_id",
            voucher_code="voucher.code",
            code="voucher.code",
            date="created_at",
            campaign="voucher.campaign",
        ),
        ("code", "customer_id", "date", "channel"),
        ("id", "voucher_code", "tracking_id", "customer_id", "created_at", "channel"),
        {"created_at": "date"},
    ),
    "order": Exported(
        _plain(
            "id source_id created_at updated_at status amount discount_amount"
            " items_discount_amount total_discount_amount total_amount customer_id referrer_id"
            " metadata"
        ),
        ("id", "source_id", "status"),
        ("created_at", "updated_at", "status"),
        {},
    ),
    "voucher": Exported(
        _plain(
            "id code active campaign campaign_id category created_at updated_at start_date"
            " expiration_date metadata referrer_id is_referral_code",
            voucher_type="type",
            customer_id="holder_id",
            gift_amount="gift.amount",
            gift_balance="gift.balance",
            loyalty_points="loyalty_card.points",
            loyalty_balance="loyalty_card.balance",
            redemption_count="redemption.redeemed_quantity",
        ),
        ("code", "voucher_type"),
        ("code", "created_at", "updated_at"),
        {},
    ),
    "voucher_transactions": Exported(
        _plain(
            "id campaign_id voucher_id type source_id reason source related_transaction_id"
            " created_at details",
            balance="details.balance.balance",
            amount="details.balance.amount",
        ),
        ("id", "campaign_id", "voucher_id", "type", "source_id", "reason", "source", "created_at"),
        ("created_at",),
        {},
    ),
    "points_expiration": Exported(
        _plain("id campaign_id voucher_id"), ("id", "campaign_id", "voucher_id"), ("id",), {}
    ),
}


def at(row: Json, path: str) -> object:
    """The value in a row at a dotted path; `None` where a part is missing."""
    value: object = row
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
