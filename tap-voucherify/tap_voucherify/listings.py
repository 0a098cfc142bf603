"""Which lists are walked by time, and how a walk's query becomes a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tap_voucherify.errors import VoucherifyError
from tap_voucherify.walk import PAGE_ROWS, Fetch, Listing, Page, Query

if TYPE_CHECKING:
    from datetime import datetime

CUSTOMERS = "/v1/customers"
CUSTOMERS_BY_CREATION = Listing("created_at", stamp="created_at", tie_order="source_id")
CUSTOMERS_BY_UPDATE = Listing("updated_at", stamp="updated_at", tie_order="source_id")

REDEMPTIONS = "/v1/redemptions"
REDEMPTIONS_BY_CREATION = Listing("created_at", stamp="date", tie_order="id")
"""Filters and orders call it `created_at`, rows call it `date` (reference §12)."""

Get = Callable[..., dict[str, Any]]


def pages_of(get: Get, path: str) -> Fetch:
    """The function that answers a walk's queries about the list at `path`."""

    def fetch(query: Query) -> Page:
        return page_of(get(path, params=_params(query)))

    return fetch


def page_of(body: dict[str, Any]) -> Page:
    """The page that a list's answer holds; `data_ref` names the member with the rows (§5.2).

    Raises:
        VoucherifyError: the answer is no list.
    """
    rows = body.get(str(body.get("data_ref")))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise VoucherifyError(
            "The answer is not a Voucherify list: check that api_url is a Voucherify API endpoint."
        )
    total, has_more = body.get("total"), body.get("has_more")
    return Page(
        rows,
        total if isinstance(total, int) else None,
        has_more if isinstance(has_more, bool) else None,
    )


def _params(query: Query) -> dict[str, Any]:
    params: dict[str, Any] = {"limit": PAGE_ROWS, "order": query.order}
    if query.after is not None:
        params[f"{query.field}[after]"] = in_milliseconds(query.after)
    if query.before is not None:
        params[f"{query.field}[before]"] = in_milliseconds(query.before)
    if query.page is not None:
        params["page"] = query.page
    return params


def in_milliseconds(instant: datetime) -> str:
    """An instant in the form the API itself prints most often (reference §1.1)."""
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
