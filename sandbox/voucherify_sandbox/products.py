"""Products and their SKUs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from voucherify_sandbox.errors import invalid_payload

if TYPE_CHECKING:
    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator


@dataclass
class Products:
    """The products of a project and the SKUs of all of them, by id."""

    clock: Clock
    ids: IdGenerator
    all: dict[str, Json] = field(default_factory=dict)
    skus: dict[str, Json] = field(default_factory=dict)

    def add(self, fields: Json) -> Json:
        """Add a product with the members of a request."""
        product: Json = {
            "id": self.ids.new("prod"),
            "source_id": None,
            "name": None,
            "price": None,
            "attributes": [],
            "metadata": {},
            "image_url": None,
            "created_at": self.clock.now(),
            "updated_at": None,
            **fields,
            "object": "product",
        }
        self.all[product["id"]] = product
        return product

    def upsert(self, fields: Json) -> bool:
        """Create or change the product with the source_id of a request.

        Returns:
            Whether it was there.

        Raises:
            ApiError: 400, it has no source_id, or a price that is no integer.
        """
        key, price = fields.get("source_id"), fields.get("price")
        if not isinstance(key, str) or not key:
            raise invalid_payload("Property .source_id should be string")
        if price is not None and type(price) is not int:
            raise invalid_payload("Property .price should be integer")
        known = self.find(key)
        if known is None:
            self.add(fields)
            return False
        merged = {**known["metadata"], **(fields.get("metadata") or {})}
        known.update({**fields, "metadata": merged, "updated_at": self.clock.now()})
        return True

    def add_sku(self, product: Json, fields: Json) -> Json:
        """Add a SKU to a product with the members of a request; the product stays as it was."""
        sku: Json = {
            "id": self.ids.new("sku"),
            "source_id": None,
            "product_id": product["id"],
            "sku": None,
            "price": None,
            "currency": None,
            "attributes": {},
            "image_url": None,
            "metadata": {},
            "created_at": self.clock.now(),
            "updated_at": None,
            **fields,
            "object": "sku",
        }
        self.skus[sku["id"]] = sku
        return sku

    def find(self, key: str) -> Json | None:
        """The product with this id or source_id."""
        by_source = (one for one in self.all.values() if one["source_id"] == key)
        return self.all.get(key) or next(by_source, None)

    def skus_of(self, product_id: str) -> list[Json]:
        """The SKUs of a product, the oldest first."""
        return [one for one in self.skus.values() if one["product_id"] == product_id]
