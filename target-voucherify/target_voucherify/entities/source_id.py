"""The CRM's key as a `source_id`: text that stays the customer's name for ever (reference §6.4)."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from target_voucherify.entities import converters

if TYPE_CHECKING:
    from collections.abc import Callable

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_plain(key: Any) -> bool:
    """Whether a key can be sent as it is; nearly all can, and this is the cheap way to know."""
    return type(key) is str and key.isprintable() and key[-1:] not in {" ", ""}


def in_words(value: Any, name: str, notice: Callable[[str, str], None], problems: list[str]) -> str:
    """The `source_id` for a value that is not plain; "" when there is none, and a problem more.

    Args:
        value: what the property holds.
        name: of the property, for the sentences.
        notice: is told a topic and a sentence that is said once in a run.
        problems: where the reason of a refusal is added.
    """
    key = value if type(value) is str else _number_in_words(value, name, notice, problems)
    stripped = key.rstrip(" ")
    if stripped != key and stripped:
        notice("padded", f"{name} is padded with spaces at its end; they are cut off")
    if CONTROL.search(stripped):
        problems.append(f"{name} holds control characters or broken Unicode")
    elif not stripped.strip() and not problems:
        problems.append(f"{name} is missing or blank, and without it nothing is sent")
    return stripped


def _number_in_words(
    value: Any, name: str, notice: Callable[[str, str], None], problems: list[str]
) -> str:
    if value is None:
        return ""
    number = Decimal(value) if isinstance(value, int | float | Decimal) else None
    if type(value) is bool or number is None or not _is_whole(number):
        problems.append(f"{name} is {converters.a(value)}, neither text nor a whole number")
        return ""
    notice("number", f"{name} is a number; it is sent as its decimal text")
    return str(int(number))


def _is_whole(number: Decimal) -> bool:
    digits = 40  # as many as the widest integer column of a database has
    return number.is_finite() and number.adjusted() < digits and number == int(number)
