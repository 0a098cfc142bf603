"""The clock of a project: real time, unless a test sets or moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """The source of all timestamps of the project and of the `Date` header."""

    def __init__(self) -> None:
        """Start with real time."""
        self._frozen: datetime | None = None
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The current time in UTC, with microseconds."""
        return self._frozen or datetime.now(UTC) + self._ahead

    def set(self, instant: datetime | None) -> None:
        """Freeze at `instant`; `None` returns to real time."""
        self._ahead = timedelta()
        self._frozen = instant and instant.astimezone(UTC)

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds`; a frozen clock stays frozen."""
        if self._frozen is None:
            self._ahead += timedelta(seconds=seconds)
        else:
            self._frozen += timedelta(seconds=seconds)
