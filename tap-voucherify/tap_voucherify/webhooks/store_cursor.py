"""A stream's position in the webhook store, kept in its state."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tap_voucherify.voucherify_client.timestamps import parse, to_iso
from tap_voucherify.webhooks.envelopes import to_activity
from tap_voucherify.webhooks.store import Store, damaged, is_damage, unusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from logging import Logger

    from tap_voucherify.webhooks.store import StoredEvent

CLOCK_STEPS = timedelta(hours=1)
"""How far the clock of the receiver may have been set back."""


@dataclass(slots=True)
class StoreCursor:
    """Reads the events that came since the last run of a stream, up to the start of this one.

    Attributes:
        store: the webhook store.
        reader: identifies the state.
        position: of the last event written.
        last: position of the newest event when the run began.
        received_at: every event received before is written; `None` before the first one.
        is_gapless: whether the state belongs to this store, which was not restored since, and
            nothing was deleted that it does not cover. There is a gap before a reader without a
            state.
        log: of the stream.
    """

    store: Store
    reader: str
    position: int
    last: int
    received_at: str | None
    is_gapless: bool
    log: Logger
    _last_received_at: str | None
    _timeless: int = 0
    _first_of_type: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str, state: dict[str, Any], log: Logger) -> Self:
        """Open the store at the position of a state, and delete events that no state needs.

        Raises:
            VoucherifyError: the store cannot be used.
        """
        store = Store.open(Path(path))
        try:
            return cls._at(store, state, log)
        except sqlite3.Error as error:
            store.close()
            raise damaged() if is_damage(error) else unusable() from None

    @classmethod
    def _at(cls, store: Store, state: dict[str, Any], log: Logger) -> Self:
        saved = state.get("webhooks", {})
        known = store.has_epoch(str(saved.get("epoch")))
        received_at = saved.get("received_at") if saved.get("store") == store.id else None
        if known:
            position = int(saved["position"])
        elif received_at is not None:
            # Positions of a restored store are given again, so only the time says what is new.
            since = parse(received_at, what="A timestamp of the state") - CLOCK_STEPS
            position = store.position_before(to_iso(since))
        else:
            position = 0
        reader = str(saved["reader"]) if known else uuid.uuid4().hex
        is_gapless = known and store.dropped <= position
        if known:
            deleted = store.acknowledge(reader, position)
            log.info("webhook store: %d old events deleted that were read", deleted)
        last = store.last
        newest = store.received_at(last)
        return cls(store, reader, position, last, received_at, is_gapless, log, newest)

    def to_state(self) -> dict[str, Any]:
        """The position as JSON values."""
        if self.position == self.last:
            self.received_at = self._last_received_at or self.received_at
        return {
            "store": self.store.id,
            "epoch": self.store.epoch,
            "reader": self.reader,
            "position": self.position,
            "received_at": self.received_at,
        }

    def events(self) -> Iterator[StoredEvent]:
        """The events of this run, in the order of their arrival."""
        return self.store.after(self.position, self.last)

    def activity(self, stored: StoredEvent) -> tuple[dict[str, Any], str | None]:
        """A stored event as an activity, and the id of its customer.

        An event without a readable time gets that of its receipt, and is counted.
        """
        activity, customer_id = to_activity(stored.body)
        if activity["created_at"] is None:
            self._timeless += 1
            activity["created_at"] = stored.received_at
        return activity, customer_id

    def missed(
        self,
        event_id: str,
        kind: str,
        created_at: str | None,
        span: tuple[datetime | None, datetime],
    ) -> bool:
        """Whether an event that polling found should be in the store and is not.

        Only types in the store are compared, of them only events after the first one in the
        store, and only those within `span`: an earlier run compared the ones before, and webhooks
        for later ones may be on their way.
        """
        if created_at is None:
            return False
        first = self._firsts().get(kind)
        since, until = span
        happened = parse(created_at, what="`created_at` of an event")
        is_expected = first is not None and max(first, since or first) <= happened < until
        return is_expected and self.store.lacks(event_id)

    def _firsts(self) -> dict[str, datetime]:
        if not self._first_of_type:
            self._first_of_type = {
                kind: parse(at, what="A timestamp of the webhook store")
                for kind, at in self.store.first_of_each_type()
            }
        return self._first_of_type

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if is_damage(error):
            raise damaged() from None
        if self._timeless:
            self.log.warning(
                "%d stored events have no readable `created_at`: they have the time at which the "
                "webhook receiver stored them",
                self._timeless,
            )
        self.store.close()


def is_reconciliation_due(bookmark: datetime | None, hours: int) -> bool:
    """Whether the bookmark of the last polling is older than so many hours, or `None`."""
    return bookmark is None or (datetime.now(UTC) - bookmark).total_seconds() >= hours * 3_600
