"""The settings of the tap, and what a JSON schema cannot say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from singer_sdk import typing as th

from tap_voucherify import address
from tap_voucherify.authorization import HEADER_VALUE
from tap_voucherify.errors import VoucherifyError
from tap_voucherify.instants import parse
from tap_voucherify.rewards import REWARD_EVENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS = th.PropertiesList(
    th.Property(
        "application_id",
        th.StringType(min_length=1),
        required=True,
        secret=True,
        title="Application ID",
        description="Application ID of the project's server-side API key.",
    ),
    th.Property(
        "secret_key",
        th.StringType(min_length=1),
        required=True,
        secret=True,
        title="Secret key",
        description="Secret key of the same API key.",
    ),
    th.Property(
        "api_url",
        th.StringType,
        default="https://api.voucherify.io",
        title="API URL",
        description="API endpoint of the project's region, as Project settings show it. Must be "
        "https, or http on a loopback address.",
    ),
    th.Property(
        "auth_method",
        th.StringType,
        allowed_values=["api_key", "oauth"],
        default="api_key",
        title="Authentication method",
        description="api_key: the key pair goes with every request. oauth: it only makes tokens "
        "that last 15 minutes, and those go with the requests.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description="Only what changed at or after this instant. None: everything.",
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
        description="Requests in flight at most.",
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
        description="changed: ask only customers that may have something new since the bookmark. "
        "all: ask every customer, one call each, and report what changed would have missed.",
    ),
    th.Property(
        "webhook_store",
        th.StringType(min_length=1),
        title="Webhook store",
        description="File in which `voucherify-webhooks serve` keeps events. reward_events come "
        "from it without an API call, customers that it names are read anew, and "
        "customer_deletions are known. None: polling alone.",
    ),
    th.Property(
        "reconciliation_interval",
        th.IntegerType(minimum=0),
        default=24,
        title="Reconciliation interval",
        description="With webhook_store: hours after which a run also reads reward_events by "
        "polling and reports what no webhook had brought. 0: every run does.",
    ),
    th.Property(
        "max_calls",
        th.IntegerType(minimum=1),
        title="Maximum calls",
        description="Stop cleanly, state saved, once this many API calls were made; the next run "
        "goes on from there. None: no limit.",
    ),
).to_dict()


KEYS = ("application_id", "secret_key")


def stripped(config: Mapping[str, Any]) -> dict[str, str]:
    """The settings of the connection without blanks around them, which a file often adds."""
    return {
        name: value.strip()
        for name in (*KEYS, "api_url")
        if isinstance(value := config.get(name), str)
    }


def check(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Refuse settings that cannot work, naming the setting and the rule but never its value.

    Raises:
        VoucherifyError: the first problem found.
    """
    for problem in (*_schema_problems(config, schema), *_other_problems(config)):
        raise VoucherifyError(problem)


def _schema_problems(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """What the JSON schema objects to; its own messages repeat values, secrets included."""
    for error in Draft202012Validator(dict(schema)).iter_errors(dict(config)):
        path = ".".join(str(part) for part in error.absolute_path)
        if error.validator == "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            names = ", ".join(f"{path}.{name}" if path else name for name in missing)
            yield f"The configuration lacks {names}: set it."
        elif error.validator == "enum":
            words = " or ".join(value for value in error.validator_value if value)
            yield f"The setting {path} must be {words}."
        else:
            yield (
                f"The setting {path} does not fit: {error.validator} must be "
                f"{error.validator_value!r}."
            )


def _other_problems(config: Mapping[str, Any]) -> Iterator[str]:
    for name in KEYS:
        if config.get(name) and not HEADER_VALUE.fullmatch(str(config[name])):
            yield (
                f"The setting {name} holds a line break or another character that no HTTP header "
                "can carry: copy it again from Voucherify's Project settings."
            )
    wrong_address = address.problem(str(config["api_url"]))
    if wrong_address:
        yield wrong_address
    for name in ("start_date", "end_date"):
        if config.get(name) is not None:
            parse(config[name], what=f"The setting {name}")
