"""Which sink the records of a stream go to, and through which stream map."""

from __future__ import annotations

import json
import traceback
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_sdk.mapper import RemoveRecordTransform

from target_voucherify.acknowledgement.refused_line import ENTITY
from target_voucherify.errors import InputError, NotACustomerError, RecordBeforeSchemaError
from target_voucherify.json_lines import TOO_DEEP
from target_voucherify.singer.reader import LINE
from target_voucherify.singer.stream_maps import names_property, only, unused, without_filters
from target_voucherify.sinks import DELETED_AT, is_deleted
from target_voucherify.voucherify_client.log_names import column_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from singer_sdk.mapper import PluginMapper, StreamMap

    from target_voucherify.acknowledgement.complete_streams import CompleteStreams
    from target_voucherify.entity_run import EntityRun
    from target_voucherify.run import Run
    from target_voucherify.singer.stream_maps import StreamMaps
    from target_voucherify.sinks import EntitySink


class Route(NamedTuple):
    """A route of a stream's records: through a stream map, if there are any, into a sink.

    `unfiltered` is the same map without its filter, where the run tracks missing customers, and
    `marks_deleted` says whether the map decides which records are marked as deleted. `position` is
    that of the map among those of `stream`.
    """

    sink: EntitySink
    stream_map: StreamMap | None = None
    unfiltered: StreamMap | None = None
    stream: str = ""
    position: int = 0
    marks_deleted: bool = False


