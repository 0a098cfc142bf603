"""The target: its settings, the streams it accepts, and the hooks of the SDK that it replaces.

The SDK keeps only the newest STATE and prints it when all sinks are drained: at the end of the
input, and on SIGTERM, where it may print a state for records that were never written. So its
handlers of messages and signals are replaced. `HOOKS` names them; a test compares their code in the
installed SDK with the code that this was written for.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import IO, TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk.helpers.capabilities import CapabilitiesEnum, PluginCapabilities
from singer_sdk.mapper import PluginMapper
from singer_sdk.target_base import Target
from typing_extensions import override

from target_voucherify import doctor
from target_voucherify.errors import InputError
from target_voucherify.json_lines import state_text
from target_voucherify.run import Run
from target_voucherify.settings import SETTINGS, Settings, with_defaults
from target_voucherify.singer.reader import LINE, MessageReader
from target_voucherify.singer.routing import StreamRouter
from target_voucherify.singer.stream_maps import option_errors
from target_voucherify.sinks import EntitySink
from target_voucherify.voucherify_client.connection_settings import (
    checked_environment,
    config_errors,
    numbers,
    unknown_settings,
)
from target_voucherify.voucherify_client.errors import SettingsError, StopSignalError
from target_voucherify.voucherify_client.examination import doctor_option
from target_voucherify.voucherify_client.exit_status import exit_status
from target_voucherify.voucherify_client.log_names import column_name
from target_voucherify.voucherify_client.sdk_version import warn_if_untested

if TYPE_CHECKING:
    from types import FrameType

    import click
    from singer_sdk.singerlib.encoding.base import GenericSingerReader

    from target_voucherify.singer.stream_maps import StreamMaps

HOOKS = (
    "_process_schema_message",
    "_process_record_message",
    "_process_state_message",
    "_process_activate_version_message",
    "_process_batch_message",
    "_handle_termination",
    "_validate_config",
    "append_builtin_config",
    "drain_all",
    "get_sink",
    "get_singer_command",
    "invoke",
    "process_endofpipe",
)
"""Members of the SDK's target that are replaced here, or relied on unchanged."""


