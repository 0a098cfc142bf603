"""Makes the table of the costs of each stream in `docs/streams.md`."""

from __future__ import annotations

from tables import replication

from tap_voucherify.pagination import endpoints
from tap_voucherify.pagination.page_number import LAST_PAGE
from tap_voucherify.pagination.time_cursor import PAGE_ROWS
from tap_voucherify.streams.catalog import STREAMS
from tap_voucherify.streams.child import ChildStream
from tap_voucherify.streams.paged import FullTableStream, NewestFirstStream
from tap_voucherify.streams.reward_events import RewardEvents
from tap_voucherify.streams.time_range import TimeRangeStream

SOURCES = {
    "customers": f"GET {endpoints.CUSTOMERS}",
    "customer_deletions": "customer.deleted",
    "reward_events": f"GET {RewardEvents.path}",
}
"""Sources of streams that declare no endpoint: a path, or the type of a webhook."""

REACH = f"the newest {LAST_PAGE * PAGE_ROWS:,} rows; more since the bookmark are an error"

BY_PAGES = (
    "1 per 100 rows since the bookmark, at least 1 for each time, and 1 more where more than 100 "
    "were updated; or 1 if there are no rows"
)

COSTS: dict[str, tuple[str, str]] = {
    "customers": (
        "first run 1 per 100 customers; then 2, 1 per 100 changed, 1 per one named by a webhook",
        "9,900 rows in one millisecond",
    ),
    "customer_deletions": ("none", "what no webhook brought"),
    "reward_events": (
        (
            "none from webhooks; polling 1 per 100 redemptions, at least 1, and 1 per customer who "
            "may have something new; 2 and 1 per 100 changed customers where `customers` was not "
            "read from the same instant"
        ),
        "an event that is listed later than twice `lookback_window` after it happened is missed",
    ),
    "reward_assignments": ("1 per 100 rewards and 1 per reward", "none that matters"),
    "campaign_transactions": (
        "1 per 100 campaigns, 1 per gift or loyalty campaign, and 1 per 100 new transactions",
        "none",
    ),
    "referral_holders": (
        "2, 2 per referral campaign, 1 per code that is new, changed, redeemed or event-driven",
        "a holder assigned to an old code by other means is missed",
    ),
    "segments": ("1 per 100 segments", "none"),
    "skus": (
        "1 per 100 products, at least 1, and 1 per product with more SKUs than its list shows",
        f"SKUs of {LAST_PAGE * PAGE_ROWS:,} products; more are an error",
    ),
    "metadata_schemas": ("1", "none"),
    "loyalty_tiers": (
        "1 per 100 loyalty campaigns, at least 1, and 1 per loyalty campaign",
        f"{PAGE_ROWS} tiers of a campaign; more are an error",
    ),
    "pending_points": (
        "1 per 100 loyalty campaigns, at least 1, and of each 1 per 100 rows, at least 1",
        "none",
    ),
    "promotion_tiers": (
        BY_PAGES,
        f"{REACH}; `summary` is that of the last change, if redeeming is none",
    ),
    "validation_rules": (
        BY_PAGES,
        f"{REACH}; `assignments_count` is that of the last change, if assigning is none",
    ),
    "validation_rule_assignments": (BY_PAGES, f"{REACH}; that one is gone is not seen"),
    "redemptions": (
        "1 per 100 new redemptions, at least 1",
        "a rollback changes the status of a row that was read before; it comes as a row of its own",
    ),
}
"""Calls and limits of the streams that differ from their kind."""

COSTS_BY_KIND: dict[type, tuple[str, str]] = {
    TimeRangeStream: (
        "first run 1 per 100 rows; then 2, and 1 per 100 changed",
        "9,900 rows in one millisecond",
    ),
    NewestFirstStream: (BY_PAGES, REACH),
    FullTableStream: ("1 per 100 rows", f"{LAST_PAGE * PAGE_ROWS:,} rows; more are an error"),
    ChildStream: ("1 per parent", "none"),
}


def stream_costs_table() -> str:
    """A Markdown table: stream, endpoint, key, replication, cost in calls, limits."""
    lines = [
        "| stream | endpoint | key | replication | calls of a run | limits |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for stream in STREAMS:
        kind = next((fact for base, fact in COSTS_BY_KIND.items() if issubclass(stream, base)), "")
        calls, limits = COSTS.get(stream.name) or kind
        path = getattr(stream, "path", None)
        source = f"GET {path}" if path else SOURCES[stream.name]
        keys = ", ".join(f"`{key}`" for key in stream.primary_keys)
        lines.append(
            f"| `{stream.name}` | `{source}` | {keys} | {replication(stream)} | {calls} "
            f"| {limits} |"
        )
    return "\n".join(lines)
