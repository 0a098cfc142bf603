"""Fills a project of the sandbox so that no stream is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voucherify_sandbox.project import Project

KINDS = (
    ("Gifts", "gift_credit", None),
    ("Points", "loyalty_points", None),
    ("Coupons", "discount", None),
    ("Events", "gift_credit", "signed_up"),
)


def fill(project: Project) -> None:
    """Add four referral campaigns with conversions, a rollback, metadata, a segment, and more."""
    project.define_metadata(
        "customer",
        {
            "tier": {"type": "string"},
            "age": {"type": "number"},
            "newsletter": {"type": "boolean"},
            "tags": {"type": "string", "array": True},
        },
    )
    for name, kind, event in KINDS:
        project.create_referral_campaign(
            name, referee_reward={kind: 10}, referrer_reward={kind: 20}, custom_event=event
        )
        code = project.referral_code(name, "adam")
        if event:
            project.track_event(event, "eve", {"code": code})
        else:
            redeemed = project.redeem(code, "rita", {"source_id": name, "amount": 12_000})
            if name == "Coupons":
                project.roll_back(redeemed)
    project.upsert_customer(
        {
            "source_id": "zoë/1",
            "email": "zoe@example.com",
            "birthdate": "2001-02-28",
            "address": {"city": "Łódź", "line_1": None},
            "metadata": {"tier": "gold", "age": 40, "newsletter": True, "tags": ["a", "b"]},
        }
    )
    project.create_segment("Everyone", ["adam", "rita"])
    project.create_product({"source_id": "gift-wrap", "price": 300})
    shirt = {"source_id": "shirt", "name": "Shirt", "attributes": ["size"]}
    sizes = [{"sku": f"Shirt {size}", "attributes": {"size": size}} for size in ("S", "M", "L")]
    project.create_product(shirt, sizes)
    project.create_promotion("Sale", [10, 20], least_amount=5_000)
    for name, points in (("Silver", (0, 99)), ("Gold", (100, 999))):
        project.add_loyalty_tier("Points points", name, points)
    project.add_pending_points("Points points", "rita", 7)
    project.settle()
