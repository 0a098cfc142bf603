"""A customer as the bytes that are sent, serialised once and counted as they are."""

from __future__ import annotations

from typing import Any

import msgspec

from target_voucherify.errors import NotACustomerError

LARGEST_BODY = 10_485_760
"""Bytes that Voucherify takes in one request (reference §7.1); bodies stay under it."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


def encoded(customer: dict[str, Any]) -> bytes:
    """The customer as JSON.

    Raises:
        NotACustomerError: it holds lone surrogates, or is larger than a request may be.
    """
    try:
        payload = _encode(customer)
    except UnicodeEncodeError:
        broken = [f"{name} holds broken Unicode" for name in customer if _broken(customer[name])]
        raise NotACustomerError(broken) from None
    if len(payload) + 2 >= LARGEST_BODY:
        raise NotACustomerError(["the customer alone is over 10 MB"])
    return payload


def _broken(value: Any) -> bool:
    try:
        _encode(value)
    except UnicodeEncodeError:
        return True
    return False
