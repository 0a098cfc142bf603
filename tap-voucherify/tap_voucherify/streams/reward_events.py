"""The stream `reward_events`: rows of the activity of customers that may have new ones.

The API has no list of events of the whole project, and requesting every customer's activity costs
one call each. So a run first collects ids, a hundred rows per call: customers that changed and
whose counters leave room for a reward, and customers that redemptions name.
"""

from __future__ import annotations

import json
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_voucherify.pagination.endpoints import (
    CUSTOMERS,
    CUSTOMERS_BY_CREATION,
    CUSTOMERS_BY_UPDATE,
    REDEMPTIONS,
    REDEMPTIONS_BY_CREATION,
    in_milliseconds,
    pages_of,
)
from tap_voucherify.pagination.parallel_windows import Window
from tap_voucherify.pagination.replication_value import changed_rows, modified_at
from tap_voucherify.pagination.time_cursor import Page, ReadStats, Row, TimedRow, rows_by_time
from tap_voucherify.records.encoder import decode
from tap_voucherify.rewards.candidates import may_have_rewards, named_by_redemption
from tap_voucherify.rewards.event import reward_event
from tap_voucherify.rewards.id_queue import IdQueue, QueuedId
from tap_voucherify.streams.child import ChildStream, ParentSource, TimedId
from tap_voucherify.streams.time_range import rows_created
from tap_voucherify.voucherify_client.timestamps import parse
from tap_voucherify.webhooks.store_cursor import StoreCursor, is_reconciliation_due

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.records.encoder import Record
    from tap_voucherify.streams.incremental import RunRange


