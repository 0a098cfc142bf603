"""Which customers may have new rewards, noted while another stream reads their list.

`customers` and `reward_events` want the same rows of the same list in nearly every run, and
rows read once in a run need no second call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from tap_voucherify.asking import IdsToAsk
from tap_voucherify.changes import may_have_rewards
from tap_voucherify.instants import whole_millisecond
from tap_voucherify.walk import PAGE_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.untouched import Record


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
