"""Writes of campaigns and rewards, and redemptions by request.

Their bodies follow the models of Voucherify's own Python SDK. The description that is read here
leaves these operations out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voucherify_sandbox.errors import invalid_payload, not_found
from voucherify_sandbox.jobs import Job
from voucherify_sandbox.referral_rules import CAMPAIGN_TYPES
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request


def create_campaign(project: Project, request: Request) -> Response:
    """Create a campaign without codes; one of referrals rewards the referee as the body says."""
    body = request.object()
    name, kind = body.get("name"), body.get("campaign_type")
    if not isinstance(name, str) or not name:
        raise invalid_payload("Property .name is required")
    if kind not in {*CAMPAIGN_TYPES.values(), "REFERRAL_PROGRAM"}:
        raise invalid_payload("Property .campaign_type should be one that has codes")
    if kind != "REFERRAL_PROGRAM":
        made = project.programs.add_campaign(name, kind, body.get("metadata"))
        return Response(200, project.show(made))
    program = body.get("referral_program")
    reward = program.get("referee_reward") if isinstance(program, dict) else None
    pool, amount = _pool_and_amount(project, reward)
    made = project.programs.add_open_referral_campaign(name, pool, amount)
    return Response(200, project.show(made))


def _pool_and_amount(project: Project, reward: Any) -> tuple[Json | None, int]:
    """The campaign that holds a referee's reward, and how much of it; (None, 0) without one."""
    if reward is None:
        return None, 0
    parent = reward.get("related_object_parent") if isinstance(reward, dict) else None
    amount = reward.get("amount") if isinstance(reward, dict) else None
    if not isinstance(parent, dict) or not isinstance(amount, int):
        raise invalid_payload("Property .referral_program.referee_reward is not valid")
    return project.programs.campaign(str(parent.get("id") or parent.get("name"))), amount


def delete_campaign(project: Project, request: Request) -> Response:
    """Delete a campaign, its codes and their redemptions, by a job; the sandbox has no bin."""
    campaign = project.programs.campaign(request.parameters["campaignId"])

    def delete(_: Json) -> bool:
        gone = project.programs.remove_campaign(campaign["id"])
        project.records.remove_redemptions(gone)
        return True

    job = Job(
        id=project.ids.new("aa"),
        type="CAMPAIGNS.DELETE",
        rows=[{}],
        apply=delete,
        created_at=project.clock.now(),
        request_id=request.request_id,
    )
    project.jobs.submit(job)
    return Response(200, {"async_action_id": job.id})


def create_reward(project: Project, request: Request) -> Response:
    """Create a reward of credit or points from a campaign."""
    body = request.object()
    parameters = body.get("parameters")
    given = parameters.get("campaign") if isinstance(parameters, dict) else None
    if not isinstance(body.get("name"), str) or not isinstance(given, dict):
        raise invalid_payload("Properties .name and .parameters.campaign are required")
    pool, balance = project.programs.campaign(str(given.get("id"))), given.get("balance")
    if not isinstance(balance, int):
        raise invalid_payload("Property .parameters.campaign.balance should be integer")
    made = project.programs.add_reward(body["name"], pool, balance)
    return Response(200, project.show(made))


def delete_reward(project: Project, request: Request) -> Response:
    """Delete a reward and its assignments."""
    _reward(project, request)
    project.programs.remove_reward(request.parameters["rewardId"])
    return Response(204)


def create_reward_assignment(project: Project, request: Request) -> Response:
    """Assign a reward to a campaign; with one of referrals, its referrers receive it."""
    reward, campaign = _reward(project, request), request.object().get("campaign")
    if not isinstance(campaign, str):
        raise invalid_payload("Property .campaign is required")
    found = project.programs.campaign(campaign)
    return Response(200, project.show(project.programs.assign(reward, found)))


def _reward(project: Project, request: Request) -> Json:
    identity = request.parameters["rewardId"]
    if identity not in project.programs.rewards:
        raise not_found("reward", identity)
    return project.programs.rewards[identity]


def redeem(project: Project, request: Request) -> Response:
    """Redeem one code with an order."""
    body = request.object()
    listed, customer, order = body.get("redeemables"), body.get("customer"), body.get("order")
    only = listed[0] if isinstance(listed, list) and len(listed) == 1 else None
    if not isinstance(only, dict) or only.get("object") != "voucher":
        raise invalid_payload("Property .redeemables should hold one voucher")
    if not isinstance(customer, dict) or not isinstance(order, dict):
        raise invalid_payload("Properties .customer and .order are required")
    named = customer.keys() <= {"id", "source_id", "object"}
    key = str(customer.get("id") or customer.get("source_id")) if named else customer
    redemption = project.redemption_flow.redeem(str(only.get("id")), key, order)
    made = {"redemptions": [redemption], "order": redemption["order"]}
    return Response(200, project.show({**made, "inapplicable_redeemables": []}))
