"""The Airbyte source over its command line, as the platform's worker runs it."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airbyte import Connector, Finished, finished, name_of
from filling import fill
from voucherify_sandbox.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

HOUR = 3_600.0
REFUSING: dict[str, Any] = {"kind": "status", "status": 401, "times": None}


@pytest.fixture
def source(sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path) -> Connector:
    sandbox.clock.advance(-24 * HOUR)
    return Connector("source", tmp_path, connection)


def check_counts(run: Finished) -> None:
    """Each state names the records since the last one of its stream."""
    written: Counter[str] = Counter()
    for message in run.messages:
        if message["type"] == "RECORD":
            written[message["record"]["stream"]] += 1
        elif message["type"] == "STATE":
            count = message["state"]["sourceStats"]["recordCount"]
            assert count == written.pop(name_of(message["state"]), 0)
    if run.exit_code == 0:
        assert not written


def test_the_form_offers_the_settings_with_one_type_each_and_secrets_hidden(
    source: Connector,
) -> None:
    (message,) = source.run("spec").messages
    form = message["spec"]["connectionSpecification"]

    assert form["required"] == ["application_id", "secret_key"]
    assert [field["order"] for field in form["properties"].values()] == [*range(13)]
    for name, field in form["properties"].items():
        assert isinstance(field["type"], str)
        assert None not in field.get("enum", [])
        assert field.get("airbyte_secret", False) == (name in form["required"])
        assert field["title"]
    assert not form["properties"].keys() & {"webhook_store", "end_date", "stream_maps"}


def test_a_check_costs_one_call_and_says_what_is_wrong(sandbox: Sandbox, source: Connector) -> None:
    good = source.run("check")
    calls = sandbox.calls
    wrong = source.run("check", config={**source.config, "secret_key": "wrong-key"})
    misspelt = source.run("check", config={**source.config, "start_dat": "2026-01-01"})

    assert calls == 1
    assert [good.exit_code, wrong.exit_code, misspelt.exit_code] == [0, 0, 0]
    assert good.messages[0]["connectionStatus"] == {"status": "SUCCEEDED"}
    for run, words in (
        (wrong, "401"),
        (misspelt, "no setting start_dat; the nearest is start_date"),
    ):
        status = run.messages[0]["connectionStatus"]
        assert status["status"] == "FAILED"
        assert words in status["message"]


def test_the_catalog_has_keys_cursors_and_types_of_metadata(
    sandbox: Sandbox, source: Connector
) -> None:
    fill(sandbox.project)
    customers, rewards = source.streams["customers"], source.streams["rewards"]

    assert customers["source_defined_primary_key"] == [["id"]]
    assert customers["default_cursor_field"] == ["modified_at"]
    assert customers["source_defined_cursor"]
    assert customers["supported_sync_modes"] == ["full_refresh", "incremental"]
    assert rewards["supported_sync_modes"] == ["full_refresh"]
    assert "tier" in customers["json_schema"]["properties"]["metadata"]["properties"]
    assert "customer_deletions" not in source.streams


def test_every_stream_is_read_whole_with_counts_and_then_only_what_changed(
    sandbox: Sandbox, source: Connector
) -> None:
    sandbox.project.add_customers(2_300)
    fill(sandbox.project)
    sandbox.clock.advance(HOUR)
    names = [*source.streams]
    catalog = source.catalog(*names)
    for configured in catalog["streams"]:
        configured["sync_mode"] = configured["stream"]["supported_sync_modes"][-1]
    whole = {
        name for name in names if "incremental" not in source.streams[name]["supported_sync_modes"]
    }

    first = source.read(catalog)

    assert first.exit_code == 0
    check_counts(first)
    assert len({row["id"] for row in first.records("customers")}) == len(sandbox.project.customers)
    assert all(first.records(name) for name in names)
    assert first.statuses == dict.fromkeys(names, "COMPLETE")
    assert {name_of(state) for state in first.states} == {*names}
    for state in first.last_states:
        assert ("bookmark" in state["stream"]["stream_state"]) != (name_of(state) in whole)

    sandbox.project.upsert_customer({"source_id": "crm-7", "name": "Ann"})
    sandbox.clock.advance(HOUR)
    second = source.read(catalog, first.last_states)

    assert second.exit_code == 0
    check_counts(second)
    assert {name for name in names if second.records(name)} == {*whole, "customers"}
    assert [row["source_id"] for row in second.records("customers")] == ["crm-7"]
    assert {name_of(state) for state in second.states} == {*names}


def test_a_column_that_airbyte_has_not_selected_is_not_read(
    sandbox: Sandbox, source: Connector
) -> None:
    sandbox.project.add_customers(3)
    catalog = json.loads(json.dumps(source.catalog("customers")))
    columns = catalog["streams"][0]["stream"]["json_schema"]["properties"]
    for name in set(columns) - {"id", "modified_at", "source_id"}:
        del columns[name]

    (first, *_) = source.read(catalog).records("customers")

    assert set(first) == {"id", "modified_at", "source_id"}


def test_a_failed_run_keeps_the_states_so_far_and_the_next_continues_there(
    sandbox: Sandbox, source: Connector
) -> None:
    sandbox.project.add_customers(3_000, spread=timedelta(minutes=50))
    sandbox.clock.advance(HOUR)
    catalog = source.catalog("customers")
    sandbox.faults.add(Fault(path="/v1/customers", nth=range(20, 99), **REFUSING))

    failed = source.read(catalog, max_concurrency=1)

    assert failed.exit_code == 1
    check_counts(failed)
    assert failed.statuses == {"customers": "INCOMPLETE"}
    assert "401" in failed.errors[0]
    covered = sum(state["sourceStats"]["recordCount"] for state in failed.states)
    assert 0 < covered == len(failed.records("customers")) < 3_000

    sandbox.faults.clear()
    sandbox.forget_requests()
    rest = source.read(catalog, failed.last_states)
    rows = failed.records("customers") + rest.records("customers")
    assert len({row["id"] for row in rows}) == 3_000
    assert len(rows) < 3_200
    assert rest.statuses == {"customers": "COMPLETE"}


@pytest.mark.parametrize(
    ("more", "exit_code"),
    [
        ({"mode": "incremental"}, 0),
        ({"mode": "full_refresh"}, 1),
        ({"mode": "incremental", "generation_id": 4, "minimum_generation_id": 4}, 1),
    ],
    ids=["incremental", "full refresh", "refresh that removes records"],
)
def test_a_part_of_a_table_is_a_success_only_where_nothing_is_replaced_by_it(
    sandbox: Sandbox, source: Connector, more: dict[str, Any], exit_code: int
) -> None:
    sandbox.project.add_customers(3_000, spread=timedelta(minutes=50))
    sandbox.clock.advance(HOUR)

    cut = source.read(source.catalog("customers", **more), max_calls=20, max_concurrency=1)

    assert cut.exit_code == exit_code
    assert 0 < len(cut.records("customers")) < 3_000
    assert cut.statuses == {"customers": "INCOMPLETE" if exit_code else "COMPLETE"}
    assert any("max_calls" in error for error in cut.errors) == bool(exit_code)
    if more["mode"] == "full_refresh":
        assert cut.states == []


def test_runs_with_few_calls_take_turns_and_lose_nothing(
    sandbox: Sandbox, source: Connector
) -> None:
    sandbox.project.add_customers(2_000, spread=timedelta(minutes=50))
    fill(sandbox.project)
    sandbox.clock.advance(HOUR)
    catalog = source.catalog("customers", "reward_events", "orders")
    kept: dict[str, Any] = {}
    rows: Counter[str] = Counter()

    for _ in range(12):
        run = source.read(catalog, [*kept.values()], max_calls=20, max_concurrency=1)
        assert run.exit_code == 0
        check_counts(run)
        kept |= {name_of(state): state for state in run.states}
        rows.update({row["id"]: 1 for name in ("customers",) for row in run.records(name)})
        if '"complete": true}\n' in run.log:
            break

    assert len(rows) == len(sandbox.project.customers)
    assert kept.keys() == {"customers", "reward_events", "orders"}
    assert '"complete": true}\n' in run.log


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_1_and_loses_nothing(
    sandbox: Sandbox, source: Connector, signum: signal.Signals
) -> None:
    sandbox.project.add_customers(3_000, spread=timedelta(minutes=50))
    sandbox.clock.advance(HOUR)
    catalog = source.catalog("customers")
    config = {**source.config, "max_concurrency": 1}

    with source.start("read", config=config, catalog=catalog) as process:
        assert process.stdout
        begun = []
        while b'"STATE"' not in (line := process.stdout.readline()):
            begun.append(line)
        process.send_signal(signum)
        ended = finished(process)
    head = [json.loads(each) for each in (*begun, line)]
    stopped = Finished(ended.exit_code, [*head, *ended.messages], ended.log)

    assert stopped.exit_code == 1
    check_counts(stopped)
    assert stopped.statuses == {"customers": "INCOMPLETE"}
    rest = source.read(catalog, stopped.last_states)
    rows = stopped.records("customers") + rest.records("customers")
    assert len({row["id"] for row in rows}) == 3_000


def test_a_state_of_another_project_or_kind_is_refused(source: Connector) -> None:
    catalog = source.catalog("customers")
    (state,) = source.read(catalog).last_states
    foreign = json.loads(json.dumps(state))
    foreign["stream"]["stream_state"]["project"] = "0123456789abcdef"

    for states, words in (
        ([foreign], "belongs to another project"),
        ([{"type": "GLOBAL", "global": {"stream_states": []}}], "not one of this source"),
    ):
        run = source.read(catalog, states)
        assert run.exit_code == 1
        assert words in run.errors[0]
        assert not run.of_type("RECORD")


def test_a_stream_that_does_not_exist_is_an_error(source: Connector) -> None:
    catalog = source.catalog("customers")
    catalog["streams"][0]["stream"] = {"name": "coupons", "json_schema": {}}

    run = source.read(catalog)

    assert run.exit_code == 1
    assert "no stream coupons" in run.errors[0]
