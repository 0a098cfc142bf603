"""Metadata schemas, and the validation of metadata against them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import timestamps
from voucherify_sandbox.errors import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from voucherify_sandbox.errors import Json

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_GEOPOINT = re.compile(r"-?\d+(\.\d+)?,-?\d+(\.\d+)?")
_IMAGE = re.compile(r"https?://\S+\.(jpe?g|png)", re.IGNORECASE)


def is_date(value: object) -> bool:
    """Whether a value is an existing date, written `YYYY-MM-DD`."""
    return isinstance(value, str) and bool(_DATE.fullmatch(value)) and bool(timestamps.parse(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_datetime(value: object) -> bool:
    return isinstance(value, str) and "T" in value and bool(timestamps.parse(value))


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "string": (lambda value: isinstance(value, str), "must be a string"),
    "number": (_is_number, "must be a number"),
    "boolean": (lambda value: isinstance(value, bool), "must be a boolean"),
    "date": (is_date, "must be a date in format YYYY-MM-DD"),
    "datetime": (_is_datetime, "must be a date in ISO 8601 format"),
    "geopoint": (_matches(_GEOPOINT), "must be a latitude and a longitude"),
    "image_url": (_matches(_IMAGE), "must be a URL pointing to JPG/JPEG or PNG resource"),
    "object": (lambda value: isinstance(value, dict), "must be an object"),
}

_LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "eq": (lambda value, allowed: value in allowed, "must be equal to one of {}"),
    "ne": (lambda value, forbidden: value not in forbidden, "must not be equal to any of {}"),
    "lt": (lambda value, limit: value < limit, "must be less than {}"),
    "lte": (lambda value, limit: value <= limit, "must be less than or equal to {}"),
    "gt": (lambda value, limit: value > limit, "must be greater than {}"),
    "gte": (lambda value, limit: value >= limit, "must be greater than or equal to {}"),
    "maxLength": (lambda value, limit: len(value) <= limit, "must have at most {} characters"),
    "minLength": (lambda value, limit: len(value) >= limit, "must have at least {} characters"),
    "exactLength": (lambda value, limit: len(value) == limit, "must have exactly {} characters"),
}


def schema(identity: str, resource: str, properties: Json, now: datetime) -> Json:
    """A metadata schema as the API shows it, with defaults for missing members of definitions."""
    defaults: Json = {"type": "string", "array": False, "optional": True, "objectType": None}
    return {
        "id": identity,
        "related_object": resource,
        "properties": {key: {**defaults, **value} for key, value in properties.items()},
        "allow_defined_only": False,
        "created_at": now,
        "updated_at": None,
        "object": "metadata_schema",
    }


def check(metadata: Mapping[str, Any], rules: Json | None, *, creating: bool) -> None:
    """Validate metadata against a schema.

    Args:
        metadata: the keys and values of a write.
        rules: the schema, or `None`.
        creating: whether required keys must be present.

    Raises:
        ApiError: 400 `metadata_validation_failed` with every violation in its details. The key is
            published for publications; for customers it is inferred.
    """
    if rules is None:
        return
    wrong = [text for key, value in metadata.items() if (text := _violation(key, value, rules))]
    if creating:
        wrong += [
            f"{key}: property is required"
            for key, rule in rules["properties"].items()
            if not rule["optional"] and not rule.get("deleted") and metadata.get(key) is None
        ]
    if wrong:
        raise refusal(400, "metadata_validation_failed", "Metadata is invalid", "; ".join(wrong))


def _violation(key: str, value: Any, rules: Json) -> str:
    rule = rules["properties"].get(key)
    if rule is None or rule.get("deleted"):
        return f"{key}: property is not defined" if rules["allow_defined_only"] else ""
    if value is None:
        return "" if rule["optional"] else f"{key}: property is required"
    if rule["array"] != isinstance(value, list):
        return f"{key}: must {'' if rule['array'] else 'not '}be an array"
    broken = [
        text for part in (value if rule["array"] else [value]) for text in _broken(part, rule)
    ]
    return f"{key}: {', '.join(broken)} (actual value is '{value}')" if broken else ""


def _broken(value: object, rule: Json) -> list[str]:
    fits, text = _TYPES[rule["type"]]
    if not fits(value):
        return [text]
    return [
        sentence.format(_listed(rule[name]))
        for name, (holds, sentence) in _LIMITS.items()
        if rule.get(name) is not None and not holds(value, rule[name])
    ]


def _listed(limit: object) -> str:
    return ",".join(map(str, limit)) if isinstance(limit, list) else str(limit)
