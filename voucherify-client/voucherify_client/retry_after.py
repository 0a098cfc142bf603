"""How long to wait before a retry: pure functions of response headers.

`Retry-After` holds seconds or an HTTP date. `X-Rate-Limit-Retry` is a Unix time; it stands on every
response, so it asks to wait only beside a 429. Both are compared with the server's own `Date`, so
that a wrong local clock shortens no wait. (Voucherify's documentation, "Limits".)
"""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_BACKOFF = 0.2
"""Seconds before the first retry where the server names no time."""

LONGEST_BACKOFF = 60.0
"""Seconds between two attempts at most, where the server names no time."""

NUMBER = re.compile(r"\s*[+-]?\d{1,15}(\.\d{1,15})?\s*", re.ASCII)
"""What stands for a number in a header; Python's own numbers may also hold `_` and `e`."""

EARLIEST_YEAR = 1970
"""A date in a header from before is a mistake."""

LONGEST_WAIT = 86_400.0
"""Seconds. A run that would wait longer than a day ends instead."""


def server_delay(
    status: int, headers: Mapping[str, str], now: datetime
) -> tuple[float, str] | None:
    """Seconds the server asks to wait and the header that says so; `None` if it names no time.

    Args:
        status: of the response.
        headers: of the response.
        now: the local clock, used where the response has no `Date`.
    """
    now = server_time(headers) or now
    seconds = _retry_after(headers.get("Retry-After", ""), now)
    if seconds is not None:
        return max(0.0, seconds), "Retry-After"
    retry_at = _number(headers.get("X-Rate-Limit-Retry", ""))
    if status == HTTPStatus.TOO_MANY_REQUESTS and retry_at is not None:
        return max(0.0, retry_at - now.timestamp()), "X-Rate-Limit-Retry"
    return None


def backoff(attempt: int) -> float:
    """Seconds to wait after attempt number `attempt` (from 0): doubling, with up to 25 % jitter."""
    delay = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0**attempt)
    return delay * (1 + random.random() / 4)  # noqa: S311 - spreads retries, keeps no secret


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """The server's clock as its `Date` header prints it, to the second."""
    return _http_date(headers.get("Date", ""))


def _retry_after(value: str, now: datetime) -> float | None:
    seconds = _number(value)
    if seconds is not None:
        return seconds
    date = _http_date(value)
    return None if date is None else (date - now).total_seconds()


def _number(value: str) -> float | None:
    return float(value) if NUMBER.fullmatch(value) else None


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if date.year < EARLIEST_YEAR:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
