"""The stream `customer_deletions`: read from webhooks, since no list has deleted customers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_voucherify.rewards.event import member, text
from tap_voucherify.streams.stream import VoucherifyStream
from tap_voucherify.webhooks.envelopes import DELETED
from tap_voucherify.webhooks.store_cursor import StoreCursor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_voucherify.records.encoder import Record
    from tap_voucherify.webhooks.store import StoredEvent

SUFFIX = re.compile(r"_deleted\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$", re.ASCII)
"""What Voucherify appends to the `source_id` of a deleted customer, by its documentation."""


class CustomerDeletions(VoucherifyStream):
    """Customers that webhooks report as deleted; needs `webhook_store`."""

    name = "customer_deletions"
    replication_key = "deleted_at"
    selected_by_default = False

    _store_cursor: StoreCursor | None = None

    @override
    def rows(self) -> Iterator[Record | None]:
        path = self.config.get("webhook_store")
        if path is None:
            self.logger.warning("customer_deletions needs the setting webhook_store; skipping it.")
            return
        with StoreCursor.open(path, self.stream_state, self.logger) as cursor:
            self._store_cursor = cursor
            if "webhooks" in self.stream_state and not cursor.is_gapless:
                self.logger.warning(
                    "The webhook store may lack events since the last run: it was replaced or "
                    "restored, its receiver was killed, or this job did not run for months. "
                    "Deletions among them are unknown: compare customers with a full read once."
                )
            for stored in cursor.events():
                deletion = _deletion(stored, cursor)
                yield None if deletion is None else self.records.record(deletion)
                cursor.position = stored.position

    @override
    def write_position(self) -> None:
        if self._store_cursor is not None:
            self.stream_state["webhooks"] = self._store_cursor.to_state()


def _deletion(stored: StoredEvent, cursor: StoreCursor) -> dict[str, Any] | None:
    """The deleted customer; `None` for another event, or one that names no customer."""
    if stored.type != DELETED or stored.customer_id is None:
        return None
    activity, _ = cursor.activity(stored)
    source_id = text(member(member(activity["data"], "data"), "customer"), "source_id")
    return {
        "id": stored.customer_id,
        "source_id": source_id and SUFFIX.sub("", source_id),
        "deleted_at": activity["created_at"],
    }
