"""The settings and their JSON schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from singer_sdk import typing as th

from target_voucherify.voucherify_client.connection_settings import CONNECTION, MAX_CALLS, stripped

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = th.PropertiesList(
    *CONNECTION,
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
        description="What to do with unmapped properties: ignore them (their names are logged "
        "once), send them as metadata, or refuse them.",
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
        "same. Checked at the end, and from the hundredth record on.",
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
        description="What to do with customers that the CRM marks as deleted (_sdc_deleted_at).",
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
        description="Read everything, write nothing, emit no state; report what would happen "
        "and what it would cost.",
    ),
    MAX_CALLS,
).to_dict()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one run; the JSON schema describes them."""

    application_id: str
    secret_key: str
    api_url: str
    auth_method: str
    customers_stream: str
    source_id: str | None = None
    mapping: dict[str, Any] | None = None
    unmapped: Literal["ignore", "metadata", "refuse"]
    nulls: Literal["drop", "send"]
    write_path: Literal["bulk", "single", "auto"]
    batch_size_rows: int
    async_timeout: float
    refused_records_path: str | None = None
    max_refused_percent: float
    ledger_path: str | None = None
    on_delete: Literal["ignore", "delete", "permanent_delete"]
    max_delete_percent: float
    dry_run: bool
    max_calls: int | None = None

    def __repr__(self) -> str:
        return "Settings(…)"  # a secret is among them

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """The settings of a validated configuration with defaults."""
        # Not strict: JSON schema takes 5000.0 for an integer.
        return msgspec.convert(config, cls, strict=False)


def with_defaults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with defaults, trimmed; Meltano passes unset settings as null."""
    defaults = {
        name: definition["default"]
        for name, definition in schema["properties"].items()
        if "default" in definition
    }
    given = {name: value for name, value in config.items() if value is not None}
    return {**defaults, **given, **stripped(given)}
