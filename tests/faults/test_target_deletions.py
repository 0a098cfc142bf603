"""How a run ends whose deletions are refused, stopped or cannot be told apart."""

from __future__ import annotations

import signal
import time
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from singer import Process, command
from singer_input import PROPERTIES, TEXT, contacts, lines, record, schema, state
from target_run import held, load, settings
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

DELETED = {**PROPERTIES, "_sdc_deleted_at": TEXT}
NOW = "2026-01-01T00:00:00Z"


@pytest.fixture
def config(project: Sandbox) -> dict[str, Any]:
    return settings(project, on_delete="delete", max_delete_percent=100)


def marked(numbers: range) -> list[dict[str, Any]]:
    return [record(number, _sdc_deleted_at=NOW) for number in numbers]


def refuse_deletions(project: Sandbox, times: int = 1) -> None:
    project.faults.add(Fault(kind="status", status=400, method="DELETE", times=times))


def test_a_refused_deletion_fails_a_run_without_a_refused_file(
    project: Sandbox, config: dict[str, Any]
) -> None:
    load(config, lines(*contacts(10)))
    refuse_deletions(project)
    done = load(config, lines(schema(DELETED), *marked(range(2)), state({"seen": 2})))
    assert "1 of 2 records were refused" in str(done.error)
    assert (done.states, done.summary["complete"], done.summary["deleted"]) == ([], False, 1)


def test_a_refused_deletion_fails_a_run_that_max_calls_ends(
    project: Sandbox, config: dict[str, Any]
) -> None:
    load(config, lines(*contacts(30)))
    refuse_deletions(project)
    text = lines(schema(DELETED), *marked(range(30)), state({"seen": 30}))
    done = load({**config, "max_calls": 20}, text)
    assert "records were refused" in str(done.error)
    assert done.states == []


