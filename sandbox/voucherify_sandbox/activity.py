"""What happened to a customer, as the activity list tells it (reference §10.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.readings import Readings

UNKNOWN_TYPE = "customer.something.unheard_of"
# Which of the two categories of §10.1 a type belongs to: what a customer did, or what followed.
_EFFECTS = ("rewarded", "reward_redemptions", "voucher", "loyalty", "publication", "segment")


@dataclass(slots=True, eq=False)
class Event:
    """One entry. `payload` is what the API shows under `data.data`.

    A payload that is a whole customer is a function: it is shown as it is when asked, because a
    copy for each change would make a large project several times larger.
    """

    id: str
    type: str
    created_at: datetime
    group_id: str
    payload: Json | Callable[[], Json]
    channel: str = "API"

    @property
    def category(self) -> str:
        """`EFFECT` for what Voucherify did in return, else `ACTION`."""
        return "EFFECT" if self.type.split(".")[1] in _EFFECTS else "ACTION"

    def whole_payload(self) -> Json:
        """What happened, in the form that webhooks send (reference §10.6)."""
        return self.payload if isinstance(self.payload, dict) else self.payload()

    def sent(self, readings: Readings) -> Json:
        """The payload as a webhook sends it, instants not yet printed."""
        payload = self.whole_payload()
        if self.type == "customer.rewarded" and readings.redemption_instant == "date":
            return {**payload, "redemption": _dated(payload.get("redemption"))}
        return payload

    def shown(self, readings: Readings) -> Json:
        """The event as the API shows it, instants not yet printed."""
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
    """The payload in the form of the activity list, where that is another (reference §10.6)."""
    if kind.startswith("customer.reward_redemptions") and readings.reward_redemptions == "activity":
        balance = (payload.get("balance") or {}).get("amount")
        return {**payload, "source": payload["source"]["type"], "balance": balance}
    return payload


def _dated(redemption: Json | None) -> Json | None:
    if redemption is None:
        return None
    return {"date" if key == "created_at" else key: value for key, value in redemption.items()}


def with_unknown(activity: Sequence[Event], readings: Readings) -> list[Event]:
    """The activity of a customer, with a type nobody has heard of if the reading asks for it."""
    events = list(activity)
    if events and readings.unknown_event_types:
        first = events[0]
        extra = Event(f"{first.id}0", UNKNOWN_TYPE, first.created_at, first.group_id, {"odd": True})
        events.insert(1, extra)
    return events


@dataclass(frozen=True, kw_only=True)
class ActivityQuestion:
    """One activity request, parsed (reference §10.1)."""

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
    events: Iterable[Event], question: ActivityQuestion, readings: Readings
) -> tuple[list[Event], bool]:
    """One page of events, and whether more follow."""
    rows = sorted(events, key=lambda event: event.created_at)
    if (question.order or readings.activity_order) == "-created_at":
        rows.reverse()
    if question.starting_after_id is not None:
        seen = [event.id for event in rows]
        after = question.starting_after_id
        rows = rows[seen.index(after) + 1 :] if after in seen else []
    rows = [event for event in rows if _wanted(event, question, readings)]
    return rows[: question.limit], len(rows) > question.limit


def _wanted(event: Event, question: ActivityQuestion, readings: Readings) -> bool:
    payload: Any = event.payload if isinstance(event.payload, dict) else {}
    campaign = payload.get("campaign") or {}
    return (
        question.type in {None, event.type}
        and question.category in {None, event.category}
        and question.campaign_id in {None, campaign.get("id")}
        and question.campaign_type in {None, campaign.get("campaign_type")}
        and _in_time(event.created_at, question, inclusive=readings.activity_dates == "inclusive")
    )


def _in_time(moment: datetime, question: ActivityQuestion, *, inclusive: bool) -> bool:
    start, end = question.start_date, question.end_date
    if moment in {start, end}:
        return inclusive
    return (start is None or moment > start) and (end is None or moment < end)
