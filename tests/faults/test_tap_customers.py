"""Customers over HTTP: ties, never-updated rows, readings, faults, kills; nothing may be lost."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import signal
import stat
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import leaks
from singer import Process, Run, command, run, selecting
from voucherify_sandbox import Fault, Sandbox

TORTURE = bool(os.environ.get("TORTURE"))
KILLS = (*range(1, 31), 34, 37, 41, 48) if TORTURE else (2, 14, 15, 23, 31)
"""At which request of a run it is killed; the next run goes on from the state before."""

AHEAD = 20
"""Calls at most whose rows a stop loses: two for each thread, and those that count."""

LONG_AGO = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.fixture
def customers_only(tmp_path: Path) -> list[str]:
    """Arguments that select the stream customers alone, as a scheduler's catalog does."""
    return selecting(tmp_path, "customers")


def with_state(folder: Path, state: dict[str, Any] | None) -> list[str]:
    if state is None:
        return []
    path = folder / "state.json"
    path.write_text(json.dumps(state))
    return ["--state", str(path)]


def ids(done: Run) -> list[str]:
    return [record["id"] for record in done.records("customers")]


def populate(sandbox: Sandbox, customers: int, tied: int, never_updated: int) -> None:
    """Customers over a day, `tied` of them in one millisecond that lies across page edges."""
    day = timedelta(days=1)
    scattered = customers - tied - never_updated
    updated = LONG_AGO + timedelta(days=3)
    project = sandbox.project
    project.add_customers(
        scattered, prefix="a-", created_at=LONG_AGO, spread=day, updated_at=updated
    )
    project.add_customers(
        tied, prefix="t-", created_at=LONG_AGO + day / 2, updated_at=LONG_AGO + 4 * day
    )
    project.add_customers(never_updated, prefix="n-", created_at=LONG_AGO + day, spread=day)


def some_of_each_kind(sandbox: Sandbox, count: int) -> list[str]:
    """So many scattered, tied, and never-updated customers, by their `source_id`."""
    keys = [customer["source_id"] for customer in sandbox.project.customers.values()]
    kinds = [[key for key in keys if key.startswith(kind)] for kind in ("a-", "t-", "n-")]
    return [key for kind in kinds for key in kind[:count]]


