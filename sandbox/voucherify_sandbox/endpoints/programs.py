"""Campaigns, vouchers, rewards, redemptions, orders, segments, metadata schemas, custom events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.endpoints.lists import Rules, by_cursor, by_page, found
from voucherify_sandbox.errors import invalid_payload, not_found, refusal
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request

_CREATED = ("created_at",)
_CHANGED = ("created_at", "updated_at")
_CODED = ("id", "voucher_code", "tracking_id", "customer_id", "created_at")
_BY_ID = Rules(orders=("id",), default="id", total=False)
_BY_ID_WITH_TOTAL = Rules(orders=("id",), default="id")
REDEMPTIONS = Rules(
    data_ref="redemptions",
    orders=_CODED,
    last_page=99,
    aliases={"created_at": "date"},
    windows=_CREATED,
    equals={"result": "result", "campaign": "campaign_name", "customer": "customer_key"},
)
PUBLICATIONS = Rules(
    data_ref="publications",
    orders=(*_CODED, "channel"),
    equals={"result": "result", "campaign": "campaign_name", "source_id": "source_id"},
)
CAMPAIGNS = Rules(
    data_ref="campaigns",
    orders=_CHANGED,
    aliases={"created_date": "created_at", "updated_date": "updated_at"},
    equals={"campaign_type": "campaign_type"},
)
VOUCHERS = Rules(
    data_ref="vouchers",
    orders=(*_CHANGED, "code"),
    last_page=99,
    windows=_CHANGED,
    equals={"campaign": "campaign", "campaign_id": "campaign_id"},
)
ORDER_STATUSES = ("CREATED", "PAID", "CANCELED", "FULFILLED")
ORDERS = Rules(data_ref="orders", orders=_CHANGED, default="created_at")


def list_redemptions(project: Project, request: Request) -> Response:
    """Redemptions and rollbacks in one list."""
    rows = _of_customer(project, request, project.records.redemptions.values())
    request = request.without("customer")
    if campaign := request.text("campaign"):
        rows = [row for row in rows if row["voucher"]["campaign"] == campaign]
        request = request.without("campaign")
    return by_page(project, request, rows, REDEMPTIONS)


def _of_customer(project: Project, request: Request, rows: Iterable[Json]) -> list[Json]:
    """The rows of the customer that the parameter `customer` names; all rows without it."""
    if not (key := request.text("customer")):
        return list(rows)
    customer = project.people.find(key)
    return [row for row in rows if customer is not None and row["customer_id"] == customer.id]


def get_redemption(project: Project, request: Request) -> Response:
    """One redemption."""
    rows = project.records.redemptions
    return found(project, rows, request.parameters["redemptionId"], "redemption")


def list_publications(project: Project, request: Request) -> Response:
    """Publications."""
    rows = _of_customer(project, request, project.programs.publications.values())
    if campaign := request.text("campaign"):
        rows = [row for row in rows if row["voucher"]["campaign"] == campaign]
        request = request.without("campaign")
    return by_page(project, request, rows, PUBLICATIONS)


def list_rewards(project: Project, request: Request) -> Response:
    """Rewards."""
    return by_page(project, request, project.programs.rewards.values(), Rules())


def get_reward(project: Project, request: Request) -> Response:
    """One reward."""
    return found(project, project.programs.rewards, request.parameters["rewardId"], "reward")


def list_reward_assignments(project: Project, request: Request) -> Response:
    """The assignments of a reward to campaigns."""
    reward = request.parameters["rewardId"]
    if reward not in project.programs.rewards:
        raise not_found("reward", reward)
    rows = [row for row in project.programs.assignments.values() if row["reward_id"] == reward]
    return by_page(project, request, rows, Rules())


def get_reward_assignment(project: Project, request: Request) -> Response:
    """One reward assignment."""
    identity = request.parameters["assignmentId"]
    rows = {
        row["id"]: row
        for row in project.programs.assignments.values()
        if row["reward_id"] == request.parameters["rewardId"]
    }
    return found(project, rows, identity, "reward assignment")


def list_campaigns(project: Project, request: Request) -> Response:
    """Campaigns."""
    return by_page(project, request, project.programs.campaigns.values(), CAMPAIGNS)


def get_campaign(project: Project, request: Request) -> Response:
    """One campaign, by id or name."""
    return Response(200, project.show(project.programs.campaign(request.parameters["campaignId"])))


def list_campaign_transactions(project: Project, request: Request) -> Response:
    """The transactions of a gift or loyalty campaign; an empty list for other types."""
    campaign = project.programs.campaign(request.parameters["campaignId"])
    if campaign["campaign_type"] not in {"GIFT_VOUCHERS", "LOYALTY_PROGRAM"}:
        return Response(200, {"object": "list", "data_ref": "data", "data": [], "total": 0})
    rows = project.programs.transactions.values()
    mine = [row for row in rows if row["campaign_id"] == campaign["id"]]
    return by_cursor(project, request, mine, _BY_ID)


def list_voucher_transactions(project: Project, request: Request) -> Response:
    """The transactions of one code."""
    voucher = project.programs.voucher(request.parameters["code"])
    rows = project.programs.transactions.values()
    mine = [row for row in rows if row["voucher_id"] == voucher["id"]]
    return by_cursor(project, request, mine, _BY_ID)


def list_vouchers(project: Project, request: Request) -> Response:
    """Vouchers."""
    return by_page(project, request, project.programs.vouchers.values(), VOUCHERS)


def get_voucher(project: Project, request: Request) -> Response:
    """One voucher, by code or id."""
    return Response(200, project.show(project.programs.voucher(request.parameters["code"])))


def list_referral_holders(project: Project, request: Request) -> Response:
    """The holders of a referral code with their roles."""
    voucher = project.programs.voucher(request.parameters["memberId"])
    campaign = request.parameters.get("campaignId")
    if campaign is not None and voucher["campaign_id"] != project.programs.campaign(campaign)["id"]:
        raise not_found("voucher", request.parameters["memberId"])
    rows = [
        row for row in project.programs.holders.values() if row["redeemable_id"] == voucher["id"]
    ]
    return by_cursor(project, request, rows, _BY_ID_WITH_TOTAL)


def list_redeemables_of(project: Project, request: Request) -> Response:
    """The codes that a customer can redeem."""
    customer = project.people.get(request.parameters["customerId"])
    rows: list[Json] = []
    for voucher in project.programs.vouchers.values():
        if voucher["holder_id"] == customer.id:
            row = {
                "id": f"rh_{voucher['id'].removeprefix('v_')}",
                "created_at": voucher["created_at"],
                "redeemable_id": voucher["id"],
                "redeemable_object": "voucher",
                "customer_id": customer.id,
                "holder_role": "REFERRER" if voucher["is_referral_code"] else "OWNER",
                "campaign_id": voucher["campaign_id"],
                "campaign_type": project.programs.campaigns[voucher["campaign_id"]][
                    "campaign_type"
                ],
                "voucher_type": voucher["type"],
                "redeemable": {"type": "voucher", "voucher": voucher, "status": "ACTIVE"},
                "object": "redeemable_holder",
            }
            rows.append(row)
    return by_cursor(project, request, rows, _BY_ID_WITH_TOTAL)


def list_orders(project: Project, request: Request) -> Response:
    """Orders; by default the oldest first, as the documentation says."""
    return by_page(project, request, project.records.orders.values(), ORDERS)


def create_order(project: Project, request: Request) -> Response:
    """Place an order, or change the one with its id or source_id."""
    order = request.object()
    _check_order(order)
    placed = project.records.find_order(order)
    if placed is not None:
        if order.get("customer"):
            _buyer(project, order)
        return Response(200, project.show(project.redemption_flow.change_order(placed, order)))
    buyer = _buyer(project, order)
    placed = project.redemption_flow.place_order(_with_defaults(order), buyer)
    return Response(200, project.show(placed))


def import_order(project: Project, order: Json) -> bool:
    """Add an order of which nothing else follows; returns whether its source_id was known."""
    _check_order(order)
    known = project.records.find_order({"source_id": order.get("source_id")})
    reading = project.readings.known_order_imported
    if known is not None and reading == "refused":
        raise refusal(400, "duplicated_source_id", "Duplicated source_id", "The order exists")
    if known is not None and reading == "changed":
        project.redemption_flow.set_order_fields(known, order)
    else:
        project.records.order(_with_defaults(order), _buyer(project, order))
    return known is not None


def _check_order(order: Json) -> None:
    amount, status = order.get("amount", 0), order.get("status")
    if not isinstance(amount, int) or amount < 0:
        raise invalid_payload("Property .amount should be integer")
    if status not in (None, *ORDER_STATUSES):
        raise invalid_payload(f"Property .status should be one of {', '.join(ORDER_STATUSES)}")


def _with_defaults(order: Json) -> Json:
    status, amount = order.get("status") or ORDER_STATUSES[0], order.get("amount", 0)
    return {**order, "status": status, "amount": amount}


def _buyer(project: Project, order: Json) -> Customer:
    """The customer of an order, created or changed by what the order says of it."""
    customer = order.get("customer")
    if not isinstance(customer, dict):
        raise invalid_payload("Property .customer is required")
    known = project.people.find(str(customer.get("id") or customer.get("source_id")))
    is_named_only = known is not None and customer.keys() <= {"id", "source_id", "object"}
    return known if known and is_named_only else project.redemption_flow.customer(customer)


def get_order(project: Project, request: Request) -> Response:
    """One order, by id or source_id."""
    key = request.parameters["orderId"]
    known = project.records.by_source_id.get(key, key)
    return found(project, project.records.orders, known, "order")


def list_segments(project: Project, request: Request) -> Response:
    """Segments."""
    return by_page(project, request, project.segments.all.values(), Rules(orders=_CREATED))


def get_segment(project: Project, request: Request) -> Response:
    """One segment."""
    return found(project, project.segments.all, request.parameters["segmentId"], "segment")


def list_metadata_schemas(project: Project, _: Request) -> Response:
    """All metadata schemas; the list has no parameters."""
    rows = [project.show(schema) for schema in project.schemas.values()]
    body = {"object": "list", "data_ref": "schemas", "schemas": rows, "total": len(rows)}
    return Response(200, body)


def get_metadata_schema(project: Project, request: Request) -> Response:
    """The metadata schema of one resource."""
    return found(project, project.schemas, request.parameters["resource"], "metadata schema")


def track_event(project: Project, request: Request) -> Response:
    """Track a custom event."""
    body = request.object()
    event, customer = body.get("event"), body.get("customer")
    if not isinstance(event, str) or not event or not isinstance(customer, dict):
        raise invalid_payload("Properties .event and .customer are required")
    tracked = project.redemption_flow.customer(customer)
    project.redemption_flow.track(event, tracked, body.get("referral"), body.get("metadata") or {})
    shown: Json = {
        "object": "event",
        "type": event,
        "customer": {"id": tracked.id, "object": "customer"},
        "referral": None,
        "loyalty": None,
    }
    if isinstance(body.get("referral"), dict):
        shown["referral"] = {"code": body["referral"].get("code")}
    return Response(200, shown)
