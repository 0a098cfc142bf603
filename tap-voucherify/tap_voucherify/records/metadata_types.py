"""Types for `metadata`, from what the project has defined (reference §13): pure functions.

A defined key gets its type, and always text and null beside it: a value that was stored before the
key was defined passes as text. Keys that are not defined still pass, as they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

Json = Mapping[str, Any]

RESOURCES: Mapping[str, str] = {
    "customers": "customer",
    "orders": "order",
    "redemptions": "redemption",
    "campaigns": "campaign",
    "vouchers": "voucher",
    "publications": "publication",
    "rewards": "reward",
}
"""Stream to the resource whose metadata schema its rows follow."""

TYPES: Mapping[str, Json] = {
    "number": {"type": ["number", "string", "null"]},
    "boolean": {"type": ["boolean", "string", "null"]},
    "object": {
        "type": ["object", "string", "null"],
        "properties": {},
        "additionalProperties": True,
    },
}
TEXT: Json = {"type": ["string", "null"]}
"""Dates stay text: a value that was stored before the key became a date need not be one."""


def with_metadata_types(schema: Json, stream: str, definitions: Iterable[Json]) -> dict[str, Any]:
    """A stream's schema with the types of the metadata that the project has defined.

    Args:
        schema: as its file has it.
        stream: the stream's name.
        definitions: metadata schemas as the API lists them.
    """
    made = deepcopy(dict(schema))
    for definition in definitions:
        properties = definition.get("properties")
        if definition.get("related_object") == RESOURCES.get(stream) and isinstance(
            properties, dict
        ):
            made["properties"]["metadata"]["properties"] = _typed(properties)
    return made


def _typed(properties: Json) -> dict[str, Any]:
    """The keys that a loader can tell from each other, each with its type.

    Loaders crash on names that differ in case alone, and on quotes in names; such keys pass
    untyped like undefined ones. So do keys that were removed.
    """
    spelled: dict[str, int] = {}
    for key in properties:
        spelled[key.lower()] = spelled.get(key.lower(), 0) + 1
    return {
        key: _type_of(rule)
        for key, rule in properties.items()
        if isinstance(rule, dict)
        and rule.get("deleted") is not True
        and spelled[key.lower()] == 1
        and '"' not in key
    }


def _type_of(rule: Json) -> dict[str, Any]:
    one = dict(TYPES.get(str(rule.get("type")), TEXT))
    if rule.get("array") is not True:
        return one
    return {"type": ["array", "string", "null"], "items": one}