def test_the_bookmark_stays_behind_the_start_of_the_run_and_never_moves_back(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    """Summaries settle seconds after what moved them."""
    populate(sandbox, customers=120, tied=10, never_updated=10)
    states: list[dict[str, Any]] = [{}]
    for lookback in (30, 90):
        settings = {**connection, "lookback_window": lookback}
        done = run("tap_voucherify", settings, *customers_only, *with_state(tmp_path, states[-1]))
        states.append(done.states[-1])
        if lookback == 30:
            ended = datetime.now(UTC)

    first, second = (
        datetime.fromisoformat(state["bookmarks"]["customers"]["replication_key_value"])
        for state in states[1:]
    )
    assert first <= ended - timedelta(seconds=30)
    assert second == first


def test_twelve_thousand_customers_arrive_first_and_after_changes(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    populate(sandbox, customers=12_000, tied=300, never_updated=200)

    first = run("tap_voucherify", connection, *customers_only)

    assert first.exit_code == 0, first.log
    assert sorted(ids(first)) == sorted(sandbox.project.customers)
    assert sandbox.calls <= 1.03 * 120 + 10
    figures = "12,000 customers created before the read began (the API counts 12,000)"
    assert figures in first.log

    sandbox.forget_requests()
    changed = set()
    for key in some_of_each_kind(sandbox, 100):
        changed.add(sandbox.project.update_customer(key, {"metadata": {"visits": 1}})["id"])
    changed.add(sandbox.project.upsert_customer({"source_id": "new-1"})["id"])
    second = run(
        "tap_voucherify", connection, *customers_only, *with_state(tmp_path, first.states[-1])
    )

    assert second.exit_code == 0, second.log
    assert set(ids(second)) == changed
    assert len(ids(second)) == len(changed)


def test_nothing_new_costs_two_calls(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    populate(sandbox, customers=300, tied=120, never_updated=30)
    state = run("tap_voucherify", connection, *customers_only).states[-1]
    sandbox.forget_requests()

    done = run("tap_voucherify", connection, *customers_only, *with_state(tmp_path, state))

    assert done.records() == []
    assert sandbox.calls == 2


def test_a_slice_takes_what_was_created_in_it_and_leaves_the_state_alone(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    populate(sandbox, customers=900, tied=250, never_updated=100)
    borders = [LONG_AGO + timedelta(hours=hours) for hours in (0, 7, 12, 30, 60)]

    slices = [
        run(
            "tap_voucherify",
            {**connection, "start_date": since.isoformat(), "end_date": until.isoformat()},
            *customers_only,
        )
        for since, until in itertools.pairwise(borders)
    ]

    assert sorted(key for part in slices for key in ids(part)) == sorted(sandbox.project.customers)
    assert all(not state["bookmarks"].get("customers") for p in slices for state in p.states)


def test_start_date_alone_takes_what_changed_since(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    populate(sandbox, customers=300, tied=20, never_updated=30)
    since = LONG_AGO + timedelta(days=3, hours=1)

    done = run("tap_voucherify", {**connection, "start_date": since.isoformat()}, *customers_only)

    tied = {c["id"] for c in sandbox.project.customers.values() if c["source_id"][0] == "t"}
    assert set(ids(done)) == tied


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            {"status": 429, "headers": {"Retry-After": "0"}},
            id="429 with Retry-After",
        ),
        pytest.param({"status": 500}, id="500"),
        pytest.param({"status": 502, "body": "<html>bad gateway</html>"}, id="502 HTML"),
        pytest.param(
            {"status": 503, "headers": {"Retry-After": "0"}},
            id="503 with Retry-After",
        ),
    ],
)
def test_a_fault_that_passes_costs_a_call_and_no_row(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], fault: dict[str, Any]
) -> None:
    populate(sandbox, customers=400, tied=120, never_updated=50)
    sandbox.faults.add(Fault(path="/v1/customers", kind="status", nth=(2, 4), times=2, **fault))

    done = run("tap_voucherify", connection, *customers_only)

    assert done.exit_code == 0, done.log
    assert sorted(ids(done)) == sorted(sandbox.project.customers)
    assert sandbox.faults.injected == 2


def test_a_run_stopped_after_each_call_goes_on_where_it_was(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    """`max_calls` ends a run between two requests; its exit code is 0 and its state is true."""
    populate(sandbox, customers=700, tied=230, never_updated=60)
    seen: set[str] = set()
    state: dict[str, Any] | None = None
    complete = False
    for _ in range(9):
        done = run(
            "tap_voucherify",
            {**connection, "max_calls": 9},
            *customers_only,
            *with_state(tmp_path, state),
        )
        assert done.exit_code == 0, done.log
        seen.update(ids(done))
        state = done.states[-1]
        complete = '"complete": true' in done.log
        if complete:
            break

    assert complete
    assert seen == set(sandbox.project.customers)


def test_a_killed_run_goes_on_from_its_last_whole_state(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    """SIGKILL while request n is being answered, for growing n, then a run to the end."""
    populate(sandbox, customers=5_000, tied=400, never_updated=200)
    seen: set[str] = set()
    state: dict[str, Any] | None = None
    for number in KILLS:
        process = Process(
            command(
                "tap_voucherify",
                connection,
                tmp_path,
                *customers_only,
                *with_state(tmp_path, state),
            ),
        )
        sandbox.forget_requests()
        killer = threading.Thread(target=kill_at, args=(sandbox, process, number))
        killer.start()
        stdout, stderr = process.communicate(timeout=60)
        killer.join()
        cut = Run(process.returncode, stdout.decode(), stderr.decode())
        seen.update(ids(cut))
        state = cut.states[-1] if cut.states else state
    rest = run("tap_voucherify", connection, *customers_only, *with_state(tmp_path, state))
    seen.update(ids(rest))

    assert rest.exit_code == 0, rest.log
    assert seen == set(sandbox.project.customers)


def kill_at(sandbox: Sandbox, process: Process, number: int) -> None:
    while process.poll() is None:
        if sandbox.calls >= number:
            process.send_signal(signal.SIGKILL)
            return
        time.sleep(0.001)


def test_sigterm_ends_with_a_true_state_and_143(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    tied = 200
    populate(sandbox, customers=3_000, tied=tied, never_updated=100)
    sandbox.faults.add(
        Fault(
            path="/v1/customers",
            kind="status",
            nth=(20,),
            status=429,
            headers={"Retry-After": "600"},
        )
    )
    messages, log = tmp_path / "messages", tmp_path / "log"
    with messages.open("wb") as stdout, log.open("wb") as stderr:
        process = Process(
            command("tap_voucherify", connection, tmp_path, *customers_only),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        while sandbox.faults.injected == 0 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    leaks.saw(log.read_text())
    cut = Run(process.returncode, messages.read_text(), log.read_text())

    assert cut.exit_code == 143, cut.log
    assert sandbox.calls - len(ids(cut)) // 100 <= AHEAD
    assert "Traceback" not in cut.log
    sandbox.faults.clear()
    rest = run("tap_voucherify", connection, *customers_only, *with_state(tmp_path, cut.states[-1]))
    assert set(ids(cut)) | set(ids(rest)) == set(sandbox.project.customers)
    # Rows of the last instant come again, wherever among them the run is cut.
    assert len(ids(rest)) <= 3_000 - len(ids(cut)) + tied


def test_rows_that_go_missing_fail_the_run(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    """A list that ends early is caught by the API's own count, and nothing is acknowledged."""
    populate(sandbox, customers=250, tied=0, never_updated=0)
    sandbox.faults.add(
        Fault(kind="status", path="/v1/customers", nth=(2,), status=200, body=EMPTY_PAGE)
    )

    done = run("tap_voucherify", connection, *customers_only)

    assert done.exit_code == 1
    assert "the API counted 250 customers but gave 100" in done.log
    kept = done.states[-1]["bookmarks"]["customers"]
    assert kept.keys() == {"first_run"}
    assert kept["first_run"]["missing"] == 150


EMPTY_PAGE = {"object": "list", "data_ref": "customers", "customers": [], "total": 250}


@pytest.mark.parametrize("concurrency", [1, 8, 16])
def test_twenty_five_thousand_customers_in_few_calls_at_any_concurrency(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], concurrency: int
) -> None:
    populate(sandbox, customers=25_000, tied=1_500, never_updated=2_000)

    done = run("tap_voucherify", {**connection, "max_concurrency": concurrency}, *customers_only)

    assert done.exit_code == 0, done.log
    found = [record["created_at"] for record in done.records("customers")]
    assert len(set(ids(done))) == len(ids(done)) == 25_000
    assert found == sorted(found)
    assert sandbox.calls <= 1.03 * 250 + 10


def test_a_full_table_reads_everything_each_time_under_a_new_version(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    """What a warehouse needs to notice that customers are gone."""
    populate(sandbox, customers=400, tied=120, never_updated=50)
    incremental = run("tap_voucherify", connection, *customers_only)
    path = tmp_path / "catalog.json"
    catalog = json.loads(path.read_text())
    for stream in catalog["streams"]:
        if stream["tap_stream_id"] == "customers":
            stream["replication_method"] = "FULL_TABLE"
    path.write_text(json.dumps(catalog))
    gone = next(iter(sandbox.project.customers))
    sandbox.project.delete_customer(gone)

    done = run(
        "tap_voucherify",
        {**connection, "emit_activate_version_messages": True},
        *customers_only,
        *with_state(tmp_path, incremental.states[-1]),
    )

    assert done.exit_code == 0, done.log
    assert set(ids(done)) == set(ids(incremental)) - {gone}
    versions = {m["version"] for m in done.messages if m["type"] == "ACTIVATE_VERSION"}
    assert {m["version"] for m in done.messages if m["type"] == "RECORD"} == versions
    assert "replication_key_value" not in json.dumps(done.states[-1])


@pytest.mark.parametrize("max_calls", [None, 13])
def test_a_state_follows_the_batch_that_holds_the_records_before_it(
    sandbox: Sandbox,
    connection: dict[str, Any],
    customers_only: list[str],
    tmp_path: Path,
    max_calls: int | None,
) -> None:
    populate(sandbox, customers=2_400, tied=0, never_updated=50)
    folder = tmp_path / "batches"
    folder.mkdir()
    batches = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": folder.as_uri()},
        "batch_size": 700,
    }
    config = {**connection, "batch_config": batches, "max_calls": max_calls}

    done = run("tap_voucherify", config, *customers_only)

    assert done.exit_code == 0, done.log
    stored = 0
    for message in done.messages:
        if message["type"] == "BATCH":
            for name in message["manifest"]:
                file = Path(name.removeprefix("file://"))
                assert stat.S_IMODE(file.stat().st_mode) == 0o600
                stored += len(gzip.decompress(file.read_bytes()).splitlines())
        elif message["type"] == "STATE":
            state = message["value"]["bookmarks"]["customers"]
            assert state.get("first_run", {"rows": 2_400})["rows"] <= stored
    last = done.messages[-1]
    assert last["type"] == "STATE"
    assert ("first_run" in last["value"]["bookmarks"]["customers"]) == (max_calls is not None)
    assert (
        stored >= last["value"]["bookmarks"]["customers"].get("first_run", {"rows": 2_400})["rows"]
    )


def test_an_interrupted_batch_is_in_no_state(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    populate(sandbox, customers=2_400, tied=0, never_updated=50)
    sandbox.faults.add(Fault(path="/v1/customers", kind="status", nth=(15,), status=403))
    batches = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": tmp_path.as_uri()},
    }

    done = run("tap_voucherify", {**connection, "batch_config": batches}, *customers_only)

    assert done.exit_code == 1
    assert [m["type"] for m in done.messages if m["type"] != "SCHEMA"] == []
