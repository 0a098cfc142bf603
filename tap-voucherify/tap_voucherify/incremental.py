"""The base of streams with one bookmark: where a run starts, and how far it may say it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_voucherify.emission import VoucherifyStream
from tap_voucherify.instants import parse, whole_millisecond, written

if TYPE_CHECKING:
    from datetime import datetime


class IncrementalStream(VoucherifyStream):
    """A stream with one bookmark that never passes the start of the run less the lookback."""

    @property
    def bookmark(self) -> datetime | None:
        """Everything before this instant was read by an earlier run."""
        value = self.stream_state.get("replication_key_value")
        return None if value is None else parse(value, what=f"The bookmark of {self.name}")

    def move_bookmark(self, reached: datetime, started: datetime) -> None:
        """Move the bookmark to `reached`, capped by the run's start, and never back."""
        capped = min(reached, started - self.lookback)
        bookmark = self.bookmark
        self.stream_state["replication_key"] = self.replication_key
        self.stream_state["replication_key_value"] = written(
            capped if bookmark is None else max(bookmark, capped)
        )

    def instant_setting(self, name: str) -> datetime | None:
        """The instant that a setting such as `start_date` names."""
        value = self.config.get(name)
        return None if value is None else parse(value, what=f"The setting {name}")

    def span(self) -> tuple[datetime | None, datetime | None]:
        """First and last instant wanted, to the millisecond; without an `end_date` no last one.

        With an `end_date` the run is a slice, whose beginning is `start_date` whatever the state
        says.
        """
        until = self.instant_setting("end_date")
        since = self.since() if until is None else self.instant_setting("start_date")
        return (
            None if since is None else whole_millisecond(since),
            None if until is None else whole_millisecond(until),
        )

    def since(self) -> datetime | None:
        """Where this run starts: the bookmark less the lookback or `start_date`, the later one."""
        bookmark, start_date = self.bookmark, self.instant_setting("start_date")
        if bookmark is None:
            return start_date
        behind = bookmark - self.lookback
        return behind if start_date is None else max(behind, start_date)
