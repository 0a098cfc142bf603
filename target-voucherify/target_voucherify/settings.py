"""The settings, as users write them, and what makes them wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema
from singer_sdk import typing as th

from target_voucherify import address
from target_voucherify.authorization import HEADER_VALUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
        "customers_stream",
        th.StringType(min_length=1),
        default="customers",
        title="Customers stream",
        description="The one incoming stream that holds customers.",
    ),
    th.Property(
        "source_id",
        th.StringType,
        title="Source ID",
        description="Property that holds the CRM's own key, which a customer keeps for ever. "
        "Without it: source_id if the stream has it, else the single key property.",
    ),
    th.Property(
        "mapping",
        th.ObjectType(additional_properties=th.CustomType({"type": ["string", "object"]})),
        title="Mapping",
        description="Voucherify field to property, for example name: full_name, address.city: "
        "town, metadata.tier: tier. Without it, properties of the same names.",
    ),
    th.Property(
        "unmapped",
        th.StringType,
        default="ignore",
        allowed_values=["ignore", "metadata", "refuse"],
        title="Unmapped properties",
        description="What becomes of properties that have no place: their names are logged once "
        "(ignore), they become metadata, or they are refused.",
    ),
    th.Property(
        "nulls",
        th.StringType,
        default="drop",
        allowed_values=["drop", "send"],
        title="Nulls",
        description="Whether null is left out (drop) or sent, which clears the field.",
    ),
    th.Property(
        "write_path",
        th.StringType,
        default="bulk",
        allowed_values=["bulk", "single", "auto"],
        title="Write path",
        description="bulk takes thousands of customers per call; single takes one call each, and "
        "is what fires customer.updated webhooks. auto: a run that brings at most 50 customers "
        "writes them singly, any other in bulk.",
    ),
    th.Property(
        "batch_size_rows",
        th.IntegerType(minimum=1),
        default=5000,
        title="Batch size",
        description="Customers in one bulk request at most. It always stays under 10,485,760 "
        "bytes.",
    ),
    th.Property(
        "async_timeout",
        th.NumberType(exclusive_minimum=0),
        default=3600,
        title="Job timeout",
        description="Seconds that a bulk job may take.",
    ),
    th.Property(
        "refused_records_path",
        th.StringType,
        title="Refused records path",
        description="File to which refused records are appended, as Singer messages that can be "
        "replayed. Without it, a refusal fails the run.",
    ),
    th.Property(
        "max_refused_percent",
        th.NumberType(minimum=0, maximum=100),
        default=5,
        title="Most refused records",
        description="Share of refused records, in percent, above which the run fails all the "
        "same. Judged at the end, and from the hundredth record on.",
    ),
    th.Property(
        "ledger_path",
        th.StringType,
        title="Ledger path",
        description="SQLite file that remembers what was accepted, so that unchanged customers "
        "are not sent again.",
    ),
    th.Property(
        "on_delete",
        th.StringType,
        default="ignore",
        allowed_values=["ignore", "delete", "permanent_delete"],
        title="On delete",
        description="What becomes of customers that the CRM marks as deleted (_sdc_deleted_at).",
    ),
    th.Property(
        "max_delete_percent",
        th.NumberType(minimum=0, maximum=100),
        default=1,
        title="Most deletions",
        description="Share of the run's records, in percent, above which nothing is deleted and "
        "the run fails.",
    ),
    th.Property(
        "dry_run",
        th.BooleanType,
        default=False,
        title="Dry run",
        description="Read everything, write nothing, pass no state on; report what would happen "
        "and what it would cost.",
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


def errors(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Everything wrong with a configuration, in sentences that show no value of it.

    Args:
        config: the settings as given.
        schema: JSON schema of all settings, those of the SDK included.
    """
    validator = jsonschema.Draft7Validator(dict(schema))
    found = [_in_words(error) for error in validator.iter_errors(dict(config))]
    found += [
        f"The setting {name} holds a line break or another character that no HTTP header can "
        "carry: copy it again from Voucherify's Project settings."
        for name in KEYS
        if config.get(name) and not HEADER_VALUE.fullmatch(str(config[name]))
    ]
    wrong_address = address.problem(str(config["api_url"]))
    if wrong_address:
        found.append(wrong_address)
    return sorted(set(found))


def unknown(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterable[str]:
    """Names in the configuration that are no settings: most likely misspelt."""
    return sorted(config.keys() - schema["properties"].keys())


def _in_words(error: jsonschema.ValidationError) -> str:
    name = ".".join(str(part) for part in error.absolute_path)
    rule: Any = error.validator_value
    if error.validator == "required":
        given: Any = error.instance
        names = ", ".join(key for key in rule if key not in given)
        return f"The configuration lacks {names}: set it."
    if error.validator == "enum":
        return f"The setting {name} must be {' or '.join(value for value in rule if value)}."
    return f"The setting {name} does not fit: {error.validator} must be {rule!r}."
