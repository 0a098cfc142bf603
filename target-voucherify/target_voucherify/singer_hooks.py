"""The one place where private hooks of the SDK are replaced, and why.

The SDK keeps only the newest STATE and prints it when all sinks are drained: at the end of the
input, and on SIGTERM, where it may print a state for records that were never written. Nothing of
that may happen here, so the handlers of messages and signals are replaced. `HOOKS` names them; a
test compares their code in the installed SDK with what was read when this was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.mapper import RemoveRecordTransform
from singer_sdk.plugin_base import PluginBase
from singer_sdk.target_base import Target
from typing_extensions import override

from target_voucherify.errors import (
    InputError,
    RecordBeforeSchemaError,
    SettingsError,
    StopSignalError,
)
from target_voucherify.reader import MessageReader, state_text
from target_voucherify.run import Run
from target_voucherify.sinks import Customers

if TYPE_CHECKING:
    from types import FrameType

    from singer_sdk.singerlib.encoding.base import GenericSingerReader

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
    "process_endofpipe",
)
"""Members of the SDK's target that are replaced here, or relied on as they are."""


class FencedTarget(Target):
    """A target whose states pass a fence, and nothing else."""

    message_reader_class: type[GenericSingerReader[Any]] = MessageReader
    default_sink_class = Customers

    def __init__(self, **arguments: Any) -> None:
        """Take the SDK's arguments; the run begins with the configuration they give."""
        super().__init__(**arguments)
        self.run = Run(self.config)
        self._streams: dict[str, Customers] = {}
        self._has_maps = bool(
            self.config.get("stream_maps") or self.config.get("flattening_enabled")
        )
        self.reader.stopping = self.run.stopping

    @property
    def reader(self) -> MessageReader:
        """The reader, by its own type."""
        reader = self.message_reader
        if not isinstance(reader, MessageReader):
            raise TypeError("This target reads with its own MessageReader.")
        return reader

    @override
    def _process_schema_message(self, message_dict: dict[str, Any]) -> None:
        """Prepare the sinks of a stream; the same SCHEMA again changes nothing."""
        stream, schema, keys = _parts_of_schema(message_dict)
        if self.run.outcomes.file:
            self.run.outcomes.file.declare(message_dict)
        if self._has_maps:
            self._register_maps(stream, schema, keys)
        else:
            self._streams[stream] = self._sink_for(stream, schema, keys)

    def _register_maps(self, stream: str, schema: dict[str, Any], keys: list[str] | None) -> None:
        self.mapper.register_raw_stream_schema(stream, schema, keys)
        for stream_map in self.mapper.stream_maps[stream]:
            if not isinstance(stream_map, RemoveRecordTransform):
                alias = stream_map.stream_alias
                self._streams[alias] = self._sink_for(
                    alias, stream_map.transformed_schema, stream_map.transformed_key_properties
                )

    def _sink_for(self, stream: str, schema: dict[str, Any], keys: Any) -> Customers:
        sink = self.get_sink(stream, schema=schema, key_properties=keys)
        # Replaced sinks hold nothing that is still to be written: the run does.
        self._sinks_to_clear.clear()
        if not isinstance(sink, Customers):
            raise TypeError("The sinks of this target are customers sinks.")
        sink.run = self.run
        return sink

    @override
    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        """Hand a record to its sink; the way through stream maps is taken only if there are any."""
        record = message_dict.get("record")
        if self._has_maps or type(record) is not dict:
            self._map_record(message_dict)
            return
        try:
            sink = self._streams[message_dict["stream"]]
        except (KeyError, TypeError):
            raise self._without_schema(message_dict) from None
        self.run.count()
        sink.take(record, self.reader.line)

    def _map_record(self, message: dict[str, Any]) -> None:
        stream, record = message.get("stream"), message.get("record")
        if type(record) is not dict:
            raise InputError("the record of a RECORD is not an object")
        if not isinstance(stream, str) or stream not in self.mapper.stream_maps:
            raise self._without_schema(message)
        kept = 0
        for stream_map in self.mapper.stream_maps[stream]:
            mapped = stream_map.transform(dict(record))
            if mapped is not None:
                kept += 1
                self.run.count()
                self._streams[stream_map.stream_alias].take(mapped, self.reader.line)
        if not kept:
            self.run.count()
            self.run.records.removed_by_stream_map += 1

    def _without_schema(self, message: dict[str, Any]) -> InputError:
        stream = message.get("stream")
        if not isinstance(stream, str):
            return InputError("a RECORD needs a stream")
        return RecordBeforeSchemaError(
            f"a RECORD of stream {stream} came before its SCHEMA: the tap is at fault, or the "
            "beginning of its output is missing"
        )

    @override
    def _process_state_message(self, message_dict: dict[str, Any]) -> None:
        """Hand a STATE to the fence, as the text that came in."""
        if "value" not in message_dict:
            raise InputError("a STATE needs a value")
        self.run.state(state_text(self.reader.line))

    @override
    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        """Note that a stream was sent whole."""
        self.run.activate_version(message_dict.get("version"))

    @override
    def _process_batch_message(self, message_dict: dict[str, Any]) -> None:
        """Refuse a BATCH: its files are read whole, pass no stream map and carry no states."""
        raise InputError("BATCH messages are not read: take batch_config out of the tap's settings")

    @override
    def process_endofpipe(self) -> None:
        """End the run, however the input ended.

        A run that ends well before its input does reads the rest and drops it: no state covers
        it, and whoever writes it would otherwise fail on a closed pipe, and the whole job with it.
        """
        self.run.finish(self.reader.stopped_by)
        self.reader.drop_the_rest()

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Note the signal and nothing more; the run unwinds where nothing can be half done."""
        self.logger.warning("Signal %d: taking no new records", signum)
        if not hasattr(self, "run"):
            raise StopSignalError("Stopped before anything was read.", 128 + signum)
        self.run.stopping.request(signum)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings in words that never show a value: one of them is a secret."""
        errors = self.setting_errors()
        if errors and raise_errors:
            raise SettingsError(" ".join(errors))
        return errors

    def setting_errors(self) -> list[str]:
        """What is wrong with the settings, a sentence each."""
        raise NotImplementedError

    @override
    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Offer stream maps and flattening; the SDK's load settings mean nothing here."""
        # The grandparent's method, past the parent's: see the docstring.
        PluginBase.append_builtin_config.__func__(cls, config_jsonschema)  # type: ignore[attr-defined]


def _parts_of_schema(message: dict[str, Any]) -> tuple[str, dict[str, Any], list[str] | None]:
    """Stream, schema and key properties of a SCHEMA message.

    Raises:
        InputError: one of them is missing, or is not what it should be.
    """
    stream, schema = message.get("stream"), message.get("schema")
    keys = message.get("key_properties")
    if not isinstance(stream, str) or not isinstance(schema, dict):
        raise InputError("a SCHEMA needs a stream and a schema")
    if not isinstance(schema.get("properties"), dict):
        raise InputError(f"the SCHEMA of stream {stream} has no properties")
    if keys is not None and not isinstance(keys, list):
        raise InputError("key_properties of a SCHEMA is a list of names")
    return stream, schema, keys
