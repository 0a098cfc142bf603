"""Decoders that take a value only if it conforms to its schema as it is.

They are compiled from the schema (`msgspec`) and check JSON text without making Python objects of
what they skip. They may refuse a value that conforms, but take none that does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Union

import msgspec

from tap_voucherify.records.conformance import LARGEST, SMALLEST, Schema, is_instant, types_of

if TYPE_CHECKING:
    from collections.abc import Mapping

UNDERSTOOD = frozenset(
    ("type", "properties", "additionalProperties", "items", "format", "description")
)
"""Schema keywords that a type of the decoder can express."""

PLAIN: Mapping[str, Any] = {
    "null": None,
    "string": str,
    "integer": Annotated[int, msgspec.Meta(ge=SMALLEST, le=LARGEST)],
    "number": float,
    "boolean": bool,
}


class Instant:
    """Stands in a type for text that is a date-time."""


class Unknown:
    """Stands in a type for values whose schema says more than a type can; takes none of them."""


def decoder(type_: Any) -> msgspec.json.Decoder[Any]:
    """The decoder of a type, which raises `msgspec.ValidationError` for any other value."""
    return msgspec.json.Decoder(type_, dec_hook=_check)


def _check(kind: type, value: Any) -> Instant:
    if kind is Instant and is_instant(value):
        return Instant()
    raise ValueError("may not conform")


def members(types: Mapping[str, Any], **options: Any) -> type[msgspec.Struct]:
    """A struct with optional members of these names and types."""
    fields = {f"member_{number}": name for number, name in enumerate(types)}
    described = [(field, types[name], msgspec.UNSET) for field, name in fields.items()]
    return msgspec.defstruct("Members", described, rename=fields, gc=False, **options)


def row_of(columns: Mapping[str, Schema], *, closed: bool = False) -> type[msgspec.Struct]:
    """The type of rows whose columns conform as they are; unknown columns are skipped."""
    return members({name: type_of(part, closed=closed) for name, part in columns.items()})


def type_of(schema: Schema, *, closed: bool = False) -> Any:
    """The type of values that conform to a schema as they are.

    Unless it is `closed`, the decoder skips members of objects that the schema does not name,
    without reading their numbers and characters.
    """
    types = types_of(schema)
    if not _is_understood(schema, types):
        return Unknown
    if not types:
        return Any
    return Union[tuple(_one(kind, schema, closed=closed) for kind in types)]  # noqa: UP007 - made at run time


def _one(kind: str, schema: Schema, *, closed: bool) -> Any:
    if kind == "array":
        return list[type_of(schema.get("items", {}), closed=closed)]  # type: ignore[misc] # made at run time
    if kind != "object":
        return Instant if kind == "string" and "format" in schema else PLAIN[kind]
    known, rest = schema.get("properties"), schema.get("additionalProperties")
    if not known:
        value = type_of(rest, closed=closed) if isinstance(rest, dict) else Any
        return dict[str, value]  # type: ignore[valid-type] # made at run time
    types = {name: type_of(part, closed=closed) for name, part in known.items()}
    return members(types, forbid_unknown_fields=closed)


def _is_understood(schema: Schema, types: tuple[str, ...]) -> bool:
    """Whether a type expresses what the schema says, apart from the schemas inside it."""
    is_open = isinstance(schema.get("additionalProperties"), dict)
    is_time = schema.get("format") == "date-time" and {*types} <= {"string", "null"}
    return (
        schema.keys() <= UNDERSTOOD
        and ("format" not in schema or is_time)
        and not (schema.get("properties") and is_open)
    )
