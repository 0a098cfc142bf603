"""Campaigns, vouchers, rewards, redemptions and what belongs to them (reference §12, §13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.endpoints.lists import Rules, by_cursor, by_page, found
from voucherify_sandbox.errors import invalid_payload, not_found
from voucherify_sandbox.messages import Answer, Request

if TYPE_CHECKING:
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project

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
ORDERS = Rules(data_ref="orders", orders=_CHANGED, default="created_at")


def list_redemptions(project: Project, request: Request) -> Answer:
    """Redemptions and rollbacks in one list (reference §12.1)."""
    rows = list(project.records.redemptions.values())
    if customer := request.text("customer"):
        who = project.people.find(customer)
        rows = [row for row in rows if who is not None and row["customer_id"] == who.id]
        request = request.without("customer")
    if campaign := request.text("campaign"):
        rows = [row for row in rows if row["voucher"]["campaign"] == campaign]
        request = request.without("campaign")
    return by_page(project, request, rows, REDEMPTIONS)


def get_redemption(project: Project, request: Request) -> Answer:
    """One redemption."""
    rows = project.records.redemptions
    return found(project, rows, request.parameters["redemptionId"], "redemption")


def list_publications(project: Project, request: Request) -> Answer:
    """Publications (reference §12.2)."""
    rows = list(project.programs.publications.values())
    if customer := request.text("customer"):
        who = project.people.find(customer)
        rows = [row for row in rows if who is not None and row["customer_id"] == who.id]
    if campaign := request.text("campaign"):
        rows = [row for row in rows if row["voucher"]["campaign"] == campaign]
        request = request.without("campaign")
    return by_page(project, request, rows, PUBLICATIONS)


def list_rewards(project: Project, request: Request) -> Answer:
    """Rewards (reference §12.3)."""
    return by_page(project, request, project.programs.rewards.values(), Rules())


def get_reward(project: Project, request: Request) -> Answer:
    """One reward."""
    return found(project, project.programs.rewards, request.parameters["rewardId"], "reward")


def list_reward_assignments(project: Project, request: Request) -> Answer:
    """Which campaigns give a reward."""
    reward = request.parameters["rewardId"]
    if reward not in project.programs.rewards:
        raise not_found("reward", reward)
    rows = [row for row in project.programs.assignments.values() if row["reward_id"] == reward]
    return by_page(project, request, rows, Rules())


def get_reward_assignment(project: Project, request: Request) -> Answer:
    """One reward assignment."""
    identity = request.parameters["assignmentId"]
    rows = {
        row["id"]: row
        for row in project.programs.assignments.values()
        if row["reward_id"] == request.parameters["rewardId"]
    }
    return found(project, rows, identity, "reward assignment")


def list_campaigns(project: Project, request: Request) -> Answer:
    """Campaigns (reference §12.4)."""
    return by_page(project, request, project.programs.campaigns.values(), CAMPAIGNS)


def get_campaign(project: Project, request: Request) -> Answer:
    """One campaign, by id or name."""
    return Answer(200, project.show(project.programs.campaign(request.parameters["campaignId"])))


def list_campaign_transactions(project: Project, request: Request) -> Answer:
    """Credits and points of one campaign (reference §12.5); other kinds have none."""
    campaign = project.programs.campaign(request.parameters["campaignId"])
    if campaign["campaign_type"] not in {"GIFT_VOUCHERS", "LOYALTY_PROGRAM"}:
        return Answer(200, {"object": "list", "data_ref": "data", "data": [], "total": 0})
    rows = project.programs.transactions.values()
    mine = [row for row in rows if row["campaign_id"] == campaign["id"]]
    return by_cursor(project, request, mine, _BY_ID)


def list_voucher_transactions(project: Project, request: Request) -> Answer:
    """Credits and points of one code."""
    voucher = project.programs.voucher(request.parameters["code"])
    rows = project.programs.transactions.values()
    mine = [row for row in rows if row["voucher_id"] == voucher["id"]]
    return by_cursor(project, request, mine, _BY_ID)


def list_vouchers(project: Project, request: Request) -> Answer:
    """Vouchers (reference §12.10)."""
    return by_page(project, request, project.programs.vouchers.values(), VOUCHERS)


def get_voucher(project: Project, request: Request) -> Answer:
    """One voucher, by code or id."""
    return Answer(200, project.show(project.programs.voucher(request.parameters["code"])))


def list_referral_holders(project: Project, request: Request) -> Answer:
    """Who holds a referral code, and in which role (reference §12.7)."""
    voucher = project.programs.voucher(request.parameters["memberId"])
    campaign = request.parameters.get("campaignId")
    if campaign is not None and voucher["campaign_id"] != project.programs.campaign(campaign)["id"]:
        raise not_found("voucher", request.parameters["memberId"])
    rows = [
        row for row in project.programs.holders.values() if row["redeemable_id"] == voucher["id"]
    ]
    return by_cursor(project, request, rows, _BY_ID_WITH_TOTAL)


def list_redeemables_of(project: Project, request: Request) -> Answer:
    """The codes a customer can redeem (reference §12.8)."""
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


def list_orders(project: Project, request: Request) -> Answer:
    """Orders; the oldest first unless asked otherwise (reference §12.6)."""
    return by_page(project, request, project.records.orders.values(), ORDERS)


def get_order(project: Project, request: Request) -> Answer:
    """One order, by id or source_id."""
    key = request.parameters["orderId"]
    rows = project.records.orders
    known = next((row["id"] for row in rows.values() if row["source_id"] == key), key)
    return found(project, rows, known, "order")


def list_segments(project: Project, request: Request) -> Answer:
    """Segments (reference §12.9)."""
    return by_page(project, request, project.segments.all.values(), Rules(orders=_CREATED))


def get_segment(project: Project, request: Request) -> Answer:
    """One segment."""
    return found(project, project.segments.all, request.parameters["segmentId"], "segment")


def list_metadata_schemas(project: Project, _: Request) -> Answer:
    """Every metadata schema (reference §13); the list takes no parameters."""
    rows = [project.show(schema) for schema in project.schemas.values()]
    body = {"object": "list", "data_ref": "schemas", "schemas": rows, "total": len(rows)}
    return Answer(200, body)


def get_metadata_schema(project: Project, request: Request) -> Answer:
    """The metadata schema of one resource."""
    return found(project, project.schemas, request.parameters["resource"], "metadata schema")


def track_event(project: Project, request: Request) -> Answer:
    """Take a custom event (reference §10.7)."""
    body = request.object()
    event, customer = body.get("event"), body.get("customer")
    if not isinstance(event, str) or not event or not isinstance(customer, dict):
        raise invalid_payload("Properties .event and .customer are required")
    who = project.redeeming.customer(customer)
    project.redeeming.track(event, who, body.get("referral"), body.get("metadata") or {})
    shown: Json = {
        "object": "event",
        "type": event,
        "customer": {"id": who.id, "object": "customer"},
        "referral": None,
        "loyalty": None,
    }
    if isinstance(body.get("referral"), dict):
        shown["referral"] = {"code": body["referral"].get("code")}
    return Answer(200, shown)
