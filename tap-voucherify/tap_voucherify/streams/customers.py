"""The stream `customers`: what every list with time filters has, and the way through an export."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_voucherify.exports.csv_reader import rows_of
from tap_voucherify.exports.job import Export, customer_definitions, fetched
from tap_voucherify.pagination.endpoints import (
    CUSTOMERS,
    CUSTOMERS_BY_CREATION,
    CUSTOMERS_BY_UPDATE,
)
from tap_voucherify.pagination.ordered_map import in_order
from tap_voucherify.pagination.replication_value import modified_at
from tap_voucherify.pagination.time_cursor import Fetch, Query, Row
from tap_voucherify.pagination.total_check import FilteredCount, is_older, verified
from tap_voucherify.streams.time_range import TimeFilteredStream
from tap_voucherify.voucherify_client.errors import NotFoundError
from tap_voucherify.webhooks.envelopes import DELETED
from tap_voucherify.webhooks.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.pagination.time_cursor import Timed
    from tap_voucherify.records.untouched import Record

ONE_CUSTOMER = "/v1/customers/{id}"
EVERY_CUSTOMER = Query(CUSTOMERS_BY_CREATION.field, CUSTOMERS_BY_CREATION.field)


class Customers(TimeFilteredStream):
    """Every customer of the project, with the instant of its last change."""

    name = "customers"
    replication_key = "modified_at"
    selected_by_default = True
    path = CUSTOMERS
    by_creation = CUSTOMERS_BY_CREATION
    by_update = CUSTOMERS_BY_UPDATE

    _export: Export | None = None
    _reading: Reading | None = None

    @override
    def rows(self) -> Iterator[Record | None]:
        since, until = self.span()
        records = self._records()
        if until is not None or not self._is_walked_for_rewards(since):
            return records
        return self.candidates.noting(records, since)

    def _is_walked_for_rewards(self, since: datetime | None) -> bool:
        """Whether this run's walk finds all those whom reward events would look for.

        It does not where an earlier run read a part of the rows. Those of an export lack a counter,
        `referrals` (reference §9.2), and the scan `all` looks for everybody.
        """
        began_before = {"first_run", "export"} & self.stream_state.keys()
        exports = since is None and self.config["customers_backfill"] == "export"
        audits = self.config["reward_events_scan"] == "all"
        return self.is_read("reward_events") and not (began_before or exports or audits)

    def _records(self) -> Iterator[Record | None]:
        path = self.config.get("webhook_store")
        if path is None or self.instant_setting("end_date") is not None:
            yield from super().rows()
            return
        with Reading.begin(path, self.stream_state, self.logger) as reading:
            self._reading = reading
            if "webhooks" not in self.stream_state:
                # What came before is in what this run reads from the list, or a later one will.
                reading.position = reading.last
            yield from super().rows()

    @override
    def first_run(self, fetch: Fetch) -> Iterator[Record | None]:
        """Through an export where that is wanted; one begun through the list ends there."""
        wanted = self.config["customers_backfill"] == "export"
        begun = "export" in self.stream_state
        if "first_run" not in self.stream_state and (wanted or begun):
            return self._exported(fetch)
        return super().first_run(fetch)

    @override
    def _changed(self, fetch: Fetch, since: datetime) -> Iterator[Timed]:
        """What the list says changed, and who a webhook named whom the list left out."""
        named = set() if self._reading is None else _named(self._reading)
        for instant, row in super()._changed(fetch, since):
            named.discard(str(row["id"]))
            yield instant, row
        at_once = self.config["max_concurrency"]
        for _, found in in_order(
            self._one, sorted(named), at_once=at_once, give_up=self.client.fail
        ):
            if found is not None:
                yield modified_at(found, self.name), found
        if self._reading is not None:
            self._reading.position = self._reading.last

    def _one(self, identity: str) -> Row | None:
        """One customer; none who is gone."""
        try:
            row: Row = self.client.get(ONE_CUSTOMER, {"id": identity})
        except NotFoundError:
            return None
        return row

    def _note_replaced(self, count: int) -> None:
        self.client.count_replaced(count, "GET /v1/exports/{id} (download)")

    @override
    def mark(self) -> None:
        if self._reading is not None:
            self.stream_state["webhooks"] = self._reading.to_state()
        export = self._export
        if export is None:
            super().mark()
        elif self.report.complete and export.started is not None:
            self.stream_state.pop("export", None)
            self.move_bookmark(export.started, export.started)
        elif export.started is not None:
            self.stream_state["export"] = export.to_state()

    def _exported(self, fetch: Fetch) -> Iterator[Record | None]:
        """Each customer once, from the file of an export."""
        read = Export.from_state(self.stream_state.get("export", {}))
        count = FilteredCount(fetch, self.by_creation)
        return verified(self, read, partial(self._from_file, fetch), count.before)

    def _from_file(self, fetch: Fetch, export: Export) -> Iterator[Record | None]:
        """What is left of an export."""
        self._export = export
        definitions = customer_definitions(self.client)
        for file in fetched(self.client, export, lambda: fetch(EVERY_CUSTOMER).total):
            yield None
            if file is None:
                continue
            export.rows = 0
            for number, row in enumerate(rows_of(file, definitions, self._note_replaced)):
                if number >= export.position:
                    yield self._record(row, modified_at(row, self.name))
                    export.position += 1
                export.rows += is_older(row, export.border)


def _named(reading: Reading) -> set[str]:
    """The customers that events of the store are about, as far as they are still there."""
    named: set[str] = set()
    for stored in reading.events():
        if stored.customer_id is None or not stored.type.startswith("customer."):
            continue
        if stored.type == DELETED:
            named.discard(stored.customer_id)
        else:
            named.add(stored.customer_id)
    return named
