"""Which customers changed, and which of them may have received a reward: pure functions of rows."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tap_voucherify.errors import VoucherifyError
from tap_voucherify.instants import parse
from tap_voucherify.listings import CUSTOMERS_BY_CREATION, CUSTOMERS_BY_UPDATE
from tap_voucherify.walk import Fetch, Row, Tally, Timed, walk

if TYPE_CHECKING:
    from datetime import datetime

COUNTERS = {
    "summary": {"redemptions", "orders"},
    "loyalty": {"points"},
    "referrals": {"total"},
}
"""The counters of a customer and the members they must have to count (reference §4.1)."""


def modified_at(row: Row) -> datetime:
    """When a customer last changed: `updated_at`, or `created_at` if it never was (reference §4.2).

    Raises:
        VoucherifyError: the row has neither.
    """
    text = row.get("updated_at") or row.get("created_at")
    if text is None:
        raise VoucherifyError(
            "A customer has neither `created_at` nor `updated_at`, so its place in the run is "
            "unknown: report it to Voucherify's support with the time of this run."
        )
    return parse(text, what="`updated_at` or `created_at` of a customer")


def changed_customers(fetch: Fetch, since: datetime, tally: Tally) -> Iterator[Timed]:
    """Customers changed at or after `since`, ascending by `modified_at`.

    Whether a filter on `updated_at` ever returns a customer that was never updated is not
    published (reference §5.4), so those come from a walk of their own, by `created_at`; two
    ascending walks merged are one ascending stream, which can be cut and resumed anywhere.
    """
    created = walk(fetch, CUSTOMERS_BY_CREATION, since=since, tally=tally)
    never_updated = ((at, row) for at, row in created if not row.get("updated_at"))
    updated = walk(fetch, CUSTOMERS_BY_UPDATE, since=since, tally=tally)
    return heapq.merge(never_updated, updated, key=lambda timed: timed[0])


def may_have_rewards(row: Row) -> bool:
    """Whether a customer's counters leave room for a reward: false only if all are there and zero.

    That every reward moves one of `summary`, `loyalty` and `referrals` is inferred, not published
    (reference §4.2), so a counter that is missing or null counts as one that moved.
    """
    summary, loyalty, referrals = (row.get(name) for name in ("summary", "loyalty", "referrals"))
    if not (
        isinstance(summary, dict) and isinstance(loyalty, dict) and isinstance(referrals, dict)
    ):
        return True
    present = (
        isinstance(summary.get("redemptions"), dict)
        and isinstance(summary.get("orders"), dict)
        and "points" in loyalty
        and "total" in referrals
    )
    return not (present and all(_is_zero(part) for part in (summary, loyalty, referrals)))


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
