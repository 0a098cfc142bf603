"""Bulk writes of the sandbox: refusals, the queue, results of jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from voucherify_sandbox import Fault
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox import Sandbox

MAX_BYTES = 10_485_760
BULK = "/v1/customers/bulk/async"


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    connected = Wire(sandbox)
    yield connected
    connected.close()


def rows(count: int, **fields: object) -> list[dict[str, Any]]:
    return [{"source_id": f"c-{number}", **fields} for number in range(count)]


def test_a_bulk_request_is_done_later(sandbox: Sandbox, wire: Wire) -> None:
    assert wire("POST", BULK, rows(3)).status == 202
    assert len(sandbox.project.customers) == 0
    states = [wire.get("async-actions")["async_actions"][0]["status"] for _ in range(3)]
    assert states == ["IN_PROGRESS", "DONE", "DONE"]
    assert len(sandbox.project.customers) == 3


def test_three_polls_show_every_status(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.readings.job_polls = 3
    job = wire("POST", BULK, rows(1)).body["async_action_id"]
    states = [wire.get(f"async-actions/{job}")["status"] for _ in range(3)]
    assert states == ["ENQUEUED", "IN_PROGRESS", "DONE"]


def test_a_job_can_need_time_instead_of_polls(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.readings.change(job_polls=0, job_seconds=5)
    jobs = [wire("POST", BULK, rows(1)).body["async_action_id"] for _ in range(2)]

    def states() -> list[str]:
        return [wire.get(f"async-actions/{job}")["status"] for job in jobs]

    assert states() == ["IN_PROGRESS", "ENQUEUED"]
    sandbox.clock.advance(5)
    assert states() == ["DONE", "IN_PROGRESS"]
    sandbox.clock.advance(5)
    assert states() == ["DONE", "DONE"]


def test_jobs_run_in_the_order_they_came(sandbox: Sandbox, wire: Wire) -> None:
    for name in ("first", "second", "third"):
        wire("POST", BULK, rows(1, name=name))
    seen = []
    for _ in range(6):
        wire.get("async-actions", limit=1)
        customer = sandbox.project.customer_by_source_id("c-0")
        seen.append(customer and customer["name"])
    assert seen == [None, "first", "first", "second", "second", "third"]


def test_a_job_reports_counts_and_every_refused_row(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.define_metadata("customer", {"tier": {"eq": ["gold"]}})
    action = wire.bulk(
        [
            {"source_id": "good", "metadata": {"tier": "gold"}},
            {"source_id": "day", "birthdate": "1990-13-01"},
            {"source_id": "tier", "metadata": {"tier": "tin"}},
            {"name": "nobody"},
            {"source_id": "type", "name": ["x"]},
            "not an object",
        ]
    )
    assert (action["status"], action["operation_status"]) == ("DONE", "SUCCESS")
    result = action["result"]
    assert (result["done_count"], result["failed_count"]) == (1, 5)
    assert [(error["source_id"], error["key"]) for error in result["errors"]] == [
        ("day", "invalid_customer"),
        ("tier", "metadata_validation_failed"),
        ("", "invalid_payload"),
        ("type", "invalid_payload"),
        ("", "invalid_payload"),
    ]
    assert all(error["message"] and error["details"] for error in result["errors"])


def test_the_report_tells_created_from_updated(wire: Wire) -> None:
    wire.bulk(rows(1))
    url = urlsplit(wire.bulk(rows(2))["result"]["reports"][0])
    lines = wire("GET", f"{url.path}?{url.query}").content.decode().splitlines()
    assert lines == ["source_id,found,updated", "c-0,true,true", "c-1,false,true"]
    assert wire("GET", f"{url.path}?token=guess").status == 404


def test_the_last_of_two_rows_with_one_key_is_what_stays(sandbox: Sandbox, wire: Wire) -> None:
    wire.bulk([{"source_id": "a", "name": "1", "email": "e"}, {"source_id": "a", "name": "2"}])
    customer = sandbox.project.customer_by_source_id("a")
    assert customer is not None
    assert (customer["name"], customer["email"]) == ("2", "e")


def test_bulk_knows_only_the_source_id(sandbox: Sandbox, wire: Wire) -> None:
    first = sandbox.project.upsert_customer({"source_id": "a"})["id"]
    wire.bulk([{"id": first, "source_id": "b"}])
    assert len(sandbox.project.customers) == 2


def test_metadata_for_many_creates_those_it_does_not_know(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.upsert_customer({"source_id": "a", "metadata": {"kept": 1}})
    body = {"source_ids": ["a", "b"], "metadata": {"lang": "en"}}
    assert wire("POST", "/v1/customers/metadata/async", body).status == 202
    sandbox.project.finish_jobs()
    found = [sandbox.project.customer_by_source_id(key) for key in ("a", "b")]
    assert [one and one["metadata"] for one in found] == [{"kept": 1, "lang": "en"}, {"lang": "en"}]


@pytest.mark.parametrize("path", ["bulk", "metadata"])
def test_the_size_limit_counts_the_bytes_sent(wire: Wire, path: str) -> None:
    def body(size: int) -> bytes:
        row = json.dumps([{"source_id": "a", "name": "é"}], ensure_ascii=False).encode()
        return row + b" " * (size - len(row))

    fits = wire("POST", f"/v1/customers/{path}/async", raw=body(MAX_BYTES))
    assert fits.status == (202 if path == "bulk" else 400)
    reply = wire("POST", f"/v1/customers/{path}/async", raw=body(MAX_BYTES + 1))
    assert (reply.status, reply.body["error"]) == (413, "Request Entity Too Large")
    assert str(MAX_BYTES) in reply.body["message"]


@pytest.mark.parametrize("body", [{"source_id": "a"}, "text", 1])
def test_only_an_array_is_a_bulk_request(wire: Wire, body: object) -> None:
    assert wire("POST", BULK, body).body["key"] == "invalid_payload"


def test_jobs_are_listed_newest_first_without_results(sandbox: Sandbox, wire: Wire) -> None:
    jobs = [wire("POST", BULK, rows(1)).body["async_action_id"] for _ in range(3)]
    sandbox.project.finish_jobs()
    page = wire.get("async-actions", limit=2)
    assert [job["id"] for job in page["async_actions"]] == jobs[:0:-1]
    assert page["has_more"] is True
    assert "result" not in page["async_actions"][0]
    past = wire.get("async-actions", end_date="2001-01-01")
    assert past["async_actions"] == []


# kind of fault → status, operation_status, done and failed count, customers afterwards
TROUBLE: dict[str, tuple[Any, ...]] = {
    "job_fails": ("FAILED", "FAILED", None, 0),
    "job_stops": ("FAILED", "FAILED", (10, 0), 10),
    "job_miscounts": ("DONE", "SUCCESS", (19, 0), 20),
    "job_loses": ("DONE", "SUCCESS", (18, 0), 18),
    "job_lies": ("DONE", "SUCCESS", (20, 0), 18),
    "job_denies": ("DONE", "FAILED", (20, 0), 20),
    "job_refuses": ("DONE", "SUCCESS", (18, 2), 18),
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_a_job_in_trouble(sandbox: Sandbox, wire: Wire, kind: Any) -> None:
    sandbox.faults.add(Fault(kind=kind, path="/v1/customers/bulk/*"))
    action = wire.bulk(rows(20))
    result = action.get("result")
    counts = result and (result["done_count"], result["failed_count"])
    customers = len(sandbox.project.customers)
    assert (action["status"], action["operation_status"], counts, customers) == TROUBLE[kind]


def test_a_job_that_hangs_holds_up_the_queue(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults.add(Fault(kind="job_hangs"))
    assert wire.bulk(rows(1))["status"] == "IN_PROGRESS"
    assert wire.bulk(rows(1))["status"] == "ENQUEUED"


def test_a_job_can_vanish(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults.add(Fault(kind="job_vanishes"))
    job = wire("POST", BULK, rows(1)).body["async_action_id"]
    assert wire.get(f"async-actions/{job}")["resource_type"] == "async_action"
