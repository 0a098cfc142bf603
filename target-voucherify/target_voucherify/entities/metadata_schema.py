"""The project's metadata schema of an entity: convert what fits, explain what does not.

Voucherify always validates defined keys (its documentation of metadata), so a value that it would
refuse is refused here, where it costs no call and can be explained.
"""

from __future__ import annotations

import logging
import operator
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


PATH = "/v1/metadata-schemas/{resource}"


class MetadataSchema:
    """One converter per defined metadata key; none without a schema.

    Args:
        body: response of `GET /v1/metadata-schemas/{resource}`; what is malformed in it counts as
            not defined.
    """

    def __init__(self, body: Mapping[str, Json] | None = None) -> None:
        body = body if isinstance(body, dict) else {}
        properties = body.get("properties")
        self.definitions = {
            key: definition
            for key, definition in (properties if isinstance(properties, dict) else {}).items()
            if isinstance(definition, dict) and not definition.get("deleted")
        }
        self._converters = {key: converter(d) for key, d in self.definitions.items()}
        self._defined_only = body.get("allow_defined_only") is True

    @property
    def required(self) -> list[str]:
        """Keys that a customer must have when it is created."""
        return [key for key, d in self.definitions.items() if d.get("optional") is False]

    def defines(self, key: str) -> bool:
        """Whether the schema has a definition of this key."""
        return key in self.definitions

    def refuses(self, key: str) -> bool:
        """Whether the schema allows defined keys only, and this is none of them."""
        return self._defined_only and key not in self.definitions

    def converter(self, key: str) -> Callable[[Json], Json]:
        """The converter for the values of `key`."""
        known = self._converters.get(key)
        if known:
            return known
        return undefined if self._defined_only else converters.any_json


def read_schema(client: Client, resource: str) -> MetadataSchema:
    """Request the schema; an empty one if there is none or the API key may not read it.

    Args:
        client: of the run.
        resource: what has the metadata: `customer`, `product` or `order`.

    Raises:
        AccessError: the key pair is not accepted at all.
        VoucherifyError: the request failed.
    """
    try:
        return MetadataSchema(client.request("GET", PATH, {"resource": resource}).body)
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
    limits = [
        (*check, definition[name])
        for name, check in LIMITS.items()
        if definition.get(name) not in (None, [])
    ]

    def convert_one(value: Json) -> Json:
        value = convert(value)
        for limit in limits:
            _check(value, *limit)
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


def _check(value: Json, rule: str, is_met: Callable[[Json, Json], Json], limit: Json) -> None:
    try:
        fits = is_met(value, limit)
    except (TypeError, ValueError):
        return  # the limit does not fit the type, so only Voucherify can apply it
    if not fits:
        raise ValueError(f"must {rule} {limit} (metadata schema)")


def _one_of(value: Json, allowed: Json) -> bool:
    return value in allowed if isinstance(allowed, list) else bool(value == allowed)


LIMITS: dict[str, tuple[str, Callable[[Json, Json], Json]]] = {
    "eq": ("be one of", _one_of),
    "ne": ("be none of", lambda value, limit: not _one_of(value, limit)),
    "lt": ("be less than", operator.lt),
    "lte": ("be at most", operator.le),
    "gt": ("be more than", operator.gt),
    "gte": ("be at least", operator.ge),
    "maxLength": ("have at most the length", lambda value, limit: len(value) <= limit),
    "minLength": ("have at least the length", lambda value, limit: len(value) >= limit),
    "exactLength": ("have the length", lambda value, limit: len(value) == limit),
}
