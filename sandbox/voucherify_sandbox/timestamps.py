"""Timestamps as text: the formats that requests may use, and those that responses have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MILLISECOND = timedelta(milliseconds=1)


def parse(text: str) -> datetime | None:
    """A timestamp in UTC, or `None` for text that is not one; a date is its midnight."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def _milliseconds(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _seconds(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _microseconds(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _long_offset(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _short_offset(moment: datetime) -> str:
    """Without trailing zeros but with two decimals: the shortest form in published samples."""
    head, decimals = _microseconds(moment)[:-1].split(".")
    return f"{head}.{decimals.rstrip('0').ljust(2, '0')}+00:00"


_FORMS: dict[str, Callable[[datetime], str]] = {
    "milliseconds": _milliseconds,
    "microseconds": _microseconds,
    "short_offset": _short_offset,
    "long_offset": _long_offset,
    "seconds": _seconds,
}
_ALL = tuple(_FORMS.values())


def _mixed(moment: datetime) -> str:
    """A format that depends on the timestamp; whole seconds only where nothing is cut off."""
    forms = _ALL if moment.microsecond == 0 else _ALL[:-1]
    return forms[(moment.microsecond // 1000 + moment.second) % len(forms)](moment)


def printer(form: str) -> Callable[[datetime], str]:
    """The function that formats a timestamp as the reading `timestamps` says."""
    return _FORMS.get(form, _mixed)
