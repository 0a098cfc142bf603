"""Publishing a code to a customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voucherify_sandbox.errors import invalid_payload, refusal
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request


def create_publication(project: Project, request: Request) -> Response:
    """Publish a given code, or a new one of a campaign, to a customer, who is created if unknown.

    The reference says that a `source_id` is refused the second time. With `join_once=true` a
    customer gets the same code of a campaign again.
    """
    body = request.object()
    fields, source_id = body.get("customer"), body.get("source_id")
    if not isinstance(fields, dict) or not (fields.get("id") or fields.get("source_id")):
        raise invalid_payload("Property .customer is required")
    known = project.programs.publications.values()
    if source_id is not None and any(one["source_id"] == source_id for one in known):
        details = f"Publication with source_id: '{source_id}' already exists"
        raise refusal(400, "duplicate_source_id", "Duplicated source id", details)
    source = _source(project, body)
    customer = project.redemption_flow.customer(fields)
    again = request.text("join_once") == "true"
    if again and (first := _published(project, source, customer)) is not None:
        return Response(200, project.show(first))

    voucher = source if source["object"] == "voucher" else _new(project, source, customer)
    more = {
        "source_id": source_id,
        "channel": body.get("channel") or "API",
        "metadata": body.get("metadata") or {},
    }
    made = project.redemption_flow.publish(voucher, customer, more)
    return Response(200, project.show(made))


def _source(project: Project, body: Json) -> Json:
    """The voucher or the campaign that a code is to come from."""
    code, campaign = body.get("voucher"), body.get("campaign")
    if isinstance(code, str):
        voucher = project.programs.voucher(code)
        if any(
            voucher["id"] in one["vouchers_id"] for one in project.programs.publications.values()
        ):
            raise refusal(400, "voucher_already_published", "Voucher already published", code)
        return voucher
    name, count = _name_and_count(campaign)
    if not isinstance(name, str):
        raise refusal(400, "missing_vouchers", "Missing vouchers", "Name a voucher or a campaign")
    if count != 1:
        raise invalid_payload("The sandbox publishes one code at a time")
    return project.programs.campaign(name)


def _name_and_count(campaign: Any) -> tuple[Any, Any]:
    if isinstance(campaign, dict):
        return campaign.get("name"), campaign.get("count", 1)
    return campaign, 1


def _published(project: Project, source: Json, customer: Customer) -> Json | None:
    """The first publication of a campaign to a customer, or `None`."""
    for one in project.programs.publications.values():
        voucher = project.programs.vouchers[one["vouchers_id"][0]]
        if one["customer_id"] == customer.id and voucher["campaign_id"] == source["id"]:
            return one
    return None


def _new(project: Project, campaign: Json, customer: Customer) -> Json:
    if campaign["is_referral_code"]:
        return project.programs.add_referral_code(campaign, customer)
    return project.programs.add_voucher(campaign, customer)
