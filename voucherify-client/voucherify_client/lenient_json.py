"""Decode JSON that strict decoders refuse and other readers take.

Some programs write half of a surrogate pair (a text cut in the middle of an emoji),
bytes that are not UTF-8, a byte order mark, or a number too large for a float. One such character
must not cost the whole page that it stands on.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|.)",
    re.DOTALL,
)
"""An escape sequence; `half` is a surrogate without its other half."""

NOT_UTF8 = re.compile("[\ud800-\udfff]+")
"""Bytes that are not UTF-8, as the error handler `surrogateescape` decodes them."""


def decode(content: bytes, strict: Callable[[bytes], Any] = msgspec.json.decode) -> tuple[Any, int]:
    """The value, and how many characters and numbers were replaced in it.

    What is not a character becomes U+FFFD, in keys as in values. A number that no float holds
    becomes `None`.

    Args:
        content: JSON text.
        strict: the decoder to try first, and again after the repair; raises what `msgspec` raises.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deep.
    """
    try:
        return strict(content), 0
    except (msgspec.DecodeError, UnicodeDecodeError):
        repaired, replaced = _with_valid_characters(content.removeprefix(BYTE_ORDER_MARK))
    try:
        return strict(repaired), replaced
    except msgspec.ValidationError:
        value, large = _without_large_numbers(repaired)
        return value, replaced + large


def _with_valid_characters(content: bytes) -> tuple[bytes, int]:
    """The text with U+FFFD for what is not a character, and how often."""
    halves = 0

    def repaired(escape: re.Match[bytes]) -> bytes:
        nonlocal halves
        if escape["half"] is None:
            return escape[0]
        halves += 1
        return rb"\ufffd"

    text, invalid = NOT_UTF8.subn("\ufffd", content.decode("utf-8", "surrogateescape"))
    return ESCAPE.sub(repaired, text.encode()), invalid + halves


def _without_large_numbers(content: bytes) -> tuple[Any, int]:
    """The value with `None` for numbers that no float or integer holds, and how many those are."""
    large = 0

    def number(text: str) -> int | float | None:
        nonlocal large
        if text.lstrip("-").isdecimal():
            try:
                return int(text)
            except ValueError:  # more digits than Python converts
                pass
        elif isfinite(made := float(text)):
            return made
        large += 1
        return None

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    value = json.loads(content, parse_int=number, parse_float=number, parse_constant=refuse)
    return value, large
