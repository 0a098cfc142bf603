"""Members of an event's payload, read as what they should be: pure functions of what the API sent.

Nearly nothing in a payload is required and nearly everything may be null (reference §10.4), so a
member of another type than expected counts as missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from tap_voucherify.fitting import whole_number

Json = Mapping[str, Any]
Value = TypeVar("Value")


def member(parent: Json, name: str) -> Json:
    """An object inside another; empty where there is none."""
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def text(parent: Json, name: str) -> str | None:
    """A text that is not empty."""
    value = parent.get(name)
    return value if isinstance(value, str) and value else None


def integer(parent: Json, name: str) -> int | None:
    """A whole number; the published samples also write some as text (reference §12.3)."""
    return whole_number(parent.get(name))


def first(*candidates: Value | None) -> Value | None:
    """The first that is there."""
    return next((value for value in candidates if value is not None), None)


def order_behind(payload: Json) -> Json:
    """The order behind the event: beside the payload, in its redemption, or named by a balance."""
    return (
        member(payload, "order")
        or member(member(payload, "redemption"), "order")
        or member(member(payload, "redemption_rollback"), "order")
        or member(transaction_details(payload), "order")
    )


def transaction_details(payload: Json) -> Json:
    """What the transaction of a balance event says about its cause (reference §10.4)."""
    return member(member(payload, "transaction"), "details")
