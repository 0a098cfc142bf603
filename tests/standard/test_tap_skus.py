"""SKUs come inside products; where there are more than that, they are read by product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from singer import Run, run, selecting
from voucherify_sandbox import Movement, Sandbox

if TYPE_CHECKING:
    from pathlib import Path


def variants(count: int) -> list[dict[str, Any]]:
    return [{"sku": f"Variant {number}"} for number in range(count)]


@pytest.fixture
def skus(connection: dict[str, Any], tmp_path: Path) -> Any:
    def read(*streams: str, **settings: Any) -> Run:
        chosen = selecting(tmp_path, *(streams or ("skus",)))
        return run("tap_voucherify", {**connection, **settings}, *chosen)

    return read


def names(done: Run) -> set[str]:
    return {record["id"] for record in done.records()}


@pytest.mark.parametrize(("inside", "calls"), [("all", 3), ("first", 3 + 2 + 1)])
def test_products_with_more_skus_than_come_inside_cost_calls_of_their_own(
    sandbox: Sandbox, skus: Any, inside: Any, calls: int
) -> None:
    sandbox.readings.change(skus_in_products=inside)
    sandbox.clock.advance(-3600)
    for number in range(201):
        sandbox.project.create_product({"source_id": f"p-{number}"}, variants(number % 3))
    sandbox.project.create_product({"source_id": "p-2"}, variants(150))
    sandbox.project.create_product({"source_id": "p-5"}, variants(20))
    sandbox.clock.set(None)

    done = skus()

    held = sandbox.project.products.skus
    assert done.exit_code == 0, done.log
    assert names(done) == set(held)
    assert {record["product_id"] for record in done.records()} == {
        one["product_id"] for one in held.values()
    }
    assert sandbox.calls == calls
    assert f"complete: {len(held)} skus" in done.log


@pytest.mark.parametrize("total", ["filtered", "absent"])
def test_a_product_that_goes_meanwhile_takes_its_skus_along(
    sandbox: Sandbox, skus: Any, total: Any
) -> None:
    sandbox.readings.change(skus_in_products="first", total=total)
    for number in range(3):
        sandbox.project.create_product({"source_id": f"p-{number}"}, variants(15))
    gone = {"action": "remove", "kind": "products", "position": 1}
    sandbox.movements.add(Movement(action=gone, nth=(2,)))

    done = skus()

    assert done.exit_code == 0, done.log
    assert "product that was deleted meanwhile" in done.log
    products = sandbox.project.products
    left = [sku["id"] for sku in products.skus.values() if sku["product_id"] in products.all]
    assert names(done) == set(left)


def test_a_null_in_place_of_skus_is_asked_about(sandbox: Sandbox, skus: Any) -> None:
    sandbox.readings.change(null_fields="everywhere")
    sandbox.project.create_product({"source_id": "mug"}, variants(2))

    assert names(skus()) == set(sandbox.project.products.skus)


def test_a_project_without_products_costs_one_call_for_each_stream(
    sandbox: Sandbox, skus: Any
) -> None:
    done = skus("skus", "products")

    assert done.exit_code == 0, done.log
    assert sandbox.calls == 2


def test_a_run_that_was_too_small_names_a_number_that_helps(sandbox: Sandbox, skus: Any) -> None:
    sandbox.readings.change(skus_in_products="first")
    sandbox.clock.advance(-3600)
    for number in range(30):
        sandbox.project.create_product({"source_id": f"p-{number}"}, variants(11))
    sandbox.clock.set(None)

    stuck = skus(max_calls=5)
    helped = skus(max_calls=31)

    assert stuck.exit_code == 1
    assert "ends every run before skus gets further: set it to at least 33" in stuck.log
    assert helped.exit_code == 0, helped.log
