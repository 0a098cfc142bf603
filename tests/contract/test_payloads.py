"""What the target sends is what the published description of the API takes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from openapi import description
from target_run import of_customers
from target_voucherify.acknowledgement.outcomes import Row
from target_voucherify.entities.builder import EntityBuilder
from target_voucherify.entities.entity import ADDRESS, CUSTOMERS
from target_voucherify.entities.mapping import resolve
from target_voucherify.entities.metadata_schema import MetadataSchema
from target_voucherify.writing.batch import Batch
from target_voucherify.writing.bulk import ACTION

MAPPING = {
    **{name: name for name in CUSTOMERS.fields(0)},
    **{f"address.{name}": name for name in ADDRESS},
    "metadata.tier": "tier",
    "metadata.score": "score",
}
CONTACTS: dict[str, dict[str, Any]] = {
    "a contact with everything": {
        **dict.fromkeys([*CUSTOMERS.fields(0), *ADDRESS], "text"),
        "birthdate": "1990-01-31",
        "birthday": "1990-02-01T00:00:00+00:00",
        "tier": "gold",
        "score": 12.5,
    },
    "a contact with nothing": {},
    "a contact of numbers": {"id": 17, "phone": 48600, "postal_code": 90001, "name": 3},
    "a contact of nulls": dict.fromkeys([*CUSTOMERS.fields(0), *ADDRESS, "tier", "score"]),
}


@pytest.mark.parametrize("nulls", ["drop", "send"])
@pytest.mark.parametrize("contact", CONTACTS.values(), ids=CONTACTS.keys())
def test_a_customer_fits_both_endpoints(contact: dict[str, Any], nulls: str) -> None:
    settings = of_customers(mapping=MAPPING, nulls=nulls)
    plan = resolve(settings, "contacts", {name: {} for name in ("id", *MAPPING.values())}, ["id"])
    build = EntityBuilder(plan, MetadataSchema(), settings, lambda _topic, _words: None)
    key, payload = build({"id": "crm-1", **contact})
    batch = Batch(1, {key: Row(payload, b"")})
    assert batch.size == len(batch.body())
    assert (
        description().wrong_request("POST", CUSTOMERS.bulk, msgspec.json.decode(batch.body())) == []
    )
    assert description().wrong_request("POST", CUSTOMERS.one, msgspec.json.decode(payload)) == []


def test_the_paths_are_described() -> None:
    described = {(method, path.rpartition("{")[0]) for method, path in description().operations}
    wanted = [
        ("POST", CUSTOMERS.bulk),
        ("POST", CUSTOMERS.one),
        ("GET", ACTION),
        ("GET", "/v1/customers/{id}"),
        ("DELETE", "/v1/customers/{id}"),
    ]
    plain = {(method, path) for method, path in description().operations}
    for method, path in wanted:
        assert (method, path) in plain or (method, path.rpartition("{")[0]) in described
