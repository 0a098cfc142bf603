"""The base of streams that are read whole in each run, because their list tells no time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_voucherify.completeness import incomplete
from tap_voucherify.emission import VoucherifyStream
from tap_voucherify.errors import VoucherifyError
from tap_voucherify.listings import page_of
from tap_voucherify.paging import LAST_PAGE, NumberedPages
from tap_voucherify.walk import PAGE_ROWS, Page, Row, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_voucherify.untouched import Record


class FullTableStream(VoucherifyStream):
    """A list read whole, by page number; it keeps no state, so a run that was cut starts over.

    Attributes:
        path: the list.
        is_paged: whether it takes `page` and `limit`; otherwise one answer holds everything.
    """

    selected_by_default = False
    replication_key = None
    path: ClassVar[str]
    is_paged: ClassVar[bool] = True

    @override
    def rows(self) -> Iterator[Record | None]:
        yield from self.whole(self.path)
        self.tell_complete(self.tally.total)

    @override
    def mark(self) -> None:
        """Write nothing: there is no place to go on from."""

    def whole(self, path: str, identity: str = "") -> Iterator[Row]:
        """Every row of a list; `identity` is what stands in its path.

        Raises:
            NotFoundError: the parent in the path is gone.
            VoucherifyError: the list is longer than its pages reach, or rows are missing.
        """
        tally = Tally()
        last_page = LAST_PAGE if self.is_paged else 1
        pages = NumberedPages(partial(self._page, path, identity), tally, last_page=last_page)
        yield from pages.rows()
        self.tally.calls += tally.calls
        self.tally.duplicates += tally.duplicates
        self.tally.total = (self.tally.total or 0) + (tally.total or 0)
        if pages.capped:
            raise VoucherifyError(
                f"{self.name}: the API lists {LAST_PAGE * PAGE_ROWS:,} rows at most and there are "
                "more: deselect the stream, and get the rows as an export."
            )
        if len(pages.distinct) < (tally.total or 0):
            raise incomplete(self.name, tally.total, len(pages.distinct))

    def tell_complete(self, total: int | None) -> None:
        """Log the completeness line."""
        self.logger.info(
            "complete: %s rows counted by the API, %d distinct rows, %d duplicates dropped, "
            "%d calls",
            "no" if total is None else total,
            self.report.rows,
            self.tally.duplicates,
            self.tally.calls,
        )

    def _page(self, path: str, identity: str, number: int) -> Page:
        params = {"limit": PAGE_ROWS, "page": number} if self.is_paged else {}
        segments = {"id": identity} if identity else None
        return page_of(self.client.get(path, segments, params))
