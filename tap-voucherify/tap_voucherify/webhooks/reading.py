"""A stream's place in the store of webhooks, which its state keeps."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tap_voucherify.voucherify_client.timestamps import parse
from tap_voucherify.webhooks.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from logging import Logger
    from types import TracebackType

    from tap_voucherify.webhooks.store import Stored


@dataclass(slots=True)
class Reading:
    """What one run of one stream reads of the store: what came since the last run, up to now.

    Attributes:
        position: everything up to here is written; grows as the run goes.
        last: the newest event when the run began.
        is_gapless: whether the state that came back belongs to this store, and nothing was
            dropped that it does not cover. A reader without a state has a gap before it.
    """

    store: Store
    reader: str
    position: int
    last: int
    is_gapless: bool
    _first_of_type: dict[str, datetime] = field(default_factory=dict)

    @classmethod
    def begin(cls, path: str, state: dict[str, Any], log: Logger) -> Self:
        """Open the store, go on where `state` says, and drop what the state makes needless.

        Raises:
            VoucherifyError: the store cannot be used.
        """
        store = Store.open(Path(path))
        told = state.get("webhooks", {})
        known = told.get("store") == store.id
        position = int(told["position"]) if known else 0
        reader = str(told["reader"]) if known else uuid.uuid4().hex
        is_gapless = known and store.dropped <= position
        if known:
            dropped = store.covered(reader, position)
            log.info("webhook store: %d events dropped that are covered and old", dropped)
        return cls(store, reader, position, store.last, is_gapless)

    def to_state(self) -> dict[str, Any]:
        """The place as JSON values."""
        return {"store": self.store.id, "reader": self.reader, "position": self.position}

    def events(self) -> Iterator[Stored]:
        """The events of this run, in the order they came."""
        return self.store.after(self.position, self.last)

    def missed(
        self,
        event_id: str,
        kind: str,
        created_at: str | None,
        span: tuple[datetime | None, datetime],
    ) -> bool:
        """Whether an event that polling found should be in the store and is not.

        Only types that webhooks bring are judged, of them only events that happened after the
        first in the store came, and only within `span`: before its first instant an earlier run
        judged them, and from its last one on they may be on their way.
        """
        if created_at is None:
            return False
        first = self._firsts().get(kind)
        since, until = span
        happened = parse(created_at, what="`created_at` of an event")
        is_judged = first is not None and max(first, since or first) <= happened < until
        return is_judged and self.store.lacks(event_id)

    def _firsts(self) -> dict[str, datetime]:
        if not self._first_of_type:
            self._first_of_type = {
                kind: parse(at, what="an instant of the webhook store")
                for kind, at in self.store.first_of_each_type()
            }
        return self._first_of_type

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.store.close()


def is_due(bookmark: datetime | None, hours: int) -> bool:
    """Whether polling is due that was last done at the bookmark; always before the first time."""
    return bookmark is None or (datetime.now(UTC) - bookmark).total_seconds() >= hours * 3_600
