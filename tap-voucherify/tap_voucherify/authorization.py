"""What tells the API who asks: a key pair, or a token made with it (reference §1.3, §1.4).

Nothing here knows HTTP: a token comes from a function, and what is given back are headers.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from tap_voucherify.errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCOPE = (
    "customers redemptions publications campaigns vouchers rewards referrals orders segments "
    "metadata-schemas exports"
)
"""What a token may do: as little as all streams together need."""

LIFETIME_SECONDS = 900.0
"""How long a token lives where its answer does not say."""

MARGIN_SECONDS = 60.0
"""How long before its end a token is replaced, so that none ends on its way to the API."""

HEADER_VALUE = re.compile(r"[ -~\xa0-\xff]+")
"""What an HTTP header can carry: printable Latin-1."""

Headers = dict[str, str]


class Authorization(Protocol):
    """A source of the headers that every request carries."""

    def headers(self) -> Headers:
        """The headers to send now."""

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Take note that these headers were refused; whether asking again makes sense."""


class KeyPair:
    """The key pair itself; it is right or it is not."""

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
    """A token used by all threads until shortly before its end, then replaced by one of them.

    Args:
        ask: makes a token; gives the answer with `access_token` and `expires_in` in seconds.
        clock: seconds that only move forward.
    """

    def __init__(
        self, ask: Callable[[], dict[str, Any]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._headers: Headers = {}
        self._good_until = 0.0

    def headers(self) -> Headers:
        """The header with a token that is still good; threads that find none wait for one.

        Raises:
            VoucherifyError: no token was given.
        """
        with self._lock:
            if not self._headers or self._clock() >= self._good_until:
                asked = self._clock()
                answer = self._ask()
                self._headers = {"Authorization": f"Bearer {_token(answer)}"}
                self._good_until = asked + max(0.0, _lifetime(answer) - MARGIN_SECONDS)
            return self._headers

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Drop the token that was refused, unless another thread already replaced it."""
        with self._lock:
            if self._headers == refused:
                self._headers = {}
        return True


def _token(answer: Mapping[str, Any]) -> str:
    token = answer.get("access_token")
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


def _lifetime(answer: Mapping[str, Any]) -> float:
    seconds = answer.get("expires_in")
    return float(seconds) if isinstance(seconds, int | float) else LIFETIME_SECONDS
