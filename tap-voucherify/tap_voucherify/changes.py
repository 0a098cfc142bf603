"""Which customers may have received a reward: pure functions of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tap_voucherify.walk import Row

COUNTERS = {
    "summary": {"redemptions", "orders"},
    "loyalty": {"points"},
    "referrals": {"total"},
}
"""The counters of a customer and the members they must have to count (reference §4.1)."""


def may_have_rewards(row: Row) -> bool:
    """Whether a customer's counters leave room for a reward: false only if all are there and zero.

    That every reward moves one of `summary`, `loyalty` and `referrals` is inferred, not published
    (reference §4.2), so a counter that is missing or null counts as one that moved.
    """
    counters = [row.get(name) for name in COUNTERS]
    present = all(
        isinstance(counter, dict) and members <= counter.keys()
        for counter, members in zip(counters, COUNTERS.values(), strict=True)
    )
    return not (present and all(_is_zero(counter) for counter in counters))


def _is_zero(value: Any) -> bool:
    """Whether every counter inside is zero; `last_order_date` counts nothing and may be null."""
    if isinstance(value, Mapping):
        return all(
            _is_zero(v) for k, v in value.items() if not (k == "last_order_date" and v is None)
        )
    if isinstance(value, list):
        return not value
    return isinstance(value, int | float) and value == 0


def named_by_redemption(row: Row) -> set[str]:
    """Customers whom a redemption may have rewarded: who redeemed, and who holds or referred."""
    voucher = row.get("voucher") if isinstance(row.get("voucher"), dict) else {}
    order = row.get("order") if isinstance(row.get("order"), dict) else {}
    customer = row.get("customer") if isinstance(row.get("customer"), dict) else {}
    candidates = (
        row.get("customer_id"),
        (customer or {}).get("id"),
        (voucher or {}).get("holder_id"),
        (voucher or {}).get("referrer_id"),
        (order or {}).get("referrer_id"),
    )
    return {name for name in candidates if isinstance(name, str) and name}
