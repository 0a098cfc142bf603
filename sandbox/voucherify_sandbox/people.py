"""The store of customers: who exists, by which key, and what each write leaves behind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import metadata
from voucherify_sandbox.activity import Event
from voucherify_sandbox.customers import Customer, changed, check_fields
from voucherify_sandbox.errors import invalid_payload, not_found
from voucherify_sandbox.listing import Lister

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.identities import Identities
    from voucherify_sandbox.listing import Page, Question
    from voucherify_sandbox.readings import Readings


class People:
    """All customers of a project, the deleted ones apart."""

    def __init__(self, clock: Clock, readings: Readings, identities: Identities) -> None:
        """Start with nobody."""
        self._clock = clock
        self._readings = readings
        self._identities = identities
        self._lister = Lister(readings)
        self._numbers = 0
        self._version = 0
        self._listed: list[Customer] = []
        self._listed_version = (-1, False)
        self.by_id: dict[str, Customer] = {}
        self.by_source_id: dict[str, Customer] = {}
        self.deleted: dict[str, Customer] = {}
        self.group: Callable[[], str] = identities.request
        self.rules: Json | None = None
        self.tell: Callable[[Customer, Event], None] | None = None

    @property
    def hidden(self) -> set[str]:
        """Ids of customers that `total` counts and no page shows."""
        return self._lister.hidden

    def _key(self, source_id: str) -> str:
        insensitive = self._readings.source_id_case == "insensitive"
        return source_id.casefold() if insensitive else source_id

    def with_source_id(self, source_id: str) -> Customer | None:
        """The customer with this `source_id`, if there is one."""
        return self.by_source_id.get(self._key(source_id))

    def find(self, key: str) -> Customer | None:
        """The customer with this `id` or `source_id` (reference §6.2)."""
        return self.by_id.get(key) or self.with_source_id(key)

    def get(self, key: str) -> Customer:
        """As `find`; unknown is 404."""
        customer = self.find(key)
        if customer is None:
            raise not_found("customer", key)
        return customer

    def upsert(self, fields: Mapping[str, Any], *, bulk: bool = False) -> Customer:
        """Create or update by `id`, else by `source_id` (reference §6.1, §7.1)."""
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

    def _create(self, fields: Mapping[str, Any]) -> Customer:
        customer = self.add(fields.get("source_id"), self._clock.now())
        customer.profile, customer.metadata = changed(customer, fields, self._readings)
        return customer

    def add(self, source_id: str | None, created_at: datetime) -> Customer:
        """A new customer without a profile; nothing is checked."""
        self._numbers += 1
        identity = self._identities.new("cust")
        customer = Customer(identity, self._numbers, source_id, created_at)
        self.by_id[identity] = customer
        if source_id is not None:
            self.by_source_id[self._key(source_id)] = customer
        self.record(customer, "customer.created", customer.story, created_at)
        self._version += 1
        return customer

    def update(self, customer: Customer, fields: Mapping[str, Any], *, bulk: bool) -> Customer:
        """Set what the fields say; whether that moves `updated_at` is a reading."""
        check_fields(fields, self._readings)
        metadata.check(fields.get("metadata") or {}, self.rules, creating=False)
        profile, data = changed(customer, fields, self._readings)
        same = profile == customer.profile and data == customer.metadata
        moves = self._readings.unchanged_write_updates or not same
        self.touch(customer, moves=moves and (self._readings.bulk_write_updates or not bulk))
        customer.profile, customer.metadata = profile, data
        if not same:
            self.record(customer, "customer.updated", customer.story, self._clock.now())
        return customer

    def touch(self, customer: Customer, *, moves: bool, at: datetime | None = None) -> None:
        """Note a change that comes now or at `at`; `moves` says whether `updated_at` follows."""
        now, lag = at or self._clock.now(), self._readings.list_lag_seconds
        if lag:
            customer.keep_earlier(now, now - timedelta(seconds=lag))
        if moves:
            customer.updated_at = now
        self._version += 1

    def recalculate(self, customer: Customer, at: datetime) -> None:
        """Note that Voucherify's own counters change at an instant (reference §4.2)."""
        self.touch(customer, moves=self._readings.recalculation_updates, at=at)

    def delete(self, key: str) -> Customer:
        """Remove a customer; the source_id gets a suffix and is free again (reference §6.5)."""
        customer = self.get(key)
        del self.by_id[customer.id]
        now = self._clock.now()
        if customer.source_id is not None:
            del self.by_source_id[self._key(customer.source_id)]
            customer.source_id += f"_deleted{now.isoformat(timespec='milliseconds')[:-6]}Z"
        customer.deleted = True
        customer.updated_at = now
        self.deleted[customer.id] = customer
        self.record(customer, "customer.deleted", customer.story, now)
        self._version += 1
        return customer

    def forget(self, key: str) -> Customer:
        """Remove a customer for good (reference §6.6)."""
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
        """Write an event into the activity of a customer; `cause` is (group_id, channel)."""
        group, channel = cause or (self.group(), "API")
        event = Event(self._identities.event(), kind, at, group, payload, channel)
        customer.activity.append(event)
        if self.tell is not None:
            self.tell(customer, event)
        return event

    def page(self, question: Question) -> Page:
        """One page of the list (reference §5)."""
        lag, deleted = self._readings.list_lag_seconds, self._readings.deleted_listed
        version = (self._version, deleted)
        if version != self._listed_version:
            self._listed = [*self.by_id.values(), *(self.deleted.values() if deleted else ())]
            self._listed_version = version
        if not lag:
            return self._lister.page(self._listed, version, question)
        seen = self._clock.now() - timedelta(seconds=lag)
        views = [view for customer in self._listed if (view := customer.as_of(seen))]
        return self._lister.page(views, object(), question)
