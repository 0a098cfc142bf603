"""The customer object, and what a write changes in it."""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.errors import invalid_payload, refusal
from voucherify_sandbox.metadata import is_date

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from voucherify_sandbox.activity import Event
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.readings import Readings

TEXTS = ("name", "description", "email", "phone", "birthdate", "birthday")
ADDRESS = ("city", "state", "line_1", "line_2", "country", "postal_code")

NO_REDEMPTIONS: Json = {
    "total_redeemed": 0,
    "total_failed": 0,
    "total_succeeded": 0,
    "total_rolled_back": 0,
    "total_rollback_failed": 0,
    "total_rollback_succeeded": 0,
    "gift": {"redeemed_amount": 0, "amount_to_go": 0},
    "loyalty_card": {"redeemed_points": 0, "points_to_go": 0},
}
NO_SUMMARY: Json = {
    "redemptions": NO_REDEMPTIONS,
    "orders": {"total_amount": 0, "total_count": 0, "average_amount": 0, "last_order_amount": 0},
}
NO_LOYALTY: Json = {"points": 0, "referred_customers": 0, "campaigns": {}}
NO_REFERRALS: Json = {"total": 0, "campaigns": []}


@dataclass(slots=True, eq=False)
class Customer:
    """One customer.

    `number` counts creations and orders customers that share `created_at`. `summary`, `loyalty`
    and `referrals` are `None` while all their counters are zero, which keeps 100,000 customers
    small. `earlier` is the customer before the change at `changed_at`, for lists that lag.
    """

    id: str
    number: int
    source_id: str | None
    created_at: datetime
    profile: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    updated_at: datetime | None = None
    summary: Json | None = None
    loyalty: Json | None = None
    referrals: Json | None = None
    deleted: bool = False
    activity: list[Event] = field(default_factory=list)
    changed_at: datetime | None = None
    earlier: Customer | None = None

    def resource(self) -> Json:
        """The customer as the API shows it, before serialization; new ones lack `updated_at`."""
        body: Json = {"id": self.id}
        if self.source_id is not None:
            body["source_id"] = self.source_id
        body.update(self.profile)
        body["metadata"] = self.metadata
        body["system_metadata"] = {}
        body["summary"] = self.summary or NO_SUMMARY
        body["loyalty"] = self.loyalty or NO_LOYALTY
        body["referrals"] = self.referrals or NO_REFERRALS
        body["created_at"] = self.created_at
        if self.updated_at is not None:
            body["updated_at"] = self.updated_at
        body["object"] = "customer"
        return body

    def simple(self) -> Json:
        """The short copy inside events and orders."""
        return {
            "id": self.id,
            "name": self.profile.get("name"),
            "email": self.profile.get("email"),
            "source_id": self.source_id,
            "metadata": self.metadata,
            "object": "customer",
        }

    def as_payload(self) -> Json:
        """The payload of `customer.created`, `.updated` and `.deleted`."""
        return {"customer": self.resource()}

    def keep_earlier(self, now: datetime, shown_until: datetime) -> None:
        """Keep the customer as it is before a change at `now`, for a list that lags.

        Where the list does not show the last change yet, `earlier` is kept already.
        """
        if self.changed_at is None or self.changed_at <= shown_until:
            self.earlier = copy(self)
            self.earlier.earlier = None
        self.changed_at = now

    def as_of(self, instant: datetime) -> Customer | None:
        """The customer as it was at `instant`; `None` before its creation."""
        if self.created_at > instant:
            return None
        unseen = self.changed_at is not None and self.changed_at > instant
        return self.earlier if unseen and self.earlier is not None else self


def check_fields(fields: Mapping[str, Any], readings: Readings) -> None:
    """Refuse a payload whose members have the wrong type or format.

    Raises:
        ApiError: 400; `invalid_customer` for a `birthdate` that is not a date.
    """
    for name in ("source_id", "id", *TEXTS):
        _check_text(name, fields.get(name))
    for name in ("address", "metadata"):
        if not isinstance(fields.get(name), dict | None):
            raise invalid_payload(f"Property .{name} should be object")
    address = fields.get("address") or {}
    for name in ADDRESS:
        _check_text(f"address.{name}", address.get(name))
    _check_days(fields)
    nulls = [name for name in (*TEXTS, "address", "metadata") if fields.get(name, 0) is None]
    if nulls and readings.nulls == "refuse":
        raise invalid_payload(f"Property .{nulls[0]} should not be null")


def _check_days(fields: Mapping[str, Any]) -> None:
    for name in ("birthdate", "birthday"):
        if fields.get(name) is not None and not is_date(fields[name]):
            details = f"Property .{name} should be a date in format YYYY-MM-DD"
            raise refusal(400, "invalid_customer", "Invalid customer", details)


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str | None):
        raise invalid_payload(f"Property .{name} should be string")


def changed(customer: Customer, fields: Mapping[str, Any], readings: Readings) -> tuple[Json, Json]:
    """The profile and the metadata after a write; the customer itself is not changed."""
    full = readings.upsert == "full"
    profile: Json = {} if full else dict(customer.profile)
    for name in TEXTS:
        if name in fields:
            _put(profile, name, _spelled(name, fields[name], readings), readings.nulls)
    if "address" in fields:
        _put(profile, "address", _address(profile, fields["address"], readings), readings.nulls)
    kept = {} if full else customer.metadata
    if "metadata" not in fields:
        return profile, kept
    return profile, _metadata(kept, fields["metadata"], readings)


def _metadata(kept: Json, sent: Json | None, readings: Readings) -> Json:
    if sent is None:
        return {} if readings.nulls in {"clear", "store"} else kept
    merged = {**(kept if readings.metadata == "merge" else {}), **sent}
    if readings.metadata_nulls == "store":
        return merged
    return {key: value for key, value in merged.items() if value is not None}


def _put(profile: Json, name: str, value: object, nulls: str) -> None:
    if value is not None or nulls == "store":
        profile[name] = value
    elif nulls == "clear":
        profile.pop(name, None)


def _address(profile: Json, sent: Json | None, readings: Readings) -> Json | None:
    if sent is None:
        return None
    kept = profile.get("address") or {} if readings.address == "merge" else {}
    return {**kept, **{name: value for name, value in sent.items() if name in ADDRESS}}


def _spelled(name: str, value: str | None, readings: Readings) -> str | None:
    if name == "phone" and value and readings.phones == "normalized":
        return "+" + re.sub(r"\D", "", value)
    return value
