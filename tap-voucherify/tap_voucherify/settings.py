"""The settings of the tap, and the checks that a JSON schema cannot express."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_voucherify.pagination.position import EARLIEST, LATEST
from tap_voucherify.voucherify_client.connection_settings import (
    config_errors,
    settings_schema,
    unknown_settings,
)
from tap_voucherify.voucherify_client.errors import SettingsError, VoucherifyError
from tap_voucherify.voucherify_client.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

PREFIX = "TAP_VOUCHERIFY_"
"""Of environment variables."""

SETTINGS = settings_schema(Path(__file__).with_suffix(".json"))


def validate_config(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise for settings that cannot work, naming the setting and the rule but never its value.

    Raises:
        SettingsError: what is wrong.
    """
    errors = sorted(unknown_settings(config, schema, PREFIX, os.environ))
    errors += sorted(set(config_errors(config, schema)))
    if errors:
        raise SettingsError(" ".join(errors))
    times = [_time(name, config[name]) for name in ("start_date", "end_date") if config.get(name)]
    if times != sorted(set(times)):
        raise SettingsError("The setting end_date must be after start_date.")


def _time(name: str, text: str) -> datetime:
    """The instant of a setting.

    Raises:
        SettingsError: it is not an instant, or lies centuries away.
    """
    try:
        instant = parse(text)
    except VoucherifyError:
        raise SettingsError(
            f"The setting {name} is not an ISO 8601 timestamp, such as 2026-01-31T00:00:00Z."
        ) from None
    if not EARLIEST <= instant <= LATEST:
        raise SettingsError(
            f"The setting {name} must lie between {EARLIEST.year} and {LATEST.year}."
        )
    return instant
