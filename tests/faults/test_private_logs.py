"""Logs at debug level hold nothing private and no forged lines, under all faults."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from singer import run, selecting
from singer_input import PROPERTIES, contacts, lines, record, schema
from target_run import load, settings
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

TAP, TARGET = "tap_voucherify", "target_voucherify"
TALKATIVE = {"LOGLEVEL": "DEBUG"}
CHATTER = (
    'Customer 7 (crm.7@example.com), crm-7, +1 555 0000007\n2030-01-01 | CRITICAL | "forged line"'
)
"""Texts that a server may send where a word is expected."""

both = pytest.mark.parametrize("plugin", [TAP, TARGET])


@pytest.fixture
def filled(sandbox: Sandbox) -> Sandbox:
    project = sandbox.project
    project.add_customers(30)
    project.create_referral_campaign("Refer", referee_reward={"loyalty_points": 5})
    code = project.referral_code(campaign="Refer", referrer="crm-1")
    project.redeem(code=code, customer="crm-2", order={"source_id": "shop-1", "amount": 500})
    project.settle()
    return sandbox


TROUBLE: dict[str, dict[str, Any]] = {
    "nothing wrong": {},
    "cut connections": {"kind": "reset", "numbers": [2]},
    "half an answer": {"kind": "cut_body", "numbers": [2]},
    "a refused key": {"kind": "status", "status": 401, "numbers": [3], "times": None},
    "an answer of another type": {"kind": "status", "status": 200, "body": ["a"], "numbers": [2]},
    "words that are none": {
        "kind": "status",
        "status": 400,
        "body": {"code": 400, "key": CHATTER, "request_id": CHATTER, "message": CHATTER},
        "numbers": [2],
    },
    "objects for words": {
        "kind": "status",
        "status": 503,
        "body": {"key": {"email": CHATTER}, "request_id": [CHATTER]},
        "numbers": [2],
    },
    "a limit of a strange name": {
        "kind": "status",
        "status": 429,
        "headers": {"X-Rate-Limit-Type": "crm.7@example.com", "Retry-After": "0"},
        "numbers": [2],
    },
    "rows of another type": {
        "kind": "status",
        "status": 200,
        "body": {
            "object": "list",
            "data_ref": "customers",
            "customers": [{"id": "x", "created_at": CHATTER, "name": CHATTER}, CHATTER],
        },
        "numbers": [1],
    },
}


@both
@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE.keys())
def test_the_most_talkative_log_holds_nothing_private(
    filled: Sandbox, connection: dict[str, Any], plugin: str, trouble: dict[str, Any]
) -> None:
    """With OAuth a run sends the key pair and tokens."""
    filled.faults.add(*(Fault(**fault) for fault in [trouble] if fault))
    config = {**connection, "auth_method": "oauth"}

    done = run(
        plugin, config, stdin=lines(*contacts(5)) if plugin == TARGET else b"", env=TALKATIVE
    )

    assert done.log != ""
    assert leaks.lines_that_leak([done.log]) == []
    assert "forged" not in done.log


@pytest.mark.parametrize("kind", ["cut_body", "reset", "export_expires", "export_elsewhere"])
def test_the_address_of_a_download_is_no_word_for_a_log(
    filled: Sandbox, connection: dict[str, Any], tmp_path: Path, kind: Any
) -> None:
    made = kind.startswith("export")
    path, location = "/v1/exports" if made else "/v1/exports/exp*", "http://127.0.0.2:1"
    filled.faults.add(Fault(kind=kind, path=path, location=location))

    config = {**connection, "customers_backfill": "export"}
    done = run(TAP, config, *selecting(tmp_path, "customers"), env=TALKATIVE)

    assert filled.faults.injected == 1
    assert leaks.lines_that_leak([done.log]) == []


def test_voucherifys_words_about_a_row_are_told_without_the_row(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    action = {
        "id": "aa_1",
        "status": "DONE",
        "operation_status": "DONE",
        "request_id": CHATTER,
        "result": {
            "done_count": 0,
            "failed_count": 1,
            "errors": [{"source_id": "crm-7", "key": CHATTER, "message": CHATTER}],
        },
    }
    sandbox.faults.add(Fault(kind="status", status=200, body=action, path="/v1/async-actions/*"))
    path = tmp_path / "refused.singer"
    config = {**connection, "refused_records_path": str(path), "max_refused_percent": 100}

    done = run(TARGET, config, stdin=lines(schema(), record(7, name="Customer 7")), env=TALKATIVE)

    assert done.exit_code == 0, done.log
    refused = json.loads(path.read_text().splitlines()[1])["record"]
    assert "Customer 7" in refused["_refused_reason"]
    assert leaks.lines_that_leak([done.log]) == []
    assert "\n2030-01-01" not in done.log


NAME_OF_DATA = "crm.7@example.com\n2030-01-01 | CRITICAL | forged"


@pytest.mark.parametrize("unmapped", ["ignore", "metadata", "refuse"])
@pytest.mark.parametrize("inside", ["address", "metadata", None])
def test_keys_of_a_record_are_not_logged_where_they_may_be_data(
    project: Sandbox, tmp_path: Path, inside: str | None, unmapped: str
) -> None:
    properties = {**PROPERTIES, "address": {"type": ["null", "object"]}}
    member = {NAME_OF_DATA: [float("inf")], "tier": "gold"}
    more = member if inside is None else {inside: member}
    config = {
        **settings(project, unmapped=unmapped),
        "refused_records_path": str(tmp_path / "refused.singer"),
    }
    done = load(config, lines(schema(properties), record(7, **more)))

    assert done.error is None
    assert "#" in done.log
    assert "\n2030-01-01" not in done.log
    assert "crm.7" not in done.log


@pytest.mark.parametrize(
    "settings_of_run", [{}, {"mapping": {"name": "nick"}}, {"unmapped": "refuse"}], ids=str
)
def test_names_of_a_schema_forge_no_line(project: Sandbox, settings_of_run: dict[str, Any]) -> None:
    config = settings(project, **settings_of_run)
    done = load(config, lines(schema({**PROPERTIES, NAME_OF_DATA: {}}), record(7)))

    logged = f"{done.log}{done.error}"
    assert "#" in logged
    assert "\n2030-01-01" not in logged
    assert "crm.7" not in logged


LOG_CONFIG = """
version: 1
disable_existing_loggers: false
formatters:
  all: {format: "%(name)s %(levelname)s %(pathname)s %(message)s"}
