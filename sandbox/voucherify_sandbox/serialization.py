"""From objects of the project to JSON, under the readings about the form of responses."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.customers import TEXTS
from voucherify_sandbox.timestamps import printer

if TYPE_CHECKING:
    from collections.abc import Callable

    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.readings import Readings

# Members that keep their values under `null_fields=everywhere`.
_KEPT = frozenset(("id", "object", "type", "created_at", "updated_at", "date", "source_id"))


def serialize(value: object, readings: Readings) -> Any:
    """A value with every timestamp in it as text."""
    return _walk(value, printer(readings.timestamps))


def _walk(value: object, stamp: Callable[[datetime], str]) -> object:
    if isinstance(value, dict):
        return {key: _walk(part, stamp) for key, part in value.items()}
    if isinstance(value, list):
        return [_walk(part, stamp) for part in value]
    return stamp(value) if isinstance(value, datetime) else value


def decorate(resource: Json, readings: Readings) -> Json:
    """A resource with the nulls and the unknown members that the readings add."""
    if resource.get("object") == "customer":
        resource = _customer(resource, readings)
    if readings.null_fields == "everywhere":
        resource = {key: _emptied(key, value) for key, value in resource.items()}
    if readings.unknown_fields:
        resource = {**resource, "added_later": {"since": "2027", "tags": ["new"], "level": 1}}
    return resource


def _customer(resource: Json, readings: Readings) -> Json:
    if readings.null_fields != "none":
        empty = dict.fromkeys((*TEXTS, "source_id", "address"))
        resource = {**empty, **resource}
    if readings.missing_updated_at == "null":
        resource.setdefault("updated_at", None)
    return resource


def _emptied(key: str, value: object) -> object:
    if key in _KEPT:
        return value
    if key == "data" and isinstance(value, dict):
        return {"data": dict.fromkeys(value.get("data") or {}), "event_source": None}
    return None
