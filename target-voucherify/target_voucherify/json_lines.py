"""Decoding of one line of Singer messages."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from target_voucherify.errors import InputError

TOO_DEEP = "_too_deep"
"""Member of a RECORD message that says that a part of its record was left out."""

MAX_DEPTH = 100
"""Levels of nesting that are decoded of a line that has too many for a decoder of Python."""

TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{\]}]', re.DOTALL)
STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


class _StateLine(msgspec.Struct):
    value: msgspec.Raw


class UnreadableLineError(InputError):
    """A line is not JSON."""


def number(text: str) -> Decimal:
    """A number with all its digits; NaN for an exponent that no number can have."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


def _integer(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:  # more digits than Python converts
        return number(text)


_decode = msgspec.json.Decoder(float_hook=number).decode
_decode_state = msgspec.json.Decoder(_StateLine).decode


def decode(line: bytes) -> Any:
    """Decode one line; numbers with a fraction become `Decimal`, so none is rounded.

    NaN and lone surrogates are not JSON, but taps written in Python print them. Such a line, and
    one with numbers or nesting beyond what the quick decoder takes, is decoded the slow way, so
    that only its record is refused.

    Raises:
        UnreadableLineError: the line is not JSON, or a message other than a RECORD is nested too
            deeply.
    """
    try:
        return _decode(line)
    except (ValueError, RecursionError):
        return _decode_leniently(line)


def record_in(line: bytes) -> tuple[str, dict[str, Any]]:
    """Stream and record of a RECORD message that was decoded before."""
    message = decode(line)
    return message["stream"], message["record"]


def state_text(line: bytes) -> str | None:
    """The value of a STATE message exactly as it was written; `None` when it is empty.

    An empty state must not be emitted: it would replace the stored one.

    Raises:
        InputError: the message has no value.
    """
    try:
        text = str(bytes(_decode_state(line).value), "utf-8")
    except (ValueError, RecursionError):
        value = json.loads(line.decode("utf-8", "surrogateescape")).get("value")
        text = json.dumps(value)
    if not text or text in {"null", "{}"}:
        return None
    return text


def _decode_leniently(line: bytes) -> Any:
    try:
        return _loaded(line)
    except RecursionError:
        pass
    except ValueError:
        raise _unreadable() from None
    try:
        message = _loaded(_without_depths(line))
    except ValueError:
        raise _unreadable() from None
    if type(message) is not dict or message.get("type") != "RECORD":
        raise UnreadableLineError("it is nested too deeply")
    return {**message, TOO_DEEP: True}


def _loaded(line: bytes) -> Any:
    text = line.decode("utf-8", "surrogateescape")
    return json.loads(text, parse_float=number, parse_int=_integer)


def _without_depths(line: bytes) -> bytes:
    """The line with null for what is nested deeper than `MAX_DEPTH`.

    Raises:
        ValueError: it ends inside.
    """
    parts: list[bytes] = []
    depth = kept_to = 0
    for token in TOKEN.finditer(line):
        step = STEPS.get(token[0], 0)
        if depth == MAX_DEPTH and step > 0:
            parts += (line[kept_to : token.start()], b"null")
        depth += step
        if depth == MAX_DEPTH and step < 0:
            kept_to = token.end()
    if depth:
        raise ValueError
    return b"".join((*parts, line[kept_to:]))


def _unreadable() -> UnreadableLineError:
    return UnreadableLineError(
        "it is not a complete JSON message. Either the tap was cut off, or something else "
        "writes to its standard output; what came before this line was written"
    )