handlers:
  all: {class: logging.StreamHandler, formatter: all}
root: {level: DEBUG, handlers: [all]}
loggers:
  urllib3: {level: DEBUG, handlers: [all], propagate: false}
  urllib3.connectionpool: {level: DEBUG, handlers: [all], propagate: false}
  urllib3.connection: {level: DEBUG, handlers: [all], propagate: false}
  requests: {level: DEBUG, handlers: [all], propagate: false}
"""


@pytest.fixture(params=["default", "DEBUG", "configured"])
def levels(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a run whose HTTP libraries log at debug level to a separate file."""
    config = tmp_path / "logging.yaml"
    config.write_text(LOG_CONFIG)
    environments = {
        "default": {},
        "DEBUG": TALKATIVE,
        "configured": {**TALKATIVE, "SINGER_SDK_LOG_CONFIG": str(config)},
    }
    return environments[request.param]


def assert_discreet(done: Any, sandbox: Sandbox) -> None:
    """The libraries logged lines, but without details."""
    assert sandbox.faults.injected > 0
    assert "urllib3.connection" in done.log
    said = [line for line in done.log.splitlines() if "urllib3" in line]
    assert [line for line in said if "/v1" in line or "token=" in line or "header" in line] == []
    assert leaks.lines_that_leak([done.log]) == []


def test_a_download_with_a_malformed_header_is_logged_without_its_address(
    filled: Sandbox, connection: dict[str, Any], tmp_path: Path, levels: dict[str, str]
) -> None:
    filled.faults.add(Fault(kind="malformed_header", times=None))
    config = {**connection, "customers_backfill": "export"}

    done = run(TAP, config, *selecting(tmp_path, "customers"), env=levels)

    assert done.exit_code == 0, done.log
    assert any("token" in request.query for request in filled.requests)
    assert_discreet(done, filled)


def test_a_path_with_an_address_is_not_logged(
    sandbox: Sandbox, connection: dict[str, Any], levels: dict[str, str]
) -> None:
    key = "jane.roe@corp.example"
    sandbox.project.upsert_customer({"source_id": key})
    sandbox.faults.add(Fault(kind="malformed_header", times=None))
    gone = record(0, source_id=key, _sdc_deleted_at="2026-01-01T00:00:00Z")
    config = {**connection, "on_delete": "delete", "max_delete_percent": 100}

    done = run(TARGET, config, stdin=lines(schema(), gone), env=levels)

    assert done.exit_code == 0, done.log
    assert any(key in request.path for request in sandbox.requests)
    assert_discreet(done, sandbox)