class StreamRouter:
    """The routes of all streams.

    Args:
        run: counts the records.
        sink_for: returns the sink for a stream, its schema and its key properties.
        maps: the setting `stream_maps`.
        mapper_of: makes a mapper from such definitions; `None` where records need none.
    """

    def __init__(
        self,
        run: Run,
        sink_for: Callable[[str, dict[str, Any], list[str] | None], EntitySink],
        maps: StreamMaps,
        mapper_of: Callable[[StreamMaps], PluginMapper] | None,
    ) -> None:
        self._run = run
        self._sink_for = sink_for
        self._maps = maps
        self._mapper_of = mapper_of
        self._tracks_missing = run.customers.deletions.tracks_missing
        self._mappers: list[PluginMapper] = []
        """The stream maps and those for `Route.unfiltered`; empty if records need none."""
        if mapper_of is not None:
            mapper = mapper_of(dict(maps))
            is_both = not self._tracks_missing
            self._mappers = [mapper, mapper if is_both else mapper_of(without_filters(maps))]
        self._ticket = run.fence.hold() if maps else 0
        """Held until a stream is not removed: a state must not cover streams that nobody took."""
        self._key_maps: dict[str, list[StreamMap]] = {}
        """The maps of a stream without expressions for anything but the key, once needed."""
        self._is_replay = True
        """Whether every SCHEMA so far is of a refused-records file."""
        self._routes: dict[str, list[Route]] = {}
        self._keys: dict[tuple[str, EntityRun], str] = {}
        """What holds the `source_id`, by stream and entity."""
        self._versions: dict[str, list[CompleteStreams]] = {}
        """What notes the versions of a stream."""

    def begin_stream(self, message: dict[str, Any]) -> None:
        """Prepare the routes of a stream; the same SCHEMA again changes nothing."""
        stream, schema, keys = _schema_parts(message)
        self._is_replay = self._is_replay and "_refused_at" in schema["properties"]
        if self._run.outcomes.file:
            self._run.outcomes.file.declare(message)
        if self._mappers:
            routes = self._mapped_routes(stream, schema, keys)
        else:
            routes = [Route(self._sink_for(stream, schema, keys))]
        self._routes[stream] = routes
        self._key_maps.pop(stream, None)
        keys_of: dict[EntityRun, set[str]] = {}
        for route in routes:
            keys_of.setdefault(route.sink.run, set()).add(self._key_of(route.sink))
        for entity, made in keys_of.items():
            names = sorted(made)
            self._check_key(stream, entity, ", ".join(names))
            entity.begin_stream(stream, names)
            self._note_written(routes, entity)
        noted = [each.deletions for each in keys_of if each.deletions.tracks_versions]
        self._versions[stream] = [deletions.versions for deletions in noted]
        if routes:
            self._release_states()

    @staticmethod
    def _note_written(routes: list[Route], entity: EntityRun) -> None:
        """Note which fields the records of a stream set, once the ledger is known to be theirs."""
        for route in routes:
            if route.sink.run is entity:
                route.sink.note_written()

    def _check_key(self, stream: str, entity: EntityRun, key: str) -> None:
        """Compare the key of a stream with that of its SCHEMA before.

        Raises:
            InputError: another property holds it now, so customers would get a second `source_id`.
        """
        before = self._keys.setdefault((stream, entity), key)
        if before != key:
            singular = entity.settings.entity.singular
            raise InputError(
                f"a SCHEMA of stream {column_name(stream)} has the {singular}s' key in {key}, and "
                f"the one before had it in {before}: set source_id to one of them, because a "
                f"{singular} keeps its source_id for ever"
            )

    def _release_states(self) -> None:
        if self._ticket:
            self._run.outcomes.release(self._ticket)
            self._ticket = 0

    def _key_of(self, sink: EntitySink) -> str:
        """What makes the `source_id`: a property, and the expressions of stream maps for it.

        Where they use `stream_map_config`, its values count too, by a hash: they may be secret.
        """
        name = sink.key_property
        column = name.partition(".")[0]
        maps = [each for each in self._maps.values() if isinstance(each, dict)]
        made = " or ".join(sorted({str(each[column]) for each in maps if column in each}))
        if "config" in made:
            used = json.dumps(self._mappers[0].map_config, sort_keys=True, default=str)
            digest = blake2b(used.encode(), digest_size=5).hexdigest()
            made = f"{made} with stream_map_config #{digest}"
        return f"{name} = {made}" if made else name

    def handle_record(self, message: dict[str, Any]) -> None:
        """Pass a record to its sinks, through stream maps only if there are any."""
        record, line = message.get("record"), message[LINE]
        if type(record) is not dict:
            raise InputError("the record of a RECORD is not an object")
        try:
            routes = self._routes[message["stream"]]
        except (KeyError, TypeError):
            raise _no_schema_error(message.get("stream")) from None
        for versions in self._versions[message["stream"]]:
            versions.record(message["stream"], message.get("version"))
        if ENTITY in record:
            routes = _of_entity(routes, record[ENTITY])
        if routes and TOO_DEEP in message:
            self._refuse(routes[0], line, NotACustomerError(["the record is nested too deeply"]))
        else:
            self._handle(routes, record, line)

    def input_error(self) -> InputError | None:
        """What is wrong with the input as a whole: streams that `stream_maps` waits for in vain.

        A refused-records file may lack streams: it has those of its records alone.
        """
        if not self._routes:
            self._release_states()
            return None
        streams = ", ".join(map(column_name, sorted(self._routes)))
        if not any(self._routes.values()):
            return InputError(
                f"stream_maps removes every stream of the input ({streams}), so none of its "
                "records reaches the customers stream: correct the names in stream_maps"
            )
        missing = [] if self._is_replay else unused(self._maps, self._routes)
        if missing:
            names = ", ".join(map(column_name, missing))
            return InputError(
                f"stream_maps names {names}, and the input has no such stream; it has: {streams}. "
                "Correct the names in stream_maps, or take them out"
            )
        return None

    def activate_version(self, message: dict[str, Any]) -> None:
        """Note that a stream was sent completely."""
        stream, version = message.get("stream"), message.get("version")
        if not isinstance(stream, str) or version is None:
            raise InputError("an ACTIVATE_VERSION needs a stream and a version")
        for entity in {route.sink.run for route in self._routes.get(stream, ())}:
            entity.deletions.activate(stream, version)

    def _mapped_routes(
        self, stream: str, schema: dict[str, Any], keys: list[str] | None
    ) -> list[Route]:
        """The routes of a stream, none for a map that removes every record.

        Several streams may be mapped to the same name; each keeps the sinks of its own SCHEMA.
        """
        for mapper in self._mappers:
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
                stream,
                position,
                names_property(self._maps, stream, DELETED_AT),
            )
            for position, (stream_map, unfiltered) in enumerate(
                zip(*(mapper.stream_maps[stream] for mapper in self._mappers), strict=True)
            )
            if not isinstance(stream_map, RemoveRecordTransform)
        ]

    def _handle(self, routes: list[Route], record: dict[str, Any], line: bytes) -> None:
        if not self._mappers:
            self._run.count()
            routes[0].sink.handle(record, line)
        elif sum(self._handle_mapped(route, record, line) for route in routes) == 0:
            self._run.count()
            self._run.records.removed_by_stream_map += 1

    def _refuse(self, route: Route, line: bytes, error: NotACustomerError) -> None:
        """Refuse a record whose key is not certain, so it may be about any customer."""
        self._run.count()
        route.sink.run.counts.received += 1
        route.sink.run.refuse("", line, error, has_key=False)

    def _handle_mapped(self, route: Route, record: dict[str, Any], line: bytes) -> bool:
        """Pass a record through a stream map; returns whether the map kept it."""
        try:
            mapped = _transformed(route.stream_map, record)
        except NotACustomerError as error:
            mapped = self._deletion(route, record)
            if mapped is None:
                self._refuse(route, line, error)
                return True
        if mapped is None:
            if _tracks_missing(route):
                self._mark_filtered(route, record)
            return False
        self._run.count()
        route.sink.handle(self._with_mark(route, mapped, record), line)
        return True

    def _with_mark(
        self, route: Route, mapped: dict[str, Any], record: dict[str, Any]
    ) -> dict[str, Any]:
        """A mapped record that is marked as deleted where the original is.

        A map may keep only the columns it names; where it names this one, it decides.
        """
        if DELETED_AT in record and not route.marks_deleted:
            mapped[DELETED_AT] = record[DELETED_AT]
        return mapped

    def _deletion(self, route: Route, record: dict[str, Any]) -> dict[str, Any] | None:
        """The record of a deletion whose map fails on other properties: only its key matters.

        Returns:
            `None` if it is no deletion, or the map fails on its key, too.
        """
        if route.stream_map is None or self._mapper_of is None or DELETED_AT not in record:
            return None
        if route.stream not in self._key_maps:
            keys = route.stream_map.transformed_key_properties or ()
            key = route.sink.key_property.partition(".")[0]
            mapper = self._mapper_of(only(self._maps, {key, DELETED_AT, *keys}))
            original = route.stream_map
            mapper.register_raw_stream_schema(
                route.stream, original.raw_schema, original.raw_key_properties
            )
            self._key_maps[route.stream] = mapper.stream_maps[route.stream]
        with suppress(NotACustomerError):
            mapped = _transformed(self._key_maps[route.stream][route.position], record)
            if mapped is not None and is_deleted(self._with_mark(route, mapped, record)):
                return mapped
        return None

    def _mark_filtered(self, route: Route, record: dict[str, Any]) -> None:
        """Note that the CRM knows a customer that a filter removes, so it is not missing."""
        with suppress(NotACustomerError):
            mapped = _transformed(route.unfiltered, record)
            if mapped is not None and route.sink.mark_filtered(
                self._with_mark(route, mapped, record)
            ):
                return
        route.sink.run.deletions.versions.mark_unreadable_key()


