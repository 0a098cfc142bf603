"""The mapping of a stream's properties to the fields of an entity, resolved once per SCHEMA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from target_voucherify.errors import InputError
from target_voucherify.voucherify_client.errors import SettingsError
from target_voucherify.voucherify_client.log_names import column_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from target_voucherify.entities.entity import Entity, EntitySettings
    from target_voucherify.voucherify_client.sent_form import Fields

RESERVED_PREFIXES = ("_sdc_", "_refused_")
"""Prefixes of properties that Singer plugins add about a record: never part of an entity."""


class Source(NamedTuple):
    """Where one field gets its value: a property, and the path inside it when it is an object."""

    field: str
    prop: str
    path: tuple[str, ...] = ()


class ObjectPlan(NamedTuple):
    """An object, such as an address: from properties of their own, from one that is it, or both."""

    name: str
    members: tuple[Source, ...]
    whole: Source | None


class Plan(NamedTuple):
    """Every field of an entity with its source."""

    key: Source
    fields: tuple[Source, ...]
    objects: tuple[ObjectPlan, ...]
    metadata: tuple[Source, ...]
    whole_metadata: Source | None
    declared: frozenset[str]
    unmapped: tuple[str, ...]

    @property
    def has_metadata(self) -> bool:
        """Whether any record may carry metadata, so that the metadata schema is needed."""
        return bool(self.metadata or self.whole_metadata)

    @property
    def written(self) -> Fields:
        """The fields that a record may set."""
        parts = [(part.name, part.whole, part.members) for part in self.objects]
        if self.has_metadata:
            parts.append(("metadata", self.whole_metadata, self.metadata))
        return {source.field: None for source in self.fields} | {
            name: None if whole else [source.field for source in members]
            for name, whole, members in parts
        }


def resolve(
    settings: EntitySettings,
    stream: str,
    properties: Mapping[str, Any],
    key_properties: Sequence[str],
) -> Plan:
    """The mapping settings, resolved against one SCHEMA.

    Args:
        settings: of the entity.
        stream: its name, for the messages.
        properties: of its SCHEMA.
        key_properties: of its SCHEMA.

    Raises:
        SettingsError: a field that `mapping` names does not exist.
        InputError: a property that the settings name does not exist, or one is unmapped and that
            is refused.
    """
    entity = settings.entity
    key = _key(settings.source_id, stream, properties, key_properties)
    mapping = dict(_flat(settings.mapping or {}))
    if "source_id" in mapping:
        raise SettingsError(
            f"mapping names source_id, which is the key of {entity.singular}s and no field: name "
            "its property in the setting source_id"
        )
    mapping = mapping or {name: name for name in properties if is_field(entity, name)}
    for field in mapping:
        _check_field(entity, field)
    sources = [_source(field, name, stream, properties) for field, name in mapping.items()]
    used = {source.prop for source in sources} | {key.prop}
    unmapped = tuple(n for n in properties if n not in used and not n.startswith(RESERVED_PREFIXES))
    if unmapped and settings.unmapped == "refuse":
        raise InputError(
            f"the properties {', '.join(map(column_name, unmapped))} of stream "
            f"{column_name(stream)} have no place in "
            f"{entity.name}: "
            "give them one in mapping, drop them in the tap, or set unmapped to ignore or metadata"
        )
    if settings.unmapped == "metadata":
        sources += [Source(f"metadata.{name}", name) for name in unmapped]
        unmapped = ()
    return _plan(entity, key, sources, frozenset(properties), unmapped)


def mapped_metadata(mapping: Mapping[str, Any] | None) -> list[str] | None:
    """The metadata keys that a mapping names; `None` where the records decide."""
    names = [name for name, _ in _flat(mapping or {})]
    if not names or "metadata" in names:
        return None
    return [name.removeprefix("metadata.") for name in names if name.startswith("metadata.")]


def _flat(mapping: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, str]]:
    """The mapping with dotted fields: Meltano passes `address.city` as an object in an object."""
    for name, prop in mapping.items():
        if isinstance(prop, dict):
            yield from _flat(prop, f"{outer}{name}.")
        else:
            yield f"{outer}{name}", prop


def is_field(entity: Entity, name: str) -> bool:
    """Whether an entity has such a field, at its top or inside its objects."""
    outer, dot, inner = name.partition(".")
    if not dot:
        return name == "metadata" or name in entity.fields(0) or name in entity.objects
    return inner in entity.objects.get(outer, ()) or (outer == "metadata" and bool(inner))


def _check_field(entity: Entity, field: str) -> None:
    if not is_field(entity, field):
        inside = [f"{name}.<{'|'.join(members)}>" for name, members in entity.objects.items()]
        names = ", ".join((*entity.fields(0), *inside))
        raise SettingsError(
            f"mapping names {field}, which is no field of a Voucherify {entity.singular}: use "
            f"{names} or metadata.<key>"
        )


def _key(
    setting: str | None, stream: str, properties: Collection[str], key_properties: Sequence[str]
) -> Source:
    if setting:
        return _source("source_id", setting, stream, properties)
    if "source_id" in properties:
        return Source("source_id", "source_id")
    if len(key_properties) == 1:
        return _source("source_id", key_properties[0], stream, properties)
    has = "several key properties" if key_properties else "no key property"
    raise InputError(
        f"stream {column_name(stream)} has {has} and no property source_id, so nothing "
        "says which property holds the CRM's own key: name it in the setting source_id"
    )


def _source(field: str, name: str, stream: str, properties: Collection[str]) -> Source:
    """A property by its name, or by a dotted path into a property that is an object."""
    prop, *path = [name] if name in properties else name.split(".")
    if prop not in properties:
        setting = "source_id" if field == "source_id" else f"mapping, for {field},"
        raise InputError(
            f"stream {column_name(stream)} has no property {column_name(name)}, which {setting} "
            f"names; it has: {', '.join(sorted(map(column_name, properties)))}"
        )
    return Source(field, prop, tuple(path))


def _plan(
    entity: Entity,
    key: Source,
    sources: Sequence[Source],
    declared: frozenset[str],
    unmapped: tuple[str, ...],
) -> Plan:
    def inside(outer: str) -> tuple[Source, ...]:
        prefix = f"{outer}."
        return tuple(
            source._replace(field=source.field.removeprefix(prefix))
            for source in sources
            if source.field.startswith(prefix)
        )

    wholes = {*entity.objects, "metadata"}
    whole = {source.field: source for source in sources if source.field in wholes}
    fields = entity.fields(0)
    return Plan(
        key=key,
        fields=tuple(source for source in sources if source.field in fields),
        objects=tuple(
            ObjectPlan(name, inside(name), whole.get(name))
            for name in entity.objects
            if name in whole or inside(name)
        ),
        metadata=inside("metadata"),
        whole_metadata=whole.get("metadata"),
        declared=declared,
        unmapped=unmapped,
    )
