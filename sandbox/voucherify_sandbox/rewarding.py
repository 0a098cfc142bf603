"""Giving a reward: the card it lands on, the transaction, the events that tell (§10.5, §10.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voucherify_sandbox import counters
from voucherify_sandbox.copies import simple_campaign, simple_voucher

if TYPE_CHECKING:
    from datetime import datetime

    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.people import People
    from voucherify_sandbox.prizes import Prize
    from voucherify_sandbox.programs import Programs

REFEREE, REFERRER = "referee", "referrer"


@dataclass(frozen=True)
class Conversion:
    """Why rewards are given: the code, its two parties and what triggered it."""

    campaign: Json
    voucher: Json
    referrer: Customer
    referee: Customer
    group_id: str
    redemption: Json | None = None
    order: Json | None = None
    custom_event: Json | None = None


@dataclass(frozen=True)
class Given:
    """One reward that was given, for the books; `value` is cents, points or percent."""

    campaign: str
    role: str
    kind: str
    value: int
    customer_id: str
    order_source_id: str | None
    redemption_id: str | None


@dataclass
class Rewarding:
    """Gives rewards and keeps the books."""

    people: People
    programs: Programs
    given: list[Given] = field(default_factory=list)

    def give(self, prize: Prize, role: str, why: Conversion, at: datetime) -> None:
        """Give one party its reward at an instant. A referee's discount is in the order already."""
        recipient = why.referrer if role == REFERRER else why.referee
        order_source_id = why.order["source_id"] if why.order else None
        redemption_id = why.redemption["id"] if why.redemption else None
        name = why.campaign["name"]
        self.given.append(
            Given(name, role, prize.kind, prize.value, recipient.id, order_source_id, redemption_id)
        )
        if prize.pool_id:
            self._pay(prize, recipient, why, at)

    def _pay(self, prize: Prize, recipient: Customer, why: Conversion, at: datetime) -> None:
        pool = self.programs.campaigns[prize.pool_id]
        if prize.kind == "discount":
            card = self.programs.add_voucher(pool, recipient, prize.value)
        else:
            card = self.programs.card_of(pool, recipient)
        balance = _top_up(card, prize, at)
        payload = self._rewarded(prize, recipient, card, why)
        cause = (why.group_id, "INTERNAL" if prize.reward_id else "API")
        if prize.reward_id:
            self._reward_redemptions(prize, recipient, card, why, at)
        self.people.record(recipient, "customer.rewarded", payload, at, cause)
        if balance is not None:
            transaction = self._transaction(prize, card, balance, why, at)
            story = {
                "customer": recipient.simple(),
                "campaign": simple_campaign(pool),
                "voucher": simple_voucher(card),
                "balance": balance,
                "transaction": transaction,
            }
            kind = "gift.balance" if prize.kind == "gift_credit" else "loyalty_card.points"
            self.people.record(recipient, f"customer.voucher.{kind}_added", story, at, cause)
            self._points_event(prize, story, why, at, recipient)
        self._count(prize, recipient, pool, at)

    def _points_event(
        self, prize: Prize, story: Json, why: Conversion, at: datetime, recipient: Customer
    ) -> None:
        if prize.kind != "loyalty_points":
            return
        payload = {
            "customer": story["customer"],
            "holder": recipient.simple(),
            "voucher": story["voucher"],
            "campaign": story["campaign"],
            "loyalty_tier": None,
            "balance": story["balance"],
            "order": why.order,
        }
        cause = (why.group_id, "INTERNAL")
        self.people.record(recipient, "customer.rewarded.loyalty_points", payload, at, cause)

    def _count(self, prize: Prize, recipient: Customer, pool: Json, at: datetime) -> None:
        self.people.recalculate(recipient, at)
        if prize.kind == "gift_credit":
            counters.add_credit(recipient, prize.value)
        elif prize.kind == "loyalty_points":
            counters.add_points(recipient, pool["name"], prize.value)

    def _rewarded(self, prize: Prize, recipient: Customer, card: Json, why: Conversion) -> Json:
        reward: Json = {"type": "CAMPAIGN", "object": "reward"}
        if prize.reward_id:
            known = self.programs.rewards[prize.reward_id]
            names = ("id", "name", "parameters", "metadata", "created_at", "updated_at")
            reward.update({name: known[name] for name in names})
            reward["assignment_id"] = prize.assignment_id
        reward["customer"] = {"id": recipient.id, "object": "customer"}
        reward["voucher"] = simple_voucher(card)
        tier = {"id": prize.tier_id, "campaign_id": why.campaign["id"], "banner": "Friend referred"}
        changes = {
            "gift_credit": {"amount": prize.value},
            "loyalty_points": {"points": prize.value},
        }
        return {
            "customer": recipient.simple(),
            "holder": why.referrer.simple(),
            "voucher": simple_voucher(why.voucher),
            "campaign": simple_campaign(why.campaign),
            "redemption": why.redemption,
            "reward": reward,
            "referral_tier": {**tier, "parameters": {}} if prize.tier_id else None,
            "balance": changes.get(prize.kind),
            "custom_event": why.custom_event,
            "customer_event": None,
        }

    def _reward_redemptions(
        self, prize: Prize, recipient: Customer, card: Json, why: Conversion, at: datetime
    ) -> None:
        """A referrer's reward is a reward redemption too: created, then completed."""
        identity = self.programs.identities.new("rewr")
        states = (("created", "PENDING"), ("completed", "COMPLETED"))
        for name, state in states:
            payload = self.reward_redemption(prize, recipient, why, (identity, state), at)
            payload["voucher"] = simple_voucher(card)
            self.people.record(
                recipient,
                f"customer.reward_redemptions.{name}",
                payload,
                at,
                (why.group_id, "INTERNAL"),
            )

    def reward_redemption(
        self,
        prize: Prize,
        recipient: Customer,
        why: Conversion,
        state: tuple[str, str],
        at: datetime,
    ) -> Json:
        """The payload of `customer.reward_redemptions.*`; `state` is (identifier, state)."""
        source = why.redemption or why.custom_event or {}
        kind = "redemption" if why.redemption else "custom_event"
        sign = -1 if state[1] == "ROLLEDBACK" else 1
        return {
            "customer": recipient.simple(),
            "holder": why.referrer.simple(),
            "voucher": simple_voucher(why.voucher),
            "campaign": simple_campaign(why.campaign),
            "reward_redemption": {
                "id": state[0],
                "state": state[1],
                "created_at": at,
                "updated_at": at,
                "voucher_id": why.voucher["id"],
                "campaign_id": why.campaign["id"],
                "customer_id": recipient.id,
                "reward_assignment_id": prize.assignment_id,
                "source_id": source.get("id"),
                "source_type": kind,
            },
            "reward": dict(self.programs.rewards[prize.reward_id or ""]),
            "reward_assignment": dict(self.programs.assignments[prize.assignment_id or ""]),
            "source": {"id": source.get("id"), "type": kind},
            "balance": None if prize.kind == "discount" else {"amount": sign * prize.value},
        }

    def _transaction(
        self, prize: Prize, card: Json, balance: Json, why: Conversion, at: datetime
    ) -> Json:
        details: Json = {"balance": balance}
        if why.order:
            details["order"] = {"id": why.order["id"], "source_id": why.order["source_id"]}
        if why.redemption:
            details["redemption"] = {"id": why.redemption["id"]}
        transaction: Json = {
            "id": self.programs.identities.new("vtx"),
            "source_id": None,
            "voucher_id": card["id"],
            "campaign_id": card["campaign_id"],
            "source": "Automation",
            "reason": None,
            "type": "CREDITS_ADDITION" if prize.kind == "gift_credit" else "POINTS_ACCRUAL",
            "details": details,
            "related_transaction_id": None,
            "created_at": at,
        }
        self.programs.transactions[transaction["id"]] = transaction
        return transaction

    def books(self) -> Json:
        """What was given: campaign → role → kind → count and sum."""
        books: Json = {}
        for given in self.given:
            roles = books.setdefault(given.campaign, {})
            kinds = roles.setdefault(given.role, {})
            line = kinds.setdefault(given.kind, {"count": 0, "sum": 0})
            line["count"] += 1
            line["sum"] += given.value
        return books


def _top_up(card: Json, prize: Prize, at: datetime) -> Json | None:
    """Put credit or points on a card and say by how much its balance changed (§10.4)."""
    part = card["gift"] or card["loyalty_card"]
    if part is None:
        return None
    unit = "amount" if card["gift"] else "points"
    part[unit] += prize.value
    part["balance"] += prize.value
    card["updated_at"] = at
    return {
        "type": "gift_voucher" if card["gift"] else "loyalty_card",
        "total": part[unit],
        "object": "balance",
        unit: prize.value,
        "balance": part["balance"],
        "operation_type": "AUTOMATIC",
        "related_object": {"id": card["id"], "type": "voucher"},
    }
