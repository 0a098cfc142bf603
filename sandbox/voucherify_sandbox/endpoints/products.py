"""Lists of products and of their SKUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.endpoints.lists import Rules, by_page
from voucherify_sandbox.errors import not_found
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request

_CHANGED = ("created_at", "updated_at")
PRODUCTS = Rules(data_ref="products", orders=_CHANGED, default="created_at")
SKUS = Rules(data_ref="skus", orders=_CHANGED, default="created_at")
FIRST_SKUS = 10
"""SKUs inside a product under `skus_in_products=first`."""


def list_products(project: Project, request: Request) -> Response:
    """Products with SKUs inside."""
    rows = [_with_skus(project, product) for product in project.products.all.values()]
    return by_page(project, request, rows, PRODUCTS)


def create_product(project: Project, request: Request) -> Response:
    """Create a product, or change the one with its source_id."""
    fields = request.object()
    project.products.upsert(fields)
    return Response(200, project.show(project.products.find(fields["source_id"]) or {}))


def get_product(project: Project, request: Request) -> Response:
    """One product, by id or source_id."""
    key = request.parameters["productId"]
    product = project.products.find(key)
    if product is None:
        raise not_found("product", key)
    return Response(200, project.show(_with_skus(project, product)))


def _with_skus(project: Project, product: Json) -> Json:
    """A product as the list shows it: without the member `skus` if it has none."""
    skus = project.products.skus_of(product["id"])
    if not skus:
        return product
    shown = [one for one in skus if one["id"] not in project.hidden]
    if project.readings.skus_in_products == "first":
        shown = shown[:FIRST_SKUS]
    listed = {"object": "list", "data_ref": "data", "data": shown, "total": len(skus)}
    return {**product, "skus": listed}


def list_skus(project: Project, request: Request) -> Response:
    """The SKUs of one product, named by id or source_id."""
    key = request.parameters["productId"]
    product = project.products.find(key)
    if product is None:
        raise not_found("product", key)
    return by_page(project, request, project.products.skus_of(product["id"]), SKUS)
