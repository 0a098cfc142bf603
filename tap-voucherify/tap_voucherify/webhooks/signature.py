"""Verify that Voucherify signed a body."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = "x-voucherify-signature"

# An unterminated string takes the rest of the body, so that no byte is scanned twice.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_TOKEN = rb"(?:" + _STRING + rb'|[^" \t\r\n]++)'
_TOKENS_OR_SPACE = re.compile(rb"(" + _TOKEN + rb"++)|[ \t\r\n]++", re.DOTALL)
_PIECE = re.compile(rb"(?:" + _TOKEN + rb"|[ \t\r\n]++){1,1000}+", re.DOTALL)
"""Other threads run between pieces; one search in a long body would stop them all."""


def is_signed(body: bytes, signature: str, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets made the signature.

    By Voucherify's documentation it signs the JSON without insignificant whitespace, whatever goes
    over the wire, so the body is tried as received and minified.

    Args:
        body: as received.
        signature: lower-case hex of an HMAC-SHA-256.
        secrets: all valid ones; several while one replaces another.
    """
    given = signature.encode()
    return _is_signed(body, given, secrets) or _is_signed(minified(body), given, secrets)


def _is_signed(form: bytes, given: bytes, secrets: Sequence[str]) -> bool:
    matches = [hmac.compare_digest(_signature(form, secret), given) for secret in secrets]
    return any(matches)


def minified(body: bytes) -> bytes:
    """JSON without whitespace between its tokens; strings and numbers stay as written."""
    pieces = (_TOKENS_OR_SPACE.sub(rb"\1", piece.group()) for piece in _PIECE.finditer(body))
    return b"".join(pieces)


def _signature(body: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
