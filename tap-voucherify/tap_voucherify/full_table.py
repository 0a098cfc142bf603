"""The base of streams that are read whole in each run, because their list has no time to go by."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_voucherify.completeness import WholeRead, conclude, counted_in_pages, created_at
from tap_voucherify.emission import VoucherifyStream
from tap_voucherify.errors import VoucherifyError
from tap_voucherify.listings import page_of
from tap_voucherify.paging import LAST_PAGE, NumberedPages
from tap_voucherify.walk import PAGE_ROWS, Page, Row, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from tap_voucherify.untouched import Record


class FullTableStream(VoucherifyStream):
    """A list read whole, by page number; a run that was cut starts over.

    Its state is only how many rows the last read lacked, if any.

    Attributes:
        path: the list.
        is_paged: whether it takes `page` and `limit`; otherwise one answer holds everything.
    """

    selected_by_default = False
    replication_key = None
    path: ClassVar[str]
    is_paged: ClassVar[bool] = True

    _read = WholeRead()

    @override
    def rows(self) -> Iterator[Record | None]:
        self._read = WholeRead(lacked=self.stream_state.get("missing"))
        yield from self.listed()
        conclude(self, self._read)

    def listed(self) -> Iterator[Row]:
        """The rows of the stream."""
        return self.whole(self.path)

    @override
    def mark(self) -> None:
        if self._read.missing is not None:
            self.stream_state["missing"] = self._read.missing
        elif self.report.complete:
            self.stream_state.pop("missing", None)

    def whole(self, path: str, identity: str = "") -> Iterator[Row]:
        """Every row of a list; `identity` is what stands in its path.

        Raises:
            NotFoundError: the parent in the path is gone.
            VoucherifyError: the list is longer than its pages reach.
        """
        last_page = LAST_PAGE if self.is_paged else 1

        def listed() -> NumberedPages:
            page = partial(self._page, path, identity)
            return NumberedPages(
                page, Tally(), began=lambda: self.client.run_started, last_page=last_page
            )

        pages, read = listed(), WholeRead()
        tally = pages.tally
        for row in pages.rows():
            read.begin(self.client.run_started, pages.first_total)
            read.add(created_at(row))
            yield row
        read.begin(self.client.run_started, pages.first_total)
        self.tally.calls += tally.calls
        self.tally.duplicates += tally.duplicates
        if pages.capped:
            raise VoucherifyError(
                f"{self.name}: the API lists {LAST_PAGE * PAGE_ROWS:,} rows at most and there are "
                "more: deselect the stream, and get the rows as an export."
            )
        self.note(read, partial(counted_in_pages, listed))

    def note(self, read: WholeRead, count: Callable[[datetime], int | None]) -> None:
        """Add one whole list to what the stream has read.

        Args:
            read: the list, read to its end.
            count: asks how many of its rows the API counts that were created before an instant.
        """
        read.check(count)
        whole = self._read
        if read.total is not None:
            whole.total = (whole.total or 0) + read.total
        whole.rows += read.rows
        whole.missing = ((whole.missing or 0) + (read.missing or 0)) or None

    def _page(self, path: str, identity: str, number: int) -> Page:
        params = {"limit": PAGE_ROWS, "page": number} if self.is_paged else {}
        segments = {"id": identity} if identity else None
        return page_of(self.client.get(path, segments, params))
