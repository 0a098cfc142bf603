"""The results file: an outcome for each record, as many as the summary counts."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import stat
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from singer import Process, command
from singer_input import contacts, lines, record, schema, state
from target_run import Outcome, held, load, settings
from voucherify_sandbox import Fault, Sandbox

TORTURE = bool(os.environ.get("TORTURE"))
NAMES = {
    "accepted": "accepted",
    "unchanged": "unchanged",
    "duplicates": "duplicate",
    "refused": "refused",
    "superseded": "superseded",
    "deletes_ignored": "not_deleted",
}
"""Counts of the summary, and the outcomes that they count."""


@pytest.fixture
def config(project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return settings(
        project,
        results_path=str(tmp_path / "results.singer"),
        refused_records_path=str(tmp_path / "refused.singer"),
        ledger_path=str(tmp_path / "ledger.db"),
    )


def results(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of the file, all of whose lines are Singer messages."""
    messages = [json.loads(line) for line in Path(config["results_path"]).read_text().splitlines()]
    assert {message["type"] for message in messages} <= {"SCHEMA", "RECORD"}
    return [message["record"] for message in messages if message["type"] == "RECORD"]


def counted(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["outcome"] for row in rows)


def agrees(rows: list[dict[str, Any]], done: Outcome) -> bool:
    """Whether the outcomes of a run are as many as its summary says."""
    found, summary = counted(rows), done.summary
    deleted = summary["deleted"] + summary.get("deleted_unseen", 0)
    named = {name: summary[count] for count, name in NAMES.items()}
    return {**named, "deleted": deleted} == {
        name: found[name] for name in (*NAMES.values(), "deleted")
    }


def test_each_record_has_its_outcome(project: Sandbox, config: dict[str, Any]) -> None:
    load(config, lines(*contacts(3)))
    changed = [record(0, name="New"), record(5), record(5, name="Again"), record(9, name=["?"])]
    done = load(config, lines(*contacts(3)[:3], *changed))
    rows = results(config)[3:]
    assert agrees(rows, done)
    outcomes = {(row["source_id"], row["outcome"], row["reason"]) for row in rows}
    assert outcomes >= {
        ("crm-1", "unchanged", None),
        ("crm-0", "accepted", None),
        ("crm-5", "duplicate", None),
        ("crm-5", "accepted", None),
        ("crm-9", "refused", "invalid_record"),
    }
    assert held(project) == {"crm-0", "crm-1", "crm-2", "crm-5"}


def test_an_accepted_one_names_its_job_and_a_run_its_own_numbers(
    project: Sandbox, config: dict[str, Any]
) -> None:
    for _ in range(2):
        load({**config, "ledger_path": None}, lines(*contacts(3)))
    rows = results(config)
    assert {row["job_id"] for row in rows} == set(project.project.jobs.all)
    assert all(row["request_id"] for row in rows)
    assert len({(row["run_id"], row["number"]) for row in rows}) == len(rows) == 6


