"""Converters of one value into the form that Voucherify accepts.

Each takes any JSON value except null, and raises ValueError with a reason that continues a sentence
begun with the name of the property. A reason never quotes the value.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json = Any

_decode = msgspec.json.Decoder(float_hook=Decimal).decode

MAX_EXACT = 2**53
"""Larger integers are rounded by JavaScript and most other readers of JSON."""

EXACT_DIGITS = 15
"""Numbers with at most this many digits before the point are below 2^53."""

MAX_EXPONENT = 308
"""Decimal digits of the largest number that readers of JSON can hold (IEEE 754 double)."""

MOST_KEY_DIGITS = 40
"""Digits of a key that is a number: as many as the widest integer column of a database has."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that no key may hold."""

BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
GEOPOINT = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*,\s*(-?\d+(?:\.\d+)?)\s*")
EXTENDED = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]|$)")
MIDNIGHT_OR_NOTHING = re.compile(r"([T ]00:00(:00(\.0+)?)?(Z|[+-]00:?00)?)?")


def any_json(value: Json) -> Json:
    """Any JSON whose numbers survive the transfer."""
    kind = type(value)
    if kind is int or kind is Decimal:
        return value if _is_exact(value) else number(value)
    if kind in PLAIN_TYPES or value is None:
        return value
    if kind is dict:
        return {str(key): any_json(member) for key, member in value.items()}
    if kind is list:
        return [any_json(member) for member in value]
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return number(value)


