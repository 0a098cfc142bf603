"""What the target writes; each entity is declared, with names from the published description."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from target_voucherify.entities import converters
from target_voucherify.voucherify_client.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from target_voucherify.settings import Settings

    Fields = Mapping[str, Callable[[Any], Any]]

ADDRESS = dict.fromkeys(
    ("city", "state", "line_1", "line_2", "country", "postal_code"), converters.text
)
"""Members of an address, with their converters."""

PERSON = {
    **dict.fromkeys(("source_id", "id"), converters.key),
    **dict.fromkeys(("name", "email", "phone", "description"), converters.text),
}
"""Those of a customer inside an order; Voucherify creates or updates it by them."""

STATUSES = ("CREATED", "PAID", "CANCELED", "FULFILLED")
"""What an order can be."""


class Entity(NamedTuple):
    """One kind of object that records become.

    Attributes:
        name: in the setting `entities`.
        singular: in messages.
        fields: makes the converter of each field, given the number of decimals that amounts in the
            records have. Besides, every entity has `source_id` and `metadata`.
        objects: fields that are objects, with the converters of their members.
        metadata: the resource of its metadata schema.
        one: path of the request that creates or updates one.
        bulk: path of the request that does so with many.
        jobs: how the types of the jobs begin that write it.
        write_paths: that it can take, the default first.
        most_rows: in one bulk request.
        is_upserted: whether a bulk request changes what is there already, so that it may be
            repeated; of any other it is looked up first what is there.
    """

    name: str
    singular: str
    fields: Callable[[int], Fields]
    objects: Mapping[str, Fields]
    metadata: str
    one: str
    bulk: str
    jobs: str
    write_paths: tuple[str, ...] = ("bulk", "single", "auto")
    most_rows: int = sys.maxsize
    is_upserted: bool = True

    @property
    def with_article(self) -> str:
        """`a customer`, `an order`."""
        return f"{'an' if self.singular[0] in 'aeiou' else 'a'} {self.singular}"


def _customer(_decimals: int) -> Fields:
    date = converters.unless_blank(converters.calendar_date)
    return {
        "name": converters.text,
        "description": converters.text,
        "email": converters.text,
        "phone": converters.text,
        "birthdate": date,
        "birthday": date,
    }


def _product(decimals: int) -> Fields:
    return {
        "name": converters.text,
        "price": converters.amount(decimals),
        "attributes": converters.texts,
        "image_url": converters.unless_blank(converters.image_url),
    }


def _order(decimals: int) -> Fields:
    money = converters.amount(decimals)
    return {
        "status": converters.one_of(STATUSES),
        "amount": money,
        "initial_amount": money,
        "discount_amount": money,
        "items": converters.order_items(money),
    }


CUSTOMERS = Entity(
    "customers",
    "customer",
    _customer,
    {"address": ADDRESS},
    "customer",
    "/v1/customers",
    "/v1/customers/bulk/async",
    "CUSTOMERS.",
)
PRODUCTS = Entity(
    "products",
    "product",
    _product,
    {},
    "product",
    "/v1/products",
    "/v1/products/bulk/async",
    "PRODUCTS.",
)
ORDERS = Entity(
    "orders",
    "order",
    _order,
    {"customer": PERSON, "referrer": PERSON},
    "order",
    "/v1/orders",
    "/v1/orders/import",
    "ORDERS.",
    write_paths=("single", "bulk"),
    most_rows=2_000,
    is_upserted=False,
)

ENTITIES = {entity.name: entity for entity in (CUSTOMERS, PRODUCTS, ORDERS)}
"""All of them, each after those that it names: an order names its customer and its products."""


class EntitySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of one stream become, and how they are written."""

    entity: Entity
    stream: str
    source_id: str | None
    mapping: dict[str, Any] | None
    unmapped: str
    nulls: str
    write_path: str
    decimals: int

    @property
    def is_imported(self) -> bool:
        """Whether it goes by a bulk request that may not be repeated."""
        return self.write_path == "bulk" and not self.entity.is_upserted

    @property
    def shaping(self) -> list[object]:
        """Those that shape what is written: with other ones it is another customer."""
        return [self.source_id, self.mapping, self.unmapped, self.nulls]


def entity_settings(settings: Settings) -> list[EntitySettings]:
    """The settings of each entity that a run may write, in the order of `ENTITIES`.

    Those of customers stand at the top level; what `entities` repeats of them goes before.

    Raises:
        SettingsError: two entities would be made of one stream.
    """
    given = settings.entities or {}
    own = [
        _settings_of(entity, settings, given.get(name) or {})
        for name, entity in ENTITIES.items()
        if name in given or entity is CUSTOMERS
    ]
    by_stream: dict[str, str] = {}
    for each in own:
        other = by_stream.setdefault(each.stream, each.entity.name)
        if other != each.entity.name:
            raise SettingsError(
                f"entities: {other} and {each.entity.name} both come from stream {each.stream}; "
                "give each a stream of its own."
            )
    return own


def _settings_of(entity: Entity, top: Settings, given: Mapping[str, Any]) -> EntitySettings:
    is_customers = entity is CUSTOMERS
    default = top.write_path if is_customers else entity.write_paths[0]
    return EntitySettings(
        entity=entity,
        stream=given.get("stream") or (top.customers_stream if is_customers else entity.name),
        source_id=given.get("source_id") or (top.source_id if is_customers else None),
        mapping=given.get("mapping") or (top.mapping if is_customers else None),
        unmapped=given.get("unmapped") or top.unmapped,
        nulls=given.get("nulls") or top.nulls,
        write_path=given.get("write_path") or default,
        decimals=given.get("decimals") or 0,
    )
