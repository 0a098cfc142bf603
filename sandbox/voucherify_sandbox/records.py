"""Redemptions and orders, as their lists show them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voucherify_sandbox.copies import simple_voucher

if TYPE_CHECKING:
    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator


@dataclass
class Records:
    """The redemptions and orders of a project by id."""

    clock: Clock
    ids: IdGenerator
    redemptions: dict[str, Json] = field(default_factory=dict)
    orders: dict[str, Json] = field(default_factory=dict)
    by_source_id: dict[str, str] = field(default_factory=dict)
    """The id of the first order with each source_id."""

    def order(
        self, order: Json, customer: Customer, voucher: Json | None = None, spent: int = 0
    ) -> Json:
        """Add an order of `order["amount"]`, less the discount of a voucher; paid if not said.

        Args:
            order: as in a request.
            customer: who orders.
            voucher: the code that is redeemed with it.
            spent: what is taken off the voucher: cents, or points, each worth a cent.
        """
        redeemed = voucher or {}
        percent = (redeemed.get("discount") or {}).get("percent_off", 0)
        amount = int(order["amount"])
        discount = amount * int(percent) // 100 + min(spent, amount)
        referrer_id = redeemed.get("referrer_id")
        paid: Json = {
            "id": self.ids.new("ord"),
            "source_id": order.get("source_id"),
            "status": order.get("status") or "PAID",
            "created_at": self.clock.now(),
            "updated_at": None,
            "amount": amount,
            "initial_amount": amount,
            "discount_amount": discount,
            "total_discount_amount": discount,
            "applied_discount_amount": discount,
            "total_applied_discount_amount": discount,
            "total_amount": amount - discount,
            "items": order.get("items") or [],
            "metadata": order.get("metadata") or {},
            "customer": {"id": customer.id, "object": "customer"},
            "customer_id": customer.id,
            "referrer": {"id": referrer_id, "object": "customer"} if referrer_id else None,
            "referrer_id": referrer_id,
            "redemptions": {},
            "object": "order",
        }
        self.orders[paid["id"]] = paid
        self.by_source_id.setdefault(str(paid["source_id"] or paid["id"]), paid["id"])
        return paid

    def find_order(self, named: Json) -> Json | None:
        """The order with the id or the source_id in a request."""
        known = self.by_source_id.get(str(named.get("source_id")), "")
        return self.orders.get(str(named.get("id"))) or self.orders.get(known)

    def remove_redemptions(self, vouchers: set[str]) -> None:
        """Delete the redemptions of these codes, as a campaign's deletion does."""
        rows = self.redemptions
        for key in [key for key, one in rows.items() if one["related_object_id"] in vouchers]:
            del rows[key]

    def redemption(
        self, prefix: str, voucher: Json, customer: Customer, order: Json | None
    ) -> Json:
        """Add a redemption; `prefix` is `r`, `rf` (failed) or `rr` (rollback), as in samples."""
        good = prefix in {"r", "rr"}
        redemption: Json = {
            "id": self.ids.new(prefix),
            "object": "redemption_rollback" if prefix == "rr" else "redemption",
            "date": self.clock.now(),
            "customer_id": customer.id,
            "tracking_id": None,
            "metadata": {},
            "amount": order["total_amount"] if order else 0,
            "redemption": None,
            "result": "SUCCESS" if good else "FAILURE",
            "status": "SUCCEEDED" if good else "FAILED",
            "related_redemptions": {},
            "order": deepcopy(order),
            "channel": {"channel_id": "sandbox", "channel_type": "API"},
            "customer": customer.simple(),
            "related_object_type": "voucher",
            "related_object_id": voucher["id"],
            "voucher": simple_voucher(voucher),
        }
        self.redemptions[redemption["id"]] = redemption
        if order is not None and prefix == "r":
            order["redemptions"][redemption["id"]] = {
                "date": redemption["date"],
                "related_object_type": "voucher",
                "related_object_id": voucher["id"],
            }
            redemption["order"] = deepcopy(order)
        return redemption
