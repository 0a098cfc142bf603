"""Private hooks of the SDK that are replaced, and why.

The SDK keeps only the newest STATE and prints it when all sinks are drained: at the end of the
input, and on SIGTERM, where it may print a state for records that were never written. So its
handlers of messages and signals are replaced. `HOOKS` names them; a test compares their code in the
installed SDK with the code that this was written for.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_sdk.mapper import MAPPER_FILTER_OPTION, PluginMapper, RemoveRecordTransform
from singer_sdk.plugin_base import PluginBase
from singer_sdk.target_base import Target
from typing_extensions import override

from target_voucherify.errors import InputError, RecordBeforeSchemaError
from target_voucherify.json_lines import state_text
from target_voucherify.run import Run
from target_voucherify.singer.reader import MessageReader
from target_voucherify.sinks import Customers
from target_voucherify.voucherify_client.errors import SettingsError, StopSignalError

if TYPE_CHECKING:
    from types import FrameType

    from singer_sdk.mapper import StreamMap
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
"""Members of the SDK's target that are replaced here, or relied on unchanged."""


class Route(NamedTuple):
    """A route of a stream's records: through a stream map, if there are any, into a sink.

    `unfiltered` is the same map without its filter, where the run tracks missing customers.
    """

    sink: Customers
    stream_map: StreamMap | None = None
    unfiltered: StreamMap | None = None


class FencedTarget(Target):
    """A target that emits only the states that the fence lets through."""

    message_reader_class: type[GenericSingerReader[Any]] = MessageReader
    default_sink_class = Customers

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.run = Run(self.config)
        self._routes: dict[str, list[Route]] = {}
        self._has_maps = bool(
            self.config.get("stream_maps") or self.config.get("flattening_enabled")
        )
        self._tracks_missing = self.run.deletions.tracks_missing
        self.reader.shutdown = self.run.shutdown
        if self.run.outcomes.file:
            self.reader.input_size = self.run.outcomes.file.begin_replay

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
            routes = self._mapped_routes(stream, schema, keys)
        else:
            routes = [Route(self._sink_for(stream, schema, keys))]
        self._routes[stream] = routes
        if routes:
            self.run.begin_stream(stream, sorted({route.sink.key_property for route in routes}))

    def _mapped_routes(
        self, stream: str, schema: dict[str, Any], keys: list[str] | None
    ) -> list[Route]:
        """The routes of a stream, none for a map that removes every record.

        Several streams may be mapped to the same name; each keeps the sinks of its own SCHEMA.
        """
        mappers = [self.mapper, self._unfiltered] if self._tracks_missing else [self.mapper] * 2
        for mapper in mappers:
            mapper.register_raw_stream_schema(stream, schema, keys)
        return [
            Route(
                self._sink_for(
                    stream_map.stream_alias,
                    stream_map.transformed_schema,
                    stream_map.transformed_key_properties,
                ),
                stream_map,
                unfiltered,
            )
            for stream_map, unfiltered in zip(
                *(mapper.stream_maps[stream] for mapper in mappers), strict=True
            )
            if not isinstance(stream_map, RemoveRecordTransform)
        ]

    @cached_property
    def _unfiltered(self) -> PluginMapper:
        """The stream maps without their filters: what a filter removes is not missing."""
        maps = {
            name: {key: value for key, value in definition.items() if key != MAPPER_FILTER_OPTION}
            if isinstance(definition, dict)
            else definition
            for name, definition in (self.config.get("stream_maps") or {}).items()
        }
        return PluginMapper({**self.config, "stream_maps": maps}, self.logger)

    def _sink_for(self, stream: str, schema: dict[str, Any], keys: Any) -> Customers:
        sink = self.get_sink(stream, schema=schema, key_properties=keys)
        # A replaced sink needs no draining: the run holds what is still to be written.
        self._sinks_to_clear.clear()
        if not isinstance(sink, Customers):
            raise TypeError("The sinks of this target are customers sinks.")
        sink.run = self.run
        return sink

    @override
    def _process_record_message(self, message_dict: dict[str, Any]) -> None:
        """Pass a record to its sink, through stream maps only if there are any."""
        record = message_dict.get("record")
        if self._has_maps or type(record) is not dict:
            self._map_record(message_dict)
            return
        try:
            sink = self._routes[message_dict["stream"]][0].sink
        except (KeyError, TypeError):
            raise self._without_schema(message_dict) from None
        self.run.count()
        if self._tracks_missing:
            self.run.deletions.versions.record(message_dict["stream"], message_dict.get("version"))
        sink.handle(record, self.reader.line)

    def _map_record(self, message: dict[str, Any]) -> None:
        stream, record = message.get("stream"), message.get("record")
        if type(record) is not dict:
            raise InputError("the record of a RECORD is not an object")
        if not isinstance(stream, str) or stream not in self._routes:
            raise self._without_schema(message)
        if self._tracks_missing:
            self.run.deletions.versions.record(stream, message.get("version"))
        kept = [self._handle_mapped(route, record) for route in self._routes[stream]]
        if not any(kept):
            self.run.count()
            self.run.records.removed_by_stream_map += 1

    def _handle_mapped(self, route: Route, record: dict[str, Any]) -> bool:
        """Pass a record through a stream map; returns whether the map kept it."""
        mapped = _transformed(route.stream_map, record)
        if mapped is None:
            if self._tracks_missing:
                self._mark_filtered(route, record)
            return False
        self.run.count()
        route.sink.handle(mapped, self.reader.line)
        return True

    def _mark_filtered(self, route: Route, record: dict[str, Any]) -> None:
        """Note that the CRM has a customer that a filter removes, so it is not missing."""
        mapped = _transformed(route.unfiltered, record)
        if mapped is None or not route.sink.mark_seen(mapped):
            self.run.deletions.versions.mark_unreadable_key()

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
        """Add a STATE to the fence, as the text that came in."""
        if "value" not in message_dict:
            raise InputError("a STATE needs a value")
        self.run.add_state(state_text(self.reader.line))

    @override
    def _process_activate_version_message(self, message_dict: dict[str, Any]) -> None:
        """Note that a stream was sent completely."""
        stream, version = message_dict.get("stream"), message_dict.get("version")
        if not isinstance(stream, str) or version is None:
            raise InputError("an ACTIVATE_VERSION needs a stream and a version")
        if self._routes.get(stream):
            self.run.deletions.activate(stream, version)

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
        self.run.finish(self.reader.error)
        self.reader.drain()

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        """Set the stop flag and nothing more; the run stops where nothing can be half done."""
        self.logger.warning("Signal %d: taking no new records", signum)
        if not hasattr(self, "run"):
            raise StopSignalError(signum)
        self.run.shutdown.request(signum)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings with messages that never show a value: one of them is a secret."""
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


def _transformed(stream_map: StreamMap | None, record: dict[str, Any]) -> dict[str, Any] | None:
    """The record as a stream map changes it; `None` where a filter removes it."""
    return None if stream_map is None else stream_map.transform(dict(record))


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
