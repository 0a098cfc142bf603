"""The operations of the sandbox: method and path → endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from voucherify_sandbox.endpoints import (
    campaigns,
    customers,
    exports,
    jobs,
    loyalties,
    oauth,
    products,
    programs,
    promotions,
    publications,
)
from voucherify_sandbox.errors import ApiError, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request
    from voucherify_sandbox.response import Response

    Endpoint = Callable[[Project, Request], Response]


@dataclass(frozen=True)
class Route:
    """One operation; `template` is its path in the published description."""

    method: str
    template: str
    endpoint: Endpoint

    def parameters(self, segments: list[str]) -> dict[str, str] | None:
        """The path parameters; `None` if the path does not match."""
        parts = self.template.split("/")
        if len(parts) != len(segments):
            return None
        pairs = list(zip(parts, segments, strict=True))
        if any(part != segment for part, segment in pairs if not part.startswith("{")):
            return None
        return {part[1:-1]: unquote(value) for part, value in pairs if part.startswith("{")}


IMPORT = "/v1/customers/importCSV"
PRODUCTS = "/v1/products/bulk/async"
ORDERS = "/v1/orders/import"
_TABLE: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/v1/customers", customers.list_customers),
    ("POST", "/v1/customers", customers.create_customer),
    ("POST", "/v1/customers/bulk/async", jobs.update_in_bulk),
    ("POST", "/v1/customers/metadata/async", jobs.update_metadata_in_bulk),
    ("POST", IMPORT, jobs.import_file),
    ("GET", "/v1/customers/{customerId}", customers.get_customer),
    ("PUT", "/v1/customers/{customerId}", customers.update_customer),
    ("DELETE", "/v1/customers/{customerId}", customers.delete_customer),
    ("POST", "/v1/customers/{customerId}/permanent-deletion", customers.delete_permanently),
    ("GET", "/v1/customers/{customerId}/activity", customers.list_activity),
    ("GET", "/v1/customers/{customerId}/segments", customers.list_segments_of),
    ("GET", "/v1/customers/{customerId}/redeemables", programs.list_redeemables_of),
    ("GET", "/v1/async-actions", jobs.list_async_actions),
    ("GET", "/v1/async-actions/{asyncActionId}", jobs.get_async_action),
    ("GET", "/v1/async-actions/{asyncActionId}/report", jobs.get_report),
    ("GET", "/v1/exports", exports.list_exports),
    ("POST", "/v1/exports", exports.create_export),
    ("GET", "/v1/exports/{exportId}", exports.get_export),
    ("DELETE", "/v1/exports/{exportId}", exports.delete_export),
    ("GET", "/v1/redemptions", programs.list_redemptions),
    ("POST", "/v1/redemptions", campaigns.redeem),
    ("GET", "/v1/redemptions/{redemptionId}", programs.get_redemption),
    ("GET", "/v1/publications", programs.list_publications),
    ("POST", "/v1/publications", publications.create_publication),
    ("GET", "/v1/rewards", programs.list_rewards),
    ("POST", "/v1/rewards", campaigns.create_reward),
    ("GET", "/v1/rewards/{rewardId}", programs.get_reward),
    ("DELETE", "/v1/rewards/{rewardId}", campaigns.delete_reward),
    ("GET", "/v1/rewards/{rewardId}/assignments", programs.list_reward_assignments),
    ("POST", "/v1/rewards/{rewardId}/assignments", campaigns.create_reward_assignment),
    ("GET", "/v1/rewards/{rewardId}/assignments/{assignmentId}", programs.get_reward_assignment),
    ("GET", "/v1/campaigns", programs.list_campaigns),
    ("POST", "/v1/campaigns", campaigns.create_campaign),
    ("GET", "/v1/campaigns/{campaignId}", programs.get_campaign),
    ("DELETE", "/v1/campaigns/{campaignId}", campaigns.delete_campaign),
    ("GET", "/v1/campaigns/{campaignId}/transactions", programs.list_campaign_transactions),
    ("GET", "/v1/referrals/members/{memberId}/holders", programs.list_referral_holders),
    (
        "GET",
        "/v1/referrals/{campaignId}/members/{memberId}/holders",
        programs.list_referral_holders,
    ),
    ("GET", "/v1/orders", programs.list_orders),
    ("POST", "/v1/orders", programs.create_order),
    ("POST", ORDERS, jobs.import_orders),
    ("GET", "/v1/orders/{orderId}", programs.get_order),
    ("GET", "/v1/segments", programs.list_segments),
    ("GET", "/v1/segments/{segmentId}", programs.get_segment),
    ("GET", "/v1/vouchers", programs.list_vouchers),
    ("GET", "/v1/vouchers/{code}", programs.get_voucher),
    ("GET", "/v1/vouchers/{code}/transactions", programs.list_voucher_transactions),
    ("GET", "/v1/products", products.list_products),
    ("POST", "/v1/products", products.create_product),
    ("POST", PRODUCTS, jobs.update_products_in_bulk),
    ("GET", "/v1/products/{productId}", products.get_product),
    ("GET", "/v1/products/{productId}/skus", products.list_skus),
    ("GET", "/v1/promotions/tiers", promotions.list_tiers),
    ("GET", "/v1/promotions/stacks", promotions.list_stacks),
    ("GET", "/v1/validation-rules", promotions.list_rules),
    ("GET", "/v1/validation-rules-assignments", promotions.list_assignments),
    ("GET", "/v1/loyalties/{campaignId}/tiers", loyalties.list_tiers),
    ("GET", "/v1/loyalties/{campaignId}/pending-points", loyalties.list_pending_points),
    ("GET", "/v1/metadata-schemas", programs.list_metadata_schemas),
    ("GET", "/v1/metadata-schemas/{resource}", programs.get_metadata_schema),
    ("POST", "/v1/oauth/token", oauth.generate_token),
    ("POST", "/v1/oauth/introspect", oauth.introspect_token),
    ("POST", "/v1/oauth/token/revoke", oauth.revoke_token),
    ("POST", "/v1/events", programs.track_event),
)
ROUTES = tuple(Route(*line) for line in _TABLE)
BULK = frozenset(
    ("/v1/customers/bulk/async", "/v1/customers/metadata/async", IMPORT, PRODUCTS, ORDERS)
)
MEDIA_TYPES = {
    IMPORT: "multipart/form-data",
    **{
        route.template: "application/x-www-form-urlencoded"
        for route in ROUTES
        if route.template.startswith("/v1/oauth/")
    },
}
"""Media types of bodies that are not JSON, by path."""


def find(method: str, raw_path: str) -> tuple[Route, dict[str, str]]:
    """The operation for a percent-encoded path.

    Raises:
        ApiError: 404 for an unknown path, 405 for a known one with another method.
    """
    segments = raw_path.split("/")
    known = [
        (route, parameters)
        for route in ROUTES
        if (parameters := route.parameters(segments)) is not None
    ]
    for route, parameters in known:
        if route.method == method:
            return route, parameters
    if known:
        raise refusal(405, "method_not_allowed", "Method not allowed")
    raise refusal(404, "not_found", "Resource not found", "Cannot find this path")


def template(method: str, raw_path: str) -> str:
    """The path in the published description; the decoded path if it is not described."""
    try:
        return find(method, raw_path)[0].template
    except ApiError:
        return unquote(raw_path)
