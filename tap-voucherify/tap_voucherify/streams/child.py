"""The base of streams whose list belongs to a parent: one call or more for each parent."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from typing_extensions import override

from tap_voucherify.pagination.ordered_map import ordered_map
from tap_voucherify.pagination.page_number import pages_by_cursor
from tap_voucherify.pagination.position import LATEST, Position
from tap_voucherify.pagination.time_cursor import PAGE_ROWS, Page, Row
from tap_voucherify.rewards.id_queue import IdQueue, QueuedId
from tap_voucherify.streams.incremental import IncrementalStream, RunRange
from tap_voucherify.voucherify_client.errors import NotFoundError
from tap_voucherify.voucherify_client.timestamps import parse, to_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from tap_voucherify.pagination.endpoints import ResponseBody
    from tap_voucherify.records.encoder import Record
    from tap_voucherify.voucherify_client.client import Client


TimedId = tuple[datetime, QueuedId | None]
"""The time of a row and the parent that it names, if any."""


@dataclass(frozen=True, slots=True)
class ParentSource:
    """A list that names parents, read by time.

    Attributes:
        name: the same in each run.
        rows: yields its rows from an instant on, ascending; from the run's own start if `None`.
    """

    name: str
    rows: Callable[[datetime | None], Iterator[TimedId]]


class Found(NamedTuple):
    """A row of a source, and the parent that it names, if any."""

    source: str
    instant: datetime
    parent: QueuedId | None


@dataclass
class ParentPosition(Position):
    """How far the parents were read.

    `started` is the bookmark that the read leaves. A run that resumes it keeps `started`, because
    the parents before the cut were read as of that time.

    With `max_calls` parents are collected and read in parts, each a span of the sources, so that a
    run that was cut collects only the parents of one part again.

    Attributes:
        position: id of the last parent of the part whose rows were all written; ids are read
            ascending.
        source: name of the source in which the part begins; empty: at the first source.
        since: where in it; `None`: at its start.
        last_source: name of the source in which the part ends; empty: behind the last source.
        until: where in it; the part ends before this instant. `None` until it is collected.
        asked: what is asked of which parents, as `ChildStream.asked`.
    """

    position: str = ""
    source: str = ""
    since: datetime | None = None
    last_source: str = ""
    until: datetime | None = None
    asked: str = ""

    def begin_part(self, source: str, since: datetime) -> None:
        """Begin a part whose parents are not known yet."""
        self.position, self.source, self.since = "", source, since
        self.last_source, self.until = "", None

    @override
    def to_state(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_state().items() if value != ""}

    def skip_to(self, source: str, since: datetime) -> None:
        """Begin the part here, because no row before names a parent; not where its end is known."""
        if self.until is None and not self.position:
            self.begin_part(source, since)

    def forget_unusable(self, sources: Collection[str], *, is_limited: bool) -> None:
        """Begin at the first source where the part cannot be collected again.

        Args:
            sources: the names of the sources that are there.
            is_limited: whether calls are, so that a part without an end may take too many.
        """
        is_there = {self.source, self.last_source} <= {"", *sources}
        if not is_there or (self.position and self.until is None and is_limited):
            self.position, self.source, self.since = "", "", None
            self.last_source, self.until = "", None


class CallBudget:
    """The calls that collecting one part may take: half of those left, so that the rest reads it.

    Where the parents of the part take more calls than are left, it ends earlier.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._began = self._checked = client.calls_left
        self._is_used = False

    @property
    def is_limited(self) -> bool:
        """Whether `max_calls` is set."""
        return self._began != inf

    def is_used(self, queue: IdQueue) -> bool:
        """Whether the part should end here."""
        left = self._client.calls_left
        if left != self._checked:
            self._checked = left
            self._is_used = len(queue) >= left - 1 or self._began - left >= max(1, self._began // 2)
        return self._is_used


class PartCollector:
    """Fills a queue with the parents of one part after another.

    Args:
        position: kept up to date.
        queue: the parents of the part; it may hold some already.
        sources: names of the sources, in the order in which they are read.
        client: counts the calls.
    """

    def __init__(
        self, position: ParentPosition, queue: IdQueue, sources: list[str], client: Client
    ) -> None:
        self._at, self._queue, self._client = position, queue, client
        self._order = {name: number for number, name in enumerate(sources)}
        self._budget = CallBudget(client)
        self._is_empty = len(queue) == 0
        self._last: tuple[str, datetime] | None = None
        position.forget_unusable(self._order, is_limited=self._budget.is_limited)

    def ends_before(self, found: Found) -> bool:
        """Whether the part ends before a row: where it ended in an earlier run, or by its calls."""
        at, here = self._at, (found.source, found.instant)
        is_border = at.until is None and not self._is_empty and here != self._last
        if is_border and self._budget.is_used(self._queue):
            at.last_source, at.until = here
        if at.until is None:
            return False
        return (self._order[here[0]], here[1]) >= (self._order[at.last_source], at.until)

    def begin(self, found: Found) -> None:
        """Begin a part with a row."""
        self._at.begin_part(found.source, found.instant)
        self._is_empty, self._budget = True, CallBudget(self._client)

    def add(self, found: Found) -> None:
        """Add the parent that a row names, if any."""
        if self._is_empty:
            self._at.skip_to(found.source, found.instant)
        if found.parent is not None:
            self._queue.add(found.parent)
            self._is_empty = False
        self._last = found.source, found.instant

    def end(self) -> None:
        """End the last part, so that a run with as few calls can collect it again."""
        if self._budget.is_limited and self._at.source:
            self._at.last_source, self._at.until = [*self._order][-1], LATEST


class ChildStream(IncrementalStream):
    """Rows that never change, listed by parent; one bookmark for all parents together.

    Attributes:
        path: the list of one parent, whose id is `{id}`.
        order: of the list.
    """

    selected_by_default = False
    positions: ClassVar = {"scan": ParentPosition}
    least_calls = 6
    path: ClassVar[str]
    order: ClassVar[str] = "id"

    _position = ParentPosition()
    _parents_read = 0
    _parents_gone = 0

    @abc.abstractmethod
    def sources(self, since: datetime | None) -> list[ParentSource]:
        """The lists that name the parents that may have rows created at or after `since`."""

    @property
    def asked(self) -> str:
        """What is asked of which parents, as far as settings say; no other read is gone on with."""
        return ""

    @override
    def _least_calls(self, spent: int) -> int:
        return max(2 * spent + 2, self.stats.instant_calls + 6, self.least_calls)

    def since_params(self, since: datetime) -> dict[str, str]:
        """Parameters that leave out rows created before `since`, if the list takes any."""
        del since
        return {}

    def older_than(self, page: Page, since: datetime) -> bool:
        """Whether all rows after this page were created before `since`."""
        del page, since
        return False

    @override
    def rows_in(self, run: RunRange) -> Iterator[Record | None]:
        return self.read_parents(IdQueue(), run)

    def read_parents(self, queue: IdQueue, run: RunRange) -> Iterator[Record | None]:
        """The rows of all parents, in the order of their ids, from where a run was cut.

        Args:
            queue: parents that are known already; closed at the end.
            run: the time range.
        """
        self._position = ParentPosition.from_state(self.saved("scan"))
        if self._position.asked != self.asked:
            self._position = ParentPosition(asked=self.asked)
        with queue:
            yield from self._read_parts(queue, run)
        self.log_complete()

    def _read_parts(self, queue: IdQueue, run: RunRange) -> Iterator[Record | None]:
        """Collect parents and read them: all at once, or in parts if `max_calls` bounds them."""
        at, sources = self._position, self.sources(run.since)
        collector = PartCollector(at, queue, [source.name for source in sources], self.client)
        for count, found in enumerate(self._found(sources)):
            at.started = at.started or self.client.run_started
            if collector.ends_before(found):
                yield from self._read_part(queue, run)
                collector.begin(found)
            collector.add(found)
            if count % PAGE_ROWS == 0:
                yield None
        at.started = at.started or self.client.run_started
        collector.end()
        yield from self._read_part(queue, run)

    def _found(self, sources: list[ParentSource]) -> Iterator[Found]:
        """The rows of all sources, from the start of the part on."""
        names, at = [source.name for source in sources], self._position
        first, since = names.index(at.source) if at.source else 0, at.since
        for number, source in enumerate(sources[first:]):
            for instant, parent in source.rows(None if number else since):
                yield Found(source.name, instant, parent)

    def _read_part(self, queue: IdQueue, run: RunRange) -> Iterator[Record | None]:
        """The rows of the parents in the queue, from where a run was cut."""
        self.logger.info("%s parents to read", f"{len(queue):,}")
        begun_at = self._position.position
        yield from self._read(queue, run)
        queue.finish(begun_at)

    def _read(self, queue: IdQueue, run: RunRange) -> Iterator[Record | None]:
        params: dict[str, Any] = {"limit": PAGE_ROWS, "order": self.order}
        if run.since is not None:
            params |= self.since_params(run.since)

        def first_page(parent: QueuedId) -> ResponseBody | None:
            return self._get(parent.id, params)

        for parent, body in ordered_map(
            first_page,
            queue.after(self._position.position),
            concurrency=self.concurrency,
            fail=self.client.fail,
        ):
            for page in self._pages(parent.id, body, params):
                yield from self.records_of(page, parent)
            self._position.position = parent.id
            self._parents_read += 1
            self._parents_gone += body is None
            yield None

    def _get(self, parent_id: str, params: dict[str, Any]) -> ResponseBody | None:
        """One page of a parent's list; `None` if the parent was deleted meanwhile."""
        try:
            return self.client.get(self.path, {"id": parent_id}, params, self.decoded)
        except NotFoundError:
            return None

    def decoded(self, content: bytes) -> Any:
        """The response of a parent's list."""
        return self.records.page(content)

    def _pages(
        self, parent_id: str, body: ResponseBody | None, params: dict[str, Any]
    ) -> Iterator[Page]:
        def fetch(cursor: str) -> ResponseBody | None:
            return self._get(parent_id, {**params, "starting_after_id": cursor})

        since = self.run_range.since
        is_filtered = since is not None and bool(self.since_params(since))
        for page in pages_by_cursor(body, fetch, is_filtered=is_filtered):
            yield page
            if since is not None and self.older_than(page, since):
                return

    def records_of(self, page: Page, parent: QueuedId) -> Iterator[Record]:
        """The records of one page of a parent's list."""
        del parent
        for row in page.rows:
            instant = self.created_at(row)
            self.note(instant)
            if self.run_range.holds(instant):
                yield self.records.record(row, to_iso(instant))

    def created_at(self, row: Row) -> datetime:
        """When a row was created.

        Raises:
            VoucherifyError: the row has no valid time.
        """
        return parse(row.get("created_at", ""), what=f"`created_at` of {self.name}")

    @override
    def write_position(self) -> None:
        if self.report.complete or self._position.position or self._position.source:
            self.save("scan", self._position)

    def log_complete(self) -> None:
        """Log what the run read."""
        self.logger.info(
            "complete: %s %s of %s parents, %d of them deleted meanwhile",
            f"{self.rows_written:,}",
            self.name,
            f"{self._parents_read:,}",
            self._parents_gone,
        )