class TargetVoucherify(Target):
    """Singer target for Voucherify: upserts customers, products and orders by their own keys."""

    name = "target-voucherify"
    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]
    message_reader_class: type[GenericSingerReader[Any]] = MessageReader
    message_reader: MessageReader

    def __init__(self, **arguments: Any) -> None:
        is_read = bool(arguments.get("parse_env_config"))
        with checked_environment(self.config_jsonschema, self._env_var_prefix, is_read=is_read):
            super().__init__(**arguments)
        warn_if_untested(self.logger)
        self.run = Run(Settings.from_config(self.config))
        has_maps = self._stream_maps or self.config.get("flattening_enabled")
        mapper_of = self._mapper_of if has_maps else None
        self._router = StreamRouter(self.run, self._sink_for, self._stream_maps, mapper_of)
        self.message_reader.shutdown = self.run.shutdown
        self.run.shutdown.before_exit = self._log_hang
        self.message_reader.before_read = self.run.work_while_waiting
        if self.run.outcomes.file:
            self.message_reader.input_size = self.run.outcomes.file.begin_replay

    @override
    def get_sink_class(self, stream_name: str) -> type[EntitySink]:
        """The sink for the streams that the settings name; any other stream is refused.

        Raises:
            InputError: it is another stream. A wrong `source_id` can never be corrected, so no
                stream is accepted on a guess.
        """
        if self.run.of_stream(stream_name) is None:
            name, wanted = column_name(stream_name), self.run.customers.settings.stream
            others = ", ".join(stream for stream in self.run.streams if stream != wanted)
            besides = f", nor one that entities name ({others})" if others else ""
            raise InputError(
                f"stream {name} is not the customers stream ({wanted}){besides}: set "
                f"customers_stream to {name}, or map it with stream_maps: "
                f'{{"{name}": {{"__alias__": "{wanted}"}}}}; products and orders are named in '
                "entities, and a stream that holds none of them is best deselected in the tap"
            )
        return EntitySink

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        command.params.append(doctor_option())
        return command

    @classmethod
    @override
    def invoke(cls, **options: Any) -> None:
        """Run the target as the SDK does, with the exit status of `load`."""
        is_examined = options.pop("doctor", False)
        if options.get("about"):
            super().invoke(**options)
        given = options["config"]
        if is_examined:
            made = partial(_Examined, config=given.config, parse_env_config=given.parse_env)
            status, report = doctor.examine(lambda: made().config)
            sys.stdout.write(report)
            sys.exit(status)
        target = cls(config=given.config, parse_env_config=given.parse_env)
        sys.exit(target.load(options["file_input"]))

    def load(self, messages: IO[Any] | None) -> int:
        """Write what the messages hold, and log the summary last, however the run ends.

        Args:
            messages: Singer messages, a line each; `None` stands for standard input.

        Returns:
            The status to exit with.
        """
        status = 0
        try:
            self.listen(messages)
        except Exception as error:  # noqa: BLE001 - logged here, so that the summary is the last line
            status = exit_status(error, self.logger)
        self.run.summary.log(status)
        return status

    @override
    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        self._router.begin_stream(message_dict)

    @override
    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        self._router.handle_record(message_dict)

    @override
    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        """Add a STATE to the fence, as the text that came in."""
        if "value" not in message_dict:
            raise InputError("a STATE needs a value")
        self.run.add_state(state_text(message_dict[LINE]))

    @override
    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        self._router.activate_version(message_dict)

    @override
    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:
        """Refuse a BATCH: its files pass no stream map and carry no states."""
        raise InputError("BATCH messages are not read: take batch_config out of the tap's settings")

    @override
    def process_endofpipe(self) -> None:
        """Finish the run, however the input ended.

        A run that ends well before its input does reads the rest and discards it: no state covers
        it, and the tap would otherwise fail on a closed pipe, and the whole job with it.
        """
        self.run.finish(self.message_reader.error or self._router.input_error())
        if not self.run.summary.complete:
            self.message_reader.drain()

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Set the stop flag and nothing more; the run stops where nothing can be half done.

        Before there is a run the process ends, and not by an `Exception`: Python's own libraries
        swallow one while they look for packages, and the run would go on.
        """
        self.logger.warning("Signal %d: taking no new records", signum)
        if not hasattr(self, "run"):
            sys.exit(exit_status(StopSignalError(signum), self.logger))
        self.run.shutdown.request(signum)

    def _log_hang(self) -> None:
        self.logger.critical("A request hung past the signal's grace period: run again")
        self.run.summary.log(self.run.shutdown.exit_status)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings with messages that never show a value: one of them is a secret."""
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        known: dict[str, Any] = {"properties": dict(schema["properties"])}
        Target.append_builtin_config(known)
        for name in sorted(
            self._config.keys() & (known["properties"].keys() - schema["properties"])
        ):
            self.logger.warning("Setting %s is for other targets and changes nothing here", name)
        errors = sorted(unknown_settings(self._config, known, self._env_var_prefix, os.environ))
        self._config = with_defaults(self._config, schema)
        self._config |= numbers(self._config, known, self._env_var_prefix, os.environ)
        errors += sorted(set(config_errors(self._config, schema)))
        maps = self._config.get("stream_maps")
        if self._config.get("flattening_enabled") and not self._config.get("flattening_max_depth"):
            errors.append("The setting flattening_enabled needs flattening_max_depth, such as 1.")
        # A copy, because the SDK's mapper takes __else__ out of the setting.
        self._stream_maps: StreamMaps = dict(maps) if isinstance(maps, dict) else {}
        errors += option_errors(self._stream_maps)
        if errors and raise_errors:
            raise SettingsError(" ".join(errors))
        return errors

    @override
    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Offer stream maps and flattening; the SDK's load settings mean nothing here."""
        super(Target, cls).append_builtin_config(config_jsonschema)

    def _sink_for(self, stream: str, schema: dict[str, Any], keys: list[str] | None) -> EntitySink:
        sink = self.get_sink(stream, schema=schema, key_properties=keys)
        # A replaced sink needs no draining: the run holds what is still to be written.
        self._sinks_to_clear.clear()
        return cast("EntitySink", sink)

    def _mapper_of(self, maps: StreamMaps) -> PluginMapper:
        return PluginMapper({**self.config, "stream_maps": maps}, self.logger)


class _Examined(TargetVoucherify):
    """A target that has settings and no run."""

    def __init__(self, **arguments: Any) -> None:
        is_read = bool(arguments.get("parse_env_config"))
        with checked_environment(self.config_jsonschema, self._env_var_prefix, is_read=is_read):
            Target.__init__(self, **arguments)