def _of_entity(routes: list[Route], entity: object) -> list[Route]:
    """The routes to the entity that a refused record could not become; the others took it.

    All of them where nothing of the input becomes that entity any more.
    """
    return [one for one in routes if one.sink.run.settings.entity.name == entity] or routes


def _tracks_missing(route: Route) -> bool:
    """Whether what is missing from a stream is deleted."""
    return route.sink.run.deletions.tracks_missing


def _transformed(stream_map: StreamMap | None, record: dict[str, Any]) -> dict[str, Any] | None:
    """The record as a stream map changes it; `None` where a filter removes it.

    Raises:
        NotACustomerError: an expression of the map fails on this record, with any exception that
            Python has.
    """
    if stream_map is None:
        return None
    try:
        return stream_map.transform(dict(record))
    except Exception as error:  # noqa: BLE001
        stream, what = column_name(stream_map.stream_alias), _failed_part(error.__traceback__)
        kind = type(error.__cause__ or error).__name__
        raise NotACustomerError(
            [f"the stream map of {stream} fails at {what} ({kind})"], "stream_map_failed"
        ) from None


def _failed_part(trace: TracebackType | None) -> str:
    """The property that an expression was evaluated for; it is in the frame of the SDK's mapper."""
    part = "this record"
    for frame, _ in traceback.walk_tb(trace):
        if frame.f_code.co_name == "_eval" and "property_name" in frame.f_locals:
            name = frame.f_locals["property_name"]
            part = f"property {column_name(name)}" if name else "its filter"
    return part


def _no_schema_error(stream: object) -> InputError:
    if not isinstance(stream, str):
        return InputError("a RECORD needs a stream")
    return RecordBeforeSchemaError(
        f"a RECORD of stream {column_name(stream)} came before its SCHEMA: the tap is at fault, or "
        "the beginning of its output is missing"
    )


def _schema_parts(message: dict[str, Any]) -> tuple[str, dict[str, Any], list[str] | None]:
    """Stream, schema and key properties of a SCHEMA message.

    Raises:
        InputError: one of them is missing, or is not what it should be.
    """
    stream, schema = message.get("stream"), message.get("schema")
    keys = message.get("key_properties")
    if not isinstance(stream, str) or not isinstance(schema, dict):
        raise InputError("a SCHEMA needs a stream and a schema")
    if not isinstance(schema.get("properties"), dict):
        raise InputError(f"the SCHEMA of stream {column_name(stream)} has no properties")
    if keys is not None and not isinstance(keys, list):
        raise InputError("key_properties of a SCHEMA is a list of names")
    return stream, schema, keys
