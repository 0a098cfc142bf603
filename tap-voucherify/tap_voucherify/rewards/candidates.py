"""Which customers may have new rewards, noted while another stream reads their list.

`customers` and `reward_events` want the same rows of the same list in nearly every run, and
rows read once in a run need no second call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from tap_voucherify.pagination.time_cursor import PAGE_ROWS
from tap_voucherify.rewards.id_queue import IdsToAsk
from tap_voucherify.voucherify_client.timestamps import whole_millisecond

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.pagination.time_cursor import Row
    from tap_voucherify.records.untouched import Record


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


class _Counted(TypedDict, total=False):
    """What of a customer's text tells whether there may be rewards (reference §4.1)."""

    id: str
    summary: Any
    loyalty: Any
    referrals: Any


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Counted)


class Candidates:
    """The candidates of one whole walk of the list of customers, if there was one in this run."""

    def __init__(self) -> None:
        """None are known yet."""
        self._ids: IdsToAsk | None = None
        self._since: datetime | None = None

    def noting(
        self, customers: Iterator[Record | None], since: datetime | None
    ) -> Iterator[Record | None]:
        """The same records; who may have rewards is known once the last one was taken.

        Args:
            customers: those changed at or after `since`, all of them, in any order.
            since: where their walk begins, to the millisecond; none for every customer.
        """
        ids, noted = IdsToAsk(), list[str]()
        for record in customers:
            row = _DECODER.decode(record) if isinstance(record, msgspec.Raw) else record
            if row is not None and may_have_rewards(row):
                noted.append(str(row["id"]))
            if len(noted) == PAGE_ROWS:
                ids.add(noted)
                noted.clear()
            yield record
        ids.add(noted)
        self._ids, self._since = ids, since

    def changed_since(self, since: datetime | None) -> IdsToAsk | None:
        """The ids of a walk that began there, to be closed by the caller; none without such a walk.

        Args:
            since: where the caller's own walk would begin; none for every customer.
        """
        wanted = None if since is None else whole_millisecond(since)
        if self._ids is None or self._since != wanted:
            return None
        ids, self._ids = self._ids, None
        return ids
