"""Turning one value into what Voucherify takes for it, or saying why that cannot be.

Every converter takes any JSON value except null, and raises ValueError with a reason that reads on
after the name of the property. A reason never quotes the value.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json = Any

LARGEST_EXACT = 2**53
"""Beyond this, JavaScript and most of what reads JSON round integers to a neighbour."""

EXACT_DIGITS = 15
"""Every number with this many digits before its point is below 2^53."""

LARGEST_EXPONENT = 308
"""Decimal digits of the largest number that readers of JSON can hold (IEEE 754 double)."""

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
GEOPOINT = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*")
MIDNIGHT = re.compile(r"[T ]00:00(:00(\.0+)?)?(Z|[+-]00:?00)?")


def free(value: Json) -> Json:
    """Any JSON, as long as it means the same on the other side."""
    kind = type(value)
    if kind in FREE or value is None:
        return value
    if kind is int or kind is Decimal:
        return number(value)
    if kind is dict:
        return {str(key): free(member) for key, member in value.items()}
    if kind is list:
        return [free(member) for member in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return number(value)


def text(value: Json) -> str:
    """Text as it is, numbers as their decimal text."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, float | Decimal) and _is_finite(value):
        return decimal_text(value)
    raise ValueError(f"is {a(value)}, not text")


def unless_blank(convert: Callable[[Json], Json]) -> Callable[[Json], Json]:
    """A converter that takes blank text for null: so many CRMs store that there is no value."""

    def converted(value: Json) -> Json:
        return None if type(value) is str and not value.strip() else convert(value)

    return converted


def decimal_text(value: float | Decimal) -> str:
    """A number in digits, as a person writes it; with an exponent only where digits would flood."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    return format(exact, "f") if abs(exact.adjusted()) <= LARGEST_EXPONENT else str(exact)


def number(value: Json) -> Json:
    """A number, or text that is one; exact, or refused."""
    if _is_plain(value):
        return value
    if type(value) is str:
        value = _number_in(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"is {a(value)}, not a number")  # noqa: TRY004 - all reasons are ValueErrors
    if not _is_finite(value) or _overflows(value):
        raise ValueError("is not a number that JSON readers can hold")
    if _would_be_rounded(value):
        raise ValueError(
            "is an integer beyond 2^53, which would be rounded: send it as text (a stream map "
            "with str())"
        )
    return value


def _is_plain(value: Json) -> bool:
    """Whether this is a number that nobody rounds; nearly all are, and this is cheap to know."""
    if type(value) is int:
        return -LARGEST_EXACT <= value <= LARGEST_EXACT
    return type(value) is Decimal and value.is_finite() and value.adjusted() < EXACT_DIGITS


def _number_in(value: str) -> Decimal:
    try:
        return Decimal(value.strip())
    except InvalidOperation:
        raise ValueError("is text, not a number") from None


def _is_finite(value: Json) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)


def _would_be_rounded(value: Json) -> bool:
    return bool(abs(value) > LARGEST_EXACT and value == int(value))


def _overflows(value: Json) -> bool:
    return isinstance(value, Decimal) and value.adjusted() > LARGEST_EXPONENT


def boolean(value: Json) -> bool:
    """True or false, also as the words or as 1 and 0."""
    if type(value) is bool:
        return value
    known = BOOLEANS.get(str(value).strip().lower())
    if known is None:
        raise ValueError(f"is {a(value)}, not true or false")
    return known


def calendar_date(value: Json) -> str:
    """`YYYY-MM-DD`; of a time stamp only one at midnight, because another may mean another day."""
    if isinstance(value, (date, datetime)):
        value = value.isoformat()
    day = value[:10] if type(value) is str else ""
    if not (_is_a_day(day) and _is_midnight(value[10:])):
        raise ValueError("is not a date (YYYY-MM-DD, or a time stamp at midnight)")
    return str(day)


def _is_a_day(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return day[4:5] == day[7:8] == "-"


def _is_midnight(rest: str) -> bool:
    return not rest or MIDNIGHT.fullmatch(rest) is not None


def instant(value: Json) -> str:
    """ISO 8601, with a `T` between date and time."""
    if isinstance(value, (date, datetime)):
        value = value.isoformat()
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("is not an ISO 8601 date and time") from None
    return f"{value[:10]}T{value[11:] or '00:00:00Z'}"


def geopoint(value: Json) -> str:
    """`latitude,longitude` as text."""
    match = GEOPOINT.fullmatch(value) if type(value) is str else None
    if not match or abs(float(match[1])) > 90 or abs(float(match[2])) > 180:  # noqa: PLR2004 - degrees
        raise ValueError('is not a geopoint ("latitude,longitude")')
    return f"{match[1]},{match[2]}"


def image_url(value: Json) -> str:
    """An address of the web; whether there is a picture behind it is for Voucherify to say."""
    if type(value) is not str or not value.startswith(("http://", "https://")):
        raise ValueError("is not the URL of a picture")
    return value


def nested(value: Json) -> Json:
    """An object; the nested schema it must follow is Voucherify's to check."""
    if type(value) is not dict:
        raise ValueError(f"is {a(value)}, not an object")
    return free(value)


def a(value: Json) -> str:
    """What kind of thing a value is, in words, without saying the value."""
    return NAMES.get(type(value), "a number")


NAMES = {
    type(None): "null",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "an object",
}

FREE = frozenset((str, bool))

AS_IT_IS: Mapping[Callable[[Json], Json], frozenset[type]] = {
    text: frozenset((str,)),
    free: FREE,
}
"""Types whose values a converter gives back as they are, so that it need not be asked."""
