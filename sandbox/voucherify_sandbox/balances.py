"""What gift vouchers and loyalty cards hold: what is added, spent and given back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from voucherify_sandbox import counters
from voucherify_sandbox.copies import simple_campaign, simple_voucher
from voucherify_sandbox.errors import invalid_payload

if TYPE_CHECKING:
    from datetime import datetime

    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.people import People
    from voucherify_sandbox.programs import Programs

Change = Literal["earned", "added", "spent", "refunded"]

_TRANSACTIONS: dict[str, dict[Change, str]] = {
    "gift": {
        "earned": "CREDITS_ADDITION",
        "added": "CREDITS_ADDITION",
        "spent": "CREDITS_REDEMPTION",
        "refunded": "CREDITS_REFUND",
    },
    "loyalty_card": {
        "earned": "POINTS_ACCRUAL",
        "added": "POINTS_ADDITION",
        "spent": "POINTS_REDEMPTION",
        "refunded": "POINTS_REFUND",
    },
}
_SOURCES: dict[Change, str | None] = {"earned": "Automation", "added": "API"}
_UNITS = {"gift": "amount", "loyalty_card": "points"}
_ADDED = {"gift": "gift.balance_added", "loyalty_card": "loyalty_card.points_added"}
_BALANCES = {"gift": "gift_voucher", "loyalty_card": "loyalty_card"}


def held(card: Json) -> str:
    """What a voucher holds, as its member is named; empty for one without a balance."""
    return next((name for name in _UNITS if card[name]), "")


def top_up(card: Json, value: int, at: datetime, change: Change = "earned") -> Json | None:
    """Add credit or points to a card; returns the balance object, `None` for a discount."""
    kind = held(card)
    if not kind:
        return None
    card[kind][_UNITS[kind]] += value
    return _moved(card, kind, value, at, change)


def payable(card: Json, amount: int, points: int | None) -> int:
    """What a redemption takes off a card: credit up to the order's amount, or the given points.

    Raises:
        ApiError: 400, the card has not so many points, or none are given.
    """
    kind = held(card)
    if kind == "gift":
        return min(amount, int(card[kind]["balance"]))
    if not kind:
        return 0
    if not points or not 0 < points <= card[kind]["balance"]:
        raise invalid_payload(f"points should be from 1 to {card[kind]['balance']}")
    return points


def spend(card: Json, value: int, at: datetime) -> Json:
    """Take credit or points off a card, or give back a negative value; the balance object."""
    kind = held(card)
    redeemed = _redeemed(kind)
    card["redemption"][redeemed] = card["redemption"].get(redeemed, 0) + value
    return _moved(card, kind, -value, at, "spent" if value > 0 else "refunded")


def _redeemed(kind: str) -> str:
    return f"redeemed_{_UNITS[kind]}"


def _moved(card: Json, kind: str, value: int, at: datetime, change: Change) -> Json:
    """Change what is left on a card; returns the balance object."""
    unit = _UNITS[kind]
    card[kind]["balance"] += value
    card["updated_at"] = at
    return {
        "type": _BALANCES[kind],
        "total": card[kind][unit],
        "object": "balance",
        unit: value,
        "balance": card[kind]["balance"],
        "operation_type": "MANUAL" if change == "added" else "AUTOMATIC",
        "related_object": {"id": card["id"], "type": "voucher"},
    }


@dataclass
class Balances:
    """Records changes of balances: transactions, events, and the counters of the holder."""

    people: People
    programs: Programs

    def add(self, card: Json, holder: Customer, value: int, at: datetime) -> None:
        """Add credit or points to a card by hand."""
        balance = top_up(card, value, at, "added")
        if balance is not None:
            cause = (self.people.group(), "API")
            self.record_addition(card, holder, {"balance": balance}, at, cause)
            self.people.recalculate(holder, at)
            count_addition(card, holder, value)

    def record_addition(
        self, card: Json, holder: Customer, details: Json, at: datetime, cause: tuple[str, str]
    ) -> Json:
        """Record the transaction and the event of an addition; returns the event's payload."""
        by_hand = details["balance"]["operation_type"] == "MANUAL"
        change: Change = "added" if by_hand else "earned"
        payload = {
            "customer": holder.simple(),
            "campaign": simple_campaign(self.programs.campaigns[card["campaign_id"]]),
            "voucher": simple_voucher(card),
            "balance": details["balance"],
            "transaction": self.transact(card, change, details, at),
        }
        self.people.record(holder, f"customer.voucher.{_ADDED[held(card)]}", payload, at, cause)
        return payload

    def transact(self, card: Json, change: Change, details: Json, at: datetime) -> Json:
        """Add a transaction of a card; `details` hold the balance and what caused it."""
        transaction: Json = {
            "id": self.programs.ids.new("vtx"),
            "source_id": None,
            "voucher_id": card["id"],
            "campaign_id": card["campaign_id"],
            "source": _SOURCES.get(change),
            "reason": None,
            "type": _TRANSACTIONS[held(card)][change],
            "details": details,
            "related_transaction_id": None,
            "created_at": at,
        }
        self.programs.transactions[transaction["id"]] = transaction
        return transaction


def count_addition(card: Json, holder: Customer, value: int) -> None:
    """Count credit or points that a customer's card got."""
    if card["gift"]:
        counters.add_credit(holder, value)
    elif card["loyalty_card"]:
        counters.add_points(holder, card["campaign"], value)


def count_spending(card: Json, holder: Customer, value: int) -> None:
    """Count what was taken off a customer's card; what was given back is negative."""
    counters.count_spent(holder, held(card), _UNITS[held(card)], value)
