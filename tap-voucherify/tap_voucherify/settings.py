"""The settings of the tap, and the checks that a JSON schema cannot express."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_voucherify.voucherify_client.connection_settings import config_errors, settings_schema
from tap_voucherify.voucherify_client.errors import SettingsError
from tap_voucherify.voucherify_client.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTINGS = settings_schema(Path(__file__).with_suffix(".json"))


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
