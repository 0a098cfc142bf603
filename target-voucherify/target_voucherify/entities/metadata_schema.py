"""The project's metadata schema for customers: coerce what fits, explain what does not.

Reference §13: defined keys are always validated by Voucherify, so what it would refuse is refused
here, where it costs no call and can be explained.
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
    """What `GET /v1/metadata-schemas/customer` says, or that it says nothing."""

    def __init__(self, body: Mapping[str, Json] | None = None) -> None:
        """Compile one converter per defined key; anything malformed counts as not defined."""
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
        """Keys that must be present when a customer is created."""
        return [key for key, d in self._definitions.items() if d.get("optional") is False]

    def converter(self, key: str) -> Callable[[Json], Json]:
        """What turns a value into what Voucherify takes for `key`; raises ValueError if none."""
        known = self._converters.get(key)
        if known:
            return known
        return undefined if self._defined_only else converters.free


def read_schema(client: Client) -> MetadataSchema:
    """Ask for the schema; an empty one where there is none or the key may not see it.

    Raises:
        AccessError: the key pair is not accepted at all.
        VoucherifyError: Voucherify cannot be reached.
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
    convert = BY_TYPE.get(kind, converters.free)
    limits = [check for name, check in LIMITS.items() if definition.get(name) not in (None, [])]

    def one(value: Json) -> Json:
        value = convert(value)
        for check in limits:
            check(value, definition)
        return value

    if definition.get("array") is not True:
        single = one if limits else convert
        return converters.unless_blank(single) if kind in NEVER_BLANK else single

    def every(value: Json) -> Json:
        if type(value) is not list:
            raise ValueError("is not a list, and the metadata schema wants one")
        return [one(item) for item in value]

    return every


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

NEVER_BLANK = frozenset(("number", "boolean", "date", "datetime", "geopoint", "image_url"))
"""Types of which blank text is no value."""


def _limit(name: str, holds: Callable[[Json, Json], bool], words: str) -> Callable[..., None]:
    def check(value: Json, definition: Mapping[str, Json]) -> None:
        limit = definition[name]
        try:
            fine = holds(value, limit)
        except (TypeError, ValueError):
            return  # the limit does not fit the type: Voucherify knows what it means by it
        if not fine:
            raise ValueError(f"{words} {limit}, as the metadata schema demands")

    return check


def _one_of(value: Json, allowed: Json) -> bool:
    return value in allowed if isinstance(allowed, list) else bool(value == allowed)


LIMITS: dict[str, Callable[..., None]] = {
    "eq": _limit("eq", _one_of, "is not one of"),
    "ne": _limit("ne", lambda value, limit: not _one_of(value, limit), "is one of the forbidden"),
    "lt": _limit("lt", lambda value, limit: bool(value < limit), "is not less than"),
    "lte": _limit("lte", lambda value, limit: bool(value <= limit), "is more than"),
    "gt": _limit("gt", lambda value, limit: bool(value > limit), "is not more than"),
    "gte": _limit("gte", lambda value, limit: bool(value >= limit), "is less than"),
    "maxLength": _limit("maxLength", lambda value, limit: len(value) <= limit, "is longer than"),
    "minLength": _limit("minLength", lambda value, limit: len(value) >= limit, "is shorter than"),
    "exactLength": _limit("exactLength", lambda v, limit: len(v) == limit, "has not the length"),
}
