"""Timestamps as Voucherify prints them, compared as instants and never as text.

The samples of Voucherify's documentation print `Z` or an offset, and none to six decimals.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from .errors import VoucherifyError

FEW_SECONDS = 120
"""Up to here seconds are easier to read than minutes."""

MILLISECOND = timedelta(milliseconds=1)

MOST_COMMON = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
"""How the API prints by far the most timestamps."""


def parse(text: str, *, what: str = "a timestamp") -> datetime:
    """The instant that an ISO 8601 text names, in UTC; a text without an offset is taken as UTC.

    Args:
        text: any of the forms the API prints: `Z` or an offset, none to six decimals.
        what: names the value in the error, which does not repeat the text itself.

    Raises:
        VoucherifyError: the text names no instant.
    """
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is UTC:
            return instant
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise VoucherifyError(
            f"{what} is not an ISO 8601 timestamp; if it came from the API, report it with the "
            "run's log."
        ) from None


def to_iso(instant: datetime) -> str:
    """The one form in which instants are written here: UTC, six decimals, `Z`. It sorts as text."""
    in_utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def normalize(text: str, *, what: str = "a timestamp") -> str:
    """The instant that a text names, in the form of `to_iso`.

    Raises:
        VoucherifyError: as `parse`.
    """
    instant = parse(text, what=what)
    # Nearly every text is in the form that the API itself prints, and only longer by zeros then.
    return f"{text[:-1]}000Z" if MOST_COMMON.fullmatch(text) else to_iso(instant)


def clock_time(instant: datetime) -> str:
    """The time of an instant for a reader of the log, such as `14:05:30 UTC`."""
    return instant.strftime("%H:%M:%S UTC")


def format_duration(seconds: float) -> str:
    """A length of time for a reader: `50 s`, `12 min`, `4 h 57 min`."""
    if seconds < FEW_SECONDS:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def whole_millisecond(instant: datetime) -> datetime:
    """The start of the millisecond of `instant`, the finest step of the API's time filters."""
    finer = instant.microsecond % 1000
    return instant.replace(microsecond=instant.microsecond - finer) if finer else instant


def resolution(text: str) -> timedelta:
    """How long after the printed instant the stored one may lie, at least a millisecond.

    Whether fewer than three decimals mean that the rest is zero or was cut off is not published, so
    it counts as cut off.
    """
    decimals = len(text.partition(".")[2].rstrip("Z").partition("+")[0].partition("-")[0])
    return _RESOLUTIONS[min(decimals, len(_RESOLUTIONS) - 1)]


_RESOLUTIONS = tuple(timedelta(milliseconds=1000 // 10**decimals) for decimals in range(4))

LONGEST_RESOLUTION = _RESOLUTIONS[0]
"""How long after the instant that it prints a row can have been stored at most."""
