"""The settings and their JSON schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from target_voucherify.voucherify_client.connection_settings import settings_schema, stripped

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = settings_schema(Path(__file__).with_suffix(".json"))


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
    max_batch_age: float
    async_timeout: float
    refused_records_path: str | None = None
    max_refused_percent: float
    ledger_path: str | None = None
    on_delete: Literal["ignore", "delete", "permanent_delete"]
    max_delete_percent: float
    dry_run: bool
    max_calls: int | None = None
    metrics_path: str | None = None
    entities: dict[str, dict[str, Any] | None] | None = None

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
