"""The store of customers: lookups by key, writes, and the events they cause."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import metadata
from voucherify_sandbox.activity import Event
from voucherify_sandbox.customer_list import CustomerList
from voucherify_sandbox.customers import Customer, changed, check_fields
from voucherify_sandbox.errors import invalid_payload, not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.customer_list import ListQuery, Page
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator
    from voucherify_sandbox.readings import Readings


class People:
    """All customers of a project; deleted ones are kept apart."""

    def __init__(self, clock: Clock, readings: Readings, ids: IdGenerator) -> None:
        """Create an empty store."""
        self._clock = clock
        self._readings = readings
        self._ids = ids
        self._lister = CustomerList(readings)
        self._numbers = 0
        self._version = 0
        self._listed: list[Customer] = []
        self._listed_version = (-1, False)
        self.by_id: dict[str, Customer] = {}
        self.by_source_id: dict[str, Customer] = {}
        self.deleted: dict[str, Customer] = {}
        self.group: Callable[[], str] = ids.request
        self.rules: Json | None = None
        self.notify: Callable[[Customer, Event], None] | None = None

    @property
    def hidden(self) -> set[str]:
        """Ids of customers that `total` counts but no page holds."""
        return self._lister.hidden

    def _key(self, source_id: str) -> str:
        insensitive = self._readings.source_id_case == "insensitive"
        return source_id.casefold() if insensitive else source_id

    def with_source_id(self, source_id: str) -> Customer | None:
        """The customer with this `source_id`, or `None`."""
        return self.by_source_id.get(self._key(source_id))

    def find(self, key: str) -> Customer | None:
        """The customer with this `id` or `source_id`, or `None`."""
        return self.by_id.get(key) or self.with_source_id(key)

    def get(self, key: str) -> Customer:
        """As `find`, but 404 if there is none."""
        customer = self.find(key)
        if customer is None:
            raise not_found("customer", key)
        return customer

    def upsert(self, fields: Mapping[str, Any], *, bulk: bool = False) -> Customer:
        """Create or update by `id`, else by `source_id`; bulk writes have only `source_id`."""
        check_fields(fields, self._readings)
        source_id = fields.get("source_id")
        if source_id == "" or (bulk and source_id is None):
            raise invalid_payload("Property .source_id should be a string that is not empty")
        customer = None if bulk or not fields.get("id") else self.by_id.get(fields["id"])
        if customer is None and source_id is not None:
            customer = self.with_source_id(source_id)
        if customer is not None:
            return self.update(customer, fields, bulk=bulk)
        metadata.check(fields.get("metadata") or {}, self.rules, creating=True)
        return self._create(fields)

    def overwrite(self, fields: Mapping[str, Any]) -> Customer:
        """Create by `source_id`, or replace the whole profile, as the import of a file does."""
        customer = self.with_source_id(str(fields.get("source_id") or ""))
        if customer is None:
            return self.upsert(fields, bulk=True)
        return self.update(customer, fields, bulk=True, whole=True)

    def _create(self, fields: Mapping[str, Any]) -> Customer:
        customer = self.add(fields.get("source_id"), self._clock.now())
        customer.profile, customer.metadata = changed(customer, fields, self._readings)
        return customer

    def add(self, source_id: str | None, created_at: datetime) -> Customer:
        """Add a customer with an empty profile, without validation."""
        self._numbers += 1
        identity = self._ids.new("cust")
        customer = Customer(identity, self._numbers, source_id, created_at)
        self.by_id[identity] = customer
        if source_id is not None:
            self.by_source_id[self._key(source_id)] = customer
        self.record(customer, "customer.created", customer.as_payload, created_at)
        self._version += 1
        return customer

    def update(
        self, customer: Customer, fields: Mapping[str, Any], *, bulk: bool, whole: bool = False
    ) -> Customer:
        """Set the fields, all of them if `whole`; readings decide whether `updated_at` moves."""
        check_fields(fields, self._readings)
        metadata.check(fields.get("metadata") or {}, self.rules, creating=False)
        before = Customer("", 0, None, customer.created_at) if whole else customer
        profile, data = changed(before, fields, self._readings)
        same = profile == customer.profile and data == customer.metadata
        moves = self._readings.unchanged_write_updates or not same
        self.touch(customer, moves=moves and (self._readings.bulk_write_updates or not bulk))
        customer.profile, customer.metadata = profile, data
        if not same:
            self.record(customer, "customer.updated", customer.as_payload, self._clock.now())
        return customer

    def touch(self, customer: Customer, *, moves: bool, at: datetime | None = None) -> None:
        """Record a change at `at`, by default now; `moves` says whether `updated_at` is set."""
        now, lag = at or self._clock.now(), self._readings.list_lag_seconds
        if lag:
            customer.keep_earlier(now, now - timedelta(seconds=lag))
        if moves:
            customer.updated_at = now
        self._version += 1

    def recalculate(self, customer: Customer, at: datetime) -> None:
        """Record a change of the counters that Voucherify computes itself."""
        self.touch(customer, moves=self._readings.recalculation_updates, at=at)

    def delete(self, key: str) -> Customer:
        """Delete a customer; its `source_id` gets a suffix, as in the sample of the event."""
        customer = self.get(key)
        del self.by_id[customer.id]
        now = self._clock.now()
        if customer.source_id is not None:
            del self.by_source_id[self._key(customer.source_id)]
            customer.source_id += f"_deleted{now.isoformat(timespec='milliseconds')[:-6]}Z"
        customer.deleted = True
        customer.updated_at = now
        self.deleted[customer.id] = customer
        self.record(customer, "customer.deleted", customer.as_payload, now)
        self._version += 1
        return customer

    def forget(self, key: str) -> Customer:
        """Delete a customer permanently."""
        customer = self.delete(key)
        del self.deleted[customer.id]
        return customer

    def record(
        self,
        customer: Customer,
        kind: str,
        payload: Json | Callable[[], Json],
        at: datetime,
        cause: tuple[str, str] | None = None,
    ) -> Event:
        """Add an event to a customer's activity; `cause` is (group_id, channel)."""
        group, channel = cause or (self.group(), "API")
        event = Event(self._ids.event(), kind, at, group, payload, channel)
        customer.activity.append(event)
        if self.notify is not None:
            self.notify(customer, event)
        return event

    def page(self, query: ListQuery) -> Page:
        """One page of the list of customers."""
        lag, deleted = self._readings.list_lag_seconds, self._readings.deleted_listed
        version = (self._version, deleted)
        if version != self._listed_version:
            self._listed = [*self.by_id.values(), *(self.deleted.values() if deleted else ())]
            self._listed_version = version
        if not lag:
            return self._lister.page(self._listed, version, query)
        seen = self._clock.now() - timedelta(seconds=lag)
        views = [view for customer in self._listed if (view := customer.as_of(seen))]
        return self._lister.page(views, object(), query)
