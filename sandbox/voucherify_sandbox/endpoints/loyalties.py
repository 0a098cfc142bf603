"""Lists of the tiers and the pending points of a loyalty campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.endpoints.lists import Rules, by_cursor, by_page
from voucherify_sandbox.errors import not_found

if TYPE_CHECKING:
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request
    from voucherify_sandbox.response import Response

TIERS = Rules(orders=("created_at", "updated_at"))
PENDING_POINTS = Rules(orders=("id",), default="id", total=False)


def list_tiers(project: Project, request: Request) -> Response:
    """The tiers of a loyalty campaign: one page, for the list takes only a limit."""
    rows = _of_campaign(project, request, project.loyalty.tiers)
    return by_page(project, request.without("page"), rows, TIERS)


def list_pending_points(project: Project, request: Request) -> Response:
    """The points of a loyalty campaign that are not active yet."""
    rows = _of_campaign(project, request, project.loyalty.pending_points)
    return by_cursor(project, request, rows, PENDING_POINTS)


def _of_campaign(project: Project, request: Request, rows: dict[str, Json]) -> list[Json]:
    key = request.parameters["campaignId"]
    campaign = project.programs.campaign(key)
    if campaign["campaign_type"] != "LOYALTY_PROGRAM":
        raise not_found("campaign", key)
    return [row for row in rows.values() if row["campaign_id"] == campaign["id"]]
