"""Make values conform to their schema, since one wrong value can abort a loader's whole run.

A value is kept in another form if the schema allows one, and else becomes null and is counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import jsonschema_rs

from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import parse, to_iso

Schema = Mapping[str, Any]

SMALLEST, LARGEST = -(2**63), 2**63 - 1
"""The range of 64-bit integers; database loaders abort on others."""

NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,3})?", re.ASCII)

KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}

NOT_ALLOWED = object()
"""Result of a conversion if the value has no form that the schema allows."""


def whole_number(value: object) -> int | None:
    """A 64-bit integer, also from text or a float; `None` for any other value."""
    if isinstance(value, str) and NUMBER.fullmatch(value):
        value = json.loads(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if SMALLEST <= value <= LARGEST else None


class Conformance:
    """Makes the columns of one stream conform to its schema.

    Attributes:
        nulled: number of values that became null, by path such as `items[].price`.
    """

    def __init__(self, schema: Schema) -> None:
        self.nulled: Counter[str] = Counter()
        self._properties: Mapping[str, Schema] = schema["properties"]
        self._lock = Lock()

    def column(self, name: str, value: Any) -> Any:
        """The value of a column, of a type that its schema allows; called from several threads.

        Raises:
            VoucherifyError: a required value has no form that the schema allows.
        """
        schema = self._properties[name]
        try:
            made = self._value(value, schema, name)
        except RecursionError:  # nested hundreds deep, which no loader reads either
            self._count_nulled(name)
            made = None
        if made is None and "null" not in (types_of(schema) or ("null",)):
            raise VoucherifyError(
                f"A row has no `{name}` of the type it always had, and no record can be "
                "without it: report it to the maintainers with the run's log."
            )
        return made

    def _count_nulled(self, path: str) -> None:
        with self._lock:
            self.nulled[path] += 1

    def _value(self, value: Any, schema: Schema, path: str) -> Any:
        if value is None:
            return None
        types = types_of(schema)
        made = value if not types or _kind(value) in types else _converted(value, types)
        made = _checked(made, schema)
        if made is NOT_ALLOWED:
            self._count_nulled(path)
            return None
        if isinstance(made, dict):
            return self._members(made, schema, path)
        if isinstance(made, list):
            return [self._value(part, schema.get("items", {}), f"{path}[]") for part in made]
        return made

    def _members(self, value: Mapping[str, Any], schema: Schema, path: str) -> dict[str, Any]:
        """The members of an object; the path names only those that the schema names."""
        known, other = schema.get("properties", {}), schema.get("additionalProperties")
        rest = other if isinstance(other, dict) else {}
        return {
            storable(name): self._value(part, known[name], f"{path}.{name}")
            if name in known
            else self._value(part, rest, f"{path}.*")
            for name, part in value.items()
        }


def storable(text: str) -> str:
    """The text without NUL, and with `?` for half a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def types_of(schema: Schema) -> tuple[str, ...]:
    """The JSON types that a schema allows; empty if it allows any."""
    types = schema.get("type", ())
    return (types,) if isinstance(types, str) else tuple(types)


def _kind(value: object) -> str:
    """The JSON type of a value; a whole float is a number and no integer, as in databases."""
    return KINDS.get(type(value), "object")


def _converted(value: Any, types: tuple[str, ...]) -> Any:
    """The value as the first of these types that can hold it: a number, or text."""
    if "integer" in types and (whole := whole_number(value)) is not None:
        return whole
    if "number" in types:
        if _kind(value) == "integer":
            return value
        if isinstance(value, str) and NUMBER.fullmatch(value):
            return json.loads(value)
    if "string" in types:
        return json.dumps(value, ensure_ascii=False)
    return NOT_ALLOWED


def _checked(value: Any, schema: Schema) -> Any:
    """The value if it also keeps the range and format; text in a storable form."""
    if _kind(value) == "integer" and "integer" in types_of(schema):
        return NOT_ALLOWED if whole_number(value) is None else value
    if not isinstance(value, str):
        return value
    if schema.get("format") != "date-time":
        return storable(value)
    try:
        return value if is_instant(value) else to_iso(parse(value))
    except VoucherifyError:
        return NOT_ALLOWED


is_instant: Callable[[Any], bool] = jsonschema_rs.validator_for(
    {"type": "string", "format": "date-time"}, validate_formats=True
).is_valid
