"""Exports of the sandbox: parameters, file, download URL."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox import Fault
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox import Sandbox

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    sandbox.readings.export_headers = "fields"
    connected = Wire(sandbox)
    yield connected
    connected.close()


def create(wire: Wire, exported_object: str = "customer", **parameters: object) -> Any:
    body = {"exported_object": exported_object, "parameters": parameters}
    return wire("POST", "/v1/exports", body).body


def finished(wire: Wire, identity: str) -> Any:
    for _ in range(3):
        export = wire.get(f"exports/{identity}")
    return export


def lines(sandbox: Sandbox, wire: Wire, *what: str, **parameters: object) -> list[list[str]]:
    export = finished(wire, create(wire, *what, **parameters)["id"])
    path = export["result"]["url"].removeprefix(sandbox.url)
    return list(csv.reader(wire("GET", path).content.decode().splitlines()))


def test_an_export_is_scheduled_then_done(sandbox: Sandbox, wire: Wire) -> None:
    export = create(wire)
    assert (export["status"], export["result"], export["channel"]) == ("SCHEDULED", None, "API")
    seen = [wire.get(f"exports/{export['id']}") for _ in range(2)]
    assert [one["status"] for one in seen] == ["IN_PROGRESS", "DONE"]
    assert seen[1]["result"]["url"].startswith(f"{sandbox.url}/v1/exports/{export['id']}?token=")
    assert wire.get("exports")["exports"][0]["id"] == export["id"]


def test_a_file_has_the_fields_asked_for_in_their_order(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.clock.set(NOON)
    fields = {"source_id": "a", "name": 'Zoë "Z", 1', "address": {"city": "Łódź"}}
    sandbox.project.upsert_customer({**fields, "metadata": {"tier": "gold", "tags": ["x"]}})
    asked = ["source_id", "address_city", "name", "updated_at", "created_at", "orders_total_count"]
    head, row = lines(sandbox, wire, fields=[*asked, "metadata.tier", "metadata.tags"])
    assert head == [*asked, "metadata.tier", "metadata.tags"]
    assert row == ["a", "Łódź", 'Zoë "Z", 1', "", "2026-03-02T12:00:00.000Z", "0", "gold", '["x"]']


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"order": "created_at"}, "0123"),
        ({"order": "-created_at"}, "3210"),
        ({"order": "-source_id"}, "3210"),
        ({"filters": {"created_at": {"conditions": {"$after": ["2026-03-04"]}}}}, "23"),
        ({"filters": {"created_at": {"conditions": {"$before": ["2026-03-04"]}}}}, "01"),
        ({"filters": {"created_at": {"conditions": {"$is": ["2026-03-04"]}}}}, "2"),
        ({"filters": {"source_id": {"conditions": {"$in": ["1", "3"]}}}}, "13"),
        ({"filters": {"source_id": {"conditions": {"$is_not": ["1"]}}}}, "023"),
        ({"filters": {"city": {"conditions": {"$is": ["C1"]}}}}, "1"),
        ({"filters": {"city": {"conditions": {"$starts_with": ["C"]}}}}, "0123"),
        ({"filters": {"updated_at": {"conditions": {"$has_value": []}}}}, ""),
        (
            {
                "filters": {
                    "junction": "or",
                    "source_id": {"conditions": {"$is": ["0"]}},
                    "email": {"conditions": {"$contains": ["3@"]}},
                }
            },
            "03",
        ),
    ],
)
def test_exports_filter_and_order(
    sandbox: Sandbox, wire: Wire, parameters: dict[str, Any], expected: str
) -> None:
    for number in range(4):
        sandbox.clock.set(NOON + timedelta(days=number))
        email, address = f"{number}@x.io", {"city": f"C{number}"}
        sandbox.project.upsert_customer(
            {"source_id": str(number), "email": email, "address": address}
        )
    rows = lines(sandbox, wire, fields=["source_id"], **parameters)[1:]
    assert "".join(row[0] for row in rows) == expected


@pytest.mark.parametrize(
    ("exported_object", "default", "rows"),
    [
        ("customer", ["name", "source_id"], 2),
        ("redemption", ["id", "object", "voucher_code", "customer_id", "date", "result"], 1),
        ("publication", ["code", "customer_id", "date", "channel"], 1),
        ("order", ["id", "source_id", "status"], 1),
        ("voucher", ["code", "voucher_type"], 3),
        ("points_expiration", ["id", "campaign_id", "voucher_id"], 0),
    ],
)
def test_every_object_can_be_exported(
    sandbox: Sandbox, wire: Wire, exported_object: str, default: list[str], rows: int
) -> None:
    reward = {"gift_credit": 5}
    project = sandbox.project
    project.create_referral_campaign("Friends", referee_reward=reward, referrer_reward=reward)
    project.redeem(project.referral_code("Friends", "adam"), "rita", {"amount": 1})
    found = lines(sandbox, wire, exported_object)
    assert (found[0], len(found) - 1) == (default, rows)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"exported_object": "dreams"}, "invalid_payload"),
        ({}, "invalid_payload"),
        ({"exported_object": "customer", "parameters": []}, "invalid_payload"),
        (
            {"exported_object": "customer", "parameters": {"fields": ["age"]}},
            "invalid_export_fields",
        ),
        ({"exported_object": "customer", "parameters": {"order": "phone"}}, "invalid_payload"),
    ],
)
def test_what_cannot_be_exported_is_refused(wire: Wire, body: Any, key: str) -> None:
    reply = wire("POST", "/v1/exports", body)
    assert (reply.status, reply.body["key"]) == (400, key)


def test_a_file_needs_the_keys_and_a_token_that_is_still_good(sandbox: Sandbox, wire: Wire) -> None:
    identity = create(wire)["id"]
    url = finished(wire, identity)["result"]["url"]
    path = url.removeprefix(sandbox.url)
    assert wire("GET", path).status == 200
    assert wire("GET", path, headers={"X-App-Token": "wrong"}).status == 401
    assert wire("GET", f"/v1/exports/{identity}?token=guess").status == 401
    sandbox.clock.advance(301)
    assert wire("GET", path).body["key"] == "unauthorized"
    fresh = wire.get(f"exports/{identity}")["result"]["url"].removeprefix(sandbox.url)
    assert wire("GET", fresh).status == 200


def test_a_deleted_export_is_gone(wire: Wire) -> None:
    identity = create(wire)["id"]
    assert wire("DELETE", f"/v1/exports/{identity}").status == 204
    assert wire("GET", f"/v1/exports/{identity}").status == 404
    assert wire("DELETE", f"/v1/exports/{identity}").status == 404


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("export_hangs", ["SCHEDULED", "SCHEDULED", "SCHEDULED"]),
        ("export_fails", ["IN_PROGRESS", "ERROR", "ERROR"]),
        ("export_vanishes", ["IN_PROGRESS", None, None]),
    ],
)
def test_an_export_in_trouble(sandbox: Sandbox, wire: Wire, kind: Any, statuses: list[Any]) -> None:
    sandbox.faults.add(Fault(kind=kind))
    identity = create(wire)["id"]
    assert [wire.get(f"exports/{identity}").get("status") for _ in range(3)] == statuses


def test_an_address_can_be_stale_from_the_start(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults.add(Fault(kind="export_expires"))
    identity = create(wire)["id"]
    wire.get(f"exports/{identity}")
    urls = [wire.get(f"exports/{identity}")["result"]["url"] for _ in range(2)]
    statuses = [wire("GET", url.removeprefix(sandbox.url)).status for url in urls]
    assert statuses == [401, 200]


def test_a_file_can_lack_rows(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.add_customers(4)
    sandbox.faults.add(Fault(kind="export_shrinks"))
    assert len(lines(sandbox, wire)) == 3


def test_an_address_can_be_at_another_host(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults.add(Fault(kind="export_elsewhere", location="http://elsewhere.invalid"))
    url = finished(wire, create(wire)["id"])["result"]["url"]
    assert url.startswith("http://elsewhere.invalid/v1/exports/")
