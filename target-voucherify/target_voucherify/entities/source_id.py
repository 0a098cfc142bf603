"""The CRM's key as a `source_id`, which Voucherify never changes once a customer has it."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from target_voucherify.entities import converters

if TYPE_CHECKING:
    from collections.abc import Callable


def is_plain(key: Any) -> bool:
    """Whether a key can be sent as it is; nearly all can, and this check is cheap."""
    return type(key) is str and key.isprintable() and key[-1:] not in {" ", ""}


def folded(key: str) -> str:
    """What a key has in common with those that a service may take for the same.

    Whether Voucherify heeds case, spaces at the beginning and the form of letters (é in one
    character or in two) is not published.
    """
    return unicodedata.normalize("NFKC", key.strip()).casefold()


def to_source_id(
    value: Any, name: str, log_once: Callable[[str, str], None], problems: list[str]
) -> str:
    """The `source_id` for a value that is not plain; "" and a further problem when there is none.

    Args:
        value: what the property holds.
        name: of the property, for the messages.
        log_once: logs a message once per run; takes a topic and the message.
        problems: the reasons of a refusal are added here.
    """
    key = value if type(value) is str else _number_to_text(value, name, log_once, problems)
    stripped = key.rstrip(" ")
    if stripped != key and stripped:
        log_once("padded", f"{name} is padded with spaces at its end; they are cut off")
    if converters.CONTROL.search(stripped):
        problems.append(f"{name} holds control characters or broken Unicode")
    elif not stripped.strip() and not problems:
        problems.append(f"{name} is missing or blank, and without it nothing is sent")
    return stripped


def _number_to_text(
    value: Any, name: str, log_once: Callable[[str, str], None], problems: list[str]
) -> str:
    if value is None:
        return ""
    try:
        digits = converters.whole_number_text(value)
    except ValueError as reason:
        problems.append(f"{name} {reason}")
        return ""
    log_once("number", f"{name} is a number; it is sent as its decimal text")
    return digits
