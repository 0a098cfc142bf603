"""The lists that can be read by time, and how a query becomes the parameters of a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tap_voucherify.pagination.time_cursor import (
    PAGE_ROWS,
    Fetch,
    Page,
    Query,
    TimeOrderedEndpoint,
)
from tap_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from datetime import datetime

CUSTOMERS = "/v1/customers"
CUSTOMERS_BY_CREATION = TimeOrderedEndpoint("created_at", "created_at", tie_order="source_id")
CUSTOMERS_BY_UPDATE = TimeOrderedEndpoint("updated_at", "updated_at", tie_order="source_id")

REDEMPTIONS = "/v1/redemptions"
REDEMPTIONS_BY_CREATION = TimeOrderedEndpoint("created_at", time_field="date", tie_order="id")
"""The published description calls it `created_at` in filters and orders, and `date` in rows."""

VOUCHERS = "/v1/vouchers"
VOUCHERS_BY_CREATION = TimeOrderedEndpoint("created_at", "created_at", tie_order="code")
VOUCHERS_BY_UPDATE = TimeOrderedEndpoint("updated_at", "updated_at", tie_order="code")

CAMPAIGNS = "/v1/campaigns"
CAMPAIGNS_BY_CREATION = TimeOrderedEndpoint("created_at", "created_at", tie_order="created_at")
CAMPAIGNS_BY_UPDATE = TimeOrderedEndpoint("updated_at", "updated_at", tie_order="updated_at")
CAMPAIGN_FILTERS: Mapping[str, str] = {"created_at": "created_date", "updated_at": "updated_at"}
"""The list of campaigns orders by `created_at` and, as published, filters by `created_date`."""

SEGMENTS = "/v1/segments"
SEGMENTS_BY_CREATION = TimeOrderedEndpoint("created_at", "created_at", tie_order="created_at")
SEGMENT_FILTERS: Mapping[str, str] = {"created_at": "created_at"}

Get = Callable[..., dict[str, Any]]

ResponseBody = dict[str, Any]


def pages_of(
    get: Get,
    path: str,
    *,
    filters: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> Fetch:
    """The function that fetches pages of the list at `path`.

    Args:
        get: makes the request.
        path: the list's path.
        filters: for a list that takes times only as `filters[name][conditions]`, the name of each
            time there; `None` for others.
        params: more parameters of every request.
    """

    def fetch(query: Query) -> Page:
        times = _window(query) if filters is None else _conditions(query, filters[query.field])
        page = {} if query.page is None else {"page": query.page}
        fixed = {"limit": PAGE_ROWS, "order": query.order}
        return page_of(get(path, params={**fixed, **page, **times, **(params or {})}))

    return fetch


def page_of(body: ResponseBody) -> Page:
    """The page in a list's response; `data_ref` names the member with the rows.

    Raises:
        VoucherifyError: the response is not a list.
    """
    rows = body.get(str(body.get("data_ref")))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise VoucherifyError(
            "The response is not a Voucherify list: check that api_url is a Voucherify API "
            "endpoint."
        )
    total, has_more = body.get("total"), body.get("has_more")
    return Page(
        rows,
        total if isinstance(total, int) else None,
        has_more if isinstance(has_more, bool) else None,
    )


def sent_before(field: str, instant: datetime, filters: Mapping[str, str] | None) -> dict[str, str]:
    """Parameters that select only rows whose `field` lies before an instant.

    Args:
        field: the time in filters.
        instant: the bound.
        filters: as for `pages_of`.
    """
    if filters is not None:
        return condition(filters[field], "before", instant)
    return {f"{field}[before]": in_milliseconds(instant)}


def _window(query: Query) -> dict[str, str]:
    """The times of a query as `created_at[after]` and `created_at[before]`."""
    return {f"{query.field}[{side}]": in_milliseconds(at) for side, at in _sides(query)}


def _conditions(query: Query, name: str) -> dict[str, str]:
    """The times of a query as `filters[name][conditions]`."""
    conditions = [condition(name, side, at) for side, at in _sides(query)]
    return dict(item for each in conditions for item in each.items())


def _sides(query: Query) -> list[tuple[str, datetime]]:
    sides = (("after", query.after), ("before", query.before))
    return [(side, at) for side, at in sides if at is not None]


def condition(name: str, operator: str, instant: datetime) -> dict[str, str]:
    """One condition on a time as `filters`, and that all conditions must hold."""
    return {
        f"filters[{name}][conditions][${operator}][0]": in_milliseconds(instant),
        "filters[junction]": "and",
    }


def in_milliseconds(instant: datetime) -> str:
    """An instant in the form of most published samples: UTC, three decimals, `Z`."""
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
