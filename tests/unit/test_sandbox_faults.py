"""Every fault of the sandbox, as a client sees it."""

from __future__ import annotations

import gzip
import http.client
import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from voucherify_sandbox import Fault, Sandbox
from voucherify_sandbox.faults import KINDS
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    connected = Wire(sandbox)
    yield connected
    connected.close()


def limited(reply: Any) -> tuple[str | None, ...]:
    names = ("Retry-After", "X-Rate-Limit-Retry", "X-Rate-Limit-Type")
    return (reply.body["message"][:17], *(reply.headers[name] for name in names))


IN_TWO_SECONDS = str(int(NOON.timestamp()) + 2)
IN_A_MINUTE = str(int(NOON.timestamp()) + 60)
TOLD = "Too many requests"

# Fault with a response → function of the response, expected result
ANSWERS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "status": (lambda r: (r.status, r.body, r.headers["X-A"]), (418, {"a": 1}, "b")),
    "limit_retry_after": (limited, (TOLD, "2", IN_A_MINUTE, "api_calls")),
    "limit_rate_limit_retry": (limited, (TOLD, None, IN_TWO_SECONDS, "api_calls")),
    "limit_silent": (limited, (TOLD, None, None, None)),
    "limit_cycle": (limited, (TOLD, None, IN_A_MINUTE, "api_calls_cycle")),
    "server_error": (lambda r: (r.status, r.body["code"]), (500, 500)),
    "bad_gateway": (lambda r: (r.status, r.headers["Content-Type"]), (502, "text/html")),
    "unavailable_seconds": (lambda r: (r.status, r.headers["Retry-After"]), (503, "2")),
    "unavailable_date": (
        lambda r: (r.status, parsedate_to_datetime(r.headers["Retry-After"]).second),
        (503, 2),
    ),
    "html": (lambda r: (r.status, r.content[:6]), (200, b"<html>")),
    "empty": (lambda r: (r.status, r.content), (200, b"")),
    "redirect": (
        lambda r: (r.status, r.headers["Location"]),
        (302, "http://elsewhere.invalid/v1/customers"),
    ),
    "truncated_json": (lambda r: r.content[-1:] != b"}", True),
    "gzip": (
        lambda r: (r.headers["Content-Encoding"], json.loads(gzip.decompress(r.content))["total"]),
        ("gzip", 0),
    ),
    "no_date": (lambda r: r.headers["Date"], None),
    "slow_headers": (lambda r: r.status, 200),
    "slow_body": (lambda r: r.body["total"], 0),
    "huge_body": (lambda r: (len(r.content), set(r.content)), (70_000, {ord(" ")})),
    "deep_json": (lambda r: r.content.count(b"["), 70_000),
    "revoked_key": (lambda r: r.status, 401),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "status": {"status": 418, "body": {"a": 1}, "headers": {"X-A": "b"}},
    "redirect": {"location": "http://elsewhere.invalid"},
    "slow_headers": {"seconds": 0.01},
    "slow_body": {"seconds": 0.01},
    "huge_body": {"size": 70_000},
    "deep_json": {"size": 70_000},
}
BREAKS: dict[str, type[Exception]] = {
    "reset": ConnectionResetError,
    "cut_before": http.client.RemoteDisconnected,
    "cut_after": http.client.RemoteDisconnected,
    "cut_body": http.client.IncompleteRead,
    "refuse": ConnectionResetError,
}
# Tested with jobs and exports, and separately below.
ELSEWHERE = {"act", "expired_token", "malformed_header", "short_length"}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_fault_that_answers(sandbox: Sandbox, wire: Wire, kind: Any) -> None:
    sandbox.clock.set(NOON)
    sandbox.faults.add(Fault(kind=kind, **{"seconds": 2, **SETTINGS.get(kind, {})}))
    tell, expected = ANSWERS[kind]
    assert tell(wire("GET", "/v1/customers")) == expected
    assert (sandbox.faults.injected, sandbox.requests[0].fault) == (1, kind)


@pytest.mark.parametrize("kind", BREAKS)
def test_a_fault_that_breaks_off(sandbox: Sandbox, wire: Wire, kind: Any) -> None:
    sandbox.faults.add(Fault(kind=kind, seconds=0))
    with pytest.raises(BREAKS[kind]):
        wire("POST", "/v1/customers", {"source_id": "a"})
    applied = kind in {"cut_after", "cut_body"}
    assert len(sandbox.project.customers) == applied
    assert sandbox.requests[0].status == (200 if applied else 0)


def test_every_kind_of_fault_is_tested() -> None:
    tested = {*ANSWERS, *BREAKS, *ELSEWHERE}
    others = {kind for kind in KINDS if kind.startswith(("job_", "export_"))}
    assert tested | others == set(KINDS)


