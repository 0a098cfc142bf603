"""Situations of `docs/operating.md` that no other test of the target shows in full."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from singer import Process, command, run
from singer_input import PROPERTIES, contacts, lines, record, schema, state
from target_run import held, load, settings
from voucherify_sandbox import Fault, Limits, Readings, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

WAIT = 60.0
"""Seconds that a test waits for output; a busy machine is slow."""


def test_states_are_emitted_while_bulk_requests_are_limited(tmp_path: Path) -> None:
    limits = Limits(bulk_calls=1, bulk_period_seconds=3_600)
    with Sandbox(readings=Readings(job_polls=2), limits=limits) as sandbox:
        config = settings(sandbox, batch_size_rows=10)
        with Process(command("target_voucherify", config, tmp_path)) as process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(lines(*contacts(20, state_every=10)).encode())
            process.stdin.close()
            process.stdin = None
            ready, _, _ = select.select([process.stdout], [], [], WAIT)
            printed = process.stdout.readline() if ready else b"nothing"
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=WAIT)

    assert printed == b'{"seen": 10}\n', log
    assert b"no bulk requests for" in log


@pytest.mark.parametrize("status", [402, 403])
def test_a_metadata_schema_that_the_key_may_not_read_stops_no_run(
    sandbox: Sandbox, connection: dict[str, Any], status: int
) -> None:
    path = "/v1/metadata-schemas/customer"
    sandbox.faults.add(Fault(kind="status", status=status, path=path, times=None))

    done = run(
        "target_voucherify",
        connection,
        stdin=lines(schema(), record(1, metadata={"tier": "gold"}), state({"seen": 1})),
    )

    assert (done.exit_code, done.states) == (0, [{"seen": 1}]), done.log
    assert "Metadata is not checked before it is sent" in done.log


def test_a_record_that_cannot_be_a_customer_costs_no_call(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    config = {
        **connection,
        "refused_records_path": str(tmp_path / "refused.singer"),
        "max_refused_percent": 100,
    }
    columns = {name: PROPERTIES[name] for name in ("source_id", "name", "email", "phone")}
    bad = record(1, name=["Ann"])
    given = lines(schema(columns), bad, record(2, source_id=None), state({"seen": 2}))

    done = run("target_voucherify", config, stdin=given)

    assert (done.exit_code, done.states, sandbox.calls) == (0, [{"seen": 2}], 0)
    assert done.log.count("Refused record") == 2


def test_where_a_record_is_nested_too_deeply_no_missing_customer_is_deleted(
    project: Sandbox, tmp_path: Path
) -> None:
    """Its key cannot be read, so it may be about any customer."""
    config = settings(
        project,
        on_delete="delete",
        max_delete_percent=100,
        ledger_path=str(tmp_path / "ledger.db"),
        refused_records_path=str(tmp_path / "refused.singer"),
    )

    def whole(version: int, *numbers: int, more: str = "") -> str:
        records = [{**record(number), "version": version} for number in numbers]
        activate = {"type": "ACTIVATE_VERSION", "stream": "customers", "version": version}
        return lines(schema(), *records, more, activate, state({"version": version}))

    load(config, whole(1, 1, 2, 3))
    nested = "[" * 2_000 + "]" * 2_000
    deep = (
        '{"type":"RECORD","stream":"customers","version":2,"record":'
        f'{{"source_id":"crm-2","metadata":{{"n":{nested}}}}}}}\n'
    )

    done = load(config, whole(2, 1, more=deep))

    assert (done.error, done.summary["refused"]) == (None, 1)
    assert held(project) == {"crm-1", "crm-2", "crm-3"}


def test_a_request_that_is_too_large_is_sent_in_halves(project: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "refused.singer"
    too_large = {"kind": "status", "status": 413, "method": "POST"}
    project.faults.add(Fault(**too_large, nth=[1, 2, 3, 4], times=4))  # type: ignore[arg-type]
    config = settings(project, refused_records_path=str(path))

    done = load(config, lines(*contacts(8, state_every=8)))

    refused = [json.loads(line) for line in path.read_text().splitlines()]
    names = {one["record"]["source_id"] for one in refused if one["type"] == "RECORD"}
    assert (done.error, done.states, len(names)) == (None, [{"seen": 8}], 1)
    assert held(project) | names == {f"crm-{number}" for number in range(8)}


def test_the_number_of_customers_that_a_request_may_have_is_logged(project: Sandbox) -> None:
    project.readings.change(bulk_max_records=100)

    done = load(settings(project, batch_size_rows=400), lines(*contacts(400)))

    assert "accepts fewer customers at once: 100 from now on" in done.log


@pytest.mark.parametrize("kind", ["job_fails", "job_miscounts", "job_loses"])
def test_a_job_that_is_not_believed_is_named_and_fails_the_run_after_three_attempts(
    project: Sandbox, kind: Any
) -> None:
    project.faults.add(Fault(kind=kind, method="POST", times=None))

    done = load(settings(project), lines(*contacts(4, state_every=2)))

    assert "after 3 attempts (job " in str(done.error)
    assert done.states == []
    (first, *_) = project.project.jobs.all
    assert f"Job {first} (" in done.log
    assert "without a request_id" not in done.log


def test_a_used_up_cycle_acknowledges_what_is_confirmed(project: Sandbox) -> None:
    project.faults.add(Fault(kind="limit_cycle", numbers=range(15, 1_000), times=None))
    config = settings(project, batch_size_rows=5)

    done = load(config, lines(*contacts(200, state_every=5)))

    assert "billing cycle" in str(done.error)
    assert done.states
    assert {f"crm-{number}" for number in range(done.states[-1]["seen"])} <= held(project)


@pytest.mark.parametrize("setting", ["ledger_path", "refused_records_path"])
def test_a_second_run_makes_no_request(project: Sandbox, tmp_path: Path, setting: str) -> None:
    config = settings(project, **{setting: str(tmp_path / "file")}, batch_size_rows=1)
    with Process(command("target_voucherify", config, tmp_path)) as first:
        assert first.stdin
        assert first.stdout
        first.stdin.write(lines(*contacts(1, state_every=1)).encode())
        first.stdin.flush()
        select.select([first.stdout], [], [], WAIT)
        before = project.calls
        second = run("target_voucherify", config, stdin=lines(*contacts(2)))
        after = project.calls
        first.communicate(timeout=WAIT)

    assert (second.exit_code, after) == (1, before)
    assert f"is in use by another run (process {first.pid} since " in second.log
    assert first.returncode == 0


def test_a_refused_file_that_an_editor_saves_during_its_replay_stays_as_saved(
    project: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "refused.singer"
    config = settings(project, refused_records_path=str(path), write_path="single")
    project.faults.add(Fault(kind="status", status=400, method="POST", times=5))
    load(config, lines(*contacts(5)))
    saved = path.read_bytes().replace(b"Contact 3", b"Contact Three")
    project.faults.add(Fault(kind="slow_headers", seconds=2, method="POST", times=5))
    before = project.calls
    with (
        path.open("rb") as source,
        Process(command("target_voucherify", config, tmp_path), stdin=source) as process,
    ):
        until = time.monotonic() + WAIT
        while project.calls == before and time.monotonic() < until:
            time.sleep(0.01)
        path.with_name("saved").write_bytes(saved)
        path.with_name("saved").replace(path)
        _, log = process.communicate(timeout=WAIT)

    assert process.returncode == 1
    assert b"was saved by another program while this run replayed it" in log
    assert path.read_bytes() == saved


def test_paths_that_name_no_file_of_their_own_make_no_request(
    project: Sandbox, tmp_path: Path
) -> None:
    both = str(tmp_path / "file")
    for paths in (
        {"ledger_path": os.devnull},
        {"refused_records_path": str(tmp_path)},
        {"ledger_path": both, "refused_records_path": both},
    ):
        config = settings(project, write_path="single", **paths)
        done = run("target_voucherify", config, stdin=lines(*contacts(1, state_every=1)))
        assert (done.exit_code, done.states, project.calls) == (1, [], 0), done.log
