"""The stream `customers`: from a list, or from an export first, and by ids from webhooks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_voucherify.exports.job import Export, customer_definitions, export_file
from tap_voucherify.pagination.endpoints import (
    CUSTOMERS,
    CUSTOMERS_BY_CREATION,
    CUSTOMERS_BY_UPDATE,
)
from tap_voucherify.pagination.ordered_map import ordered_map
from tap_voucherify.pagination.replication_value import modified_at
from tap_voucherify.pagination.time_cursor import Fetch, Query, Row
from tap_voucherify.pagination.total_check import FilteredCount, is_older, verified_rows
from tap_voucherify.rewards.candidates import COUNTERS
from tap_voucherify.streams.echo_guard import EchoGuard, Passed
from tap_voucherify.streams.time_range import TimeRangeStream
from tap_voucherify.voucherify_client.errors import NotFoundError
from tap_voucherify.voucherify_client.exported_customers import ExportedCustomers
from tap_voucherify.voucherify_client.urls import is_segment
from tap_voucherify.webhooks.envelopes import DELETED
from tap_voucherify.webhooks.store_cursor import StoreCursor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from tap_voucherify.pagination.time_cursor import TimedRow
    from tap_voucherify.records.encoder import Record
    from tap_voucherify.streams.incremental import RunRange

ONE_CUSTOMER = "/v1/customers/{id}"
EVERY_CUSTOMER = Query(CUSTOMERS_BY_CREATION.field, CUSTOMERS_BY_CREATION.field)


class Customers(TimeRangeStream):
    """Every customer of the project, with the instant of its last change."""

    name = "customers"
    replication_key = "modified_at"
    selected_by_default = True
    positions: ClassVar = {**TimeRangeStream.positions, "export": Export}
    path = CUSTOMERS
    by_creation = CUSTOMERS_BY_CREATION
    by_update = CUSTOMERS_BY_UPDATE

    _export: Export | None = None
    _store_cursor: StoreCursor | None = None
    _echo_guard: EchoGuard | None = None

    @override
    def rows_in(self, run: RunRange) -> Iterator[Record | None]:
        if not run.is_resumable:
            return super().rows_in(run)
        records = self._with_webhooks(run)
        if self._finds_all():
            records = self.candidates.tee_ids(records, run.since)
        return self._without_echoes(records)

    def _without_echoes(self, records: Iterator[Record | None]) -> Iterator[Record | None]:
        path = self.config.get("echo_ledger_path")
        if path is None or not self.keeps_state:
            yield from records
            return
        arrived = Passed.from_state(self.stream_state.get("echoes", {}))
        with EchoGuard(Path(path), self.config["application_id"], arrived) as guard:
            self._echo_guard = guard
            for record in guard.without_echoes(records):
                yield record
                self.report.echoes = guard.echoes

    @property
    @override
    def counted_columns(self) -> Collection[str]:
        return COUNTERS if self.is_selected("reward_events") else ()

    def _finds_all(self) -> bool:
        """Whether this run reads all customers that reward events would look for.

        It does not if an earlier run read a part of the rows. An export has no counter
        `referrals`, and the scan `all` looks for every customer.
        """
        began_before = {"first_run", "export"} & self.stream_state.keys()
        exports = self.bookmark is None and self.config["customers_backfill"] == "export"
        audits = self.config["reward_events_scan"] == "all"
        return self.is_selected("reward_events") and not (began_before or exports or audits)

    def _with_webhooks(self, run: RunRange) -> Iterator[Record | None]:
        path = self.config.get("webhook_store")
        if path is None:
            yield from super().rows_in(run)
            return
        with StoreCursor.open(path, self.stream_state, self.logger) as cursor:
            self._store_cursor = cursor
            if "webhooks" not in self.stream_state:
                # This run or a later one reads from the list what earlier events are about.
                cursor.position = cursor.last
            yield from super().rows_in(run)

    @override
    def first_run(self, fetch: Fetch, since: datetime | None) -> Iterator[Record | None]:
        """Read an export if that is set or was begun, unless reading the list was begun."""
        wanted = self.config["customers_backfill"] == "export"
        begun = "export" in self.stream_state
        if "first_run" not in self.stream_state and (wanted or begun):
            read = Export.from_state(self.saved("export"))
            count = FilteredCount(fetch, self.by_creation)
            return verified_rows(self, read, partial(self._exported, fetch, since), count.before)
        return super().first_run(fetch, since)

    @override
    def _changed(self, fetch: Fetch, since: datetime) -> Iterator[TimedRow]:
        """What changed by the list, and customers named by webhooks that the list left out."""
        found_ids = set() if self._store_cursor is None else _named(self._store_cursor)
        named = set(filter(is_segment, found_ids))
        if named != found_ids:
            self.logger.warning(
                "a webhook names a customer by an id that no request can hold; it is left out"
            )
        for instant, row in super()._changed(fetch, since):
            named.discard(str(row["id"]))
            yield instant, row
        for _, found in ordered_map(
            self._one, sorted(named), concurrency=self.concurrency, fail=self.client.fail
        ):
            if found is not None:
                yield modified_at(found, self.name), found
        if self._store_cursor is not None:
            self._store_cursor.position = self._store_cursor.last

    def _one(self, customer_id: str) -> Row | None:
        """One customer; `None` if it is gone."""
        try:
            row: Row = self.client.get(ONE_CUSTOMER, {"id": customer_id})
        except NotFoundError:
            return None
        return row

    def _count_replaced(self, count: int) -> None:
        self.client.count_replaced(count, "GET /v1/exports/{id} (download)")

    @override
    def write_position(self) -> None:
        if self._store_cursor is not None:
            self.stream_state["webhooks"] = self._store_cursor.to_state()
        if self._echo_guard is not None:
            self._echo_guard.save()
            self.stream_state["echoes"] = self._echo_guard.passed.to_state()
        if self._export is None:
            super().write_position()
        else:
            self.save("export", self._export)

    def _exported(
        self, fetch: Fetch, since: datetime | None, export: Export
    ) -> Iterator[Record | None]:
        """What is left of an export: each customer once, of those that changed since."""
        self._export = export
        definitions = customer_definitions(self.client)
        for file in export_file(self.client, export, lambda: fetch(EVERY_CUSTOMER).total):
            yield None
            if file is None:
                continue
            export.rows = 0
            rows = ExportedCustomers(file, definitions, self._count_replaced)
            for number, row in enumerate(rows):
                if number >= export.position:
                    instant = modified_at(row, self.name)
                    if since is None or instant >= since:
                        yield self._record(row, instant)
                        self.note(instant)
                    export.position += 1
                export.rows += is_older(row, export.border)


def _named(cursor: StoreCursor) -> set[str]:
    """The customers that events of the store are about, without those deleted since."""
    named: set[str] = set()
    for stored in cursor.events():
        if stored.customer_id is None or not stored.type.startswith("customer."):
            continue
        if stored.type == DELETED:
            named.discard(stored.customer_id)
        else:
            named.add(stored.customer_id)
    return named
