"""What a webhook says, as the activity list would say it: pure functions of its body.

Project webhooks and distributions share one envelope (reference §11). Its `event` is the event
itself; the envelope's own `id`, `type` and `created_at` belong to the send-out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tap_voucherify.rewards.event import Json, first, member, text
from tap_voucherify.voucherify_client import lenient_json
from tap_voucherify.voucherify_client.errors import VoucherifyError

DELETED = "customer.deleted"
"""The event of a customer who is gone."""

CUSTOMER_ID = "cust_"
"""What ids of customers begin with; an event's `entity_id` may also name another thing."""


class RefusedError(VoucherifyError):
    """A signed body that cannot be kept as an event; `reason` is one word for the metrics."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Event:
    """An event that a webhook brought.

    Attributes:
        id: of the event itself, which a send-out that comes twice repeats.
        type: of the event, such as `customer.rewarded`; empty where none is given.
        customer_id: of the customer it is about, if it says.
        created_at: when it happened, as text, if it says.
        body: the whole envelope as it came.
        replaced: characters and numbers of the body that no record can hold.
    """

    id: str
    type: str
    customer_id: str | None
    created_at: str | None
    body: bytes
    replaced: int = 0


def event_of(body: bytes) -> Event:
    """The event in a signed body; types that nobody has heard of are events too.

    Raises:
        RefusedError: it is not JSON, or not an envelope of webhooks `v2024-01-01`.
    """
    envelope, replaced = _decoded(body)
    event = member(envelope, "event")
    identity = text(event, "id")
    if identity is None:
        raise _not_an_envelope(envelope)
    return Event(
        identity,
        _type(envelope),
        _customer_id(envelope),
        text(event, "created_at") or text(envelope, "created_at"),
        body,
        replaced,
    )


def activity_of(body: bytes) -> tuple[dict[str, Any], str | None]:
    """The event of a stored envelope in the form of the activity list, and its customer's id."""
    envelope, _ = _decoded(body)
    event = member(envelope, "event")
    activity = {
        "id": event.get("id"),
        "type": _type(envelope),
        "created_at": text(event, "created_at") or text(envelope, "created_at"),
        "group_id": text(event, "group_id"),
        "data": {
            "data": member(envelope, "data"),
            "event_source": member(event, "event_source"),
        },
    }
    return activity, _customer_id(envelope)


def _decoded(body: bytes) -> tuple[Json, int]:
    try:
        value, replaced = lenient_json.decode(body)
    except (ValueError, RecursionError):
        raise RefusedError("json", "The body is not JSON.") from None
    return (value, replaced) if isinstance(value, dict) else ({}, replaced)


def _type(envelope: Json) -> str:
    return first(text(member(envelope, "event"), "type"), text(envelope, "type")) or ""


def _customer_id(envelope: Json) -> str | None:
    """The customer whose activity has the event: the payload's, else the event's entity."""
    entity = text(member(envelope, "event"), "entity_id")
    return first(
        text(member(member(envelope, "data"), "customer"), "id"),
        entity if entity and entity.startswith(CUSTOMER_ID) else None,
    )


def _not_an_envelope(envelope: Json) -> RefusedError:
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
