"""Why a record was refused: in full for the refused-records file, without its words for the log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_voucherify.errors import NotACustomerError

KEY = re.compile(r"[a-z]{2}[a-z_]{0,62}|[45]\d\d")
"""Voucherify's word for a kind of error, or a status; anything else may quote the record."""


class Reason(NamedTuple):
    """Why a record was refused.

    `key` is a short code for the kind of reason (Voucherify's `key`, or one of the target's own).
    `text` may quote the record, so it goes into the file only; `log_text` is safe to log.
    """

    key: str
    text: str
    log_text: str


def local_reason(error: NotACustomerError, number: int) -> Reason:
    """The reason of a refusal before sending; it names properties and rules, never values.

    Args:
        error: what is wrong with the record.
        number: position of the record in the input.
    """
    words = " ".join(str(error).split())
    log_text = f"number {number} of the input, {words}; correct it in the CRM, or the mapping"
    return Reason(error.key, str(error), log_text)


def api_reason(error: Mapping[str, Any], number: int) -> Reason:
    """The reason that Voucherify gives; it may quote the record in any form, so no log has it.

    Args:
        error: `key`, `message` and `details`, each of which may be missing.
        number: position of the record in the input.
    """
    key, message, details = (_text_field(error, name) for name in ("key", "message", "details"))
    return Reason(
        key if KEY.fullmatch(key) else "refused",
        ": ".join(words for words in (message, details) if words) or "Voucherify gave no reason",
        f"number {number} of the input, refused by Voucherify; only a file of refused_records_path "
        "has the reason, which may quote the record",
    )


def _text_field(error: Mapping[str, Any], name: str) -> str:
    value = error.get(name)
    return value if isinstance(value, str) else ""
