"""The stream `customer_deletions`: the API lists nobody who is gone, so webhooks tell of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_voucherify.rewards.event import member, text
from tap_voucherify.streams.stream import VoucherifyStream
from tap_voucherify.voucherify_client.timestamps import normalize
from tap_voucherify.webhooks.envelopes import DELETED, activity_of
from tap_voucherify.webhooks.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_voucherify.records.untouched import Record
    from tap_voucherify.webhooks.store import Stored

SUFFIX = re.compile(r"_deleted\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$", re.ASCII)
"""What Voucherify puts behind the `source_id` of a deleted customer (reference §6.5)."""


class CustomerDeletions(VoucherifyStream):
    """Customers that were deleted, as webhooks told; needs `webhook_store`."""

    name = "customer_deletions"
    replication_key = "deleted_at"
    selected_by_default = False

    _reading: Reading | None = None

    @override
    def rows(self) -> Iterator[Record | None]:
        path = self.config.get("webhook_store")
        if path is None:
            self.logger.warning("No deletions are known without the setting webhook_store.")
            return
        with Reading.begin(path, self.stream_state, self.logger) as reading:
            self._reading = reading
            if "webhooks" in self.stream_state and not reading.is_gapless:
                self.logger.warning(
                    "The store lacks events that this state does not cover, so deletions among "
                    "them are not told: compare customers with a full read once."
                )
            for stored in reading.events():
                yield _deletion(stored)
                reading.position = stored.position

    @override
    def mark(self) -> None:
        if self._reading is not None:
            self.stream_state["webhooks"] = self._reading.to_state()


def _deletion(stored: Stored) -> Record | None:
    """The customer who is gone; none where the event names nobody."""
    if stored.type != DELETED or stored.customer_id is None:
        return None
    activity, _ = activity_of(stored.body)
    source_id = text(member(member(activity["data"], "data"), "customer"), "source_id")
    deleted_at = activity["created_at"] or stored.received_at
    return {
        "id": stored.customer_id,
        "source_id": source_id and SUFFIX.sub("", source_id),
        "deleted_at": normalize(deleted_at, what="`created_at` of an event"),
    }
