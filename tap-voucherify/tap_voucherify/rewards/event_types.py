"""The types of activity that Voucherify publishes, to find misspelt ones in the settings."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAMES = {
    "": (
        "confirmed created updated deleted referred custom_event rewarded rewarded.loyalty_points "
        "segment.entered segment.left segment_entered consents.given consents.revoked "
        "validation.succeeded validation.failed publication.succeeded publication.failed"
    ),
    "voucher.": "deleted gift.balance_added",
    "voucher.loyalty_card.": (
        "points_added points_transferred points_expired points_activated pending_points.activated "
        "pending_points.added pending_points.canceled pending_points.updated"
    ),
    "redemption.": "succeeded failed rollback.succeeded rollback.failed",
    "reward_redemptions.": "created pending completed rolledback",
    "order.": "canceled created fulfilled paid processing updated",
    "loyalty.": (
        "updated tier.upgraded tier.downgraded tier.prolonged tier.expiration.changed tier.joined "
        "tier.left"
    ),
    "holder.assignment.": "created deleted",
    **dict.fromkeys(
        (
            "sms.",
            "email.",
            "activecampaign.",
            "braze.",
            "mailchimp.",
            "intercom.",
            "shopify.",
            "klaviyo.",
            "batch.",
        ),
        "sent recovered failed",
    ),
}
"""What follows `customer.`, as published in 11/2026."""

EVENT_TYPES = frozenset(
    f"customer.{group}{name}" for group, names in _NAMES.items() for name in names.split()
)


def unknown_types(types: Iterable[str]) -> Iterator[str]:
    """Each type that Voucherify does not publish, with the nearest one that it does."""
    for name in types:
        if name not in EVENT_TYPES:
            nearest = get_close_matches(name, sorted(EVENT_TYPES), n=1)
            yield f"{name} (did you mean {nearest[0]}?)" if nearest else name
