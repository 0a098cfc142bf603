"""Promotion tiers and stacks, and the rules that say when an offer holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator


@dataclass
class Promotions:
    """The promotions and validation rules of a project by id; they are listed and never applied."""

    clock: Clock
    ids: IdGenerator
    tiers: dict[str, Json] = field(default_factory=dict)
    stacks: dict[str, Json] = field(default_factory=dict)
    rules: dict[str, Json] = field(default_factory=dict)
    assignments: dict[str, Json] = field(default_factory=dict)

    def add_tier(self, campaign: Json, name: str, percent: int, rule: Json | None) -> Json:
        """Add a tier with a discount to a promotion campaign, bound to a rule if one is given."""
        tier_id = self.ids.new("promo")
        bound = [] if rule is None else [self.assign(rule, tier_id, "promotion_tier")]
        tier: Json = {
            "id": tier_id,
            "name": name,
            "banner": name,
            "action": {"discount": {"type": "PERCENT", "percent_off": percent}},
            "metadata": {},
            "hierarchy": 1 + len(self._of(campaign)),
            "promotion_id": campaign["id"],
            "campaign": {"id": campaign["id"], "active": True, "object": "campaign"},
            "campaign_id": campaign["id"],
            "active": True,
            "summary": {
                "redemptions": {"total_redeemed": 0},
                "orders": {"total_amount": 0, "total_discount_amount": 0},
            },
            "validation_rule_assignments": {
                "object": "list",
                "data_ref": "data",
                "data": bound,
                "total": len(bound),
            },
            "category_id": None,
            "categories": [],
            "created_at": self.clock.now(),
            "object": "promotion_tier",
        }
        self.tiers[tier_id] = tier
        return tier

    def _of(self, campaign: Json) -> list[Json]:
        return [tier for tier in self.tiers.values() if tier["campaign_id"] == campaign["id"]]

    def add_stack(self, campaign: Json, name: str, tiers: Sequence[Json]) -> Json:
        """Add a stack of some tiers of a promotion campaign."""
        stack: Json = {
            "id": self.ids.new("stack"),
            "name": name,
            "tiers": {"ids": [tier["id"] for tier in tiers], "hierarchy_mode": "MANUAL"},
            "campaign_id": campaign["id"],
            "category_id": None,
            "categories": [],
            "created_at": self.clock.now(),
            "object": "promotion_stack",
        }
        self.stacks[stack["id"]] = stack
        return stack

    def add_rule(self, name: str, least_amount: int) -> Json:
        """Add a rule that asks for an order of some amount."""
        condition = {"$more_than_or_equal": [least_amount]}
        first = {"name": "order.amount", "property": None, "conditions": condition, "rules": {}}
        rule: Json = {
            "id": self.ids.new("val"),
            "name": name,
            "rules": {"1": first, "logic": "1"},
            "applicable_to": {"excluded": [], "included": [], "included_all": False},
            "type": "expression",
            "context_type": "global",
            "assignments_count": 0,
            "created_at": self.clock.now(),
            "object": "validation_rules",
        }
        self.rules[rule["id"]] = rule
        return rule

    def assign(self, rule: Json, related_id: str, related_type: str) -> Json:
        """Bind a rule to an object."""
        assignment: Json = {
            "id": self.ids.new("asgm"),
            "rule_id": rule["id"],
            "related_object_id": related_id,
            "related_object_type": related_type,
            "created_at": self.clock.now(),
            "object": "validation_rules_assignment",
        }
        self.assignments[assignment["id"]] = assignment
        rule["assignments_count"] += 1
        return assignment
