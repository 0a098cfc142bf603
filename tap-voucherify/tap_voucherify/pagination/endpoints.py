"""Which lists are walked by time, and how a walk's query becomes a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tap_voucherify.pagination.time_cursor import PAGE_ROWS, Fetch, Listing, Page, Query
from tap_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from datetime import datetime

CUSTOMERS = "/v1/customers"
CUSTOMERS_BY_CREATION = Listing("created_at", stamp="created_at", tie_order="source_id")
CUSTOMERS_BY_UPDATE = Listing("updated_at", stamp="updated_at", tie_order="source_id")

REDEMPTIONS = "/v1/redemptions"
REDEMPTIONS_BY_CREATION = Listing("created_at", stamp="date", tie_order="id")
"""Filters and orders call it `created_at`, rows call it `date` (reference §12)."""

VOUCHERS = "/v1/vouchers"
VOUCHERS_BY_CREATION = Listing("created_at", stamp="created_at", tie_order="code")
VOUCHERS_BY_UPDATE = Listing("updated_at", stamp="updated_at", tie_order="code")

CAMPAIGNS = "/v1/campaigns"
CAMPAIGNS_BY_CREATION = Listing("created_at", stamp="created_at", tie_order="created_at")
CAMPAIGNS_BY_UPDATE = Listing("updated_at", stamp="updated_at", tie_order="updated_at")
CAMPAIGN_FILTERS: Mapping[str, str] = {"created_at": "created_date", "updated_at": "updated_at"}
"""The names under which the list of campaigns filters by what its order calls otherwise (§12)."""

SEGMENTS = "/v1/segments"
SEGMENTS_BY_CREATION = Listing("created_at", stamp="created_at", tie_order="created_at")
SEGMENT_FILTERS: Mapping[str, str] = {"created_at": "created_at"}

Get = Callable[..., dict[str, Any]]


def pages_of(
    get: Get,
    path: str,
    *,
    filters: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> Fetch:
    """The function that answers a walk's queries about the list at `path`.

    Args:
        get: makes the call.
        path: the list's path.
        filters: for a list that takes times as `filters[name][conditions]` only, the name of each
            time there; for others none.
        params: parameters that every request has besides.
    """

    def fetch(query: Query) -> Page:
        times = _window(query) if filters is None else _conditions(query, filters[query.field])
        return page_of(get(path, params={**_params(query), **times, **(params or {})}))

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
    return params if query.page is None else {**params, "page": query.page}


def _window(query: Query) -> dict[str, str]:
    """The times of a query as `created_at[after]` and `created_at[before]`."""
    sides = {"after": query.after, "before": query.before}
    return {f"{query.field}[{side}]": in_milliseconds(at) for side, at in sides.items() if at}


def _conditions(query: Query, name: str) -> dict[str, str]:
    """The times of a query in the style of `filters` (reference §12)."""
    made: dict[str, str] = {}
    if query.after is not None:
        made |= condition(name, "after", query.after)
    if query.before is not None:
        made |= condition(name, "before", query.before)
    return made


def condition(name: str, operator: str, instant: datetime) -> dict[str, str]:
    """One condition on a time in the style of `filters`, and that all conditions must hold."""
    return {
        f"filters[{name}][conditions][${operator}][0]": in_milliseconds(instant),
        "filters[junction]": "and",
    }


def in_milliseconds(instant: datetime) -> str:
    """An instant in the form the API itself prints most often (reference §1.1)."""
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
