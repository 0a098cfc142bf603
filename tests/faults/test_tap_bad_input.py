"""Whatever is wrong outside the tap ends with exit code 1 and one sentence that says what to do."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from singer import Process, closed_port, command, run, selecting
from tap_voucherify.tap import TapVoucherify
from tap_voucherify.voucherify_client.errors import SettingsError
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path


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
        pytest.param({"lookback_window": 10**11}, "lookback_window does not fit", id="ages ago"),
        pytest.param({"reward_events_scan": "some"}, "must be changed or all", id="scan"),
        pytest.param({"max_cals": 9}, "no setting max_cals; the nearest is max_calls", id="name"),
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


def test_a_variable_that_sets_nothing_is_an_error(connection: dict[str, Any]) -> None:
    done = run("tap_voucherify", connection, env={"TAP_VOUCHERIFY_STARTDATE": "2026-01-01"})

    assert done.exit_code == 1
    assert ["nearest is TAP_VOUCHERIFY_START_DATE" in one for one in sentences(done.log)] == [True]


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


@pytest.mark.parametrize("wrap", ["a STATE line", "the value", "Meltano's"])
def test_a_state_is_read_in_each_form_in_which_it_is_kept(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, wrap: str
) -> None:
    sandbox.clock.advance(-86_400)
    sandbox.project.add_customers(3)
    sandbox.clock.set(None)
    value = run("tap_voucherify", connection).states[-1]
    path = tmp_path / "state.json"
    forms = {
        "a STATE line": {"type": "STATE", "value": value},
        "the value": value,
        "Meltano's": {"singer_state": value},
    }
    path.write_text(json.dumps(forms[wrap]))

    done = run("tap_voucherify", connection, "--state", str(path))

    assert done.exit_code == 0, done.log
    assert done.records() == []


@pytest.mark.parametrize(
    "text",
    [
        '{"customers": {"replication_key_value": "2026-01-01T00:00:00Z"}}',
        '{"type": "RECORD", "stream": "customers", "record": {}}',
        '{"bookmarks": {"customers": "2026-01-01T00:00:00Z"}}',
        '{"bookmarks": {"reward_events": {"webhooks": {"store": "one"}}}}',
        "[]",
    ],
)
def test_what_is_no_state_is_no_silent_full_read(
    connection: dict[str, Any], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)

    done = run("tap_voucherify", connection, "--state", str(path))

    assert done.exit_code == 1
    assert ["not one of this tap" in line for line in sentences(done.log)] == [True]
    assert done.messages == []


@pytest.mark.parametrize(
    ("streams", "sentence"),
    [
        ([], "holds no stream of this tap"),
        ([{"tap_stream_id": "contacts", "stream": "contacts", "schema": {}}], "holds no stream"),
        ("deselected", "selects no stream"),
    ],
)
def test_a_catalog_that_selects_nothing_is_an_error(
    connection: dict[str, Any], tmp_path: Path, streams: Any, sentence: str
) -> None:
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps({"streams": streams}))
    options = selecting(tmp_path) if streams == "deselected" else ["--catalog", str(path)]

    done = run("tap_voucherify", connection, *options)

    assert done.exit_code == 1
    assert [sentence in line for line in sentences(done.log)] == [True]
    assert done.messages == []


def test_an_event_type_that_voucherify_does_not_publish_is_a_warning(
    connection: dict[str, Any],
) -> None:
    types = ["customer.rewardedd", "customer.rewarded"]

    done = run("tap_voucherify", {**connection, "reward_event_types": types})

    warned = [line for line in done.log.splitlines() if "WARN" in line]
    assert done.exit_code == 0, done.log
    assert ["customer.rewardedd (did you mean customer.rewarded?)" in line for line in warned] == [
        True
    ]


def test_no_event_type_at_all_is_a_wrong_setting(connection: dict[str, Any]) -> None:
    done = run("tap_voucherify", {**connection, "reward_event_types": []})

    assert done.exit_code == 1
    assert "reward_event_types does not fit" in sentences(done.log)[0]


def test_an_end_before_the_start_is_a_wrong_setting(connection: dict[str, Any]) -> None:
    slice_ = {"start_date": "2026-02-01T00:00:00Z", "end_date": "2026-01-01T00:00:00+14:00"}

    done = run("tap_voucherify", {**connection, **slice_})

    assert done.exit_code == 1
    assert ["end_date must be after start_date" in one for one in sentences(done.log)] == [True]


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_a_year_at_the_end_of_the_calendar_is_a_wrong_setting(
    connection: dict[str, Any], year: str
) -> None:
    done = run("tap_voucherify", {**connection, "start_date": f"{year}-01-01T00:00:00Z"})

    assert done.exit_code == 1
    assert ["must lie between 1900 and 2200" in one for one in sentences(done.log)] == [True]


YESTERDAY, TOMORROW = ((datetime.now(UTC) + timedelta(days=days)).isoformat() for days in (-1, 1))


@pytest.mark.parametrize(
    ("stream", "state", "sentence"),
    [
        ("customers", {"replication_key_value": TOMORROW}, "lies in the future"),
        ("customers", {"first_run": {"started": TOMORROW}}, "lies in the future"),
        ("customers", {"replication_key_value": "0001-01-01T00:00:00Z"}, "is malformed"),
        ("customers", {"first_run": {"reached": YESTERDAY}}, "lacks `started`"),
        *(
            (stream, {name: {"started": YESTERDAY, instant: TOMORROW}}, "lies in the future")
            for stream, name, instant in (
                ("customers", "first_run", "reached"),
                ("orders", "pages", "reached"),
                ("reward_events", "scan", "since"),
            )
        ),
        (
            "customers",
            {"first_run": {"started": YESTERDAY, "reached": "0001-01-01T00:00:00+14:00"}},
            "not an ISO 8601 timestamp",
        ),
        ("customers", {"first_run": [YESTERDAY]}, "A position in the state"),
        ("orders", {"pages": {"started": YESTERDAY, "page": "two"}}, "`page` in the state"),
        (
            "reward_events",
            {"scan": {"started": YESTERDAY, "position": 7}},
            "`position` in the state",
        ),
        ("rewards", {"missing": "some"}, "`missing` in the state"),
    ],
)
def test_a_position_that_no_run_left_is_one_sentence(
    connection: dict[str, Any], tmp_path: Path, stream: str, state: Any, sentence: str
) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"bookmarks": {stream: state}}))

    done = run("tap_voucherify", connection, "--state", str(path), *selecting(tmp_path, stream))

    assert done.exit_code == 1
    assert [sentence in line for line in sentences(done.log)] == [True]
    assert '"calls": 0' in done.log
    assert done.records() == []


def test_every_state_is_checked_before_the_first_request(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    sandbox.project.add_customers(3)
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"bookmarks": {"orders": {"replication_key_value": TOMORROW}}}))
    options = [*selecting(tmp_path, "customers", "orders"), "--state", str(path)]

    done = run("tap_voucherify", connection, *options)

    assert done.exit_code == 1
    assert ["bookmark of orders lies in the future" in one for one in sentences(done.log)] == [True]
    assert '"calls": 0' in done.log
    assert done.messages == []


def test_a_replication_key_of_the_catalogs_own_is_refused(
    connection: dict[str, Any], tmp_path: Path
) -> None:
    options, path = selecting(tmp_path, "customers"), tmp_path / "catalog.json"
    catalog = json.loads(path.read_text())
    for stream in catalog["streams"]:
        if stream["tap_stream_id"] == "customers":
            stream["replication_key"] = "updated_at"
    path.write_text(json.dumps(catalog))

    done = run("tap_voucherify", connection, *options)

    assert done.exit_code == 1
    (sentence,) = sentences(done.log)
    assert "another replication key for customers than its own, modified_at" in sentence
    assert done.messages == []


def test_a_catalog_without_replication_keys_changes_no_record(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    sandbox.project.add_customers(3)
    options, path = selecting(tmp_path, "customers"), tmp_path / "catalog.json"
    catalog = json.loads(path.read_text())
    for stream in catalog["streams"]:
        stream.pop("replication_key", None)
        for entry in stream["metadata"]:
            entry["metadata"].pop("replication-key", None)
    path.write_text(json.dumps(catalog))

    done = run("tap_voucherify", connection, *options)

    assert done.exit_code == 0, done.log
    assert all(record["modified_at"] for record in done.records())
    assert done.states[-1]["bookmarks"]["customers"]["replication_key"] == "modified_at"


@pytest.mark.parametrize(
    "part",
    [
        {"start_date": YESTERDAY},
        {"start_date": YESTERDAY, "end_date": TOMORROW},
        {"max_calls": 9},
    ],
)
def test_a_part_of_a_stream_is_not_announced_as_a_whole_version(
    connection: dict[str, Any], tmp_path: Path, part: dict[str, Any]
) -> None:
    options, path = selecting(tmp_path, "customers"), tmp_path / "catalog.json"
    catalog = json.loads(path.read_text())
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
    path.write_text(json.dumps(catalog))
    config = {**connection, **part, "emit_activate_version_messages": True}

    done = run("tap_voucherify", config, *options)

    assert done.exit_code == 1
    assert ["a loader would then delete" in one for one in sentences(done.log)] == [True]
    assert done.messages == []


def test_deletions_alone_need_a_webhook_store(connection: dict[str, Any], tmp_path: Path) -> None:
    done = run("tap_voucherify", connection, *selecting(tmp_path, "customer_deletions"))

    assert done.exit_code == 1
    assert ["set webhook_store" in one for one in sentences(done.log)] == [True]


def test_a_run_that_fails_is_not_complete(connection: dict[str, Any], tmp_path: Path) -> None:
    """The loader's side fails after the stream has read everything."""
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"bookmarks": {"customers": {"replication_key_value": TOMORROW}}}))
    options = [*selecting(tmp_path, "customers"), "--state", str(path)]

    done = run("tap_voucherify", connection, *options)

    assert done.exit_code == 1
    assert '"complete": false}' in done.log.splitlines()[-1]


