"""Decoding of one line of Singer messages."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec

from target_voucherify.errors import InputError


class _StateLine(msgspec.Struct):
    value: msgspec.Raw


class UnreadableLineError(InputError):
    """A line is not JSON."""


_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_decode_state = msgspec.json.Decoder(_StateLine).decode


def decode(line: bytes) -> Any:
    """Decode one line; numbers with a fraction become `Decimal`, so none is rounded.

    NaN and lone surrogates are not JSON, but taps written in Python print them. Such a line is
    decoded the slow way, so that only its record is refused.

    Raises:
        UnreadableLineError: the line is not JSON, or nested deeper than Python reads.
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
    except ValueError:
        value = _decode_leniently(line).get("value")
        text = json.dumps(value)
    if not text or text in {"null", "{}"}:
        return None
    return text


def _decode_leniently(line: bytes) -> Any:
    try:
        text = line.decode("utf-8", "surrogateescape")
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise UnreadableLineError(
            "it is not a complete JSON message. Either the tap was cut off, or something else "
            "writes to its standard output; what came before this line was written"
        ) from None
