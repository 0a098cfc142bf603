"""The project's metadata schema for customers: convert what fits, explain what does not.

Voucherify always validates defined keys (its documentation of metadata), so a value that it would
refuse is refused here, where it costs no call and can be explained.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from target_voucherify.entities import converters
from target_voucherify.voucherify_client.errors import (
    DeniedError,
    NotFoundError,
    RefusedRequestError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from target_voucherify.voucherify_client.client import Client

Json = Any


PATH = "/v1/metadata-schemas/customer"


class MetadataSchema:
    """One converter per defined metadata key; none without a schema.

    Args:
        body: response of `GET /v1/metadata-schemas/customer`; what is malformed in it counts as
            not defined.
    """

    def __init__(self, body: Mapping[str, Json] | None = None) -> None:
        body = body if isinstance(body, dict) else {}
        properties = body.get("properties")
        self._definitions = {
            key: definition
            for key, definition in (properties if isinstance(properties, dict) else {}).items()
            if isinstance(definition, dict) and not definition.get("deleted")
        }
        self._converters = {key: converter(d) for key, d in self._definitions.items()}
        self._defined_only = body.get("allow_defined_only") is True

    @property
    def required(self) -> list[str]:
        """Keys that a customer must have when it is created."""
        return [key for key, d in self._definitions.items() if d.get("optional") is False]

    def converter(self, key: str) -> Callable[[Json], Json]:
        """The converter for the values of `key`."""
        known = self._converters.get(key)
        if known:
            return known
        return undefined if self._defined_only else converters.any_json


def read_schema(client: Client) -> MetadataSchema:
    """Request the schema; an empty one if there is none or the API key may not read it.

    Raises:
        AccessError: the key pair is not accepted at all.
        VoucherifyError: the request failed.
    """
    try:
        return MetadataSchema(client.request("GET", PATH).body)
    except NotFoundError:
        return MetadataSchema()
    except (DeniedError, RefusedRequestError) as error:
        logging.getLogger("target-voucherify").warning(
            "Metadata is not checked before it is sent. %s", error
        )
        return MetadataSchema()


def converter(definition: Mapping[str, Json]) -> Callable[[Json], Json]:
    """The converter of one definition: its type, its limits, one value or a list of them."""
    kind = str(definition.get("type"))
    convert = BY_TYPE.get(kind, converters.any_json)
    limits = [check for name, check in LIMITS.items() if definition.get(name) not in (None, [])]

    def convert_one(value: Json) -> Json:
        value = convert(value)
        for check in limits:
            check(value, definition)
        return value

    if definition.get("array") is not True:
        single = convert_one if limits else convert
        return converters.unless_blank(single) if kind in BLANK_IS_NULL else single

    def convert_all(value: Json) -> Json:
        if type(value) is not list:
            raise ValueError("must be a list (metadata schema)")
        return [convert_one(item) for item in value]

    return convert_all


def undefined(_value: Json) -> Json:
    """Refuse a key that the schema does not define, where it allows defined keys only."""
    raise ValueError(
        "is not defined in the project's metadata schema, which allows defined keys only"
    )


BY_TYPE: dict[str, Callable[[Json], Json]] = {
    "string": converters.text,
    "number": converters.number,
    "boolean": converters.boolean,
    "date": converters.calendar_date,
    "datetime": converters.instant,
    "geopoint": converters.geopoint,
    "image_url": converters.image_url,
    "object": converters.nested,
}

BLANK_IS_NULL = frozenset(("number", "boolean", "date", "datetime", "geopoint", "image_url"))
"""Types for which blank text counts as null."""


def _limit(name: str, holds: Callable[[Json, Json], bool], rule: str) -> Callable[..., None]:
    def check(value: Json, definition: Mapping[str, Json]) -> None:
        limit = definition[name]
        try:
            is_met = holds(value, limit)
        except (TypeError, ValueError):
            return  # the limit does not fit the type, so only Voucherify can apply it
        if not is_met:
            raise ValueError(f"must {rule} {limit} (metadata schema)")

    return check


def _one_of(value: Json, allowed: Json) -> bool:
    return value in allowed if isinstance(allowed, list) else bool(value == allowed)


LIMITS: dict[str, Callable[..., None]] = {
    "eq": _limit("eq", _one_of, "be one of"),
    "ne": _limit("ne", lambda value, limit: not _one_of(value, limit), "be none of"),
    "lt": _limit("lt", lambda value, limit: bool(value < limit), "be less than"),
    "lte": _limit("lte", lambda value, limit: bool(value <= limit), "be at most"),
    "gt": _limit("gt", lambda value, limit: bool(value > limit), "be more than"),
    "gte": _limit("gte", lambda value, limit: bool(value >= limit), "be at least"),
    "maxLength": _limit("maxLength", lambda v, limit: len(v) <= limit, "have at most the length"),
    "minLength": _limit("minLength", lambda v, limit: len(v) >= limit, "have at least the length"),
    "exactLength": _limit("exactLength", lambda v, limit: len(v) == limit, "have length"),
}
