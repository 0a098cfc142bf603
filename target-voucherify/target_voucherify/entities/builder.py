"""Record → entity: a pure function that gives the JSON to send, or every reason not to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from target_voucherify.entities import converters, source_id
from target_voucherify.entities.encoding import encode
from target_voucherify.entities.mapping import RESERVED_PREFIXES, ObjectPlan, Plan, Source
from target_voucherify.errors import NotACustomerError
from target_voucherify.json_lines import number
from target_voucherify.voucherify_client.log_names import column_name, member_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from target_voucherify.entities.entity import EntitySettings
    from target_voucherify.entities.metadata_schema import MetadataSchema

Json = Any
Record = dict[str, Any]
Conversion = tuple["Callable[[Json], Json]", str]
"""The converter of a value, and the value's name in a reason."""

Field = tuple[str, str, tuple[str, ...], frozenset[type], Conversion]
"""Field of the entity, property, path inside it, types that need no conversion, conversion."""

_decode = msgspec.json.Decoder(float_hook=number).decode


class EntityBuilder:
    """Builds the customers, products or orders of one stream.

    The plan is compiled once, so that a record costs one loop over its mapped properties.

    Args:
        plan: the source of each field.
        schema: the project's metadata schema.
        settings: of the entity.
        log_once: logs a message once per run; takes a topic and the message.
    """

    def __init__(
        self,
        plan: Plan,
        schema: MetadataSchema,
        settings: EntitySettings,
        log_once: Callable[[str, str], None],
    ) -> None:
        self._plan = plan
        self._key = plan.key
        self._schema = schema
        self._send_nulls = settings.nulls == "send"
        self._unmapped = settings.unmapped
        self._log_once = log_once
        fields = settings.entity.fields(settings.decimals)
        self._fields = _compile(plan.fields, lambda name: fields[name])
        self._objects = [
            (
                part,
                settings.entity.objects[part.name],
                _compile(part.members, settings.entity.objects[part.name].__getitem__),
            )
            for part in plan.objects
        ]
        self._singular = settings.entity.singular
        self._metadata = _compile(plan.metadata, schema.converter, "metadata.")
        mapped = {source.field for source in plan.metadata}
        self._required = [key for key in schema.required if key in mapped or plan.whole_metadata]
        self._required_always = mapped.intersection(schema.required)
        self._has_metadata = plan.has_metadata or self._unmapped == "metadata"

    def __call__(self, record: Record) -> tuple[str, bytes]:
        """The `source_id` of the entity, and the entity as JSON.

        Raises:
            NotACustomerError: with everything that is wrong.
        """
        problems: list[str] = []
        key = source_id_of(record, self._key, self._log_once, problems)
        kind = "invalid_source_id" if problems else "invalid_record"
        made: Record = {"source_id": key}
        self._fill(made, self._fields, record, problems)
        for part, members, fields in self._objects:
            self._add_object(made, part, members, fields, record, problems)
        if self._has_metadata:
            self._add_metadata(made, record, problems)
        if not self._plan.declared.issuperset(record):
            self._check_undeclared(record, problems)
        if problems:
            raise NotACustomerError(problems, kind)
        return key, encode(made, self._singular)

    def _fill(
        self, into: Record, fields: Iterable[Field], record: Record, problems: list[str]
    ) -> None:
        for field, prop, path, kept_types, conversion in fields:
            value = record.get(prop)
            if path:
                value = _at(value, path)
            if type(value) in kept_types:
                into[field] = value
            elif value is not None or (self._send_nulls and prop in record):
                self._set(into, field, value, conversion, problems)

    def _set(
        self, into: Record, field: str, value: Json, conversion: Conversion, problems: list[str]
    ) -> None:
        """Convert and set one value, or add the reason why not."""
        convert, label = conversion
        try:
            converted = None if value is None else convert(value)
        except (ValueError, ArithmeticError) as reason:
            problems.append(f"{label} {reason}")
        except RecursionError:
            problems.append(f"{label} is nested too deeply")
        else:
            if converted is not None or self._send_nulls:
                into[field] = converted

    def _add_object(  # noqa: PLR0913, PLR0917 - called in one place
        self,
        into: Record,
        part: ObjectPlan,
        members: Mapping[str, Callable[[Json], Json]],
        fields: Iterable[Field],
        record: Record,
        problems: list[str],
    ) -> None:
        made = Record()
        if part.whole is not None:
            self._add_members(made, part, members, record, problems)
        self._fill(made, fields, record, problems)
        if "source_id" in members and not any(made.values()):
            made.clear()  # of nobody's nulls Voucherify might make a new customer each time
        self._put(into, part.name, made, part.whole, record)

    def _add_members(
        self,
        made: Record,
        part: ObjectPlan,
        members: Mapping[str, Callable[[Json], Json]],
        record: Record,
        problems: list[str],
    ) -> None:
        """Add the members of an object that comes whole, in one property."""
        for name, value in self._whole(part.whole, record, problems).items():
            if name in members:
                self._set(made, name, value, (members[name], f"{part.name}.{name}"), problems)
            else:
                self._log_once(
                    f"{part.name}.{name}",
                    f"Ignoring {member_name(name)} of {part.name}: it has no such member",
                )

    def _add_metadata(self, into: Record, record: Record, problems: list[str]) -> None:
        source, metadata = self._plan.whole_metadata, Record()
        if source is not None:
            for key, value in self._whole(source, record, problems).items():
                self._set_metadata(metadata, key, value, problems)
        self._fill(metadata, self._metadata, record, problems)
        if self._unmapped == "metadata" and not self._plan.declared.issuperset(record):
            for name in self._undeclared(record):
                self._set_metadata(metadata, name, record[name], problems)
        if self._required:
            self._check_required(metadata, problems)
        self._put(into, "metadata", metadata, source, record)

    def _set_metadata(self, into: Record, key: str, value: Json, problems: list[str]) -> None:
        if value is not None or self._send_nulls:
            name = column_name(key) if self._schema.defines(key) else member_name(key)
            self._set(into, key, value, (self._schema.converter(key), f"metadata.{name}"), problems)

    def _check_required(self, metadata: Record, problems: list[str]) -> None:
        for key in self._required:
            if metadata.get(key) is None and (metadata or key in self._required_always):
                label = f"metadata.{column_name(key)} "
                if not any(problem.startswith(label) for problem in problems):
                    problems.append(f"{label}is missing, and the metadata schema requires it")

    def _put(
        self, into: Record, field: str, built: Record, whole: Source | None, record: Record
    ) -> None:
        """Add an object unless it is empty: an empty one might clear what others wrote."""
        if built:
            into[field] = built
        elif self._send_nulls and whole and record.get(whole.prop, "") is None:
            into[field] = None

    def _whole(self, source: Source | None, record: Record, problems: list[str]) -> Record:
        """The object in a property, also where a database stores it as JSON text."""
        value = None if source is None else _inside(record, source)
        if type(value) is str and value.lstrip().startswith("{"):
            value = _parsed(value)
        if type(value) is dict:
            return value
        if source and value is not None:
            name = column_name(source.prop)
            problems.append(f"{name} is {converters.kind_of(value)}, not an object")
        return {}

    def _undeclared(self, record: Record) -> list[str]:
        declared = self._plan.declared
        return [
            name
            for name in record
            if name not in declared and not name.startswith(RESERVED_PREFIXES)
        ]

    def _check_undeclared(self, record: Record, problems: list[str]) -> None:
        for name in self._undeclared(record):
            shown = member_name(name)
            if self._unmapped == "ignore":
                self._log_once(
                    f"unmapped {name}", f"Ignoring {shown}: unmapped, and not in the SCHEMA"
                )
            elif self._unmapped == "refuse":
                problems.append(f"{shown} is unmapped, and the setting unmapped is refuse")


