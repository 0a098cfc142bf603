"""The base of streams with a bookmark, and the time range of a run."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_voucherify.pagination.concurrency import useful_threads
from tap_voucherify.pagination.position import past
from tap_voucherify.streams.stream import VoucherifyStream
from tap_voucherify.voucherify_client.timestamps import parse, to_iso, whole_millisecond

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_voucherify.pagination.position import Position
    from tap_voucherify.records.encoder import Record

BEGAN = "start_date"
"""The member of a stream's state with the latest `start_date` that left rows out of it."""


@dataclass(frozen=True, slots=True)
class RunRange:
    """The time range of a run, cut to milliseconds.

    Attributes:
        since: the bookmark less the lookback, or `start_date`, the later one; `None` if neither
            is set.
        until: `end_date`. With it the run is a slice, which begins at `start_date` and keeps no
            state.
    """

    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            instant = getattr(self, name)
            object.__setattr__(self, name, instant and whole_millisecond(instant))

    @property
    def is_resumable(self) -> bool:
        """Whether the run goes on from a state and leaves one."""
        return self.until is None

    def holds(self, instant: datetime) -> bool:
        """Whether an instant lies in the range."""
        return (self.since is None or instant >= self.since) and (
            self.until is None or instant < self.until
        )


class IncrementalStream(VoucherifyStream):
    """A stream with one bookmark that never passes the start of the run less the lookback."""

    can_be_sliced = True
    limits = ("start_date", "end_date", "max_calls")
    positions: ClassVar[Mapping[str, type[Position]]] = {}
    """The kinds of positions in the stream's state, by their names there."""

    run_range = RunRange()
    newest: datetime | None = None
    """The latest time of a row that was read."""

    def note(self, instant: datetime | None) -> None:
        """Note the time of a row that was read."""
        if instant is not None and (self.newest is None or instant > self.newest):
            self.newest = instant

    @property
    def concurrency(self) -> int:
        """Requests side by side: few where there are few calls, because some may be lost."""
        client = self.client
        most = self.config["max_concurrency"]
        return useful_threads(most, client.calls_left, client.usage.quota_limit)

    @override
    def rows(self) -> Iterator[Record | None]:
        until = self.time_setting("end_date")
        if until is None and self.keeps_state:
            self._heed_start_date()
        since = self._since() if until is None else self.time_setting("start_date")
        self.run_range = RunRange(since, until)
        return self.rows_in(self.run_range)

    @abc.abstractmethod
    def rows_in(self, run: RunRange) -> Iterator[Record | None]:
        """The records of a time range, as `rows`."""

    @property
    @override
    def keeps_state(self) -> bool:
        return super().keeps_state and self.run_range.is_resumable

    @override
    def check_state(self) -> None:
        if self.keeps_state and self.time_setting("end_date") is None:
            _ = self.bookmark
            for name, position in self.positions.items():
                position.from_state(self.saved(name))

    @property
    def lookback(self) -> timedelta:
        """How far before its bookmark a run starts (setting `lookback_window`, seconds)."""
        return timedelta(seconds=self.config["lookback_window"])

    @property
    def bookmark(self) -> datetime | None:
        """The instant before which earlier runs have read everything."""
        value = self.stream_state.get("replication_key_value")
        return None if value is None else past(value, f"The bookmark of {self.name}")

    def move_bookmark(self, reached: datetime, started: datetime) -> None:
        """Move the bookmark to `reached`, capped by the run's start, and never back.

        Where the server does not say the time, the local clock alone proves nothing: then the
        bookmark does not pass the newest row.
        """
        capped = min(reached, started - self.lookback)
        if not self.client.knows_time:
            if self.newest is None:
                return
            capped = min(capped, self.newest)
        bookmark = self.bookmark
        self.stream_state["replication_key"] = self.replication_key
        self.stream_state["replication_key_value"] = to_iso(
            capped if bookmark is None else max(bookmark, capped)
        )

    def saved(self, name: str) -> dict[str, Any]:
        """A position that an earlier run left in the state; empty if there is none."""
        position: dict[str, Any] = self.stream_state.get(name, {}) if self.keeps_state else {}
        return position

    def save(self, name: str, position: Position) -> None:
        """Write a position into the state; once the run is complete, the bookmark instead."""
        if position.started is None:
            return  # nothing was read yet
        if self.report.complete:
            self.stream_state.pop(name, None)
            self.note(getattr(position, "reached", None))
            self.move_bookmark(position.started, position.started)
        else:
            self.stream_state[name] = position.to_state()

    def time_setting(self, name: str) -> datetime | None:
        """The instant of a setting such as `start_date`."""
        value = self.config.get(name)
        return None if value is None else parse(value, what=f"The setting {name}")

    def _heed_start_date(self) -> None:
        """Note the `start_date` that the state was begun with, and compare it with this run's.

        Where that one is later, a read that was cut lacks rows that this run shall have, so it
        begins anew; a bookmark behind it speaks for none of them, and stays.
        """
        asked, bookmark = self.time_setting("start_date"), self.bookmark
        text = self.stream_state.get(BEGAN)
        began = None if text is None else parse(text, what=f"`{BEGAN}` in the state")
        if began is not None and (asked is None or asked < began):
            if bookmark is None or bookmark < began:
                for name in self.positions:
                    self.stream_state.pop(name, None)
            else:
                self.logger.warning(
                    "%s: earlier runs began at start_date %s, and what changed before is not read "
                    "by a later one: remove the state of that stream to read it again.",
                    self.name,
                    text,
                )
            self.stream_state.pop(BEGAN)
        if asked is not None and (bookmark is None or asked > bookmark):
            self.stream_state[BEGAN] = to_iso(asked)

    def _since(self) -> datetime | None:
        bookmark, start_date = self.bookmark, self.time_setting("start_date")
        if bookmark is None:
            return start_date
        behind = bookmark - self.lookback
        return behind if start_date is None else max(behind, start_date)
