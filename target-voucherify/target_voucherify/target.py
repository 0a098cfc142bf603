"""The target: its settings, and the stream it accepts."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from singer_sdk.helpers.capabilities import CapabilitiesEnum, PluginCapabilities
from typing_extensions import override

from target_voucherify import settings
from target_voucherify.errors import InputError
from target_voucherify.singer.sdk_overrides import FencedTarget
from target_voucherify.sinks import Customers
from target_voucherify.voucherify_client.connection_settings import config_errors, stripped
from target_voucherify.voucherify_client.exit_status import exit_status


class TargetVoucherify(FencedTarget):
    """Singer target for Voucherify: upserts customers by the key of the CRM they come from."""

    name = "target-voucherify"
    package_name = "target-voucherify"
    config_jsonschema: ClassVar[dict[str, Any]] = settings.SETTINGS
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    @override
    def get_sink_class(self, stream_name: str) -> type[Customers]:
        """The customers sink for the customers stream; any other stream is refused.

        Raises:
            InputError: it is another stream. A wrong `source_id` can never be corrected, so no
                stream is accepted on a guess.
        """
        wanted = self.config["customers_stream"]
        if stream_name != wanted:
            raise InputError(
                f"stream {stream_name} is not the customers stream ({wanted}): set "
                f"customers_stream to {stream_name}, or map it with stream_maps: "
                f'{{"{stream_name}": {{"__alias__": "{wanted}"}}}}; a stream that holds no '
                "customers is best deselected in the tap"
            )
        return Customers

    @override
    def setting_errors(self) -> list[str]:
        """A message for every wrong setting; unknown ones are only logged."""
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        for name, definition in schema["properties"].items():
            if "default" in definition and self._config.get(name) is None:
                self._config[name] = definition["default"]
        self._config.update(stripped(self._config))
        for name in settings.unknown(self._config, schema):
            self.logger.warning("Setting %s is not known and changes nothing", name)
        return sorted(set(config_errors(_without_nulls(self._config), schema)))

    @classmethod
    @override
    def invoke(cls, **options: Any) -> None:
        """Run the target as the SDK does, and log the summary last, however the run ended."""
        if options.get("about"):
            super().invoke(**options)
        given = options["config"]
        target = cls(config=given.config, parse_env_config=given.parse_env)
        status = 0
        try:
            target.listen(options["file_input"])
        except Exception as error:  # noqa: BLE001 - logged here, so that the summary is the last line
            status = exit_status(error, cls.logger)
        target.run.summary.log()
        sys.exit(status)


def _without_nulls(config: dict[str, Any]) -> dict[str, Any]:
    """Settings that are set; Meltano passes an unset one as null."""
    return {name: value for name, value in config.items() if value is not None}