def text(value: Json) -> str:
    """Text unchanged, numbers as decimal text."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, float | Decimal) and _is_finite(value):
        return decimal_text(value)
    raise ValueError(f"is {kind_of(value)}, not text")


def key(value: Json) -> str | None:
    """The key by which one entity names another, made as that one's `source_id`; null if blank.

    Otherwise an order whose column is padded, or a float, would name a customer that nobody has.
    """
    given = value if type(value) is str else whole_number_text(value)
    made = given.rstrip(" ")
    if CONTROL.search(made):
        raise ValueError("holds control characters or broken Unicode")
    return made if made.strip() else None


def whole_number_text(value: Json) -> str:
    """A key that is a number, as decimal text."""
    is_number = isinstance(value, int | float | Decimal) and type(value) is not bool
    exact = Decimal(value) if is_number else Decimal("NaN")
    if exact.is_finite() and exact.adjusted() < MOST_KEY_DIGITS and exact == int(exact):
        return str(int(exact))
    raise ValueError(f"is {kind_of(value)}, neither text nor a whole number")


def unless_blank(convert: Callable[[Json], Json]) -> Callable[[Json], Json]:
    """The converter, but blank text counts as null: many CRMs store a missing value so."""

    def converted(value: Json) -> Json:
        return None if type(value) is str and not value.strip() else convert(value)

    return converted


def decimal_text(value: float | Decimal) -> str:
    """A number in digits; with an exponent only where there would be hundreds of digits."""
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    return format(exact, "f") if abs(exact.adjusted()) <= MAX_EXPONENT else str(exact)


def number(value: Json) -> Json:
    """A number, also from text; refused if JSON readers would round it."""
    if _is_exact(value):
        return value
    if type(value) is str:
        value = _number_in(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"is {kind_of(value)}, not a number")  # noqa: TRY004 - all reasons are ValueErrors
    if not _is_finite(value) or _overflows(value):
        raise ValueError("is not a number that JSON readers can hold")
    if _would_be_rounded(value):
        raise ValueError(
            "is an integer beyond 2^53, which would be rounded: send it as text (a stream map "
            "with str())"
        )
    return value


def _is_exact(value: Json) -> bool:
    """Whether a number is surely exact; nearly all are, and this check is cheap."""
    if type(value) is int:
        return -MAX_EXACT <= value <= MAX_EXACT
    return type(value) is Decimal and value.is_finite() and value.adjusted() < EXACT_DIGITS


def _number_in(value: str) -> Decimal:
    try:
        return Decimal(value.strip())
    except InvalidOperation:
        raise ValueError("is text, not a number") from None


def _is_finite(value: Json) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)


def _would_be_rounded(value: Json) -> bool:
    return bool(abs(value) > MAX_EXACT and value == int(value))


def _overflows(value: Json) -> bool:
    return isinstance(value, Decimal) and value.adjusted() > MAX_EXPONENT


def amount(decimals: int) -> Callable[[Json], int]:
    """The converter of an amount of money into the smallest unit of its currency.

    Args:
        decimals: of the amounts in the records: 0 if they are in the smallest unit already, 2 for
            12.50 euros.
    """

    def converted(value: Json) -> int:
        sign, digits, exponent = Decimal(str(number(value))).as_tuple()
        # Not by arithmetic, which would round to 28 digits.
        shifted = Decimal((sign, digits, int(exponent) + decimals))
        whole = int(shifted)
        if whole != shifted:
            places = f"more than {decimals} decimals" if decimals else "decimals"
            raise ValueError(f"has {places}: set decimals to the number that amounts have")
        if not -MAX_EXACT <= whole <= MAX_EXACT:
            raise ValueError("is an amount beyond 2^53")
        return whole

    return converted


def one_of(words: tuple[str, ...]) -> Callable[[Json], str]:
    """The converter that takes some words only, in any case."""

    def converted(value: Json) -> str:
        word = value.strip().upper() if type(value) is str else ""
        if word not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return word

    return converted


def texts(value: Json) -> list[str]:
    """A list of texts, also as the JSON text that some databases store."""
    return [text(member) for member in _listed(value)]


ITEM_TEXTS = ("product_id", "sku_id", "related_object")
ITEM_COUNTS = ("quantity", "discount_quantity", "initial_quantity")
ITEM_AMOUNTS = ("amount", "discount_amount", "initial_amount", "price")
ITEM_OBJECTS = ("product", "sku", "metadata")
"""Members of an item of an order; others are left out."""

MOST_ITEMS = 500
"""Items of an order at most."""


def order_items(money: Callable[[Json], int]) -> Callable[[Json], list[Json]]:
    """The converter of the items of an order.

    Args:
        money: converts an amount.
    """
    of_member = {
        "source_id": key,
        **dict.fromkeys(ITEM_TEXTS, text),
        **dict.fromkeys(ITEM_COUNTS, amount(0)),
        **dict.fromkeys(ITEM_AMOUNTS, money),
        **dict.fromkeys(ITEM_OBJECTS, nested),
    }

    def converted(value: Json) -> list[Json]:
        items = _listed(value)
        if len(items) > MOST_ITEMS:
            raise ValueError(f"has more than {MOST_ITEMS} items")
        return [_item(item, of_member) for item in items]

    return converted


def _item(item: Json, of_member: Mapping[str, Callable[[Json], Json]]) -> Json:
    if type(item) is not dict:
        raise ValueError(f"holds {kind_of(item)}, where an item is an object")
    converted = {}
    for name, convert in of_member.items():
        value = item.get(name)
        if value is not None:
            try:
                converted[name] = convert(value)
            except ValueError as reason:
                raise ValueError(f"holds an item whose {name} {reason}") from None
    return {name: value for name, value in converted.items() if value is not None}


def _listed(value: Json) -> list[Json]:
    """A list, also as JSON text."""
    if type(value) is str and value.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            value = _decode(value)
    if type(value) is not list:
        raise ValueError(f"is {kind_of(value)}, not a list")
    return value


def boolean(value: Json) -> bool:
    """A boolean, also from the words `true` and `false`, 1 and 0."""
    if type(value) is bool:
        return value
    known = BOOLEANS.get(str(value).strip().lower())
    if known is None:
        raise ValueError(f"is {kind_of(value)}, not true or false")
    return known


def calendar_date(value: Json) -> str:
    """`YYYY-MM-DD`, also from a timestamp at midnight; any other may mean another day elsewhere."""
    if isinstance(value, (date, datetime)):
        value = value.isoformat()
    day = value[:10] if type(value) is str else ""
    if not _is_a_day(day) or (day != value and not MIDNIGHT_OR_NOTHING.fullmatch(value[10:])):
        raise ValueError("is not a date (YYYY-MM-DD, or a timestamp at midnight)")
    return str(day)


def _is_a_day(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return day[4:5] == day[7:8] == "-"


def instant(value: Json) -> str:
    """ISO 8601, with a `T` between date and time."""
    if isinstance(value, (date, datetime)):
        value = value.isoformat()
    try:
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("is not an ISO 8601 date and time") from None
    if not EXTENDED.match(value):  # 20240131T101010Z, 2024-W05
        value = (parsed if "T" in value else parsed.date()).isoformat().replace("+00:00", "Z")
    return f"{value[:10]}T{value[11:] or '00:00:00Z'}"


def geopoint(value: Json) -> str:
    """`latitude,longitude` as text."""
    match = GEOPOINT.fullmatch(value) if type(value) is str else None
    if not match or abs(float(match[1])) > 90 or abs(float(match[2])) > 180:  # noqa: PLR2004 - degrees
        raise ValueError('is not a geopoint ("latitude,longitude")')
    return f"{match[1]},{match[2]}"


def image_url(value: Json) -> str:
    """An http or https URL; Voucherify checks whether it leads to a picture."""
    if type(value) is not str or not value.startswith(("http://", "https://")):
        raise ValueError("is not the URL of a picture")
    return value


def nested(value: Json) -> Json:
    """An object; Voucherify checks it against its nested schema."""
    if type(value) is not dict:
        raise ValueError(f"is {kind_of(value)}, not an object")
    return any_json(value)


def kind_of(value: Json) -> str:
    """The kind of a value in words, without the value."""
    return NAMES.get(type(value), "a number")


NAMES = {
    type(None): "null",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "an object",
}

PLAIN_TYPES = frozenset((str, bool))

KEPT_TYPES: Mapping[Callable[[Json], Json], frozenset[type]] = {
    text: frozenset((str,)),
    any_json: PLAIN_TYPES,
}
"""Types whose values a converter returns unchanged, so that it need not be called."""
