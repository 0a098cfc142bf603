"""Why a record was refused: in full for the refused-records file, masked for the log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from target_voucherify.voucherify_client.responses import is_loggable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from target_voucherify.errors import NotACustomerError

MIN_MASKED_LENGTH = 3
"""Shorter texts are not masked: they would blank out half of a sentence."""

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\S*@\S*|\+?\d[\d ().-]{5,}\d|\d{4,}")
"""What quotes a value, or looks like one: an address, a phone number in any form, a long number."""


class Reason(NamedTuple):
    """Why a record was refused.

    `key` is a short code for the kind of reason (Voucherify's `key`, or one of the target's own).
    `text` may quote the record, so it goes into the file only; `log_text` is safe to log.
    """

    key: str
    text: str
    log_text: str


def local_reason(error: NotACustomerError) -> Reason:
    """The reason of a refusal before sending; it names properties and rules, never values."""
    return Reason(error.key, str(error), f"{error}; correct it in the CRM, or the mapping")


def api_reason(error: Mapping[str, Any], payload: bytes) -> Reason:
    """The reason Voucherify gave; its messages may quote what was sent, as its samples do.

    Args:
        error: `key`, `message` and `details`, each of which may be missing.
        payload: the customer as it was sent; nothing that it holds is logged.
    """
    key, message, details = (_text_field(error, name) for name in ("key", "message", "details"))
    text = ": ".join(sentence for sentence in (message, details) if sentence)
    masked = message
    for value in sorted(_texts(msgspec.json.decode(payload)), key=len, reverse=True):
        masked = masked.replace(value, "…")
    masked = " ".join(QUOTED.sub("…", masked).split())
    return Reason(
        key if is_loggable(key) else "refused",
        text or "Voucherify gave no reason",
        f"refused by Voucherify: {masked or 'no reason given'}",
    )


def _text_field(error: Mapping[str, Any], name: str) -> str:
    value = error.get(name)
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a customer that is long enough to be masked."""
    if isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
    elif isinstance(value, str) and len(value) >= MIN_MASKED_LENGTH:
        yield value
