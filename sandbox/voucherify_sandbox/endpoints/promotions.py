"""Lists of promotion tiers and stacks, validation rules and their assignments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.endpoints.lists import Rules, by_page

if TYPE_CHECKING:
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request
    from voucherify_sandbox.response import Response

_CHANGED = ("created_at", "updated_at")
TIERS = Rules(data_ref="tiers", orders=_CHANGED)
STACKS = Rules(orders=(*_CHANGED, "name"), windows=_CHANGED)
RULES = Rules(orders=(*_CHANGED, "name"))
ASSIGNMENTS = Rules(
    orders=("created_at",),
    equals={"rule": "rule_id", "related_object_id": "related_object_id"},
)


def list_tiers(project: Project, request: Request) -> Response:
    """Promotion tiers of all campaigns."""
    return by_page(project, request, project.promotions.tiers.values(), TIERS)


def list_stacks(project: Project, request: Request) -> Response:
    """Promotion stacks of all campaigns."""
    return by_page(project, request, project.promotions.stacks.values(), STACKS)


def list_rules(project: Project, request: Request) -> Response:
    """Validation rules."""
    return by_page(project, request, project.promotions.rules.values(), RULES)


def list_assignments(project: Project, request: Request) -> Response:
    """What rules are assigned to."""
    return by_page(project, request, project.promotions.assignments.values(), ASSIGNMENTS)
