"""Products and orders besides customers: one run, one fence, customers first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from singer_input import TEXT, lines, record, schema, state
from target_run import held, load, settings
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

ORDERS: dict[str, Any] = {
    "orders": {
        "stream": "public-orders",
        "source_id": "number",
        "decimals": 2,
        "mapping": {
            "status": "state",
            "amount": "total",
            "items": "lines",
            "customer.source_id": "contact_id",
            "metadata.shop": "shop",
        },
    }
}
PRODUCTS: dict[str, Any] = {"products": {"stream": "goods", "source_id": "code", "decimals": 2}}
ORDER_COLUMNS: dict[str, Any] = {
    "number": {"type": "string"},
    "state": TEXT,
    "total": {"type": ["null", "number"]},
    "lines": {"type": ["null", "array"]},
    "contact_id": TEXT,
    "shop": TEXT,
}
PRODUCT_COLUMNS: dict[str, Any] = {
    "code": {"type": "string"},
    "name": TEXT,
    "price": {"type": ["null", "number"]},
}
OF_ORDERS = schema(ORDER_COLUMNS, "public-orders", ("number",))
OF_PRODUCTS = schema(PRODUCT_COLUMNS, "goods", ("code",))


def order(serial: int, **more: Any) -> dict[str, Any]:
    """A RECORD of an order by the contact of the same number."""
    row = {
        "number": f"shop-{serial}",
        "state": "PAID",
        "total": 12.5,
        "contact_id": f"crm-{serial}",
        "shop": "Rome",
        **more,
    }
    return {"type": "RECORD", "stream": "public-orders", "record": row}


def product(number: int, **more: Any) -> dict[str, Any]:
    """A RECORD of a product."""
    row = {"code": f"sku-{number}", "name": f"Thing {number}", "price": 9.99, **more}
    return {"type": "RECORD", "stream": "goods", "record": row}


def placed(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """The orders of a project by their source_id."""
    return {row["source_id"]: row for row in sandbox.project.records.orders.values()}


def test_an_order_belongs_to_the_customer_that_the_same_run_writes(project: Sandbox) -> None:
    messages = [schema(), OF_ORDERS]
    for number in range(20):
        messages += [order(number), record(number)]

    done = load(settings(project, entities=ORDERS), lines(*messages, state({"all": True})))

    assert done.error is None
    assert done.states[-1] == {"all": True}
    orders = placed(project)
    assert len(orders) == 20
    assert {row["amount"] for row in orders.values()} == {1250}
    customers = project.project.customers
    for row in orders.values():
        buyer = customers[row["customer_id"]]
        assert buyer["source_id"].removeprefix("crm-") == row["source_id"].removeprefix("shop-")
        assert buyer["email"]
    assert len(customers) == 20
    assert done.summary["entities"]["orders"] == {
        "received": 20,
        "accepted": 20,
        "unchanged": 0,
        "refused": 0,
    }
    assert done.summary["accepted"] == 40


def test_customers_are_written_before_the_orders_that_name_them(project: Sandbox) -> None:
    text = lines(schema(), OF_ORDERS, order(1), record(1))
    assert load(settings(project, entities=ORDERS), text).error is None
    writes = [one.path for one in project.requests if one.method == "POST"]
    assert writes == ["/v1/customers/bulk/async", "/v1/orders"]


def test_what_an_order_says_of_its_customer_comes_after_the_customer(project: Sandbox) -> None:
    mapping = {"customer.source_id": "contact_id", "customer.name": "shop"}
    entities = {"orders": {**ORDERS["orders"], "mapping": mapping}}
    text = lines(OF_ORDERS, order(1), schema(), record(1))
    done = load(settings(project, entities=entities), text)
    assert done.error is None
    assert project.project.customer_by_source_id("crm-1")["name"] == "Rome"


def test_an_order_again_changes_it_and_makes_no_second_one(project: Sandbox) -> None:
    config = settings(project, entities=ORDERS)
    load(config, lines(schema(), record(1), OF_ORDERS, order(1, state="created")))
    done = load(config, lines(OF_ORDERS, order(1, total=13, shop=None)))
    assert done.error is None
    [row] = placed(project).values()
    assert (row["status"], row["amount"], row["metadata"]) == ("PAID", 1300, {"shop": "Rome"})
    assert len(project.project.records.orders) == 1


def test_a_lost_response_makes_no_second_order(project: Sandbox) -> None:
    project.faults.add(Fault(kind="cut_after", path="/v1/orders"))
    config = settings(project, entities=ORDERS)
    done = load(config, lines(schema(), record(1), OF_ORDERS, order(1)))
    assert done.error is None
    assert len(project.project.records.orders) == 1


ITEMS = [{"source_id": "sku-1", "related_object": "sku", "quantity": 2, "price": "6.25", "note": 1}]


@pytest.mark.parametrize("given", [ITEMS, json.dumps(ITEMS)], ids=["a list", "JSON text"])
def test_items_have_amounts_in_the_smallest_unit(project: Sandbox, given: Any) -> None:
    config = settings(project, entities=ORDERS)
    load(config, lines(schema(), record(1), OF_ORDERS, order(1, lines=given)))
    [row] = placed(project).values()
    assert row["items"] == [
        {"source_id": "sku-1", "related_object": "sku", "quantity": 2, "price": 625}
    ]


KEYS = {"padded": ("crm-1  ", "crm-1"), "a float": (7.0, "7"), "a number": (7, "7")}


@pytest.mark.parametrize(("key", "sent"), KEYS.values(), ids=KEYS)
def test_an_order_names_its_customer_and_products_by_the_keys_that_these_have(
    project: Sandbox, key: Any, sent: str
) -> None:
    items = [{"source_id": key, "quantity": 1}, {"source_id": "  ", "quantity": 2}]
    contact, bought = record(1, source_id=key), order(1, contact_id=key, lines=items)

    done = load(settings(project, entities=ORDERS), lines(schema(), contact, OF_ORDERS, bought))

    assert (done.error, held(project)) == (None, {sent})
    [row] = placed(project).values()
    assert row["items"] == [{"source_id": sent, "quantity": 1}, {"quantity": 2}]


@pytest.mark.parametrize("nobody", [None, "", "   "])
@pytest.mark.parametrize("nulls", ["drop", "send"])
def test_an_order_of_nobody_makes_no_customer(project: Sandbox, nobody: Any, nulls: str) -> None:
    config = settings(project, entities=ORDERS, nulls=nulls)
    load(config, lines(OF_ORDERS, order(1), order(2, contact_id=nobody)))
    assert held(project) == {"crm-1"}


def test_every_record_is_counted_where_one_entity_sends_another(project: Sandbox) -> None:
    config = settings(project, entities=ORDERS, compare="export")
    contacts = [record(1), record(1, name="Newer"), record(1, name="Newest")]
    orders = [order(number) for number in range(100)]  # as many as are sent together

    done = load(config, lines(schema(), *contacts, OF_ORDERS, *orders))

    assert (done.summary["duplicates"], done.summary["unconfirmed"]) == (2, 0)


WRONG_ORDERS = {
    "three decimals": ({"total": 12.505}, "has more than 2 decimals"),
    "thirty decimals": ({"total": f"12.5{'0' * 28}1"}, "has more than 2 decimals"),
    "half a customer": ({"contact_id": 1.5}, "contact_id is a number, neither text nor a whole"),
    "a customer in two lines": ({"contact_id": "a\nb"}, "contact_id holds control characters"),
    "an unknown status": ({"state": "shipped"}, "is none of CREATED, PAID"),
    "an item that is text": ({"lines": ["shoe"]}, "holds text, where an item is an object"),
    "half a piece": ({"lines": [{"quantity": 0.5}]}, "whose quantity has decimals"),
    "no number": ({"number": ""}, "number is missing or blank"),
}


@pytest.mark.parametrize(("wrong", "reason"), WRONG_ORDERS.values(), ids=WRONG_ORDERS)
def test_a_wrong_order_is_set_aside_and_replayed(
    project: Sandbox, tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "refused.singer"
    config = settings(project, entities=ORDERS, refused_records_path=str(path))
    text = lines(schema(), record(1), OF_ORDERS, order(1, **wrong), order(2), state({"n": 2}))
    done = load(config, text)
    assert (done.error, done.states[-1]) == (None, {"n": 2})
    assert list(placed(project)) == ["shop-2"]
    assert done.summary["entities"]["orders"]["refused"] == 1
    [set_aside] = [json.loads(line) for line in path.read_text().splitlines() if "RECORD" in line]
    assert set_aside["stream"] == "public-orders"
    assert reason in set_aside["record"]["_refused_reason"]


def test_a_state_waits_for_the_orders_before_it(project: Sandbox) -> None:
    project.faults.add(Fault(kind="status", path="/v1/orders", status=401, times=None))
    text = lines(schema(), record(1), state({"n": 1}), OF_ORDERS, order(1), state({"n": 2}))
    done = load(settings(project, entities=ORDERS), text)
    assert done.error is not None
    assert done.states in ([], [{"n": 1}])


def test_each_entity_has_a_ledger_of_its_own(project: Sandbox, tmp_path: Path) -> None:
    config = settings(
        project, entities={**ORDERS, **PRODUCTS}, ledger_path=str(tmp_path / "ledger.db")
    )
    text = lines(schema(), record(1), OF_ORDERS, order(1), OF_PRODUCTS, product(1), state({"n": 1}))
    assert load(config, text).error is None
    assert {path.name for path in tmp_path.glob("*.db")} == {
        "ledger.db",
        "ledger-orders.db",
        "ledger-products.db",
    }
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    project.forget_requests()
    again = load(config, text)
    assert (again.error, again.states) == (None, [{"n": 1}])
    assert {one.path for one in project.requests} <= {
        "/v1/metadata-schemas/customer",
        "/v1/metadata-schemas/order",
    }
    assert again.summary["unchanged"] == 3


def test_products_go_in_bulk_and_a_missing_customer_is_deleted_for_no_other_stream(
    project: Sandbox, tmp_path: Path
) -> None:
    config = settings(
        project,
        entities=PRODUCTS,
        ledger_path=str(tmp_path / "ledger.db"),
        on_delete="delete",
        max_delete_percent=100,
    )

    def version(stream: str, number: int, *rows: dict[str, Any]) -> list[dict[str, Any]]:
        ended = {"type": "ACTIVATE_VERSION", "stream": stream, "version": number}
        return [*({**row, "version": number} for row in rows), ended]

    first = [schema(), *version("customers", 1, record(1), record(2))]
    first += [OF_PRODUCTS, *version("goods", 1, product(1), product(2))]
    assert load(config, lines(*first)).error is None
    products = {row["source_id"]: row for row in project.project.products.all.values()}
    assert {key: row["price"] for key, row in products.items()} == {"sku-1": 999, "sku-2": 999}

    second = [schema(), *version("customers", 2, record(1), record(2))]
    second += [OF_PRODUCTS, *version("goods", 2, product(1))]
    done = load(config, lines(*second))

    assert done.error is None
    assert len(project.project.customers) == 2
    assert len(project.project.products.all) == 2


def test_a_dry_run_counts_each_entity_and_writes_nothing(project: Sandbox) -> None:
    config = settings(project, entities={**ORDERS, **PRODUCTS}, dry_run=True)
    text = lines(schema(), record(1), OF_ORDERS, order(1), order(2), OF_PRODUCTS, product(1))
    done = load(config, text)
    assert done.error is None
    assert {one.method for one in project.requests} == {"GET"}
    assert done.summary["would_create"] == 4
    assert "2 orders would be created" in done.log


def test_a_dry_run_of_all_entities_takes_twenty_calls_at_most(project: Sandbox) -> None:
    config = settings(project, entities={**ORDERS, **PRODUCTS}, dry_run=True)
    contacts = [schema(), *(record(number) for number in range(40))]
    orders = [OF_ORDERS, *(order(number) for number in range(40))]
    products = [OF_PRODUCTS, *(product(number) for number in range(40))]
    done = load(config, lines(*contacts, *orders, *products))
    assert (done.error, done.summary["looked_up"]) == (None, 15)
    assert project.calls <= 20


def test_two_entities_of_one_stream_are_refused(project: Sandbox) -> None:
    entities = {"orders": {"stream": "customers"}}
    done = load(settings(project, entities=entities), lines(schema(), record(1)))
    assert "customers and orders both come from stream customers" in str(done.error)
    assert project.calls == 0


def test_a_stream_that_nothing_names_is_refused(project: Sandbox) -> None:
    done = load(settings(project, entities=ORDERS), lines(OF_PRODUCTS, product(1)))
    assert "nor one that entities name (public-orders)" in str(done.error)


def test_a_field_that_orders_do_not_have_is_named(project: Sandbox) -> None:
    entities = {"orders": {"stream": "public-orders", "mapping": {"total": "total"}}}
    done = load(settings(project, entities=entities), lines(OF_ORDERS))
    assert "no field of a Voucherify order" in str(done.error)
