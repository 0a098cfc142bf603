"""Authentication: an API key pair, or an OAuth token made with it.

Nothing here knows HTTP: a token comes from a function, and the result is headers.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from .errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LIFETIME = 900.0
"""Seconds a token lives where the response does not say (Voucherify's documentation of OAuth)."""

RENEWAL_MARGIN = 60.0
"""Seconds before its end that a token is replaced, so that none expires in flight."""

HEADER_VALUE = re.compile(r"[ -~\xa0-\xff]+")
"""What an HTTP header can carry: printable Latin-1."""

Headers = dict[str, str]


class Auth(Protocol):
    """A source of the headers that every request carries."""

    def headers(self) -> Headers:
        """The headers to send now."""

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Take note that these headers were refused; whether another attempt makes sense."""


class KeyPair:
    """The key pair itself, in every request."""

    def __init__(self, application_id: str, secret_key: str) -> None:
        self._headers = {"X-App-Id": application_id, "X-App-Token": secret_key}

    def headers(self) -> Headers:
        """The two headers of the pair."""
        return self._headers

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Never: the same pair would be refused again."""
        del refused
        return False


class BearerToken:
    """A token shared by all threads until shortly before its end; then one of them replaces it.

    Args:
        request_token: makes a token; returns the response body with `access_token` and `expires_in`
            (seconds).
        clock: seconds that only move forward.
    """

    def __init__(
        self,
        request_token: Callable[[], dict[str, Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request_token = request_token
        self._clock = clock
        self._lock = threading.Lock()
        self._headers: Headers = {}
        self._good_until = 0.0

    def headers(self) -> Headers:
        """The header with a valid token; threads that find none wait for one.

        Raises:
            VoucherifyError: Voucherify gives no token.
        """
        with self._lock:
            if not self._headers or self._clock() >= self._good_until:
                requested_at = self._clock()
                body = self._request_token()
                self._headers = {"Authorization": f"Bearer {_token(body)}"}
                self._good_until = requested_at + max(0.0, _lifetime(body) - RENEWAL_MARGIN)
            return self._headers

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Drop the token that was refused, unless another thread already replaced it."""
        with self._lock:
            if self._headers == refused:
                self._headers = {}
        return True


def _token(body: Mapping[str, Any]) -> str:
    token = body.get("access_token")
    if not isinstance(token, str) or not token:
        raise VoucherifyError(
            "Voucherify gave no OAuth token: set auth_method to api_key, or report it to the "
            "maintainers with the run's log."
        )
    token = token.strip()
    if not HEADER_VALUE.fullmatch(token):
        raise VoucherifyError(
            "Voucherify gave an OAuth token that no HTTP header can carry: set auth_method to "
            "api_key, or report it to the maintainers with the run's log."
        )
    return token


def _lifetime(body: Mapping[str, Any]) -> float:
    seconds = body.get("expires_in")
    return float(seconds) if isinstance(seconds, int | float) else LIFETIME
