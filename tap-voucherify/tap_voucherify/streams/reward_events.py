"""The stream `reward_events`: the activity of those customers who may have something new.

There is no list of events of the whole project (reference §10.1), and asking everybody costs a
call per customer. So a run first collects, a hundred rows a call, whom to ask: customers that
changed and whose counters leave room for a reward, and customers that redemptions name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
from tap_voucherify.pagination.ordered_map import in_order
from tap_voucherify.pagination.page_number import pages_by_cursor
from tap_voucherify.pagination.replication_value import changed_rows, modified_at
from tap_voucherify.pagination.time_cursor import PAGE_ROWS, Row, Timed, walk
from tap_voucherify.rewards.candidates import (
    may_have_rewards,
    named_by_redemption,
)
from tap_voucherify.rewards.event import reward_event
from tap_voucherify.rewards.id_queue import IdsToAsk
from tap_voucherify.streams.child import Body, ScanningStream, cut_while_collecting
from tap_voucherify.voucherify_client.errors import MaxCallsError
from tap_voucherify.voucherify_client.timestamps import parse
from tap_voucherify.webhooks.envelopes import activity_of
from tap_voucherify.webhooks.reading import Reading, is_due

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.records.untouched import Record


@dataclass(slots=True)
class Window:
    """Which events a run wants: those of some types, created in [since, until)."""

    types: frozenset[str]
    since: datetime | None = None
    until: datetime | None = None
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.params = {"limit": PAGE_ROWS, "order": "created_at"}
        if self.since is not None:
            self.params["start_date"] = in_milliseconds(self.since)

    def holds(self, activity: Row) -> bool:
        """Whether the run wants this activity."""
        if activity.get("type") not in self.types:
            return False
        created_at = activity.get("created_at")
        if self.until is None or created_at is None:
            return True
        return parse(created_at, what="`created_at` of an event") < self.until


class RewardEvents(ScanningStream):
    """Who received what reward, from which campaign, because of which order."""

    name = "reward_events"
    replication_key = "created_at"
    path = "/v1/customers/{id}/activity"

    _reading: Reading | None = None
    _missed = 0
    """Events found at customers that the cheap way would not have asked (scan `all`)."""

    @override
    def rows(self) -> Iterator[Record | None]:
        self.resume()
        window = Window(frozenset(self.config["reward_event_types"]), *self.span())
        path = self.config.get("webhook_store")
        if path is None or window.until is not None:
            yield from self._polled(window)
            return
        with Reading.begin(path, self.stream_state, self.logger) as reading:
            self._reading = reading
            yield from self._stored(reading, window)
            if self._polls(reading):
                yield from self._polled(window)
            else:
                self.logger.info("complete: %d events, from webhooks alone", self.report.rows)

    def _polls(self, reading: Reading) -> bool:
        """Whether this run also polls: to begin, to close a gap, or because it is time."""
        hours = int(self.config["reconciliation_interval"])
        return not reading.is_gapless or "scan" in self.stream_state or is_due(self.bookmark, hours)

    def _stored(self, reading: Reading, window: Window) -> Iterator[Record | None]:
        """The events that webhooks brought since the last run, in the order they came."""
        start_date = self.instant_setting("start_date")
        for stored in reading.events():
            if stored.type in window.types:
                activity, customer_id = activity_of(stored.body)
                if start_date is None or not _is_before(activity, start_date):
                    yield reward_event(activity, customer_id)
            reading.position = stored.position
            yield None

    def _polled(self, window: Window) -> Iterator[Record | None]:
        """The events that the API tells of the customers who may have new ones."""
        walked = self.candidates.changed_since(window.since)
        with IdsToAsk() if walked is None else walked as to_ask:
            try:
                if walked is None:
                    yield from self._collect_changed(to_ask, window)
                yield from self._collect_named(to_ask, window)
            except MaxCallsError as spent:
                raise cut_while_collecting(spent) from None
            self._scan.started = self._scan.started or self.client.run_started
            self.logger.info("%s customers to ask", f"{len(to_ask):,}")
            yield from self._ask(to_ask, window)
        self._tell_complete()

    @override
    def mark(self) -> None:
        if self._reading is not None:
            self.stream_state["webhooks"] = self._reading.to_state()
        super().mark()

    def _collect_changed(self, to_ask: IdsToAsk, window: Window) -> Iterator[None]:
        """Find who changed; yields after each page's worth of rows, where the run may pause."""
        for count, (instant, row) in enumerate(self._customers(window.since)):
            changed = window.since is None or instant >= window.since
            cheap = changed and may_have_rewards(row)
            if cheap or self._asks_everyone:
                to_ask.add([str(row["id"])], cheap=cheap)
            if count % PAGE_ROWS == 0:
                yield None

    def _collect_named(self, to_ask: IdsToAsk, window: Window) -> Iterator[None]:
        """Find whom redemptions name, with pauses as well."""
        redemptions = pages_of(self.client.get, REDEMPTIONS)
        for count, (_, row) in enumerate(
            walk(redemptions, REDEMPTIONS_BY_CREATION, since=window.since)
        ):
            to_ask.add(named_by_redemption(row))
            if count % PAGE_ROWS == 0:
                yield None

    @property
    def _asks_everyone(self) -> bool:
        return bool(self.config["reward_events_scan"] == "all")

    def _customers(self, since: datetime | None) -> Iterator[Timed]:
        """The customers to consider, each with the instant of its last change."""
        fetch = pages_of(self.client.get, CUSTOMERS)
        if since is not None and not self._asks_everyone:
            yield from changed_rows(
                fetch, CUSTOMERS_BY_CREATION, CUSTOMERS_BY_UPDATE, since, self.tally
            )
            return
        for _, row in walk(fetch, CUSTOMERS_BY_CREATION, tally=self.tally):
            yield modified_at(row, "customers"), row

    def _ask(self, to_ask: IdsToAsk, window: Window) -> Iterator[Record | None]:
        """The events of each customer, in the order of the ids, from where a cut run stopped."""

        def first_page(to_ask: tuple[str, bool]) -> Body | None:
            return self.answer(to_ask[0], window.params)

        for (identity, cheap), answer in in_order(
            first_page,
            to_ask.after(self._scan.position),
            at_once=self.config["max_concurrency"],
            give_up=self.client.fail,
        ):
            found = 0
            for activity in self._activities(identity, answer, window.params):
                if window.holds(activity):
                    yield reward_event(activity, identity)
                    found += 1
                    self._compare(activity)
            self._scan.position = identity
            self._scan.asked += 1
            self._scan.gone += answer is None
            self._missed += 0 if cheap else found
            yield None

    def _compare(self, activity: Row) -> None:
        """Count an event of polling that a webhook should have brought."""
        reading, started = self._reading, self._scan.started
        if reading is None or started is None:
            return
        identity, kind = str(activity["id"]), str(activity["type"])
        # From the bookmark to where it will be next, so that each event is judged once.
        span = self.bookmark, started - self.lookback
        missed = reading.missed(identity, kind, activity.get("created_at"), span)
        self.report.missed_by_webhooks = (self.report.missed_by_webhooks or 0) + missed

    def _activities(
        self, identity: str, answer: Body | None, params: dict[str, Any]
    ) -> Iterator[Row]:
        """All activities behind a first page."""

        def ask(cursor: str) -> Body | None:
            return self.answer(identity, {**params, "starting_after_id": cursor})

        for page in pages_by_cursor(answer, ask):
            yield from page.rows

    def _tell_complete(self) -> None:
        scan = self._scan
        self.logger.info(
            "complete: %d events, %d customers asked, %d of them deleted meanwhile",
            self.report.rows,
            scan.asked,
            scan.gone,
        )
        if self._reading is not None:
            self._tell_reconciled()
        if self._asks_everyone:
            self.logger.info(
                "the scan `changed` would have missed %d events of this audit", self._missed
            )

    def _tell_reconciled(self) -> None:
        missed = self.report.missed_by_webhooks = self.report.missed_by_webhooks or 0
        if missed:
            self.logger.warning(
                "reconciled: no webhook had brought %d of the events that polling found: see "
                "whether the receiver was down, or Voucherify disabled the webhook",
                missed,
            )
        else:
            self.logger.info("reconciled: webhooks had brought every event that polling found")


def _is_before(activity: Row, start_date: datetime) -> bool:
    created_at = activity["created_at"]
    return bool(created_at) and parse(created_at, what="`created_at` of an event") < start_date