def test_what_is_refused_by_voucherify_and_deleted_is_there(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config |= {"on_delete": "delete", "max_delete_percent": 100}
    load(config, lines(*contacts(3)))
    project.faults.add(Fault(kind="job_refuses", path="/v1/customers/bulk/async"))
    gone = record(1, _sdc_deleted_at="2026-01-01T00:00:00Z")
    done = load(config, lines(schema(), record(7), gone))
    rows = results(config)[3:]
    assert agrees(rows, done)
    assert counted(rows) == {"refused": 1, "deleted": 1}
    (refused,) = [row for row in rows if row["outcome"] == "refused"]
    assert refused["reason"] == "invalid_customer"
    assert refused["job_id"]


def test_it_holds_keys_and_no_other_word_and_is_private(config: dict[str, Any]) -> None:
    load(config, lines(schema(), record(1, name="Ann Secret"), record(2, name=["Bo Secret"])))
    path = Path(config["results_path"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "Secret" not in path.read_text()
    assert "crm-2" in path.read_text()


def test_a_dry_run_writes_none(config: dict[str, Any]) -> None:
    load({**config, "dry_run": True}, lines(*contacts(3)))
    assert not Path(config["results_path"]).exists()


def test_two_settings_do_not_name_one_file(config: dict[str, Any]) -> None:
    config["results_path"] = config["refused_records_path"]
    error = load(config, lines(*contacts(3))).error
    assert "Two of ledger_path, refused_records_path, results_path" in str(error)


def test_the_file_of_another_program_stays_as_it_is(config: dict[str, Any], tmp_path: Path) -> None:
    other = tmp_path / "state.json"
    other.write_text('{"bookmarks": {}}')
    error = load({**config, "results_path": str(other)}, lines(*contacts(3))).error
    assert "holds something else" in str(error)
    assert other.read_text() == '{"bookmarks": {}}'


def test_after_a_full_disk_no_state_covers_lost_outcomes(project: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "results.singer"
    config = settings(project, results_path=str(path), batch_size_rows=100)
    process = Process(command("target_voucherify", config, tmp_path))
    assert process.stdin is not None
    messages = contacts(1500, state_every=100)
    limits = (40_000, resource.RLIM_INFINITY)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)
    process.stdin.write(lines(*messages[:900]).encode())
    process.stdin.flush()
    until = time.monotonic() + 20
    while (not path.exists() or path.stat().st_size < limits[0]) and time.monotonic() < until:
        time.sleep(0.02)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limits[1], limits[1]))
    printed, log = process.communicate(lines(*messages[900:]).encode(), timeout=60)
    assert process.returncode == 1
    assert b"results_path: " in log
    states = [json.loads(line)["seen"] for line in printed.splitlines()]
    whole = path.read_bytes()
    found = [json.loads(line) for line in whole[: whole.rfind(b"\n") + 1].splitlines()]
    known = {one["record"]["source_id"] for one in found if one["type"] == "RECORD"}
    assert {f"crm-{number}" for number in range(max(states, default=0))} <= known


@pytest.mark.parametrize("key", ["a\ud800b", "a\0b", " ", "cust_1", "x" * 100_000])
def test_an_odd_key_has_an_outcome(key: str, config: dict[str, Any]) -> None:
    row = {"type": "RECORD", "stream": "customers", "record": {"source_id": key, "name": ["?"]}}
    done = load(config, lines(schema(), row, state(1)))
    assert done.error is None
    assert agrees(results(config), done)


def test_a_file_that_cannot_be_written_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    config["results_path"] = str(tmp_path / "no-folder" / "results.singer")
    assert "results_path: " in str(load(config, lines(*contacts(3))).error)


def test_a_half_line_is_cut_off(config: dict[str, Any]) -> None:
    load(config, lines(*contacts(3)))
    with Path(config["results_path"]).open("ab") as file:
        file.write(b'{"type":"REC')
    load(config, lines(*contacts(3, start=3)))
    assert len(results(config)) == 6


def kept_by(ledger: Path) -> set[str]:
    """The keys that a ledger knows as accepted."""
    with closing(sqlite3.connect(ledger)) as database:
        found = database.execute("SELECT source_id FROM accepted WHERE fingerprint <> x''")
        return {key for (key,) in found}


@pytest.mark.parametrize("seed", range(40 if TORTURE else 3))
def test_what_a_state_covers_is_in_the_file_after_a_kill(
    seed: int, config: dict[str, Any], tmp_path: Path
) -> None:
    config |= {"batch_size_rows": 50}
    process = Process(command("target_voucherify", config, tmp_path))
    assert process.stdin is not None
    process.stdin.write(lines(*contacts(400, state_every=25)).encode())
    process.stdin.flush()
    time.sleep(0.6 + Random(seed).random())
    process.send_signal(signal.SIGKILL)
    printed, _ = process.communicate(timeout=30)
    states = [json.loads(line)["seen"] for line in printed.splitlines() if line.endswith(b"}")]
    known = {row["source_id"] for row in results(config) if row["outcome"] == "accepted"}
    assert {f"crm-{number}" for number in range(max(states, default=0))} <= known
    assert kept_by(Path(config["ledger_path"])) <= known
    done = load(config, lines(*contacts(400), state(1)))
    assert done.error is None
    last = results(config)[-1]["run_id"]
    assert agrees([row for row in results(config) if row["run_id"] == last], done)


def test_what_only_the_project_held_otherwise_has_drifted(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config["compare"] = "export"
    load(config, lines(*contacts(3)))
    project.project.update_customer("crm-1", {"name": "By Hand"})
    done = load(config, lines(*contacts(3), record(2, name="New")))
    rows = {(row["source_id"], row["outcome"], row["reason"]) for row in results(config)[3:]}
    assert rows >= {
        ("crm-0", "unchanged", None),
        ("crm-1", "accepted", "drifted"),
        ("crm-2", "accepted", None),
    }
    assert done.summary["drifted"] == 1
