"""Types for the member `metadata` of records, from the project's metadata schemas.

A defined key gets its type, and always text and null beside it: a value that was stored before the
key was defined passes as text. Keys that are not defined pass unchanged.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from tap_voucherify.records.conformance import types_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_voucherify.records.conformance import Schema

RESOURCES: Mapping[str, str] = {
    "customers": "customer",
    "orders": "order",
    "products": "product",
    "promotion_tiers": "promotion_tier",
    "loyalty_tiers": "loyalty_tier",
    "redemptions": "redemption",
    "campaigns": "campaign",
    "vouchers": "voucher",
    "publications": "publication",
    "rewards": "reward",
}
"""The resource whose metadata schema a stream's rows follow, by stream."""

TYPES: Mapping[str, Schema] = {
    "number": {"type": ["number", "string", "null"]},
    "boolean": {"type": ["boolean", "string", "null"]},
    "object": {
        "type": ["object", "string", "null"],
        "properties": {},
        "additionalProperties": True,
    },
}
TEXT: Schema = {"type": ["string", "null"]}
"""Dates stay text: a value that was stored before the key became a date may be anything."""


def with_metadata_types(
    schema: Schema, stream: str, definitions: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
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


def as_json_text(schema: Schema, name: str = "") -> dict[str, Any]:
    """A schema in which objects without a fixed set of members are JSON text, as is `metadata`.

    Records conform to it by themselves: a value whose schema allows text only becomes JSON text.

    Args:
        schema: of a stream or a part of it.
        name: of the property.
    """
    if "object" in types_of(schema) and (name == "metadata" or not schema.get("properties")):
        text = {"description": schema["description"]} if "description" in schema else {}
        return {**TEXT, **text}
    made = dict(schema)
    if "properties" in made:
        made["properties"] = {
            key: as_json_text(part, key) for key, part in made["properties"].items()
        }
    if "items" in made:
        made["items"] = as_json_text(made["items"])
    return made


def _typed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that loaders can tell apart, each with its type.

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


def _type_of(rule: Mapping[str, Any]) -> dict[str, Any]:
    one = dict(TYPES.get(str(rule.get("type")), TEXT))
    if rule.get("array") is not True:
        return one
    return {"type": ["array", "string", "null"], "items": one}
