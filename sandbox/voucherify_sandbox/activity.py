"""Activity events of a customer, as `GET /v1/customers/{id}/activity` lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.readings import Readings

UNKNOWN_TYPE = "customer.something.unheard_of"
# Types of the category EFFECT, inferred: the published description names only the categories.
_EFFECTS = ("rewarded", "reward_redemptions", "voucher", "loyalty", "publication", "segment")


@dataclass(slots=True, eq=False)
class Event:
    """One event. `payload` is what the API shows under `data.data`.

    A payload that is a whole customer is a function that returns its present state: a copy for
    each change would make a large project several times larger.
    """

    id: str
    type: str
    created_at: datetime
    group_id: str
    payload: Json | Callable[[], Json]
    channel: str = "API"

    @property
    def category(self) -> str:
        """`EFFECT` for what Voucherify does in response, else `ACTION`."""
        return "EFFECT" if self.type.split(".")[1] in _EFFECTS else "ACTION"

    def whole_payload(self) -> Json:
        """The payload in the form that webhooks send."""
        return self.payload if isinstance(self.payload, dict) else self.payload()

    def sent(self, readings: Readings) -> Json:
        """The payload as a webhook sends it under the readings, timestamps not yet text."""
        payload = self.whole_payload()
        if self.type == "customer.rewarded" and readings.redemption_instant == "date":
            return {**payload, "redemption": _dated(payload.get("redemption"))}
        return payload

    def resource(self, readings: Readings) -> Json:
        """The event as the API shows it, timestamps not yet text."""
        return {
            "id": self.id,
            "type": self.type,
            "data": {
                "data": _read(self.type, self.sent(readings), readings),
                "event_source": {"channel": self.channel},
            },
            "created_at": self.created_at,
            "group_id": self.group_id,
        }


def _read(kind: str, payload: Json, readings: Readings) -> Json:
    """The payload in the form of the activity list, which is published with fewer objects."""
    if kind.startswith("customer.reward_redemptions") and readings.reward_redemptions == "activity":
        balance = (payload.get("balance") or {}).get("amount")
        return {**payload, "source": payload["source"]["type"], "balance": balance}
    return payload


def _dated(redemption: Json | None) -> Json | None:
    if redemption is None:
        return None
    return {"date" if key == "created_at" else key: value for key, value in redemption.items()}


def with_unknown(activity: Sequence[Event], readings: Readings) -> list[Event]:
    """The activity of a customer, with an unknown type where `unknown_event_types` is set."""
    events = list(activity)
    if events and readings.unknown_event_types:
        first = events[0]
        extra = Event(f"{first.id}0", UNKNOWN_TYPE, first.created_at, first.group_id, {"odd": True})
        events.insert(1, extra)
    return events


@dataclass(frozen=True, kw_only=True)
class ActivityQuery:
    """The parameters of one activity request."""

    limit: int = 10
    order: str | None = None
    starting_after_id: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    campaign_id: str | None = None
    campaign_type: str | None = None
    category: str | None = None
    type: str | None = None


def select(
    events: Iterable[Event], query: ActivityQuery, readings: Readings
) -> tuple[list[Event], bool]:
    """One page of events, and whether more follow."""
    rows = sorted(events, key=lambda event: event.created_at)
    if (query.order or readings.activity_order) == "-created_at":
        rows.reverse()
    if query.starting_after_id is not None:
        seen = [event.id for event in rows]
        after = query.starting_after_id
        rows = rows[seen.index(after) + 1 :] if after in seen else []
    rows = [event for event in rows if _wanted(event, query, readings)]
    return rows[: query.limit], len(rows) > query.limit


def _wanted(event: Event, query: ActivityQuery, readings: Readings) -> bool:
    payload: Any = event.payload if isinstance(event.payload, dict) else {}
    campaign = payload.get("campaign") or {}
    return (
        query.type in {None, event.type}
        and query.category in {None, event.category}
        and query.campaign_id in {None, campaign.get("id")}
        and query.campaign_type in {None, campaign.get("campaign_type")}
        and _in_time(event.created_at, query, inclusive=readings.activity_dates == "inclusive")
    )


def _in_time(moment: datetime, query: ActivityQuery, *, inclusive: bool) -> bool:
    start, end = query.start_date, query.end_date
    if moment in {start, end}:
        return inclusive
    return (start is None or moment > start) and (end is None or moment < end)
