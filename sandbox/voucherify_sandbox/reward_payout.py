"""Rewards: the card that receives one, its transaction, its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voucherify_sandbox.balances import Balances, count_addition, top_up
from voucherify_sandbox.copies import simple_campaign, simple_voucher

if TYPE_CHECKING:
    from datetime import datetime

    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.people import People
    from voucherify_sandbox.programs import Programs
    from voucherify_sandbox.referral_rules import Reward

REFEREE, REFERRER = "referee", "referrer"


@dataclass(frozen=True)
class Conversion:
    """Why rewards are given: the code, both parties, and the redemption or custom event."""

    campaign: Json
    voucher: Json
    referrer: Customer
    referee: Customer
    group_id: str
    redemption: Json | None = None
    order: Json | None = None
    custom_event: Json | None = None


@dataclass
class RewardPayout:
    """Gives rewards and keeps their totals."""

    people: People
    programs: Programs
    balances: Balances
    totals: Json = field(default_factory=dict)
    """Campaign → role → kind → count and sum."""

    def give(self, rule: Reward, role: str, reason: Conversion, at: datetime) -> None:
        """Give one party its reward; the discount of a referee is part of the order already."""
        recipient = reason.referrer if role == REFERRER else reason.referee
        kinds = self.totals.setdefault(reason.campaign["name"], {}).setdefault(role, {})
        line = kinds.setdefault(rule.kind, {"count": 0, "sum": 0})
        line["count"] += 1
        line["sum"] += rule.value
        if rule.pool_id:
            self._pay(rule, recipient, reason, at)

    def _pay(self, rule: Reward, recipient: Customer, reason: Conversion, at: datetime) -> None:
        pool = self.programs.campaigns[rule.pool_id]
        if rule.kind == "discount":
            card = self.programs.add_voucher(pool, recipient, rule.value)
        else:
            card = self.programs.card_of(pool, recipient)
        balance = top_up(card, rule.value, at)
        payload = self._rewarded(rule, recipient, card, reason)
        cause = (reason.group_id, "INTERNAL" if rule.reward_id else "API")
        if rule.reward_id:
            self._reward_redemptions(rule, recipient, card, reason, at)
        self.people.record(recipient, "customer.rewarded", payload, at, cause)
        if balance is not None:
            details = {"balance": balance, **_origin(reason)}
            payload = self.balances.record_addition(card, recipient, details, at, cause)
            if rule.kind == "loyalty_points":
                self._record_points(payload, recipient, reason, at)
        self.people.recalculate(recipient, at)
        count_addition(card, recipient, rule.value)

    def _record_points(
        self, payload: Json, recipient: Customer, reason: Conversion, at: datetime
    ) -> None:
        points = {name: payload[name] for name in ("customer", "voucher", "campaign", "balance")}
        points |= {"holder": recipient.simple(), "loyalty_tier": None, "order": reason.order}
        cause = (reason.group_id, "INTERNAL")
        self.people.record(recipient, "customer.rewarded.loyalty_points", points, at, cause)

    def _rewarded(self, rule: Reward, recipient: Customer, card: Json, reason: Conversion) -> Json:
        reward: Json = {"type": "CAMPAIGN", "object": "reward"}
        if rule.reward_id:
            known = self.programs.rewards[rule.reward_id]
            names = ("id", "name", "parameters", "metadata", "created_at", "updated_at")
            reward.update({name: known[name] for name in names})
            reward["assignment_id"] = rule.assignment_id
        reward["customer"] = {"id": recipient.id, "object": "customer"}
        reward["voucher"] = simple_voucher(card)
        tier = {
            "id": rule.tier_id,
            "campaign_id": reason.campaign["id"],
            "banner": "Friend referred",
        }
        changes = {
            "gift_credit": {"amount": rule.value},
            "loyalty_points": {"points": rule.value},
        }
        return {
            "customer": recipient.simple(),
            "holder": reason.referrer.simple(),
            "voucher": simple_voucher(reason.voucher),
            "campaign": simple_campaign(reason.campaign),
            "redemption": reason.redemption,
            "reward": reward,
            "referral_tier": {**tier, "parameters": {}} if rule.tier_id else None,
            "balance": changes.get(rule.kind),
            "custom_event": reason.custom_event,
            "customer_event": None,
        }

    def _reward_redemptions(
        self,
        rule: Reward,
        recipient: Customer,
        card: Json,
        reason: Conversion,
        at: datetime,
    ) -> None:
        """Record the events of the reward redemption of a referrer: created, completed."""
        identity = self.programs.ids.new("rewr")
        states = (("created", "PENDING"), ("completed", "COMPLETED"))
        for name, state in states:
            payload = self.reward_redemption(rule, recipient, reason, (identity, state), at)
            payload["voucher"] = simple_voucher(card)
            self.people.record(
                recipient,
                f"customer.reward_redemptions.{name}",
                payload,
                at,
                (reason.group_id, "INTERNAL"),
            )

    def reward_redemption(
        self,
        rule: Reward,
        recipient: Customer,
        reason: Conversion,
        state: tuple[str, str],
        at: datetime,
    ) -> Json:
        """The payload of `customer.reward_redemptions.*`; `state` is (id, state)."""
        source = reason.redemption or reason.custom_event or {}
        kind = "redemption" if reason.redemption else "custom_event"
        sign = -1 if state[1] == "ROLLEDBACK" else 1
        return {
            "customer": recipient.simple(),
            "holder": reason.referrer.simple(),
            "voucher": simple_voucher(reason.voucher),
            "campaign": simple_campaign(reason.campaign),
            "reward_redemption": {
                "id": state[0],
                "state": state[1],
                "created_at": at,
                "updated_at": at,
                "voucher_id": reason.voucher["id"],
                "campaign_id": reason.campaign["id"],
                "customer_id": recipient.id,
                "reward_assignment_id": rule.assignment_id,
                "source_id": source.get("id"),
                "source_type": kind,
            },
            "reward": dict(self.programs.rewards[rule.reward_id or ""]),
            "reward_assignment": dict(self.programs.assignments[rule.assignment_id or ""]),
            "source": {"id": source.get("id"), "type": kind},
            "balance": None if rule.kind == "discount" else {"amount": sign * rule.value},
        }


def _origin(reason: Conversion) -> Json:
    """The order and the redemption of a conversion, as a transaction names them."""
    origin: Json = {}
    if reason.order:
        origin["order"] = {"id": reason.order["id"], "source_id": reason.order["source_id"]}
    if reason.redemption:
        origin["redemption"] = {"id": reason.redemption["id"]}
    return origin
