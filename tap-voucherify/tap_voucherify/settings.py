"""The settings of the tap, and the checks that a JSON schema cannot express."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk import typing as th

from tap_voucherify.rewards.event import REWARD_EVENT_TYPES
from tap_voucherify.voucherify_client.connection_settings import (
    CONNECTION,
    MAX_CALLS,
    config_errors,
)
from tap_voucherify.voucherify_client.errors import SettingsError
from tap_voucherify.voucherify_client.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = th.PropertiesList(
    *CONNECTION,
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="Only what changed at or after this instant. Unset: everything.",
    ),
    th.Property(
        "end_date",
        th.DateTimeType,
        title="End date",
        description="Only what was created before this instant; with start_date it makes a slice "
        "that needs no state, for parallel backfills.",
    ),
    th.Property(
        "lookback_window",
        th.IntegerType(minimum=0),
        default=60,
        title="Lookback window",
        description="Seconds that an incremental run starts behind its bookmark, because totals "
        "and reward events settle seconds after the request that caused them.",
    ),
    th.Property(
        "max_concurrency",
        th.IntegerType(minimum=1, maximum=64),
        default=8,
        title="Maximum concurrency",
        description="Maximum number of requests in flight.",
    ),
    th.Property(
        "customers_backfill",
        th.StringType,
        allowed_values=["list", "export"],
        default="list",
        title="Customers backfill",
        description="How the first run reads customers. list: a call per hundred, every field. "
        "export: about ten calls through the Exports API, which leaves out referrals, loyalty by "
        "campaign, gift and loyalty-card totals, system metadata and metadata outside the schema.",
    ),
    th.Property(
        "reward_event_types",
        th.ArrayType(th.StringType),
        default=list(REWARD_EVENT_TYPES),
        title="Reward event types",
        description="Activity types that become reward_events.",
    ),
    th.Property(
        "reward_events_scan",
        th.StringType,
        allowed_values=["changed", "all"],
        default="changed",
        title="Reward events scan",
        description="changed: read the activity of customers that may have something new since the "
        "bookmark. all: read that of every customer, one call each, and report what changed would "
        "have missed.",
    ),
    th.Property(
        "webhook_store",
        th.StringType(min_length=1),
        title="Webhook store",
        description="File in which `voucherify-webhooks serve` stores events. The tap reads "
        "reward_events from it without an API call, reads the customers that it names again, and "
        "knows customer_deletions. Unset: polling alone.",
    ),
    th.Property(
        "reconciliation_interval",
        th.IntegerType(minimum=0),
        default=24,
        title="Reconciliation interval",
        description="With webhook_store: hours after which a run also reads reward_events by "
        "polling and reports events that no webhook delivered. 0: in every run.",
    ),
    MAX_CALLS,
).to_dict()


def validate_config(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise for settings that cannot work, naming the setting and the rule but never its value.

    Raises:
        SettingsError: the first problem found.
    """
    for error in config_errors(config, schema):
        raise SettingsError(error)
    for name in ("start_date", "end_date"):
        if config.get(name) is not None:
            parse(config[name], what=f"The setting {name}")
