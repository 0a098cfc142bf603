"""The redacted recording of a probe: every request and response, to be shared."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.certify.exchange import EMAIL, ID, QUERY
from voucherify_sandbox.certify.questions import MEMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox.certify.exchange import Json
    from voucherify_sandbox.certify.notes import Notes

_NAMES = (
    "a b c d e n z code key message details error statusCode total has_more data_ref customers data"
    " type status operation_status result done_count failed_count errors reports"
    " reports_available_till progress processing_time async_action_id async_actions"
    " more_starting_after url exported_object parameters fields filters order junction conditions"
    " $after channel related_object related_object_id data_json properties allow_defined_only"
    " amount customer limit page starting_after starting_after_id start_date end_date source_ids"
    " city country state line_1 line_2 postal_code redemptions orders total_redeemed total_failed"
    " total_succeeded total_rolled_back total_rollback_failed total_rollback_succeeded gift"
    " redeemed_amount amount_to_go loyalty_card redeemed_points points_to_go total_amount"
    " total_count average_amount last_order_amount last_order_date points referred_customers"
    " campaigns resource_id resource_type request_id group_id events customer_events daily_events"
    " segments order_events campaign campaign_type referral_program conversion_event_type"
    " referee_reward related_object_parent redemption reward reward_redemption balance source"
    " source_type state date object referral_tier parameters gift type"
)
KNOWN = MEMBERS | frozenset(_NAMES.split())
"""Members whose values are shown; of any other only the type is."""

NAMED_BY_THE_PROJECT = frozenset(("campaigns", "properties"))
"""Objects whose members have the names of campaigns or of metadata keys."""

_BRACKETS = re.compile(r"\[\w+\]$")


class Redaction:
    """Replaces ids by numbered ones, and what is not the probe's own by its type."""

    def __init__(self, prefix: str) -> None:
        """Start with no ids."""
        self._prefix = prefix
        self._ids: dict[str, str] = {}

    def text(self, text: str) -> str:
        """A text without ids, queries of URLs and foreign e-mail addresses."""
        text = QUERY.sub(r"\1", text).replace(self._prefix, "cert")
        return ID.sub(lambda found: self._alias(found[0]), EMAIL.sub("e-mail", text))

    def _alias(self, identity: str) -> str:
        kind = re.split(r"[_-]", identity)[0]
        return self._ids.setdefault(identity, f"{kind}_{len(self._ids) + 1}")

    def value(self, value: Any) -> Any:
        """A JSON value, redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(part) for part in value]
        if isinstance(value, dict):
            return {self.text(name): self._member(name, part) for name, part in value.items()}
        return value

    def _member(self, name: str, value: Any) -> Any:
        if name in NAMED_BY_THE_PROJECT and isinstance(value, dict):
            return {f"{name}_{number}": "…" for number in range(1, len(value) + 1)}
        return self.value(value) if _BRACKETS.sub("", name) in KNOWN else type(value).__name__


def recorded(notes: Notes) -> Iterator[Json]:
    """Request and response of each call, oldest first."""
    redaction = Redaction(notes.prefix)
    for number, call in sorted(notes.calls.items()):
        exchange = notes.responses.get(number)
        body = redaction.value(call["body"])
        if isinstance(body, list) and len(body) > 10:  # noqa: PLR2004 - the rows are all alike
            body = [*body[:2], f"{len(body) - 3} more", body[-1]]
        request = {
            "method": call["method"],
            "path": redaction.text(call["path"]),
            "query": redaction.value(call["query"]),
            "body": body,
        }
        yield {
            "request": request,
            "response": None
            if exchange is None
            else {
                "status": exchange.status,
                "headers": dict(exchange.headers),
                "body": redaction.value(exchange.body),
                "text": redaction.text(exchange.text),
            },
        }


def lines(notes: Notes) -> str:
    """The recording, one JSON object a line."""
    return "".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in recorded(notes))
