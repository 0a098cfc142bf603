"""The base of streams whose list belongs to a parent: a call or more for each parent."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_voucherify.asking import IdsToAsk
from tap_voucherify.concurrency import in_order
from tap_voucherify.errors import CallsSpentError
from tap_voucherify.instants import parse, written
from tap_voucherify.paging import pages_by_cursor
from tap_voucherify.scanning import Body, ScanningStream
from tap_voucherify.walk import PAGE_ROWS, Page, Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from tap_voucherify.untouched import Record


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
            except CallsSpentError as spent:
                raise spent.while_collecting() from None
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
            give_up=self.client.give_up,
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
                yield {**row, "created_at": written(instant)}

    def created_at(self, row: Row) -> datetime:
        """When a row was created.

        Raises:
            VoucherifyError: the row does not say.
        """
        return parse(row.get("created_at", ""), what=f"`created_at` of {self.name}")