def source_id_of(
    record: Record, source: Source, log_once: Callable[[str, str], None], problems: list[str]
) -> str:
    """The `source_id` of a record; "" and a further problem when it has none."""
    key = record.get(source.prop)
    if source.path or not source_id.is_plain(key):
        name = column_name(source.prop)
        return source_id.to_source_id(_inside(record, source), name, log_once, problems)
    return str(key)


def _compile(
    sources: Iterable[Source],
    converter: Callable[[str], Callable[[Json], Json]],
    prefix: str = "",
) -> tuple[Field, ...]:
    """One tuple per field."""
    fields = []
    for field, prop, path in sources:
        convert = converter(field)
        kept_types = converters.KEPT_TYPES.get(convert, frozenset())
        label = f"{prefix}{column_name(field)}" if prefix else column_name(prop)
        fields.append((field, prop, path, kept_types, (convert, label)))
    return tuple(fields)


def _inside(record: Record, source: Source) -> Json:
    return _at(record.get(source.prop), source.path)


def _at(value: Json, path: Iterable[str]) -> Json:
    """The value at a path inside another; null where a step is missing."""
    for step in path:
        value = value.get(step) if type(value) is dict else None
    return value


def _parsed(text: str) -> Json:
    try:
        return _decode(text)
    except (ValueError, RecursionError):
        return text
