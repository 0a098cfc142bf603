"""What all responses of the sandbox share: keys, errors, limits, media types."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox import Fault, Limits, Sandbox
from wire import FORM, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    connected = Wire(sandbox)
    yield connected
    connected.close()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"X-App-Token": "wrong"}, id="wrong secret key"),
        pytest.param({"X-App-Id": "wrong"}, id="wrong application id"),
        pytest.param({"X-App-Token": ""}, id="no secret key"),
        pytest.param({"X-App-Token": "ключ".encode().decode("latin-1")}, id="not even ASCII"),
        pytest.param({"X-App-Token": "", "Authorization": "Bearer nothing"}, id="unknown token"),
    ],
)
def test_who_has_not_the_keys_gets_401(wire: Wire, headers: dict[str, str]) -> None:
    reply = wire("GET", "/v1/customers", headers=headers)
    assert reply.status == 401
    assert reply.body["key"] == "unauthorized"
    assert wire("GET", "/_sandbox/state", headers=headers).status == 401


def test_a_token_stands_for_the_keys_until_it_expires(sandbox: Sandbox, wire: Wire) -> None:
    form = {"grant_type": "client_credentials", "scope": "api customers"}
    granted = wire.form("/v1/oauth/token", **form).body
    assert granted["expires_in"] == 900
    bearer = {
        "X-App-Id": "",
        "X-App-Token": "",
        "Authorization": f"Bearer {granted['access_token']}",
    }
    assert wire("GET", "/v1/customers", headers=bearer).status == 200
    sandbox.clock.advance(901)
    assert wire("GET", "/v1/customers", headers=bearer).status == 401
    assert wire.form("/v1/oauth/introspect", access_token=granted["access_token"]).body == {
        "active": False
    }


@pytest.mark.parametrize(
    ("form", "key"),
    [
        ({"grant_type": "password", "scope": "api"}, "invalid_grant_type"),
        ({"grant_type": "client_credentials", "scope": "vouchers,campaigns"}, "invalid_scope"),
        ({"grant_type": "client_credentials"}, "invalid_scope"),
    ],
)
def test_a_bad_token_request_is_told_why(wire: Wire, form: dict[str, str], key: str) -> None:
    reply = wire.form("/v1/oauth/token", **form)
    assert (reply.status, reply.body["key"]) == (400, key)


def test_a_revoked_token_is_gone(wire: Wire) -> None:
    form = {"grant_type": "client_credentials", "scope": "api"}
    token = wire.form("/v1/oauth/token", **form).body["access_token"]
    assert wire.form("/v1/oauth/token/revoke", access_token=token).status == 204
    again = wire.form("/v1/oauth/token/revoke", access_token=token)
    assert (again.status, again.content) == (404, b"")


@pytest.mark.parametrize(
    ("method", "path", "status", "key"),
    [
        pytest.param("GET", "/v1/customers/nobody", 404, "not_found", id="unknown customer"),
        pytest.param("GET", "/v1/nothing", 404, "not_found", id="unknown path"),
        pytest.param("PATCH", "/v1/customers", 405, "method_not_allowed", id="unknown method"),
        pytest.param("GET", "/v1/customers?limit=101", 400, "invalid_query_params", id="limit 101"),
        pytest.param("GET", "/v1/customers?limit=0", 400, "invalid_query_params", id="limit 0"),
        pytest.param("GET", "/v1/customers?page=100", 400, "page_over_limit", id="page 100"),
        pytest.param("GET", "/v1/customers?order=name", 400, "invalid_query_params", id="order"),
        pytest.param(
            "GET", "/v1/customers?starting_after=now", 400, "invalid_query_params", id="bad date"
        ),
    ],
)
def test_refusals_have_a_status_a_key_and_a_request_id(
    wire: Wire, method: str, path: str, status: int, key: str
) -> None:
    reply = wire(method, path)
    assert (reply.status, reply.body["code"], reply.body["key"]) == (status, status, key)
    assert reply.body["request_id"].startswith("v-")


def test_404_names_the_resource(wire: Wire) -> None:
    body = wire.get("customers/nobody%2F1")
    assert (body["resource_id"], body["resource_type"]) == ("nobody/1", "customer")
    assert body["details"] == "Cannot find customer with id nobody/1"


@pytest.mark.parametrize("raw", [b"{", b"", b"[" * 100_000, b'{"a": NaN}', b"\xff"])
def test_a_body_that_is_no_json_gets_the_second_error_shape(wire: Wire, raw: bytes) -> None:
    reply = wire("POST", "/v1/customers", raw=raw)
    assert (reply.status, reply.body["statusCode"]) == (400, 400)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/customers", {"Content-Type": "text/plain"}, 415),
        ("/v1/customers", {"Content-Type": FORM}, 415),
        ("/v1/oauth/token", {"Content-Type": "application/json"}, 415),
        ("/v1/customers", {"Accept": "image/png"}, 406),
        ("/v1/customers", {"Content-Type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_media_types_are_checked(
    wire: Wire, path: str, headers: dict[str, str], status: int
) -> None:
    assert wire("POST", path, {"source_id": "a"}, headers=headers).status == status


def test_every_answer_tells_the_limits(wire: Wire) -> None:
    for path in ("/v1/customers", "/v1/customers/nobody", "/v1/nothing"):
        headers = wire("GET", path).headers
        assert int(headers["X-Rate-Limit-Remaining"]) < int(headers["X-Rate-Limit-Limit"])
        assert int(headers["X-Rate-Limit-Retry"]) > datetime.now(UTC).timestamp()


def test_calls_above_the_limit_wait_for_the_next_period() -> None:
    with Sandbox(limits=Limits(calls=2, bulk_calls=1)) as sandbox:
        wire, sandbox_clock = Wire(sandbox), sandbox.clock
        sandbox_clock.set(NOON)
        assert [wire("GET", "/v1/customers").status for _ in range(3)] == [200, 200, 429]
        refused = wire("GET", "/v1/customers")
        assert refused.headers["Retry-After"] == "60"
        assert refused.headers["X-Rate-Limit-Type"] == "api_calls"
        assert refused.headers["X-Rate-Limit-Retry"] == str(int(NOON.timestamp()) + 60)
        assert "key" not in refused.body
        assert wire("POST", "/v1/customers/bulk/async", []).status == 202
        bulk = wire("POST", "/v1/customers/bulk/async", [])
        assert (bulk.status, bulk.headers["X-Rate-Limit-Type"]) == (429, "bulk_api_calls")
        assert bulk.headers["Retry-After"] == "3600"
        sandbox_clock.advance(60)
        assert wire("GET", "/v1/customers").status == 200
        wire.close()


def test_a_used_up_billing_cycle_never_comes_back() -> None:
    with Sandbox(limits=Limits(cycle_calls=1)) as sandbox:
        wire = Wire(sandbox)
        assert wire("GET", "/v1/customers").status == 200
        sandbox.clock.advance(86_400)
        refused = wire("GET", "/v1/customers")
        assert refused.headers["X-Rate-Limit-Type"] == "api_calls_cycle"
        assert "Retry-After" not in refused.headers
        wire.close()


def test_the_date_header_follows_the_clock(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.clock.set(NOON)
    assert wire("GET", "/v1/customers").headers["Date"] == "Mon, 02 Mar 2026 12:00:00 GMT"


def test_requests_are_kept_oldest_first(sandbox: Sandbox, wire: Wire) -> None:
    wire("GET", "/v1/customers/a%2Fb")
    wire("GET", "/v1/customers", limit=3)
    wire("GET", "/_sandbox/state")
    first, second = sandbox.requests
    assert (first.number, first.path, first.status) == (1, "/v1/customers/a/b", 404)
    assert (second.query, second.template) == ({"limit": "3"}, "/v1/customers")
    assert sandbox.calls == 2
    sandbox.forget_requests()
    wire("GET", "/v1/customers")
    assert [served.number for served in sandbox.requests] == [1]


def test_a_huge_body_is_not_even_read(wire: Wire) -> None:
    reply = wire("POST", "/v1/customers", headers={"Content-Length": str(10**12)})
    assert reply.status == 413


def act(wire: Wire, name: str, /, **arguments: object) -> Any:
    reply = wire("POST", "/_sandbox/actions", {"action": name, **arguments})
    assert reply.status == 200, reply.body
    return reply.body["result"]


def test_another_process_can_drive_the_project(wire: Wire) -> None:
    reward = {"gift_credit": 500}
    act(wire, "create_referral_campaign", name="Friends", referee_reward=reward)
    act(wire, "upsert_customer", fields={"source_id": "adam"})
    code = act(wire, "referral_code", campaign="Friends", referrer="adam")
    wire("POST", "/_sandbox/readings", {"settle_seconds": "3600"})
    act(wire, "redeem", code=code, customer="rita", order={"source_id": "o-1", "amount": 100})
    assert wire("GET", "/_sandbox/state").body["books"] == {}
    assert act(wire, "settle") == 2
    state = wire("GET", "/_sandbox/state").body
    assert state["books"]["Friends"]["referee"] == {"gift_credit": {"count": 1, "sum": 500}}
    assert (state["customers"], state["redemptions"], state["calls"]) == (2, 1, 0)


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("readings", {"tides": "high"}, "no reading is called 'tides'"),
        ("readings", {"ties": "knots"}, "ties takes stable, reversed, random"),
        ("faults", {"kind": "flood"}, "no fault is called 'flood'"),
        ("faults", {"kind": "reset", "color": "red"}, "a fault is an object with kind"),
        ("actions", {"action": "dance"}, "no action is called 'dance'"),
        ("actions", {"action": "settle", "fast": True}, "settle: "),
        ("nothing", {}, "there is only"),
    ],
)
def test_a_switch_that_does_not_fit_is_explained(
    wire: Wire, path: str, body: dict[str, Any], says: str
) -> None:
    reply = wire("POST", f"/_sandbox/{path}", body)
    assert reply.status in {400, 404}
    assert says in reply.body["details"]


def test_the_command_prints_its_address_and_stops_on_sigterm() -> None:
    command = [sys.executable, "-m", "voucherify_sandbox", "--port", "0", "--seed", "demo"]
    command += ["--reading", "ties=random", "--fault", json.dumps({"kind": "server_error"})]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, application_id, secret_key = (process.stdout.readline().split()[-1] for _ in range(3))
        wire = Wire(SimpleNamespace(url=url, application_id=application_id, secret_key=secret_key))
        assert wire("GET", "/v1/campaigns").status == 500
        assert wire.get("campaigns")["total"] > 4
        wire.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.parametrize(
    "arguments",
    [["--reading", "ties=knots"], ["--reading", "ties"], ["--fault", "{"], ["--seed", "other"]],
)
def test_the_command_refuses_what_it_does_not_know(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "voucherify_sandbox", "--port", "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_many_clients_at_once_lose_nothing(sandbox: Sandbox) -> None:
    def write(client: int) -> None:
        wire = Wire(sandbox)
        for number in range(40):
            wire("POST", "/v1/customers", {"source_id": f"{client}-{number}"})
            wire.get("customers", limit=100, order="created_at")
        wire.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(sandbox.project.customers) == 320
    assert [served.number for served in sandbox.requests] == list(range(1, 641))


def test_half_a_surrogate_pair_survives_the_way_there_and_back(wire: Wire) -> None:
    raw = b'{"source_id": "a", "name": "\\ud83d"}'
    assert wire("POST", "/v1/customers", raw=raw).body["name"] == "\ud83d"


def test_a_redirect_and_an_unread_body_keep_the_connection_usable(
    sandbox: Sandbox, wire: Wire
) -> None:
    sandbox.faults.add(Fault(kind="redirect", location="http://elsewhere.invalid", status=307))
    assert wire("POST", "/v1/customers", {"source_id": "a"}).status == 307
    assert wire("POST", "/v1/customers", {"source_id": "a"}).status == 200
    assert len(sandbox.project.customers) == 1


def test_a_body_may_come_in_chunks(wire: Wire) -> None:
    headers = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
    raw = b'd;x=1\r\n{"source_id":\r\n4\r\n"a"}\r\n0\r\n\r\n'
    assert wire("POST", "/v1/customers", raw=raw, headers=headers).status == 200
    assert wire.get("customers/a")["source_id"] == "a"
