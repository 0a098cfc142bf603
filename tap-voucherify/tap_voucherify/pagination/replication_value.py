"""When a row of any list last changed, and the rows that did: pure functions of rows."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from tap_voucherify.pagination.time_cursor import Fetch, Listing, Row, Tally, Timed, walk
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import normalize, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def modified_at(row: Row, stream: str) -> datetime:
    """`updated_at`, or `created_at` for a row that was never updated (reference §4.2).

    Raises:
        VoucherifyError: the row has neither.
    """
    return parse(_text(row, stream), what=_what(stream))


def modified_at_text(row: Row, stream: str) -> str:
    """The same instant in the one form in which the tap writes instants.

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


def changed_rows(
    fetch: Fetch, by_creation: Listing, by_update: Listing, since: datetime, tally: Tally
) -> Iterator[Timed]:
    """Rows changed at or after `since`, ascending by the instant of their last change.

    Whether a filter on `updated_at` ever returns a row that was never updated is not published
    (reference §5.4), so those come from a walk of their own, by `created_at`; two ascending walks
    merged are one ascending stream, which can be cut and resumed anywhere.
    """
    created = walk(fetch, by_creation, since=since, tally=tally)
    never_updated = ((at, row) for at, row in created if not row.get("updated_at"))
    updated = walk(fetch, by_update, since=since, tally=tally)
    return heapq.merge(never_updated, updated, key=lambda timed: timed[0])
