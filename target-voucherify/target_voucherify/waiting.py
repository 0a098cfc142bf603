"""How long to wait before a request is sent again: pure functions of what the server said."""

from __future__ import annotations

import random
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST = 86_400.0
"""Seconds; who is told to wait longer than a day is better off running again later."""

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 60.0


def told(headers: Mapping[str, str], now: float) -> tuple[float, str] | None:
    """Seconds the server asks to wait, and the header that says so (reference §2.2).

    Args:
        headers: of a 429 answer.
        now: Unix time of this machine. `X-Rate-Limit-Retry` is a Unix time of the server, so the
            server's own `Date` is preferred: a clock that is off would shorten the wait.

    Returns:
        None when the server names no time.
    """
    seconds = retry_after(headers, now)
    if seconds is not None:
        return seconds, "Retry-After"
    epoch = _number(headers.get("X-Rate-Limit-Retry"))
    if epoch is None:
        return None
    return max(0.0, epoch - _server_time(headers, now)), "X-Rate-Limit-Retry"


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or as a date; None when it says nothing."""
    value = headers.get("Retry-After")
    seconds, date = _number(value), _date(value)
    if seconds is None and date is not None:
        seconds = date - _server_time(headers, now)
    return None if seconds is None else max(0.0, seconds)


def backoff(tries: int) -> float:
    """Seconds before try `tries + 1`: doubling, with jitter that only ever lengthens."""
    wait = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** (tries - 1))
    return wait * (1 + random.random() / 4)  # noqa: S311 - spreads retries, keeps no secret


def _server_time(headers: Mapping[str, str], now: float) -> float:
    date = _date(headers.get("Date"))
    return now if date is None else date


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if isfinite(number) else None


def _date(text: str | None) -> float | None:
    try:
        date = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
