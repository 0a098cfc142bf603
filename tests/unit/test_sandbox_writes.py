"""Imports of CSV files and publications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox import Sandbox

PART = '--x\r\nContent-Disposition: form-data; name="{}"; filename="x.csv"\r\n\r\n{}\r\n--x--\r\n'
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    client = Wire(sandbox)
    yield client
    client.close()


def imported(wire: Wire, text: str) -> Any:
    """The result of an import."""
    body = PART.format("file", text).encode()
    answer = wire("POST", "/v1/customers/importCSV", raw=body, headers=MULTIPART)
    assert answer.status == 202
    job = answer.body["async_action_id"]
    for _ in range(5):
        found = wire("GET", f"/v1/async-actions/{job}").body
    assert found["type"] == "CUSTOMERS.IMPORT_CSV"
    return found["result"]


def test_an_import_replaces_the_whole_customer(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.define_metadata(
        "customer",
        {
            "score": {"type": "number"},
            "vip": {"type": "boolean"},
            "brands": {"type": "string", "array": True},
        },
    )
    before = {"source_id": "a", "email": "a@example.invalid", "metadata": {"old": "1"}}
    sandbox.project.upsert_customer(before)
    header = "Name,source_id,Address_City,Country,score,vip,brands,other"
    result = imported(wire, f'{header}\nAnn,a,Test City,US,7,true,"N,F",x\nNobody,,,,,,,\n')
    found = sandbox.project.customer_by_source_id("a")
    assert found is not None
    assert (found["name"], found.get("email")) == ("Ann", None)
    assert found["address"] == {"city": "Test City", "country": "US"}
    assert found["metadata"] == {"score": 7, "vip": True, "brands": ["N", "F"], "other": "x"}
    assert (result["done_count"], result["failed_count"]) == (1, 1)
    assert [(one["source_id"], one["row"]) for one in result["failed"]] == [("", 2)]


def test_an_import_without_a_file_is_refused(wire: Wire) -> None:
    path, body = "/v1/customers/importCSV", PART.format("other", "x").encode()
    assert wire("POST", path, raw=body, headers=MULTIPART).status == 400
    assert wire("POST", path, {}).status == 415


def publish(wire: Wire, path: str = "/v1/publications", **more: Any) -> Any:
    body = {"customer": {"source_id": "ann"}, "campaign": {"name": "Friends"}, **more}
    return wire("POST", path, body).body


def test_a_publication_is_made_once_per_source_id(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.create_referral_campaign("Friends", referrer_reward={"gift_credit": 1})
    made = publish(wire, source_id="p1", channel="mail", metadata={"a": 1})
    assert (made["source_id"], made["channel"], made["metadata"]) == ("p1", "mail", {"a": 1})
    assert publish(wire, source_id="p1")["key"] == "duplicate_source_id"
    listed = wire("GET", "/v1/publications", source_id="p1").body["publications"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert publish(wire)["voucher"]["code"] != made["voucher"]["code"]
    once = publish(wire, "/v1/publications?join_once=true")
    assert once["voucher"]["code"] == made["voucher"]["code"]


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"campaign": None}, "missing_vouchers"),
        ({"campaign": "Nowhere"}, "not_found"),
        ({"campaign": {"name": "Friends", "count": 2}}, "invalid_payload"),
        ({"customer": {}}, "invalid_payload"),
    ],
)
def test_what_cannot_be_published_is_refused(
    more: dict[str, Any], key: str, sandbox: Sandbox, wire: Wire
) -> None:
    sandbox.project.create_referral_campaign("Friends", referrer_reward={"gift_credit": 1})
    assert publish(wire, **more)["key"] == key


def test_a_code_is_published_once(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.create_referral_campaign("Friends", referrer_reward={"gift_credit": 1})
    code = sandbox.project.referral_code("Friends", "ann")
    assert publish(wire, voucher=code)["key"] == "voucher_already_published"


@pytest.mark.parametrize("status", [None, "CREATED", "CANCELED", "FULFILLED", "PAID"])
def test_only_a_paid_order_counts(status: str | None, sandbox: Sandbox, wire: Wire) -> None:
    body = {"source_id": "o1", "amount": 500, "customer": {"source_id": "ann"}}
    placed = wire("POST", "/v1/orders", body | ({"status": status} if status else {})).body
    assert (placed["status"], placed["updated_at"]) == (status or "CREATED", None)
    sandbox.project.settle()
    kinds = [one["type"] for one in wire("GET", "/v1/customers/ann/activity").body["data"]]
    counted = wire("GET", "/v1/customers/ann").body["summary"]["orders"]["total_count"]
    assert "customer.order.created" in kinds
    assert ("customer.order.paid" in kinds, counted) == (
        (True, 1) if status == "PAID" else (False, 0)
    )


def test_an_order_of_an_unknown_status_is_refused(wire: Wire) -> None:
    body = {"status": "SENT", "amount": 1, "customer": {"source_id": "ann"}}
    assert wire("POST", "/v1/orders", body).status == 400


def test_a_list_without_page_says_whether_more_follow(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.add_customers(3)
    for limit in (2, 3):
        found = wire("GET", "/v1/customers", limit=limit).body
        assert (found["total"], found["has_more"]) == (3, limit == 2)


@pytest.mark.parametrize("junction", ["and", "AND", "or", "OR"])
def test_a_filter_takes_one_value_for_a_list(junction: str, sandbox: Sandbox, wire: Wire) -> None:
    for key, name in (("a", "Ann"), ("b", "Bob")):
        sandbox.project.upsert_customer({"source_id": key, "name": name})
    filters = {
        "junction": junction,
        "name": {"conditions": {"$is": "Ann"}},
        "created_at": {"conditions": {"$before": "2000-01-01T00:00:00Z"}},
    }
    body = {
        "exported_object": "customer",
        "parameters": {"fields": ["source_id"], "filters": filters},
    }
    made = wire("POST", "/v1/exports", body).body
    for _ in range(4):
        found = wire("GET", f"/v1/exports/{made['id']}").body
    path = found["result"]["url"].removeprefix(sandbox.url)
    lines = wire("GET", path).content.decode().splitlines()[1:]
    assert lines == (["a"] if junction.lower() == "or" else [])
