"""Parse the body of a webhook, and convert it to the form of the activity list.

By Voucherify's documentation, project webhooks and distributions share one envelope. Its `event`
is the event itself; the envelope's own `id`, `type` and `created_at` belong to the delivery.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_voucherify.rewards.event import JsonObject, first, member, text
from tap_voucherify.voucherify_client import lenient_json
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import parse, to_iso

if TYPE_CHECKING:
    from datetime import datetime

DELETED = "customer.deleted"
"""Type of the event of a deleted customer."""

CUSTOMER_PREFIX = "cust_"
"""Prefix of customer ids; an event's `entity_id` may also name another thing."""


class RefusedError(VoucherifyError):
    """A signed body that is not an event; `reason` is one word for the metrics."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Event:
    """An event delivered by a webhook.

    Attributes:
        id: of the event itself, the same in a repeated delivery.
        type: such as `customer.rewarded`; empty if there is none.
        customer_id: of the customer it is about; `None` if there is none.
        created_at: when it happened; `None` if there is no readable time.
        body: the whole envelope as received.
        replaced: number of characters and numbers of the body that no record can hold.
    """

    id: str
    type: str
    customer_id: str | None
    created_at: datetime | None
    body: bytes
    replaced: int = 0


def parse_event(body: bytes) -> Event:
    """The event in a signed body, of whatever type.

    Raises:
        RefusedError: it is not JSON, or not an envelope of webhooks `v2024-01-01`.
    """
    envelope, replaced = _decoded(body)
    event = member(envelope, "event")
    event_id = text(event, "id")
    if event_id is None:
        raise _not_an_envelope(envelope)
    return Event(
        event_id,
        _type(envelope),
        _customer_id(envelope),
        _created_at(envelope),
        body,
        replaced,
    )


def to_activity(body: bytes) -> tuple[dict[str, Any], str | None]:
    """The event of a stored envelope as an activity, and the id of its customer.

    `created_at` is `None` where the event has no readable time.
    """
    envelope, _ = _decoded(body)
    event = member(envelope, "event")
    instant = _created_at(envelope)
    activity = {
        "id": event.get("id"),
        "type": _type(envelope),
        "created_at": None if instant is None else to_iso(instant),
        "group_id": text(event, "group_id"),
        "data": {
            "data": member(envelope, "data"),
            "event_source": member(event, "event_source"),
        },
    }
    return activity, _customer_id(envelope)


def _decoded(body: bytes) -> tuple[JsonObject, int]:
    try:
        value, replaced = lenient_json.decode(body)
    except (ValueError, RecursionError):
        raise RefusedError("json", "The body is not JSON.") from None
    return (value, replaced) if isinstance(value, dict) else ({}, replaced)


def _type(envelope: JsonObject) -> str:
    return first(text(member(envelope, "event"), "type"), text(envelope, "type")) or ""


def _created_at(envelope: JsonObject) -> datetime | None:
    """When the event happened, else when its delivery was made; `None` if neither is readable."""
    for place in (member(envelope, "event"), envelope):
        with suppress(VoucherifyError):
            return parse(text(place, "created_at") or "")
    return None


def _customer_id(envelope: JsonObject) -> str | None:
    """The customer whose event it is: that of the payload, else the event's entity."""
    entity = text(member(envelope, "event"), "entity_id")
    return first(
        text(member(member(envelope, "data"), "customer"), "id"),
        entity if entity and entity.startswith(CUSTOMER_PREFIX) else None,
    )


def _not_an_envelope(envelope: JsonObject) -> RefusedError:
    if envelope.get("object") == "event" and "webhook_id" in envelope:
        return RefusedError(
            "version",
            "This is a webhook of version v2018-08-01, which has no event id: choose v2024-01-01.",
        )
    return RefusedError(
        "raw_payload",
        "This body has no `event` with an `id`, as a distribution with a raw payload sends it: "
        "remove the payload template, so that the whole envelope comes.",
    )
