"""Customers that may have new rewards, collected while another stream reads their list.

`customers` and `reward_events` need the same rows of the same list in nearly every run, and a row
read once needs no second call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from tap_voucherify.pagination.time_cursor import PAGE_ROWS
from tap_voucherify.rewards.event import member
from tap_voucherify.rewards.id_queue import IdQueue, QueuedId

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.pagination.time_cursor import Row
    from tap_voucherify.records.encoder import Record

COUNTERS = {
    "summary": {"redemptions", "orders"},
    "loyalty": {"points"},
    "referrals": {"total"},
}
"""The counters of a customer, and the members without which they count nothing."""


def may_have_rewards(row: Row) -> bool:
    """Whether a customer's counters leave room for a reward: not if all are there and zero.

    That every reward moves one of `summary`, `loyalty` and `referrals` is inferred, not published,
    so a counter that is missing or null counts as one that moved.
    """
    counters = [row.get(name) for name in COUNTERS]
    present = all(
        isinstance(counter, dict) and members <= counter.keys()
        for counter, members in zip(counters, COUNTERS.values(), strict=True)
    )
    return not (present and all(_is_zero(counter) for counter in counters))


def _is_zero(value: Any) -> bool:
    """Whether every counter inside is zero; `last_order_date` counts nothing and may be null.

    With `metadata_as_json` an object inside may be JSON text.
    """
    if isinstance(value, str) and value.startswith("{"):
        value = msgspec.json.decode(value)
    if isinstance(value, Mapping):
        return all(
            _is_zero(v) for k, v in value.items() if not (k == "last_order_date" and v is None)
        )
    if isinstance(value, list):
        return not value
    return isinstance(value, int | float) and value == 0


def named_by_redemption(row: Row) -> set[str]:
    """Customers whom a redemption may have rewarded: the redeemer, the holder, the referrer."""
    voucher, order = member(row, "voucher"), member(row, "order")
    named = (
        row.get("customer_id"),
        member(row, "customer").get("id"),
        voucher.get("holder_id"),
        voucher.get("referrer_id"),
        order.get("referrer_id"),
    )
    return {name for name in named if isinstance(name, str) and name}


class _Counters(TypedDict, total=False):
    id: str
    summary: Any
    loyalty: Any
    referrals: Any


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_Counters)


class RewardCandidates:
    """The ids found by one full read of the list of customers, if this run made one."""

    def __init__(self) -> None:
        self._ids: IdQueue | None = None
        self._since: datetime | None = None

    def tee_ids(
        self, customers: Iterator[Record | None], since: datetime | None
    ) -> Iterator[Record | None]:
        """Pass records on and collect candidates, which are known once the last record is taken.

        Args:
            customers: all customers that changed at or after `since`, in any order.
            since: where their read begins, to the millisecond; `None` for every customer.
        """
        ids, found = IdQueue(), list[QueuedId]()
        for record in customers:
            if record is not None and may_have_rewards(row := _DECODER.decode(record)):
                found.append(QueuedId(str(row["id"])))
            if len(found) == PAGE_ROWS:
                ids.add(*found)
                found.clear()
            yield record
        ids.add(*found)
        self._ids, self._since = ids, since

    def changed_since(self, since: datetime | None) -> IdQueue | None:
        """The ids of a read that began at `since`, to be closed by the caller, if there is one.

        Args:
            since: where the caller's own read would begin; `None` for every customer.
        """
        if self._ids is None or self._since != since:
            return None
        ids, self._ids = self._ids, None
        return ids
