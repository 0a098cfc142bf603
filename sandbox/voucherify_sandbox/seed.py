"""Initial contents of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voucherify_sandbox.project import Project

CREDIT_CAMPAIGN = "Refer a friend"
POINTS_CAMPAIGN = "Bring a buddy"


def plant(name: str, project: Project) -> None:
    """Fill an empty project.

    Raises:
        ValueError: no seed has this name.
    """
    if name != "demo":
        raise ValueError(f"no seed is called {name!r}; there is: demo")
    project.create_referral_campaign(
        CREDIT_CAMPAIGN, referee_reward={"gift_credit": 500}, referrer_reward={"gift_credit": 1000}
    )
    project.create_referral_campaign(
        POINTS_CAMPAIGN,
        referee_reward={"loyalty_points": 50},
        referrer_reward={"loyalty_points": 200},
    )
    project.define_metadata(
        "customer",
        {
            "tier": {"type": "string"},
            "lifetime_value": {"type": "number"},
            "newsletter": {"type": "boolean"},
            "customer_since": {"type": "date"},
            "tags": {"type": "string", "array": True},
        },
    )
