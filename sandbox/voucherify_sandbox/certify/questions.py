"""The questions of a probe, and what was found out about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import readings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voucherify_sandbox.certify.exchange import Json


@dataclass(frozen=True)
class Answer:
    """What was seen; `value` is the answer of a reading, `None` if it is none of them."""

    seen: str
    value: Any = None


QUESTIONS: dict[str, dict[str, str]] = {
    "look": {"rate_limit": "Calls allowed, and how many were left"},
    "create": {
        "missing_updated_at": "`updated_at` of a customer that was never updated",
        "phones": "A phone number, read back",
        "other_fields": "E-mail, birthdate and address, read back",
        "null_fields": "Fields that a customer does not have",
        "server_clock": "`created_at` and the header Date",
    },
    "read_back": {
        "read_after_write": "A customer right after it was created",
        "list_lag_seconds": "Seconds until the list shows a new customer",
        "has_more_in_page_mode": "`has_more` with `page`",
        "cursor_with_page": "`starting_after` together with `page`",
    },
    "bounds": {
        "total": "What `total` counts",
        "has_more_in_cursor_mode": "`has_more` with `starting_after`",
        "filters": "A row at the bound of `[after]` and `[before]`",
        "cursor": "A row at `starting_after`",
    },
    "touch": {"unchanged_write_updates": "`updated_at` after a write that changes nothing"},
    "update_order": {
        "never_updated": "Never updated customers under `order=updated_at`",
        "never_updated_in_filters": "The same under `updated_at[after]`",
        "updated_cursor": "`starting_after` under `order=updated_at`",
    },
    "merge": {
        "upsert": "Fields that a write does not name",
        "metadata": "Metadata keys that a write does not name",
        "metadata_nulls": "A null inside metadata",
        "nulls": "A null field",
        "address": "Members of the address that a write does not name",
    },
    "keys": {
        "source_id_length": "A `source_id` of 1,000 characters",
        "source_id_case": "Two keys that differ in case",
        "source_id_characters": "A `source_id` with `/`, `%`, `@` and a space, in a path",
    },
    "limits": {
        "page_limit": "`page` above 99",
        "limit_above_100": "`limit` above 100",
    },
    "sums": {
        "recalculation_updates": "`updated_at` after sums are recalculated",
        "settle_seconds": "Seconds until an order is in the customer's sums",
    },
    "bulk": {
        "bulk_invalid_rows": "A bulk request with invalid rows",
        "errors_listed": "Errors that a job lists",
        "running_result": "The result of a job that has not ended",
        "job_seconds": "Seconds until a job ends",
        "bulk_write_updates": "`updated_at` after a bulk write",
        "bulk_created": "`updated_at` of a customer that a bulk write created",
        "bulk_nulls": "Null fields in a bulk write",
        "bulk_metadata": "Metadata in a bulk write",
    },
    "many": {
        "bulk_max_records": "A bulk request with 1,001 rows",
        "duplicates": "Rows with the same `source_id` in one bulk request",
    },
    "metadata": {"metadata_async": "Metadata written for many customers at once"},
    "activity": {
        "activity_order": "Activity without `order`",
        "activity_dates": "An event at `start_date` and at `end_date`",
        "activity_types": "Two values of `type`",
        "activity_cursor": "`starting_after_id`",
        "unknown_event_types": "Types of events",
    },
    "export": {
        "export_headers": "Header line of an export",
        "export_bom": "Byte order mark of an export",
        "export_line_ends": "Line ends of an export",
        "export_quotes": "Quotes in an export",
        "export_metadata": "Columns of metadata in an export",
        "export_filter": "The time of day in a filter of an export",
    },
    "exact": {},
    "exact_dates": {},
    "delete": {
        "deleted_read": "Reading a deleted customer, and its activity",
        "deleted_listed": "A deleted customer in the list",
        "deleted_key": "The `source_id` of a deleted customer, used again",
    },
    "referral": {
        "redemption_instant": "The time of a redemption inside `customer.rewarded`",
        "reward_redemptions": "The shape of `customer.reward_redemptions.*`",
        "reward_seconds": "Seconds until the events of a reward are listed",
        "referee_events": "Events of a customer who redeems a friend's code",
        "referrer_events": "Events of the friend",
        "referrer_mark": "What marks the friend's reward",
    },
    "form": {
        "timestamps": "Format of timestamps",
        "unknown_fields": "Members of a customer that are not published",
    },
}
"""The questions of each step, by the name of the reading or a name of their own."""

UNSEEN: dict[str, str] = {
    "ties": "it needs many customers with one timestamp",
    "webhook_events": "it needs a receiver of webhooks",
    "gone_cursor": "it needs rows that go while they are read",
    "skus_in_products": "it needs a product with more SKUs than a page holds",
    "known_order_imported": "it needs orders, which cannot be deleted",
    "import_failures": "it needs orders, which cannot be deleted",
    "second_import": "it needs orders, which cannot be deleted",
    "job_polls": "a job ends by time, not by polls",
    "export_polls": "an export ends by time, not by polls",
}
"""Readings that a probe cannot see, and why."""

REWARDS = "rewards"
"""The part of a probe that makes campaigns, and is taken only if it is asked for."""

_OF_REWARDS = ("look", "create", "referral", "form")

ELSEWHERE = dict.fromkeys(QUESTIONS["referral"], "`certify --rewards` asks")
"""Questions that only that part asks."""


def asked(part: str) -> dict[str, dict[str, str]]:
    """The questions of a part of the probe, by step."""
    if part == REWARDS:
        return {step: QUESTIONS[step] for step in _OF_REWARDS}
    return {step: QUESTIONS[step] for step in QUESTIONS if step != "referral"}


MEMBERS = frozenset(
    [
        "id",
        "source_id",
        "name",
        "description",
        "email",
        "phone",
        "birthdate",
        "birthday",
        "address",
        "metadata",
        "system_metadata",
        "summary",
        "loyalty",
        "referrals",
        "created_at",
        "updated_at",
        "assets",
        "object",
    ]
)
"""The published members of a customer."""

_EVENTS = (
    "created updated deleted confirmed referred rewarded custom_event followed redemption"
    " reward_redemptions voucher publication segment loyalty order validation holder consents"
)
EVENTS = frozenset(_EVENTS.split())
"""The second word of the published types of activity."""


class Findings:
    """The answers of a probe, and why the others are missing."""

    def __init__(self) -> None:
        """Nothing is answered yet."""
        self.answers: dict[str, Answer] = {}
        self.reasons: dict[str, str] = {}

    def answer(self, name: str, seen: str, value: Any = None) -> None:
        """Set an answer."""
        self.answers[name] = Answer(seen, value)

    def open(self, name: str, reason: str) -> None:
        """Say why there is no answer; a given answer stays."""
        self.reasons.setdefault(name, reason)

    def leave_open(self, step: str, reason: str) -> None:
        """Say why a step's questions have no answer."""
        for name in QUESTIONS[step]:
            if name not in self.answers:
                self.open(name, reason)

    def readings(self) -> Json:
        """The answered readings, by name."""
        return {
            name: self.answers[name].value
            for name in readings.names()
            if name in self.answers and self.answers[name].value is not None
        }

    def rows(self, part: str) -> Iterable[tuple[str, str, str]]:
        """Question, what was seen, and the reading, for each question of a part."""
        for name, text in [pair for step in asked(part).values() for pair in step.items()]:
            found = self.answers.get(name)
            if found is None:
                yield text, f"not answered: {self.reasons.get(name, 'the run ended before')}", ""
                continue
            value = found.value
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            reading = "" if value is None else f"{name}={shown}"
            yield text, found.seen, reading
        if part == REWARDS:
            return
        for name, why in (ELSEWHERE | UNSEEN).items():
            yield f"Reading `{name}`", f"not asked: {why}", ""