def test_refused_deletions_count_for_max_refused_percent(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    config |= {
        "refused_records_path": str(tmp_path / "refused.singer"),
        "max_refused_percent": 5,
    }
    load(config, lines(*contacts(10)))
    refuse_deletions(project, 5)
    done = load(config, lines(schema(DELETED), *marked(range(10)), state({"seen": 10})))
    assert "5 of 10 records were refused" in str(done.error)
    assert (done.states, done.summary["complete"]) == ([], False)


def test_a_refused_deletion_of_a_missing_customer_fails_a_run_without_a_refused_file(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    config |= {"ledger_path": str(tmp_path / "ledger.db")}

    def whole(count: int, version: int) -> str:
        records = [{**record(number), "version": version} for number in range(count)]
        activate = {"type": "ACTIVATE_VERSION", "stream": "customers", "version": version}
        return lines(schema(), *records, activate, state({"version": version}))

    load(config, whole(10, 1))
    refuse_deletions(project)
    done = load(config, whole(8, 2))
    assert "1 customers that the CRM no longer has were not deleted" in str(done.error)
    assert (done.summary["complete"], done.summary["refused_unseen"]) == (False, 1)
    done = load(config, whole(8, 3))
    assert (done.error, len(held(project))) == (None, 8)


@pytest.mark.parametrize("after", [0, 3, 30])
@pytest.mark.parametrize("fault", ["slow_headers", "limit_retry_after", "cut_after"])
def test_sigterm_during_deletions_ends_with_143(
    project: Sandbox, config: dict[str, Any], tmp_path: Path, after: int, fault: Any
) -> None:
    load(config, lines(*contacts(200)))
    project.faults.add(Fault(kind="slow_headers", seconds=0.2, method="DELETE", times=30))
    project.faults.add(Fault(kind=fault, seconds=2, method="DELETE", times=None))
    before = len(project.requests)
    with Process(command("target_voucherify", config, tmp_path)) as process:
        assert process.stdin
        process.stdin.write(lines(schema(DELETED), *marked(range(200)), state({})).encode())
        process.stdin.close()
        process.stdin = None
        until = time.monotonic() + 20
        while len(project.requests) <= before + after and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        printed, log = process.communicate(timeout=40)
    assert process.returncode == 143, log.decode()
    assert printed == b""
    assert b'"complete": false' in log.splitlines()[-1]


STOPPED_BY_ITS_LAST_STATE = """
import io, signal, sys
from target_voucherify.__main__ import main

class Output(io.StringIO):
    def write(self, text):
        signal.raise_signal(signal.SIGTERM)
        return sys.__stdout__.write(text)

sys.stdout = Output()
main()
"""


def test_sigterm_after_all_is_done_ends_as_the_summary_says(
    config: dict[str, Any], tmp_path: Path
) -> None:
    line = command("target_voucherify", config, tmp_path)
    line[1:3] = ["-c", STOPPED_BY_ITS_LAST_STATE]
    with Process(line) as process:
        text = lines(schema(DELETED), *marked(range(1)), state({"seen": 1}))
        printed, log = process.communicate(text.encode(), timeout=40)
    assert (process.returncode, printed) == (0, b'{"seen": 1}\n'), log.decode()
    assert b'"complete": true' in log.splitlines()[-1]


def test_sigterm_while_the_rest_of_the_input_is_discarded_ends_with_143(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    config |= {"max_calls": 4, "write_path": "single", "ledger_path": str(tmp_path / "ledger.db")}
    with Process(command("target_voucherify", config, tmp_path)) as process:
        assert process.stdin
        process.stdin.write(lines(*contacts(300)).encode())
        process.stdin.flush()
        until = time.monotonic() + 20
        while len(project.requests) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=40)
    assert process.returncode == 143, log.decode()
    assert b'"complete": false' in log.splitlines()[-1]


PAIRS = (
    ("ABC", "abc"),
    ("straße", "STRASSE"),
    ("É", "é"),
    ("\u00e9", "e\u0301"),
    (" abc", "abc"),
    ("\uff41bc", "abc"),
)


@pytest.mark.parametrize(("pair", "ledger", "order"), [*product(PAIRS, (None, "ledger"), (1, -1))])
def test_keys_of_a_run_that_differ_only_in_case_are_not_deleted(
    config: dict[str, Any], tmp_path: Path, pair: tuple[str, str], ledger: str | None, order: int
) -> None:
    config |= {"refused_records_path": str(tmp_path / "refused.singer")}
    config |= {"ledger_path": ledger and str(tmp_path / ledger)}
    gone, live = (record(1, source_id=key) for key in pair)
    load(config, lines(schema(), gone, live, record(2), record(3)))
    gone["record"]["_sdc_deleted_at"] = NOW
    pair_of_records = [gone, live][::order]
    done = load(
        config, lines(schema(DELETED), *pair_of_records, *marked(range(2, 3)), state({"seen": 3}))
    )
    assert (done.error, done.states) == (None, [{"seen": 3}])
    assert done.summary["deleted"] == 1
    assert "differs from it only in case, spaces or the form of letters" in done.log
    assert "ambiguous_case" in (tmp_path / "refused.singer").read_text()


def test_a_key_that_differs_only_in_case_from_one_of_the_ledger_is_not_deleted(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    config |= {"ledger_path": str(tmp_path / "ledger.db")}
    load(config, lines(schema(), record(1, source_id="ABC"), record(2, source_id="abc")))
    gone = record(1, source_id="ABC", _sdc_deleted_at=NOW)
    planned = load({**config, "dry_run": True}, lines(schema(DELETED), gone))
    assert planned.summary["would_delete"] == 0
    done = load(config, lines(schema(DELETED), gone))
    assert "1 of 1 records were refused" in str(done.error)
    assert held(project) == {"ABC", "abc"}


def test_a_missing_customer_whose_key_differs_only_in_case_is_not_deleted(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    config |= {
        "ledger_path": str(tmp_path / "ledger.db"),
        "refused_records_path": str(tmp_path / "refused.singer"),
    }

    def whole(version: int, *keys: str) -> str:
        records = [{**record(1, source_id=key), "version": version} for key in keys]
        activate = {"type": "ACTIVATE_VERSION", "stream": "customers", "version": version}
        return lines(schema(), *records, activate, state({"version": version}))

    load(config, whole(1, "ABC", "abc", "x", "Y", "p", "q"))
    done = load(config, whole(2, "abc", "y", "p", "q"))
    assert (done.error, done.summary["refused_unseen"]) == (None, 2)
    assert held(project) == {"ABC", "abc", "Y", "y", "p", "q"}
