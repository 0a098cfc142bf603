"""Movements change the project before or after requests, at a rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox import Movement, Sandbox
from voucherify_sandbox.errors import ApiError
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGN_UP = {"action": "upsert_customer", "fields": {"source_id": "new-{n}"}}


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    connected = Wire(sandbox)
    yield connected
    connected.close()


def totals(wire: Wire, requests: int) -> list[int]:
    return [wire.get("customers")["total"] for _ in range(requests)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, [1, 2, 3, 4], id="at each request"),
        pytest.param({"after": True}, [0, 1, 2, 3], id="after each request"),
        pytest.param({"rate": 2}, [2, 4, 6, 8], id="twice"),
        pytest.param({"rate": 0.5}, [0, 1, 1, 2], id="every other time"),
        pytest.param({"nth": (2, 3)}, [0, 1, 2, 2], id="at some"),
        pytest.param({"times": 1}, [1, 1, 1, 1], id="once"),
        pytest.param({"path": "/v1/orders"}, [0, 0, 0, 0], id="elsewhere"),
    ],
)
def test_customers_come_while_their_list_is_read(
    sandbox: Sandbox, wire: Wire, settings: dict[str, Any], expected: list[int]
) -> None:
    sandbox.movements.add(Movement(action=SIGN_UP, **settings))

    assert totals(wire, 4) == expected


def test_several_movements_act_and_one_that_finds_nothing_does_nothing(
    sandbox: Sandbox, wire: Wire
) -> None:
    gone = {"action": "remove", "kind": "customers", "position": 1}
    sandbox.movements.add(Movement(action=SIGN_UP), Movement(action=gone))

    assert totals(wire, 4) == [1, 1, 1, 1]
    assert next(iter(sandbox.project.customers.values()))["source_id"] == "new-0"


@pytest.mark.parametrize("kind", ["customers", "orders"])
def test_a_row_is_changed_by_its_position(sandbox: Sandbox, kind: str) -> None:
    project = sandbox.project
    project.create_referral_campaign("Gifts", referrer_reward={"gift_credit": 5})
    code = project.referral_code("Gifts", "first")
    project.redeem(code, "second", {"amount": 100})

    identity = project.change(kind, 0, {"metadata": {"tier": "gold"}})

    row = {**project.customers, **project.records.orders}[identity]
    assert row["metadata"] == {"tier": "gold"}
    assert row["updated_at"] is not None
    with pytest.raises(ApiError):
        project.change(kind, 7, {})


def test_a_hidden_row_is_counted_and_on_no_page(sandbox: Sandbox, wire: Wire) -> None:
    ids = sandbox.project.add_customers(3)
    sandbox.project.create_segment("All", ids)
    for hidden in (ids[1], *sandbox.project.segments.all):
        sandbox.project.hide(hidden)

    customers, segments = wire.get("customers"), wire.get("segments")

    assert (customers["total"], len(customers["customers"])) == (3, 2)
    assert (segments["total"], segments["data"]) == (1, [])


@pytest.mark.parametrize(("reading", "total"), [("filtered", 0), ("all", 3), ("absent", None)])
def test_what_total_counts_in_every_list(
    sandbox: Sandbox, wire: Wire, reading: str, total: int | None
) -> None:
    sandbox.readings.change(total=reading)
    sandbox.project.create_segment("All", sandbox.project.add_customers(3))
    sandbox.project.create_segment("Some", [])
    sandbox.project.create_segment("None", [])
    before = "1970-01-01T00:00:00.000Z"

    customers = wire.get("customers", **{"created_at[before]": before})
    condition = {
        "filters[created_at][conditions][$before][0]": before,
        "filters[junction]": "and",
    }
    segments = wire.get("segments", **condition)

    assert [body.get("total") for body in (customers, segments)] == [total, total]


def test_movements_are_set_over_the_control_path(wire: Wire) -> None:
    wire("POST", "/_sandbox/movements", {"action": SIGN_UP})
    assert totals(wire, 2) == [1, 2]
    assert wire("GET", "/_sandbox/movements").body[0]["injected"] == 2
    wire("DELETE", "/_sandbox/movements")
    assert totals(wire, 1) == [2]
    refused = wire("POST", "/_sandbox/movements", {"rate": 1})
    assert refused.status == 400
