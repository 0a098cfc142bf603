"""The settings and their JSON schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from target_voucherify.voucherify_client.connection_settings import settings_schema, stripped
from target_voucherify.voucherify_client.errors import SettingsError

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
    results_path: str | None = None
    ledger_path: str | None = None
    compare: Literal["ledger", "export"]
    verify: bool
    on_delete: Literal["ignore", "delete", "permanent_delete"]
    max_delete_percent: float
    dry_run: bool
    plan_path: str | None = None
    max_calls: int | None = None
    metrics_path: str | None = None
    entities: dict[str, dict[str, Any] | None] | None = None

    def __repr__(self) -> str:
        return "Settings(…)"  # a secret is among them

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """The settings of a validated configuration with defaults."""
        # Not strict: JSON schema takes 5000.0 for an integer.
        settings = msgspec.convert(config, cls, strict=False)
        _check_together(settings)
        return settings


def _check_together(settings: Settings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        SettingsError: two do.
    """
    if settings.verify and not (settings.compare == "export" and settings.ledger_path):
        raise SettingsError(
            "The setting verify needs compare: export, which shows what was there before, and "
            "ledger_path, which remembers how Voucherify prints what was sent."
        )
    if settings.plan_path and not settings.dry_run:
        raise SettingsError(
            "The setting plan_path is for a dry run, and this run would write: set dry_run, or "
            "leave plan_path out."
        )
    if settings.compare == "export" and settings.max_calls is not None:
        raise SettingsError(
            "The setting compare: export needs some seven calls at once, twice with verify, so it "
            "does not go with max_calls: leave one of them out."
        )


def with_defaults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with defaults, trimmed; Meltano passes unset settings as null."""
    defaults = {
        name: definition["default"]
        for name, definition in schema["properties"].items()
        if "default" in definition
    }
    given = {name: value for name, value in config.items() if value is not None}
    return {**defaults, **given, **stripped(given)}