def test_a_length_that_is_too_short_spoils_the_connection(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults.add(Fault(kind="short_length"))
    reply = wire("GET", "/v1/customers")
    with pytest.raises(ValueError, match=r"JSON|Expecting|Unterminated"):
        _ = reply.body


def test_a_malformed_header_hides_those_behind_it_and_nothing_else(
    sandbox: Sandbox, wire: Wire
) -> None:
    sandbox.faults.add(Fault(kind="malformed_header"))
    reply = wire("GET", "/v1/customers")
    assert (reply.status, reply.body["object"]) == (200, "list")
    assert reply.headers.defects


def test_refusing_connections_ends_by_itself(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.pause()
    address = urlsplit(sandbox.url).netloc
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(address).request("GET", "/")
    sandbox.resume()
    wire.close()
    assert wire("GET", "/v1/customers").status == 200


def test_an_expired_token_is_401_and_the_keys_still_work(sandbox: Sandbox, wire: Wire) -> None:
    form = {"grant_type": "client_credentials", "scope": "api"}
    token = wire.form("/v1/oauth/token", **form).body["access_token"]
    bearer = {"X-App-Token": "", "Authorization": f"Bearer {token}"}
    sandbox.faults.add(Fault(kind="expired_token", nth=[2]))
    statuses = [wire("GET", "/v1/customers", headers=bearer).status for _ in range(3)]
    assert statuses == [200, 401, 401]
    assert wire("GET", "/v1/customers").status == 200


def test_a_revoked_key_stays_out_until_the_faults_are_cleared(wire: Wire) -> None:
    wire("POST", "/_sandbox/faults", {"kind": "revoked_key", "numbers": [2]})
    assert [wire("GET", "/v1/customers").status for _ in range(3)] == [200, 401, 401]
    assert wire("DELETE", "/_sandbox/faults").body == {"injected": 1}
    assert wire("GET", "/v1/customers").status == 200


def test_the_project_can_change_between_two_requests(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.add_customers(2, prefix="c")
    action = {"action": "delete_customer", "key": "c-0"}
    sandbox.faults.add(Fault(kind="act", numbers=[2], action=action))
    assert [wire.get("customers")["total"] for _ in range(2)] == [2, 1]


PATHS = ["/v1/customers", "/v1/orders", "/v1/customers", "/v1/customers/a%2Fb", "/v1/customers"]


@pytest.mark.parametrize(
    ("fault", "hit"),
    [
        pytest.param({}, [1], id="once, the first request"),
        pytest.param({"times": None}, [1, 2, 3, 4, 5], id="without end"),
        pytest.param({"times": 2}, [1, 2], id="twice"),
        pytest.param({"numbers": [2, 4], "times": None}, [2, 4], id="by request number"),
        pytest.param({"path": "/v1/customers", "nth": [2]}, [3], id="the second of a path"),
        pytest.param({"path": "/v1/customers/a/b"}, [4], id="by decoded path"),
        pytest.param({"path": "/v1/*s", "times": None}, [1, 2, 3, 5], id="by pattern"),
        pytest.param({"method": "POST"}, [], id="by method"),
        pytest.param({"probability": 0}, [], id="never"),
    ],
)
def test_a_fault_hits_the_requests_it_names(
    sandbox: Sandbox, wire: Wire, fault: dict[str, Any], hit: list[int]
) -> None:
    sandbox.faults.add(Fault(kind="server_error", **fault))
    for path in PATHS:
        wire("GET", path)
    assert [served.number for served in sandbox.requests if served.status == 500] == hit


def test_a_probability_is_repeatable_by_its_seed() -> None:
    def hits(seed: int) -> list[int]:
        with Sandbox() as sandbox:
            wire = Wire(sandbox)
            fault = Fault(kind="server_error", probability=0.3, seed=seed, times=None)
            sandbox.faults.add(fault)
            seen = [wire("GET", "/v1/orders").status for _ in range(30)]
            wire.close()
        return seen

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert 0 < hits(1).count(500) < 20


def test_the_first_fault_that_matches_is_the_one(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults.add(Fault(kind="bad_gateway"), Fault(kind="server_error"))
    assert [wire("GET", "/v1/orders").status for _ in range(3)] == [502, 500, 200]


def test_cleared_faults_stay_counted(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.faults.add(Fault(kind="server_error", times=None))
    wire("GET", "/v1/orders")
    sandbox.faults.clear()
    assert wire("GET", "/v1/orders").status == 200
    assert sandbox.faults.injected == 1


def test_stopping_does_not_wait_for_a_slow_answer() -> None:
    with Sandbox() as sandbox:
        sandbox.faults.add(Fault(kind="slow_headers", seconds=3600))
        connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc)
        connection.request("GET", "/v1/customers")
        while not sandbox.faults.injected:
            pass
    connection.close()
