"""Whatever is wrong outside the tap ends with exit code 1 and one sentence that says what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from singer import closed_port, run
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox


def sentences(log: str) -> list[str]:
    return [line for line in log.splitlines() if "| CRITICAL" in line]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        pytest.param({"secret_key": "wrong"}, "check application_id and secret_key", id="key"),
        pytest.param({"secret_key": None}, "Missing settings: secret_key", id="null key"),
        pytest.param({"api_url": "http://api.voucherify.io"}, "must be an https", id="plain http"),
        pytest.param({"api_url": "ftp://api.voucherify.io"}, "must be an https", id="scheme"),
        pytest.param({"api_url": "https://"}, "must be an https", id="no host"),
        pytest.param(
            {"api_url": "https://api.voucherify.io/v1"}, "scheme and host only", id="a path"
        ),
        pytest.param({"start_date": "yesterday"}, "start_date is not an ISO 8601", id="date"),
        pytest.param({"max_concurrency": 0}, "max_concurrency does not fit", id="no requests"),
        pytest.param({"lookback_window": -1}, "lookback_window does not fit", id="looking ahead"),
        pytest.param({"reward_events_scan": "some"}, "must be changed or all", id="scan"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    connection: dict[str, Any], changed: dict[str, Any], sentence: str
) -> None:
    done = run("tap_voucherify", {**connection, **changed})

    assert done.exit_code == 1
    assert [sentence in line for line in sentences(done.log)] == [True]
    assert "Traceback" not in done.log
    assert done.states == []
    assert connection["secret_key"] not in done.log


def test_a_setting_that_is_missing_is_named() -> None:
    done = run("tap_voucherify", {})

    assert done.exit_code == 1
    assert "Missing settings: application_id, secret_key" in sentences(done.log)[0]


def test_an_api_that_is_not_there_is_said_soon(connection: dict[str, Any]) -> None:
    with closed_port() as port:
        done = run("tap_voucherify", {**connection, "api_url": f"http://127.0.0.1:{port}"})

    assert done.exit_code == 1
    assert "check api_url and the network" in sentences(done.log)[0]
    assert "Traceback" not in done.log


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        pytest.param(
            {"kind": "redirect", "status": 302, "location": "http://127.0.0.1:1"},
            "a redirect, which is never followed",
            id="redirect",
        ),
        pytest.param({"status": 402}, "does not include this feature", id="plan"),
        pytest.param({"status": 403}, "role lacks a permission", id="permission"),
        pytest.param({"status": 404}, "Voucherify API endpoint", id="not Voucherify"),
        pytest.param(
            {"status": 400, "body": {"code": 400, "key": "invalid_query_params"}},
            "answered 400, key invalid_query_params",
            id="limit refused",
        ),
        pytest.param(
            {"status": 200, "body": {"hello": "world"}}, "not a Voucherify list", id="another API"
        ),
        pytest.param({"status": 200, "body": ["rows"]}, "without a JSON object", id="a bare list"),
        pytest.param(
            {"status": 429, "headers": {"X-Rate-Limit-Type": "api_calls_cycle"}},
            "billing cycle are used up",
            id="cycle",
        ),
    ],
)
def test_an_answer_that_waiting_does_not_cure(
    sandbox: Sandbox, connection: dict[str, Any], fault: dict[str, Any], sentence: str
) -> None:
    sandbox.faults.add(Fault(**{"kind": "status", "path": "/v1/customers", **fault}))

    done = run("tap_voucherify", connection)

    assert done.exit_code == 1
    assert [sentence in line for line in sentences(done.log)] == [True]
    assert "Traceback" not in done.log


def test_the_connection_test_needs_one_call(sandbox: Sandbox, connection: dict[str, Any]) -> None:
    done = run("tap_voucherify", connection, "--test")

    assert done.exit_code == 0
    assert done.stdout == ""
    assert "Voucherify accepts the keys" in done.log
    assert sandbox.calls == 1


@pytest.mark.parametrize("changed", [{"secret_key": "wrong"}, {"api_url": "http://127.0.0.1:1"}])
def test_the_connection_test_fails_with_the_sentence(
    connection: dict[str, Any], changed: dict[str, str]
) -> None:
    done = run("tap_voucherify", {**connection, **changed}, "--test")

    assert done.exit_code == 1
    assert len(sentences(done.log)) == 1
    assert "Traceback" not in done.log


def test_discovery_needs_no_settings() -> None:
    done = run("tap_voucherify", {}, "--discover")

    catalog = json.loads(done.stdout)
    assert done.exit_code == 0
    assert {"customers", "reward_events"} <= {s["tap_stream_id"] for s in catalog["streams"]}


def test_a_state_that_is_no_state_is_said(connection: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"bookmarks": {"customers": {"replication_key_value": "soon"}}}')

    done = run("tap_voucherify", connection, "--state", str(path))

    assert done.exit_code == 1
    assert "The bookmark of customers is not an ISO 8601 timestamp" in sentences(done.log)[0]


@pytest.mark.parametrize("broken", ["config", "state", "catalog"])
def test_a_file_that_is_not_json_is_said(
    connection: dict[str, Any], tmp_path: Path, broken: str
) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"secret_key": "do-not-show-me",')

    done = run("tap_voucherify", connection, f"--{broken}", str(path))

    assert done.exit_code == 1
    assert [("not JSON" in line) for line in sentences(done.log)] == [True]
    assert "do-not-show-me" not in done.log
    assert "Traceback" not in done.log


def test_a_setting_that_is_null_has_its_default(
    connection: dict[str, Any], sandbox: Sandbox
) -> None:
    sandbox.project.add_customers(3, prefix="a-")
    unset = dict.fromkeys(("lookback_window", "max_concurrency", "max_calls", "start_date"))

    done = run("tap_voucherify", {**connection, **unset})

    assert done.exit_code == 0, done.log
    assert len(done.records("customers")) == 3
