"""Customers, products and orders as JSON, encoded once; batches count these very bytes."""

from __future__ import annotations

from typing import Any

from target_voucherify.errors import NotACustomerError
from target_voucherify.voucherify_client import sent_form

MAX_BODY_BYTES = 10_485_760
"""Bytes that Voucherify accepts in one request, by its published description; ours are fewer."""


def encode(entity: dict[str, Any], singular: str = "customer") -> bytes:
    """A customer, product or order as JSON.

    Args:
        entity: with all its fields.
        singular: what it is, for the reason.

    Raises:
        NotACustomerError: it holds lone surrogates, or is larger than a request may be.
    """
    try:
        payload = sent_form.encode(entity)
    except UnicodeEncodeError:
        broken = [f"{name} holds broken Unicode" for name in entity if _broken(entity[name])]
        raise NotACustomerError(broken) from None
    if len(payload) + 2 >= MAX_BODY_BYTES:
        raise NotACustomerError([f"the {singular} alone is over 10 MB"])
    return payload


def _broken(value: Any) -> bool:
    try:
        sent_form.encode(value)
    except UnicodeEncodeError:
        return True
    return False