def test_the_state_of_another_project_is_refused(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    sandbox.project.add_customers(3)
    path = tmp_path / "state.json"
    path.write_text(json.dumps(run("tap_voucherify", connection).states[-1]))

    with Sandbox(application_id="11111111-2222-4333-8444-555555555555") as other:
        other.project.add_customers(120)
        keys = {
            "api_url": other.url,
            "application_id": other.application_id,
            "secret_key": other.secret_key,
        }
        done = run("tap_voucherify", keys, "--state", str(path))

        assert other.calls == 0
    assert done.exit_code == 1
    assert ["belongs to another project" in one for one in sentences(done.log)] == [True]


@pytest.mark.parametrize("streams", [("customers",), ("redemptions", "reward_events", "orders")])
def test_a_clock_far_ahead_skips_nothing_where_the_api_does_not_say_the_time(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, streams: tuple[str, ...]
) -> None:
    sandbox.clock.advance(-86_400)  # so this machine is a day ahead
    sandbox.faults.add(Fault(kind="no_date", times=None))
    project = sandbox.project
    project.create_referral_campaign("Gifts", referee_reward={"gift_credit": 3})
    code = project.referral_code("Gifts", "adam")
    options = selecting(tmp_path, *streams)
    path = tmp_path / "state.json"
    seen: set[str] = set()

    for number in range(3):
        project.redeem(code, f"friend-{number}", {"amount": 100, "source_id": f"order-{number}"})
        project.settle()
        sandbox.clock.advance(3_600)
        state = ["--state", str(path)] if path.exists() else []
        done = run("tap_voucherify", connection, *options, *state)
        assert done.exit_code == 0, done.log
        path.write_text(json.dumps(done.states[-1]))
        fresh = {record["id"] for record in done.records()} - seen
        assert len(fresh) >= len(streams), done.log
        seen |= fresh


def test_a_loader_that_ended_is_one_sentence(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    sandbox.project.add_customers(3_000, prefix="a-")
    reading, writing = os.pipe()
    os.close(reading)
    with Process(command("tap_voucherify", connection, tmp_path), stdout=writing) as tap:
        os.close(writing)
        _, logged = tap.communicate(timeout=60)

    log = logged.decode()
    assert tap.returncode == 1
    assert ["Whatever read the output ended" in line for line in sentences(log)] == [True]
    assert "Errno" not in log


def test_discovery_does_not_wait_for_types_that_it_can_do_without(
    sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    sandbox.faults.add(Fault(kind="limit_retry_after", seconds=3_000, times=None))

    done = run("tap_voucherify", connection, "--discover", timeout=60)

    assert done.exit_code == 0
    assert json.loads(done.stdout)["streams"]
    assert "Metadata stays without types" in done.log


def test_the_tap_can_be_invoked_without_arguments() -> None:
    with pytest.raises(SettingsError, match="Missing settings"):
        TapVoucherify.invoke()


def test_the_lines_and_the_summary_count_the_same(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    sandbox.clock.advance(-86_400)
    first = run("tap_voucherify", connection)
    path = tmp_path / "state.json"
    path.write_text(json.dumps(first.states[-1]))
    sandbox.clock.advance(3_600)
    sandbox.project.add_customers(47)

    done = run(
        "tap_voucherify", connection, "--state", str(path), *selecting(tmp_path, "customers")
    )

    assert len(done.records()) == 47
    assert "complete: 47 changed customers" in done.log
    assert '"customers": {"rows": 47, "complete": true}' in done.log


@pytest.mark.parametrize(
    "stream", ["rewards", "segments", "skus", "loyalty_tiers", "pending_points", "metadata_schemas"]
)
def test_a_stream_without_times_refuses_to_be_sliced(
    connection: dict[str, Any], tmp_path: Path, stream: str
) -> None:
    slice_ = {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-02-01T00:00:00Z"}

    done = run(
        "tap_voucherify", {**connection, **slice_}, *selecting(tmp_path, "customers", stream)
    )

    assert done.exit_code == 1
    assert [f"but {stream} can only be read whole" in one for one in sentences(done.log)] == [True]
    assert done.messages == []
