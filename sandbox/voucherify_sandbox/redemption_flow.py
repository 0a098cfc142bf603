"""Redemptions, rollbacks, and conversions by custom events, with their events and counters."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import counters
from voucherify_sandbox.balances import (
    count_addition,
    count_spending,
    held,
    payable,
    spend,
    top_up,
)
from voucherify_sandbox.copies import (
    internal_redemption,
    simple_campaign,
    simple_redemption,
    simple_voucher,
)
from voucherify_sandbox.errors import invalid_payload, not_found, refusal
from voucherify_sandbox.reward_payout import REFEREE, REFERRER, Conversion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from voucherify_sandbox.activity import Event
    from voucherify_sandbox.balances import Balances
    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.delayed_effects import DelayedEffects
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.people import People
    from voucherify_sandbox.programs import EarningRule, Programs
    from voucherify_sandbox.records import Records
    from voucherify_sandbox.reward_payout import RewardPayout

_SUCCEEDED = ("total_redeemed", "total_succeeded")
_ROLLED_BACK = ("total_rolled_back", "total_rollback_succeeded")


@dataclass
class RedemptionFlow:
    """Redeems codes: records redemptions, orders and events, and schedules the rewards."""

    people: People
    programs: Programs
    reward_payout: RewardPayout
    balances: Balances
    delayed: DelayedEffects
    records: Records
    conversions: dict[str, Conversion] = field(default_factory=dict)

    def redeem(
        self,
        code: str,
        customer: str | Mapping[str, Any],
        order: Json,
        points: int | None = None,
    ) -> Json:
        """Redeem a code with an order of `amount` cents and an optional `source_id`.

        A gift voucher pays as much of the order as it can, a loyalty card the given points.
        """
        voucher = self.programs.voucher(code)
        campaign = self.programs.campaigns[voucher["campaign_id"]]
        referee = self.customer(customer)
        amount = order.get("amount")
        if not isinstance(amount, int) or amount < 0:
            raise invalid_payload("Property .order.amount should be integer")
        if referee.id == voucher["referrer_id"]:
            raise self._failure(voucher, campaign, referee)
        spent = payable(voucher, amount, points)
        group = self.people.group()
        paid = self.records.order(order, referee, voucher, spent)
        redemption = self._redeemed("r", voucher, referee, paid, spent)
        voucher["redemption"]["redeemed_quantity"] += 1
        bought = self._record_redemption(redemption, paid, voucher, referee, group)
        referrer = self.people.by_id.get(voucher["referrer_id"] or "")
        if referrer is not None:
            internal = internal_redemption(redemption, campaign)
            reason = Conversion(
                campaign,
                voucher,
                referrer,
                referee,
                group,
                internal,
                deepcopy(paid),
            )
            self.conversions[redemption["id"]] = reason
            self._refer(reason)
            self.delayed.after_settling(lambda at: self._settle_referral(reason, at))
        self.delayed.after_settling(lambda at: self._settle_redemption(referee, bought, at))
        return redemption

    def _redeemed(
        self, prefix: str, voucher: Json, customer: Customer, order: Json | None, spent: int
    ) -> Json:
        """Record a redemption or a rollback, and what it takes off or gives back to the card."""
        kind, now = held(voucher), self.delayed.clock.now()
        balance = spend(voucher, spent, now) if spent else None
        redemption = self.records.redemption(prefix, voucher, customer, order)
        if kind:
            redemption["amount"] = spent
            redemption[kind] = {"amount" if kind == "gift" else "points": spent}
        if balance is not None:
            details: Json = {"balance": balance}
            if order is not None:
                details["order"] = {"id": order["id"], "source_id": order["source_id"]}
            link = {"id": redemption["id"]}
            details["redemption" if prefix == "r" else "rollback"] = link
            self.balances.transact(voucher, "spent" if spent > 0 else "refunded", details, now)
            self.delayed.after_settling(lambda at: self._settle_spending(voucher, spent, at))
        return redemption

    def _settle_spending(self, voucher: Json, spent: int, at: datetime) -> None:
        holder = self.people.by_id.get(voucher["holder_id"] or "")
        if holder is not None:
            self.people.recalculate(holder, at)
            count_spending(voucher, holder, spent)

    def place_order(self, order: Json, customer: Customer) -> Json:
        """Add an order without a redemption; of a paid one the customer's counters follow."""
        placed = self.records.order(order, customer)
        bought = {"customer": customer.simple(), "referrer": None, "order": deepcopy(placed)}
        now = self.delayed.clock.now()
        is_paid = placed["status"] == "PAID"
        self.people.record(customer, "customer.order.created", bought, now)
        if is_paid:
            event = self.people.record(customer, "customer.order.paid", bought, now)
            self.delayed.after_settling(lambda at: self._settle_order(customer, event, at))
        return placed

    def change_order(self, placed: Json, fields: Json) -> Json:
        """Set the fields of an order; it is paid or canceled once, when its status changes."""
        before, customer = placed["status"], self.people.by_id.get(placed["customer_id"])
        now = self.set_order_fields(placed, fields)
        if customer is None:
            return placed
        bought = {"customer": customer.simple(), "referrer": None, "order": deepcopy(placed)}
        self.people.record(customer, "customer.order.updated", bought, now)
        changed = placed["status"] if placed["status"] != before else ""
        if changed == "CANCELED":
            self.people.record(customer, "customer.order.canceled", bought, now)
        if changed == "PAID":
            event = self.people.record(customer, "customer.order.paid", bought, now)
            self.delayed.after_settling(lambda at: self._settle_order(customer, event, at))
        return placed

    def set_order_fields(self, placed: Json, fields: Json) -> datetime:
        """Set the fields of an order and let nothing follow from it; returns when."""
        names = ("status", "amount", "initial_amount", "discount_amount", "items")
        placed.update({name: fields[name] for name in names if fields.get(name) is not None})
        placed["metadata"] = {**placed["metadata"], **(fields.get("metadata") or {})}
        placed["total_amount"] = placed["amount"] - placed["discount_amount"]
        now: datetime = self.delayed.clock.now()
        placed["updated_at"] = now
        return now

    def customer(self, customer: str | Mapping[str, Any]) -> Customer:
        """The customer with a key or fields; created if unknown, as published for redemptions."""
        if not isinstance(customer, str):
            return self.people.upsert(customer)
        return self.people.find(customer) or self.people.upsert({"source_id": customer})

    def publish(self, voucher: Json, customer: Customer, more: Json | None = None) -> Json:
        """Publish one code to a customer, and record the event."""
        publication = self.programs.publish(voucher, customer, more or {})
        payload = {
            "customer": customer.simple(),
            "campaign": simple_campaign(self.programs.campaigns[voucher["campaign_id"]]),
            "publication": {
                name: value for name, value in publication.items() if name != "customer"
            },
        }
        now = self.delayed.clock.now()
        self.people.record(customer, "customer.publication.succeeded", payload, now)
        return publication

    def publish_new(self, campaign: Json, holder: Customer, value: int) -> Json:
        """Publish a new code with a value, or a customer's only card of a loyalty program."""
        if campaign["campaign_type"] == "LOYALTY_PROGRAM":
            voucher = self.programs.card_of(campaign, holder)
        else:
            voucher = self.programs.add_voucher(campaign, holder, value)
        self.publish(voucher, holder)
        if value and held(voucher):
            self.balances.add(voucher, holder, value, self.delayed.clock.now())
        return voucher

    def _failure(self, voucher: Json, campaign: Json, customer: Customer) -> Exception:
        """Record a failed redemption of a referrer's own code, and return the error."""
        redemption = self.records.redemption("rf", voucher, customer, None)
        redemption["failure_code"] = "customer_rules_violated"
        redemption["failure_message"] = "A referrer cannot redeem the own code"
        payload = self._payload(redemption, None, voucher, campaign, customer)
        now = self.delayed.clock.now()
        self.people.record(customer, "customer.redemption.failed", payload, now)
        counters_named = ("total_redeemed", "total_failed")
        self.delayed.after_settling(lambda at: self._count(customer, counters_named, at))
        return refusal(400, "customer_rules_violated", "Redemption refused", "own referral code")

    def _count(self, customer: Customer, names: tuple[str, ...], at: datetime) -> None:
        self.people.recalculate(customer, at)
        counters.count_redemption(customer, *names)

    def _payload(
        self, redemption: Json, order: Json | None, voucher: Json, campaign: Json, who: Customer
    ) -> Json:
        """The payload of `customer.redemption.*`."""
        holder = self.people.by_id.get(voucher["holder_id"] or "")
        return {
            "customer": who.simple(),
            "order": deepcopy(order),
            "campaign": simple_campaign(campaign),
            "voucher": simple_voucher(voucher),
            "holder": holder.simple() if holder else None,
            "promotion_tier": None,
            "promotion_stack": None,
            "redemption": simple_redemption(redemption),
        }

    def _record_redemption(
        self, redemption: Json, order: Json, voucher: Json, customer: Customer, group: str
    ) -> Event:
        """Record the events of the request itself in the customer's activity; returns the last."""
        campaign = self.programs.campaigns[voucher["campaign_id"]]
        payload = self._payload(redemption, order, voucher, campaign, customer)
        now, cause = self.delayed.clock.now(), (group, "API")
        self.people.record(customer, "customer.redemption.succeeded", payload, now, cause)
        bought = {
            "customer": customer.simple(),
            "referrer": payload["holder"],
            "order": payload["order"],
            "redemption": payload["redemption"],
        }
        self.people.record(customer, "customer.order.created", bought, now, cause)
        return self.people.record(customer, "customer.order.paid", bought, now, cause)

    def _refer(self, reason: Conversion) -> None:
        payload = {
            "referrer": reason.referrer.simple(),
            "campaign": simple_campaign(reason.campaign),
            "voucher": simple_voucher(reason.voucher),
            "custom_event": reason.custom_event,
            "customer": reason.referee.simple(),
            "redemption": reason.redemption,
        }
        now, cause = self.delayed.clock.now(), (reason.group_id, "API")
        self.people.record(reason.referee, "customer.referred", payload, now, cause)
        self.programs.add_holder(reason.voucher, reason.referee, "REFEREE")

    def _settle_redemption(self, customer: Customer, bought: Event, at: datetime) -> None:
        self._count(customer, _SUCCEEDED, at)
        self._settle_order(customer, bought, at)

    def _settle_order(self, customer: Customer, bought: Event, at: datetime) -> None:
        """Count the order of `customer.order.paid`, and let loyalty cards earn its points."""
        order = bought.whole_payload()["order"]
        self.people.recalculate(customer, at)
        counters.count_order(customer, order["amount"], at)
        for card, rule in self.programs.earning_cards(customer):
            points = order["total_amount"] // rule.cents_per_point
            if points:
                self._earn(card, customer, bought, (rule, points), at)

    def _earn(
        self,
        card: Json,
        customer: Customer,
        bought: Event,
        earned: tuple[EarningRule, int],
        at: datetime,
    ) -> None:
        """Add the points of an order to a loyalty card; `earned` is (rule, points)."""
        rule, points = earned
        order, cause = bought.whole_payload()["order"], (bought.group_id, "INTERNAL")
        banner = {"banner": f"A point for {rule.cents_per_point} cents"}
        details = {
            "balance": top_up(card, points, at),
            "order": {"id": order["id"], "source_id": order["source_id"]},
            "event": {"id": bought.id, "type": bought.type},
            "earning_rule": {"id": rule.id, "source": banner},
        }
        payload = self.balances.record_addition(card, customer, details, at, cause)
        campaign = {"object_id": card["campaign_id"], "object_type": "campaign"}
        rewarded = {
            **{name: payload[name] for name in ("customer", "voucher", "campaign", "balance")},
            "holder": customer.simple(),
            "loyalty_tier": None,
            "earning_rule": {
                "id": rule.id,
                "source": {**banner, **campaign},
                "object": "earning_rule",
            },
            "order": order,
            "event": {
                "id": bought.id,
                "type": bought.type,
                "category": bought.category,
                "entity_id": customer.id,
                "created_at": bought.created_at,
                "group_id": bought.group_id,
            },
        }
        self.people.record(customer, "customer.rewarded.loyalty_points", rewarded, at, cause)
        count_addition(card, customer, points)

    def _settle_referral(self, reason: Conversion, at: datetime) -> None:
        """Pay the rewards, then update the counters of the referral."""
        rules = self.programs.referrals[reason.campaign["id"]]
        if rules.referee:
            self.reward_payout.give(rules.referee, REFEREE, reason, at)
        if rules.referrer:
            self.reward_payout.give(rules.referrer, REFERRER, reason, at)
        for party in (reason.referee, reason.referrer):
            self.people.recalculate(party, at)
        counters.count_referred(reason.referrer, reason.campaign["name"])
        source = reason.redemption or reason.custom_event or {}
        counters.note_referral(
            reason.referee,
            {
                "campaign_id": reason.campaign["id"],
                "referrer_id": reason.referrer.id,
                "related_object_id": source["id"],
                "related_object_type": "redemption" if reason.redemption else "event",
                "date": at,
            },
        )

    def roll_back(self, redemption_id: str) -> Json:
        """Roll back a redemption: status, rollback record and events."""
        redemption = self.records.redemptions.get(redemption_id)
        if redemption is None or redemption["object"] != "redemption":
            raise not_found("redemption", redemption_id)
        voucher = self.programs.vouchers[redemption["related_object_id"]]
        campaign = self.programs.campaigns[voucher["campaign_id"]]
        customer = self.people.get(redemption["customer_id"])
        spent = redemption["amount"] if held(voucher) in redemption else 0
        rollback = self._redeemed("rr", voucher, customer, redemption["order"], -spent)
        rollback["redemption"] = redemption_id
        rollback["reason"] = None
        redemption["status"] = "ROLLED_BACK"
        link = {"id": rollback["id"], "date": rollback["date"]}
        redemption["related_redemptions"] = {"rollbacks": [link]}
        payload = self._payload(redemption, redemption["order"], voucher, campaign, customer)
        payload["redemption_rollback"] = simple_redemption(rollback)
        now = self.delayed.clock.now()
        self.people.record(customer, "customer.redemption.rollback.succeeded", payload, now)
        self.delayed.after_settling(lambda at: self._settle_rollback(redemption_id, customer, at))
        return rollback

    def _settle_rollback(self, redemption_id: str, customer: Customer, at: datetime) -> None:
        self._count(customer, _ROLLED_BACK, at)
        reason = self.conversions.get(redemption_id)
        rules = self.programs.referrals[reason.campaign["id"]] if reason else None
        if reason and rules and rules.referrer:
            state = (self.programs.ids.new("rewr"), "ROLLEDBACK")
            payload = self.reward_payout.reward_redemption(
                rules.referrer, reason.referrer, reason, state, at
            )
            cause = (reason.group_id, "INTERNAL")
            kind = "customer.reward_redemptions.rolledback"
            self.people.record(reason.referrer, kind, payload, at, cause)

    def track(self, event: str, customer: Customer, referral: Json | None, metadata: Json) -> Json:
        """Record a custom event; with a referral code it may convert a referral."""
        now, group = self.delayed.clock.now(), self.people.group()
        custom: Json = {
            "id": self.programs.ids.new("event"),
            "object": "event",
            "type": event,
            "customer": customer.simple(),
            "referral": referral,
            "loyalty": None,
            "metadata": metadata,
            "created_at": now,
        }
        payload = {
            "event": custom,
            "event_schema": None,
            "customer": customer.simple(),
            "referral": None,
            "loyalty": None,
        }
        cause = (group, "API")
        self.people.record(customer, "customer.custom_event", payload, now, cause)
        if referral and referral.get("code"):
            self._convert(custom, customer, self.programs.voucher(referral["code"]), group)
        return custom

    def _convert(self, custom: Json, customer: Customer, voucher: Json, group: str) -> None:
        rules = self.programs.referrals.get(voucher["campaign_id"])
        referrer = self.people.by_id.get(voucher["referrer_id"] or "")
        if rules is None or referrer is None or rules.custom_event != custom["type"]:
            return
        campaign = self.programs.campaigns[voucher["campaign_id"]]
        reason = Conversion(campaign, voucher, referrer, customer, group, custom_event=custom)
        self._refer(reason)
        self.delayed.after_settling(lambda at: self._settle_referral(reason, at))
