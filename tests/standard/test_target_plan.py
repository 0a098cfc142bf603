"""The plan of a dry run: in a file, and in a table for who looks at a terminal."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from singer import command
from singer_input import contacts, lines, record, schema
from target_run import load, settings

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox


@pytest.fixture
def config(project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return settings(project, ledger_path=str(tmp_path / "ledger.db"))


def dry(config: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    return {**config, "dry_run": True, "plan_path": str(folder / "plan.jsonl"), **more}


def plan(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "plan.jsonl").read_text().splitlines()]


CHANGED = [
    *contacts(4)[:3],
    record(2, name="New Name", email="new@example.com"),
    record(9),
    record(8, name=["no name"]),
]


def test_with_a_comparison_it_is_exact(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    load(config, lines(*contacts(4)))
    project.project.update_customer("crm-1", {"phone": "+1 000"})
    before = dict(project.project.customers)
    done = load(dry(config, tmp_path, compare="export"), lines(*CHANGED))
    assert dict(project.project.customers) == before
    found = {(row["source_id"], row["action"]): row["fields"] for row in plan(tmp_path)}
    assert found == {
        ("crm-0", "unchanged"): None,
        ("crm-1", "update"): ["phone"],
        ("crm-2", "update"): ["email", "name"],
        ("crm-9", "create"): None,
        ("crm-8", "refuse"): None,
    }
    summary = done.summary
    actions = Counter(row["action"] for row in plan(tmp_path))
    assert (summary["would_create"], summary["would_update"]) == (1, 2)
    assert (actions["create"], actions["update"]) == (1, 2)
    load({**config, "compare": "export"}, lines(*CHANGED[:-1]))
    load(dry(config, tmp_path, compare="export"), lines(*CHANGED[:-1]))
    assert {row["action"] for row in plan(tmp_path)} == {"unchanged"}


def test_with_a_ledger_it_knows_no_fields(config: dict[str, Any], tmp_path: Path) -> None:
    load(config, lines(*contacts(4)))
    load(dry(config, tmp_path), lines(*CHANGED))
    found = {row["source_id"]: (row["action"], row["fields"]) for row in plan(tmp_path)}
    assert found["crm-2"] == ("update", None)
    assert found["crm-9"] == ("create", None)
    (refused,) = [row for row in plan(tmp_path) if row["action"] == "refuse"]
    assert refused["reason"] == "invalid_record"


def test_without_either_it_says_write(config: dict[str, Any], tmp_path: Path) -> None:
    load(dry(config, tmp_path, ledger_path=None), lines(*contacts(30)))
    assert Counter(row["action"] for row in plan(tmp_path)) == {"write": 30}


def test_deletions_are_in_it(config: dict[str, Any], tmp_path: Path) -> None:
    config |= {"on_delete": "delete", "max_delete_percent": 100}
    load(config, lines(*contacts(4)))
    gone = record(1, _sdc_deleted_at="2026-01-01T00:00:00Z")
    load(dry(config, tmp_path), lines(schema(), record(0), gone))
    assert {(row["source_id"], row["action"]) for row in plan(tmp_path)} == {
        ("crm-0", "unchanged"),
        ("crm-1", "delete"),
    }


def test_its_file_is_private_and_replaced(config: dict[str, Any], tmp_path: Path) -> None:
    for _ in range(2):
        load(dry(config, tmp_path), lines(*contacts(4)))
    assert len(plan(tmp_path)) == 4
    assert stat.S_IMODE((tmp_path / "plan.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["ledger_path", "refused_records_path", "results_path"])
def test_it_replaces_no_other_file_of_the_target(
    name: str, config: dict[str, Any], tmp_path: Path
) -> None:
    others = ("ledger_path", "refused_records_path", "results_path")
    config |= {other: str(tmp_path / other) for other in others}
    load(config, lines(*contacts(3), record(9, name=["?"])))
    before = (tmp_path / name).read_bytes()
    error = load(dry(config, tmp_path, plan_path=config[name]), lines(*contacts(3))).error
    assert "name a file for each" in str(error)
    assert (tmp_path / name).read_bytes() == before


def test_it_replaces_no_file_of_another_program(config: dict[str, Any], tmp_path: Path) -> None:
    other = tmp_path / "plan.jsonl"
    other.write_text("version: 1\n")
    assert "holds something else" in str(load(dry(config, tmp_path), lines(*contacts(3))).error)
    assert other.read_text() == "version: 1\n"


def test_an_odd_key_is_in_it(config: dict[str, Any], tmp_path: Path) -> None:
    bad = {"source_id": "a\ud800b", "name": "fine"}
    row = {"type": "RECORD", "stream": "customers", "record": bad}
    assert load(dry(config, tmp_path), lines(schema(), row)).error is None
    assert [one["action"] for one in plan(tmp_path)] == ["refuse"]


def test_a_deletion_that_a_run_would_refuse_is_none(config: dict[str, Any], tmp_path: Path) -> None:
    config |= {"on_delete": "delete", "max_delete_percent": 100}
    config["refused_records_path"] = str(tmp_path / "refused")
    keys = ("a/../b", "x", "X", "y")
    rows = [{"source_id": key, "name": "a"} for key in keys]
    gone = [{"source_id": key, "_sdc_deleted_at": "2026-01-01T00:00:00Z"} for key in keys[:2]]
    load(config, lines(schema(), *map(customer, rows)))
    text = lines(schema(), *map(customer, (*gone, *rows[2:])))
    would = load(dry(config, tmp_path), text).summary
    actions = {row["source_id"]: (row["action"], row["reason"]) for row in plan(tmp_path)}
    did = load(config, text).summary
    assert (would["would_delete"], did["deleted"], did["refused"]) == (0, 0, 2)
    assert {action for action, _ in (actions["a/../b"], actions["x"])} == {"refuse"}


def customer(row: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RECORD", "stream": "customers", "record": row}


def test_what_the_limit_of_deletions_stops_is_said(config: dict[str, Any], tmp_path: Path) -> None:
    config |= {"on_delete": "delete", "max_delete_percent": 1}
    load(config, lines(*contacts(4)))
    gone = [record(number, _sdc_deleted_at="2026-01-01T00:00:00Z") for number in (1, 2)]
    done = load(dry(config, tmp_path), lines(schema(), *gone))
    assert "more than max_delete_percent" in done.summary["would_fail"]
    assert plan(tmp_path) == []


def test_a_run_that_writes_has_no_plan(config: dict[str, Any], tmp_path: Path) -> None:
    error = load({**dry(config, tmp_path), "dry_run": False}, lines(*contacts(4))).error
    assert "plan_path is for a dry run" in str(error)


def seen(config: dict[str, Any], folder: Path, *, on_terminal: bool) -> str:
    """What a dry run shows on a terminal, or logs into a pipe."""
    reader, writer = pty.openpty() if on_terminal else os.pipe()
    text = lines(*CHANGED).encode()
    process = subprocess.Popen(
        command("target_voucherify", config, folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=writer,
    )
    os.close(writer)
    process.communicate(text, timeout=60)
    shown = b""
    while True:
        try:
            piece = os.read(reader, 65_536)
        except OSError:  # the end of a terminal
            break
        if not piece:
            break
        shown += piece
    os.close(reader)
    return shown.decode()


def test_a_person_at_a_terminal_sees_a_table_and_no_log_does(
    config: dict[str, Any], tmp_path: Path
) -> None:
    load(config, lines(*contacts(4)))
    config = {**config, "dry_run": True, "compare": "export"}
    table = seen(config, tmp_path, on_terminal=True)
    assert "What a run would do" in table
    assert "changed field name" in table
    assert "new@example.com" in table
    log = seen(config, tmp_path, on_terminal=False)
    leaks.saw(log)
    assert "new@example.com" not in log
