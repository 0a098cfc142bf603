"""The base of streams whose list belongs to a parent: a call or more for each parent."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_voucherify.pagination.ordered_map import in_order
from tap_voucherify.pagination.page_number import pages_by_cursor
from tap_voucherify.pagination.time_cursor import PAGE_ROWS, Page, Row
from tap_voucherify.rewards.id_queue import IdsToAsk
from tap_voucherify.streams.stream import IncrementalStream
from tap_voucherify.voucherify_client.errors import MaxCallsError, NotFoundError
from tap_voucherify.voucherify_client.timestamps import parse, to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.records.untouched import Record


Body = dict[str, Any]


@dataclass(slots=True)
class Scan:
    """How far the parents were asked.

    Attributes:
        started: when the scan began; the bookmark that it leaves. A scan that a later run resumes
            keeps it, because parents asked before the cut were asked about that time only.
        position: id of the last parent whose rows were all written; ids are asked ascending.
        asked: parents asked in this run.
        gone: how many of them were deleted meanwhile.
    """

    started: datetime | None = None
    position: str = ""
    asked: int = 0
    gone: int = 0


class ScanningStream(IncrementalStream):
    """Rows listed by parent; one bookmark for all parents together.

    Attributes:
        path: the list of one parent, `{id}` in its place.
    """

    path: ClassVar[str]

    _scan = Scan()

    def resume(self) -> None:
        """Go on where the state says that an earlier scan was cut; from the beginning otherwise.

        A slice looks at no state.
        """
        is_slice = self.instant_setting("end_date") is not None
        state = {} if is_slice else self.stream_state.get("scan", {})
        self._scan = Scan()
        if state.get("position"):
            started = parse(state["started"], what=f"`started` in the state of {self.name}")
            self._scan = Scan(started, str(state["position"]))

    @override
    def mark(self) -> None:
        scan = self._scan
        if self.instant_setting("end_date") is not None or scan.started is None:
            return
        if self.report.complete:
            self.stream_state.pop("scan", None)
            self.move_bookmark(scan.started, scan.started)
        elif scan.position:
            self.stream_state["scan"] = {
                "started": to_iso(scan.started),
                "position": scan.position,
            }

    def answer(self, parent: str, params: dict[str, Any]) -> Body | None:
        """One page of a parent's list; none for a parent deleted meanwhile."""
        try:
            return self.client.get(self.path, {"id": parent}, params)
        except NotFoundError:
            return None


def cut_while_collecting(spent: MaxCallsError) -> MaxCallsError:
    """The error of a run whose calls end before all parents are known."""
    return MaxCallsError(
        f"{spent} The run was still collecting whom to ask and the next one collects anew: raise "
        "max_calls if this repeats."
    )


class ChildStream(ScanningStream):
    """Rows that never change, listed by parent; one bookmark for all parents together.

    Attributes:
        order: how the list of one parent is ordered.
    """

    selected_by_default = False
    order: ClassVar[str] = "id"

    @abc.abstractmethod
    def parents(self, since: datetime | None) -> Iterator[str]:
        """Ids of the parents that may have rows created at or after `since`."""

    def narrowed(self, since: datetime) -> dict[str, str]:
        """Parameters that leave out rows created before `since`, where the list takes any."""
        del since
        return {}

    def is_past(self, page: Page, since: datetime) -> bool:
        """Whether all rows behind this page were created before `since`."""
        del page, since
        return False

    @override
    def rows(self) -> Iterator[Record | None]:
        self.resume()
        since, until = self.span()
        with IdsToAsk() as to_ask:
            try:
                yield from self._collect(to_ask, since)
            except MaxCallsError as spent:
                raise cut_while_collecting(spent) from None
            self._scan.started = self._scan.started or self.client.run_started
            yield from self._ask(to_ask, since, until)
        self.logger.info(
            "complete: %d rows, %d parents asked, %d of them deleted meanwhile",
            self.report.rows,
            self._scan.asked,
            self._scan.gone,
        )

    def _collect(self, to_ask: IdsToAsk, since: datetime | None) -> Iterator[None]:
        """Find whom to ask; yields after each page's worth of parents, where the run may pause."""
        for count, parent in enumerate(self.parents(since)):
            to_ask.add([parent])
            if count % PAGE_ROWS == 0:
                yield None

    def _ask(
        self, to_ask: IdsToAsk, since: datetime | None, until: datetime | None
    ) -> Iterator[Record | None]:
        """The rows of each parent, in the order of the ids, from where a cut run stopped."""
        params: dict[str, Any] = {"limit": PAGE_ROWS, "order": self.order}
        if since is not None:
            params |= self.narrowed(since)

        def first_page(parent: tuple[str, bool]) -> Body | None:
            return self.answer(parent[0], params)

        for (parent, _), body in in_order(
            first_page,
            to_ask.after(self._scan.position),
            at_once=self.config["max_concurrency"],
            give_up=self.client.fail,
        ):
            for page in self._pages(parent, body, params, since):
                yield from self._records(page, since, until)
            self._scan.position = parent
            self._scan.asked += 1
            self._scan.gone += body is None
            yield None

    def _pages(
        self, parent: str, body: Body | None, params: dict[str, Any], since: datetime | None
    ) -> Iterator[Page]:
        def ask(cursor: str) -> Body | None:
            return self.answer(parent, {**params, "starting_after_id": cursor})

        for page in pages_by_cursor(body, ask):
            yield page
            if since is not None and self.is_past(page, since):
                return

    def _records(
        self, page: Page, since: datetime | None, until: datetime | None
    ) -> Iterator[Record]:
        for row in page.rows:
            instant = self.created_at(row)
            if (since is None or instant >= since) and (until is None or instant < until):
                yield {**row, "created_at": to_iso(instant)}

    def created_at(self, row: Row) -> datetime:
        """When a row was created.

        Raises:
            VoucherifyError: the row does not say.
        """
        return parse(row.get("created_at", ""), what=f"`created_at` of {self.name}")
