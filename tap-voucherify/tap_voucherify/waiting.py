"""How long to wait after an answer, as pure functions of its headers (reference §2)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TOO_MANY_REQUESTS = 429

FIRST_BACKOFF = 0.2
"""Seconds before the first retry of a call whose answer says nothing about waiting."""

LONGEST = 86_400.0
"""Seconds; who is told to wait longer than a day is better off running again later."""

LONGEST_BACKOFF = 60.0
"""Seconds between tries at most, where the server named no time."""


def told_to_wait(
    status: int, headers: Mapping[str, str], now: datetime
) -> tuple[float, str] | None:
    """Seconds to wait and the header that says so; none when the server named no time.

    `Retry-After` holds seconds or an HTTP date. `X-Rate-Limit-Retry` is an instant in Unix seconds;
    it stands on every answer, so it asks to wait only beside a 429. Both are read against the
    server's own clock (`Date`), so that a wrong local clock shortens no wait.
    """
    now = server_time(headers) or now
    seconds = _retry_after(headers.get("Retry-After", ""), now)
    if seconds is not None:
        return max(0.0, seconds), "Retry-After"
    retry_at = _number(headers.get("X-Rate-Limit-Retry", ""))
    if status == TOO_MANY_REQUESTS and retry_at is not None:
        return max(0.0, retry_at - now.timestamp()), "X-Rate-Limit-Retry"
    return None


def backoff(attempt: int) -> float:
    """Seconds to wait before try number `attempt` + 2, doubling, where nothing was told."""
    return min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0**attempt)


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """The server's clock as its `Date` header tells it, to the second."""
    return _http_date(headers.get("Date", ""))


def _retry_after(value: str, now: datetime) -> float | None:
    seconds = _number(value)
    if seconds is not None:
        return seconds
    date = _http_date(value)
    return None if date is None else (date - now).total_seconds()


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
