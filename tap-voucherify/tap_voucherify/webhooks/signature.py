"""Whether Voucherify sent a body: pure functions of its bytes (reference §11)."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = "x-voucherify-signature"

# A text that never ends takes all the rest, so that no body is looked at twice.
_TEXT_OR_BLANKS = re.compile(rb'("(?:[^"\\]|\\.)*+"?)|[ \t\r\n]+', re.DOTALL)


def is_signed(body: bytes, signature: str, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets made the signature.

    Voucherify signs the form without insignificant whitespace, whatever goes over the wire, so
    the body is tried as it came and then minified.

    Args:
        body: as it came.
        signature: lower-case hex of an HMAC-SHA-256.
        secrets: all that are valid now; several while one replaces another.
    """
    given = signature.encode()
    forms = dict.fromkeys((body, minified(body)))
    matches = [
        hmac.compare_digest(_signature(form, secret), given) for form in forms for secret in secrets
    ]
    return any(matches)


def minified(body: bytes) -> bytes:
    """JSON without whitespace between its tokens; its texts and numbers stay as written."""
    return _TEXT_OR_BLANKS.sub(rb"\1", body)


def _signature(body: bytes, secret: str) -> bytes:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()
