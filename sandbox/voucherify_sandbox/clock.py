"""The time of the project: real by default, set or moved by a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Where every timestamp of the project and the HTTP `Date` header come from."""

    def __init__(self) -> None:
        """Start with real time."""
        self._frozen: datetime | None = None
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The present instant in UTC, to the microsecond."""
        return self._frozen or datetime.now(UTC) + self._ahead

    def set(self, instant: datetime | None) -> None:
        """Stand still at `instant`, or go back to real time with `None`."""
        self._ahead = timedelta()
        self._frozen = instant and instant.astimezone(UTC)

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds; a clock that stands still stays still there."""
        if self._frozen is None:
            self._ahead += timedelta(seconds=seconds)
        else:
            self._frozen += timedelta(seconds=seconds)
