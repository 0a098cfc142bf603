"""Why a record was refused: in full for the file of refusals, without personal data for the log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from target_voucherify.voucherify_client.responses import is_loggable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from target_voucherify.errors import NotACustomerError

SHORTEST_WORTH_HIDING = 3
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\S*@\S*|\+?\d[\d ().-]{5,}\d|\d{4,}")
"""What quotes a value, or looks like one: an address, a phone number in any form, a long number."""


class Reason(NamedTuple):
    """Why a record was refused.

    `key` is the kind in a word (Voucherify's `key`, or ours). `text` may quote the record, so it
    goes into the file only; `said` is what the log may say.
    """

    key: str
    text: str
    said: str


def ours(error: NotACustomerError) -> Reason:
    """The reason of a refusal before sending; it names properties and rules, never values."""
    return Reason(error.key, str(error), f"{error}; correct it in the CRM, or the mapping")


def voucherifys(error: Mapping[str, Any], payload: bytes) -> Reason:
    """The reason Voucherify gave; its sentences may quote what was sent (reference §8.2).

    Args:
        error: `key`, `message` and `details`, each of which may be missing.
        payload: the customer as it was sent; the log gets nothing that it holds.
    """
    key, message, details = (_word(error, name) for name in ("key", "message", "details"))
    text = ": ".join(sentence for sentence in (message, details) if sentence)
    said = message
    for value in sorted(_texts(msgspec.json.decode(payload)), key=len, reverse=True):
        said = said.replace(value, "…")
    said = " ".join(QUOTED.sub("…", said).split())
    return Reason(
        key if is_loggable(key) else "refused",
        text or "Voucherify gave no reason",
        f"refused by Voucherify: {said or 'no reason given'}",
    )


def _word(error: Mapping[str, Any], name: str) -> str:
    value = error.get(name)
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a customer that is long enough to be recognised in a sentence."""
    if isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
    elif isinstance(value, str) and len(value) >= SHORTEST_WORTH_HIDING:
        yield value
