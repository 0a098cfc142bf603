"""Tiers and pending points of loyalty campaigns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator


@dataclass
class Loyalty:
    """The loyalty tiers and pending points of a project by id; points never become active."""

    clock: Clock
    ids: IdGenerator
    tiers: dict[str, Json] = field(default_factory=dict)
    pending_points: dict[str, Json] = field(default_factory=dict)

    def add_tier(self, campaign: Json, name: str, points: tuple[int, int]) -> Json:
        """Add a tier to a loyalty campaign, from and to some points."""
        span = dict(zip(("from", "to"), points, strict=True))
        tier: Json = {
            "id": self.ids.new("ltr"),
            "name": name,
            "campaign_id": campaign["id"],
            "metadata": {},
            "points": span,
            "config": {"points": span},
            "earning_rules": {},
            "rewards": {},
            "created_at": self.clock.now(),
            "updated_at": None,
            "object": "loyalty_tier",
        }
        self.tiers[tier["id"]] = tier
        return tier

    def add_pending_points(self, card: Json, order: Json, points: int, activates_at: date) -> Json:
        """Add points of an order that a loyalty card gets on a later day."""
        event = {
            "id": self.ids.event(),
            "type": "customer.order.paid",
            "group_id": self.ids.request(),
            "entity_id": card["holder_id"],
            "created_at": self.clock.now(),
            "category": "EFFECT",
        }
        pending: Json = {
            "id": self.ids.new("lopp"),
            "voucher_id": card["id"],
            "campaign_id": card["campaign_id"],
            "customer_id": card["holder_id"],
            "order_id": order["id"],
            "points": points,
            "activates_at": activates_at.isoformat(),
            "details": {
                "event": event,
                "earning_rule": {"id": self.ids.new("ern"), "source": {"banner": "Order paid"}},
                "order": {"id": order["id"], "source_id": order["source_id"]},
            },
            "created_at": self.clock.now(),
        }
        self.pending_points[pending["id"]] = pending
        return pending
