"""The base of streams whose list belongs to a parent: one call or more for each parent."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_voucherify.pagination.ordered_map import ordered_map
from tap_voucherify.pagination.page_number import pages_by_cursor
from tap_voucherify.pagination.position import Position
from tap_voucherify.pagination.time_cursor import PAGE_ROWS, Page, Row
from tap_voucherify.rewards.id_queue import IdQueue, QueuedId
from tap_voucherify.streams.stream import IncrementalStream, RunRange
from tap_voucherify.voucherify_client.errors import MaxCallsError, NotFoundError
from tap_voucherify.voucherify_client.timestamps import parse, to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.pagination.endpoints import ResponseBody
    from tap_voucherify.records.untouched import Record


@dataclass
class ParentPosition(Position):
    """How far the parents were read.

    `started` is the bookmark that the read leaves. A run that resumes it keeps `started`, because
    the parents before the cut were read as of that time.

    Attributes:
        position: id of the last parent whose rows were all written; ids are read ascending.
    """

    position: str = ""


class ChildStream(IncrementalStream):
    """Rows that never change, listed by parent; one bookmark for all parents together.

    Attributes:
        path: the list of one parent, whose id is `{id}`.
        order: of the list.
    """

    selected_by_default = False
    path: ClassVar[str]
    order: ClassVar[str] = "id"

    _position = ParentPosition()
    _parents_read = 0
    _parents_gone = 0

    @abc.abstractmethod
    def parents(self, since: datetime | None) -> Iterator[QueuedId | None]:
        """The parents that may have rows created at or after `since`.

        `None` stands for a row that names no such parent: the run may pause there.
        """

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
        with queue:
            try:
                yield from self._collect(queue, run.since)
            except MaxCallsError as spent:
                raise MaxCallsError(
                    f"{spent} The run was still collecting ids and the next one collects them "
                    "again: raise max_calls if this repeats."
                ) from None
            self._position.started = self._position.started or self.client.run_started
            self.logger.info("%s parents to read", f"{len(queue):,}")
            yield from self._read(queue, run)
        self.log_complete()

    def _collect(self, queue: IdQueue, since: datetime | None) -> Iterator[None]:
        """Fill the queue; yields after each page's worth of parents, where the run may pause."""
        for count, parent in enumerate(self.parents(since)):
            if parent is not None:
                queue.add(parent)
            if count % PAGE_ROWS == 0:
                yield None

    def _read(self, queue: IdQueue, run: RunRange) -> Iterator[Record | None]:
        params: dict[str, Any] = {"limit": PAGE_ROWS, "order": self.order}
        if run.since is not None:
            params |= self.since_params(run.since)

        def first_page(parent: QueuedId) -> ResponseBody | None:
            return self._get(parent.id, params)

        for parent, body in ordered_map(
            first_page,
            queue.after(self._position.position),
            concurrency=self.config["max_concurrency"],
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
            return self.client.get(self.path, {"id": parent_id}, params)
        except NotFoundError:
            return None

    def _pages(
        self, parent_id: str, body: ResponseBody | None, params: dict[str, Any]
    ) -> Iterator[Page]:
        def fetch(cursor: str) -> ResponseBody | None:
            return self._get(parent_id, {**params, "starting_after_id": cursor})

        since = self.run_range.since
        for page in pages_by_cursor(body, fetch):
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
                yield {**row, "created_at": to_iso(instant)}

    def created_at(self, row: Row) -> datetime:
        """When a row was created.

        Raises:
            VoucherifyError: the row has no valid time.
        """
        return parse(row.get("created_at", ""), what=f"`created_at` of {self.name}")

    @override
    def write_position(self) -> None:
        if self.report.complete or self._position.position:
            self.save("scan", self._position)

    def log_complete(self) -> None:
        """Log what the run read."""
        self.logger.info(
            "complete: %s %s of %s parents, %d of them deleted meanwhile",
            f"{self.report.rows:,}",
            self.name,
            f"{self._parents_read:,}",
            self._parents_gone,
        )
