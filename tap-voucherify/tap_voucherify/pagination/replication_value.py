"""When a row last changed, and the rows that changed since an instant."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from tap_voucherify.pagination.time_cursor import (
    Fetch,
    ReadStats,
    Row,
    TimedRow,
    TimeOrderedEndpoint,
    end,
    rows_by_time,
)
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import normalize, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

UPDATED = "`updated_at` of a row"


def modified_at(row: Row, stream: str) -> datetime:
    """`updated_at`, or `created_at` if the row was never updated and has no `updated_at`.

    Raises:
        VoucherifyError: the row has neither.
    """
    return parse(_text(row, stream), what=_what(stream))


def modified_at_text(row: Row, stream: str) -> str:
    """The same instant in the form of `to_iso`.

    Raises:
        VoucherifyError: the row has neither.
    """
    return normalize(_text(row, stream), what=_what(stream))


def _what(stream: str) -> str:
    return f"`updated_at` or `created_at` of {stream}"


def _text(row: Row, stream: str) -> str:
    text: str | None = row.get("updated_at") or row.get("created_at")
    if text is None:
        raise VoucherifyError(
            f"{stream}: a row has neither `created_at` nor `updated_at`, so its place in the run "
            "is unknown: report it to Voucherify's support with the time of this run."
        )
    return text


def is_in_read_by_update(row: Row, started: Callable[[], datetime] | None) -> bool:
    """Whether a read by the time of update has a row for sure.

    Not one that was updated since the read began: it may have had no such time when the read came
    by, and the read by creation only shows it later.
    """
    text = row.get("updated_at")
    if not text:
        return False
    return started is None or end(parse(text, what=UPDATED), text) <= started()


def changed_rows(
    fetch: Fetch,
    by_creation: TimeOrderedEndpoint,
    by_update: TimeOrderedEndpoint,
    since: datetime,
    stats: ReadStats,
) -> Iterator[TimedRow]:
    """Rows changed at or after `since`, ascending by the instant of their last change.

    It is not published whether a filter on `updated_at` ever selects a row that was never updated.
    So those are read by `created_at`; two ascending reads merged are one ascending stream, which
    can be cut and resumed anywhere. A row that is first updated meanwhile may come in both.
    """
    created = rows_by_time(fetch, by_creation, since=since, stats=stats)
    rest = ((at, row) for at, row in created if not is_in_read_by_update(row, stats.started))
    updated = rows_by_time(fetch, by_update, since=since, stats=stats)
    return heapq.merge(rest, updated, key=lambda timed: timed[0])
