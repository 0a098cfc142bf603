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
_STRING_OR_SPACE = re.compile(rb'("(?:[^"\\]|\\.)*+"?)|[ \t\r\n]+', re.DOTALL)


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
    forms = dict.fromkeys((body, minified(body)))
    matches = [
        hmac.compare_digest(_signature(form, secret), given) for form in forms for secret in secrets
    ]
    return any(matches)


def minified(body: bytes) -> bytes:
    """JSON without whitespace between its tokens; strings and numbers stay as written."""
    return _STRING_OR_SPACE.sub(rb"\1", body)


def _signature(body: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