class RewardEvents(ChildStream):
    """Who received what reward, from which campaign, because of which order."""

    name = "reward_events"
    replication_key = "created_at"
    selected_by_default = True
    path = "/v1/customers/{id}/activity"
    order = "created_at"

    _store_cursor: StoreCursor | None = None
    _knows_changed = False
    """Whether `customers` has found the customers that changed."""
    _missed = 0
    """Events of customers that the scan `changed` would not have requested."""

    @override
    def rows_in(self, run: RunRange) -> Iterator[Record | None]:
        path = self.config.get("webhook_store")
        if path is None or not run.is_resumable:
            yield from self._polled(run)
            return
        with StoreCursor.open(path, self.stream_state, self.logger) as cursor:
            self._store_cursor = cursor
            yield from self._stored(cursor)
            if self._needs_polling(cursor):
                yield from self._polled(run)
            else:
                self.logger.info("complete: %s events, from webhooks alone", self.rows_written)

    def _needs_polling(self, cursor: StoreCursor) -> bool:
        """Whether the run also polls: to begin, to close a gap, or to reconcile."""
        if not cursor.is_gapless or "scan" in self.stream_state:
            return True
        return is_reconciliation_due(self.bookmark, int(self.config["reconciliation_interval"]))

    def _stored(self, cursor: StoreCursor) -> Iterator[Record | None]:
        """The events that webhooks delivered since the last run, in the order of their arrival."""
        start_date = self.time_setting("start_date")
        for stored in cursor.events():
            if self._is_wanted_type(stored.type):
                activity, customer_id = cursor.activity(stored)
                created_at = _created_at(activity)
                if start_date is None or created_at is None or created_at >= start_date:
                    yield self.records.record(reward_event(activity, customer_id))
            cursor.position = stored.position
            yield None

    def _polled(self, run: RunRange) -> Iterator[Record | None]:
        queue = self.candidates.changed_since(run.since)
        # With too few calls for all of them they are read in parts, which begin in the lists.
        is_begun = bool(self.saved("scan"))
        if queue is not None and (is_begun or len(queue) >= self.client.calls_left):
            queue.close()
            queue = None
        self._knows_changed = queue is not None
        return self.read_parents(IdQueue() if queue is None else queue, run)

    @property
    @override
    def asked(self) -> str:
        settings = [self.config["reward_events_scan"], *sorted(self.config["reward_event_types"])]
        return blake2b(json.dumps(settings).encode(), digest_size=8).hexdigest()

    @override
    def since_params(self, since: datetime) -> dict[str, str]:
        return {"start_date": in_milliseconds(since)}

    @override
    def sources(self, since: datetime | None) -> list[ParentSource]:
        customers = ParentSource("customers", partial(self._changed, since))
        redemptions = ParentSource("redemptions", partial(self._redeemers, since))
        return [redemptions] if self._knows_changed else [customers, redemptions]

    def _changed(self, since: datetime | None, begin: datetime | None) -> Iterator[TimedId]:
        """Customers that changed and may have rewards; all of them in the scan `all`."""
        for instant, row in self._customers(since, begin):
            changed = since is None or modified_at(row, "customers") >= since
            has_activity_hint = changed and may_have_rewards(row)
            is_wanted = has_activity_hint or self._reads_all
            yield instant, QueuedId(str(row["id"]), has_activity_hint) if is_wanted else None

    @property
    def _reads_all(self) -> bool:
        return bool(self.config["reward_events_scan"] == "all")

    def _customers(self, since: datetime | None, begin: datetime | None) -> Iterator[TimedRow]:
        """The customers to consider, ascending by their last change or by their creation."""
        fetch = pages_of(self.client.get, CUSTOMERS)
        if since is None or self._reads_all:
            return rows_created(self, fetch, CUSTOMERS_BY_CREATION, Window(begin, None))
        return changed_rows(
            fetch, CUSTOMERS_BY_CREATION, CUSTOMERS_BY_UPDATE, begin or since, self.stats
        )

    def _redeemers(self, since: datetime | None, begin: datetime | None) -> Iterator[TimedId]:
        """Customers that redemptions name."""
        redemptions = pages_of(self.client.get, REDEMPTIONS)
        stats = ReadStats(started=self.stats.started)
        for instant, row in rows_by_time(
            redemptions, REDEMPTIONS_BY_CREATION, since=begin or since, stats=stats
        ):
            yield instant, None
            for name in named_by_redemption(row):
                yield instant, QueuedId(name)

    @override
    def decoded(self, content: bytes) -> Any:
        return decode(content)

    @override
    def records_of(self, page: Page, parent: QueuedId) -> Iterator[Record]:
        until = self.run_range.until
        for activity in page.rows:
            if not self._is_wanted_type(activity.get("type")):
                continue
            created_at = _created_at(activity)
            self.note(created_at)
            if until is None or created_at is None or created_at < until:
                yield self.records.record(reward_event(activity, parent.id))
                self._missed += not parent.has_activity_hint
                self._compare(activity)

    def _is_wanted_type(self, event_type: object) -> bool:
        return event_type in self.config["reward_event_types"]

    def _compare(self, activity: Row) -> None:
        """Count an event found by polling that a webhook should have delivered."""
        cursor, started = self._store_cursor, self._position.started
        if cursor is None or started is None:
            return
        # From the bookmark to where it will be next, so that each event is compared once.
        span = self.bookmark, started - self.lookback
        missed = cursor.missed(
            str(activity["id"]), str(activity["type"]), activity.get("created_at"), span
        )
        self.report.missed_by_webhooks = (self.report.missed_by_webhooks or 0) + missed

    @override
    def write_position(self) -> None:
        if self._store_cursor is not None:
            self.stream_state["webhooks"] = self._store_cursor.to_state()
        super().write_position()

    @override
    def log_complete(self) -> None:
        super().log_complete()
        if self._store_cursor is not None:
            self._log_reconciled()
        if self._reads_all:
            self.logger.info(
                "the scan `changed` would have missed %d events of this audit", self._missed
            )

    def _log_reconciled(self) -> None:
        missed = self.report.missed_by_webhooks = self.report.missed_by_webhooks or 0
        if missed:
            self.logger.warning(
                "reconciled: no webhook delivered %d of the events that polling found: check "
                "whether the receiver was down, or Voucherify disabled the webhook",
                missed,
            )
        else:
            self.logger.info("reconciled: webhooks delivered every event that polling found")


def _created_at(activity: Row) -> datetime | None:
    text = activity.get("created_at")
    return parse(text, what="`created_at` of an event") if text else None
