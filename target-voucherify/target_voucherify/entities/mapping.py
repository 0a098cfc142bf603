"""The mapping of a stream's properties to the fields of a customer, resolved once per SCHEMA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from target_voucherify.entities import converters
from target_voucherify.errors import InputError
from target_voucherify.voucherify_client.errors import SettingsError
from target_voucherify.voucherify_client.log_names import column_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from target_voucherify.settings import Settings

ADDRESS = ("city", "state", "line_1", "line_2", "country", "postal_code")
"""Members of an address in Voucherify's published description; all of them text."""

RESERVED_PREFIXES = ("_sdc_", "_refused_")
"""Prefixes of properties that Singer plugins add about a record: never part of a customer."""

_date = converters.unless_blank(converters.calendar_date)

FIELDS: dict[str, Callable[[Any], Any]] = {
    "name": converters.text,
    "description": converters.text,
    "email": converters.text,
    "phone": converters.text,
    "birthdate": _date,
    "birthday": _date,
}
"""Fields of a customer in a bulk request, by the published description, besides the two objects."""


class Source(NamedTuple):
    """Where one field gets its value: a property, and the path inside it when it is an object."""

    field: str
    prop: str
    path: tuple[str, ...] = ()


class Plan(NamedTuple):
    """Every field of a customer with its source."""

    key: Source
    fields: tuple[Source, ...]
    address: tuple[Source, ...]
    metadata: tuple[Source, ...]
    whole_address: Source | None
    whole_metadata: Source | None
    declared: frozenset[str]
    unmapped: tuple[str, ...]

    @property
    def has_metadata(self) -> bool:
        """Whether any record may carry metadata, so that the metadata schema is needed."""
        return bool(self.metadata or self.whole_metadata)


def resolve(
    settings: Settings,
    stream: str,
    properties: Mapping[str, Any],
    key_properties: Sequence[str],
) -> Plan:
    """The mapping settings, resolved against one SCHEMA.

    Args:
        settings: `source_id`, `mapping` and `unmapped`.
        stream: its name, for the messages.
        properties: of its SCHEMA.
        key_properties: of its SCHEMA.

    Raises:
        SettingsError: a field that `mapping` names does not exist.
        InputError: a property that the settings name does not exist, or one is unmapped and that
            is refused.
    """
    key = _key(settings.source_id, stream, properties, key_properties)
    mapping = dict(_flat(settings.mapping or {}))
    if "source_id" in mapping:
        raise SettingsError(
            "mapping names source_id, which is the key of a customer and no field: name its "
            "property in the setting source_id"
        )
    mapping = mapping or {name: name for name in properties if is_field(name)}
    sources = [_source(field, name, stream, properties) for field, name in mapping.items()]
    used = {source.prop for source in sources} | {key.prop}
    unmapped = tuple(n for n in properties if n not in used and not n.startswith(RESERVED_PREFIXES))
    if unmapped and settings.unmapped == "refuse":
        raise InputError(
            f"the properties {', '.join(map(column_name, unmapped))} of stream "
            f"{column_name(stream)} have no place in a customer: "
            "give them one in mapping, drop them in the tap, or set unmapped to ignore or metadata"
        )
    if settings.unmapped == "metadata":
        sources += [Source(f"metadata.{name}", name) for name in unmapped]
        unmapped = ()
    return _plan(key, sources, frozenset(properties), unmapped)


def _flat(mapping: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, str]]:
    """The mapping with dotted fields: Meltano passes `address.city` as an object in an object."""
    for name, prop in mapping.items():
        if isinstance(prop, dict):
            yield from _flat(prop, f"{outer}{name}.")
        else:
            yield f"{outer}{name}", prop


def is_field(name: str) -> bool:
    """Whether a customer has such a field, at its top or inside its objects."""
    outer, dot, inner = name.partition(".")
    if not dot:
        return name in FIELDS or name in {"address", "metadata"}
    return (outer == "address" and inner in ADDRESS) or (outer == "metadata" and bool(inner))


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
    if field != "source_id" and not is_field(field):
        raise SettingsError(
            f"mapping names {field}, which is no field of a Voucherify customer: use "
            f"{', '.join(FIELDS)}, address.<{'|'.join(ADDRESS)}> or metadata.<key>"
        )
    prop, *path = [name] if name in properties else name.split(".")
    if prop not in properties:
        setting = "source_id" if field == "source_id" else f"mapping, for {field},"
        raise InputError(
            f"stream {column_name(stream)} has no property {column_name(name)}, which {setting} "
            f"names; it has: {', '.join(sorted(map(column_name, properties)))}"
        )
    return Source(field, prop, tuple(path))


def _plan(
    key: Source, sources: Sequence[Source], declared: frozenset[str], unmapped: tuple[str, ...]
) -> Plan:
    def inside(outer: str) -> tuple[Source, ...]:
        prefix = f"{outer}."
        return tuple(
            source._replace(field=source.field.removeprefix(prefix))
            for source in sources
            if source.field.startswith(prefix)
        )

    whole = {source.field: source for source in sources if source.field in {"address", "metadata"}}
    return Plan(
        key=key,
        fields=tuple(source for source in sources if source.field in FIELDS),
        address=inside("address"),
        metadata=inside("metadata"),
        whole_address=whole.get("address"),
        whole_metadata=whole.get("metadata"),
        declared=declared,
        unmapped=unmapped,
    )
