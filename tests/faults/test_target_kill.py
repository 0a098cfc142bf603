"""Killed and stopped at every request: what was acknowledged is there, and a new run completes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from singer import Process, command, run
from singer_input import contacts, lines, schema, state
from voucherify_sandbox import Fault, Limits, Readings, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

TORTURE = bool(os.environ.get("TORTURE"))
COUNT, EVERY, ROWS = 120, 20, 24
INPUT = contacts(COUNT, state_every=EVERY)
PATHS = ("bulk", "single")
# The metadata schema is not asked for without metadata. Bulk: five requests, five looks; singly: a
# hundred customers are taken together, so these are more than one such lot.
POINTS = {"bulk": range(1, 11), "single": range(1, COUNT + 1, 1 if TORTURE else 24)}
CASES = [(path, number) for path in PATHS for number in POINTS[path]]


def settings(sandbox: Sandbox, path: str) -> dict[str, Any]:
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
        "batch_size_rows": ROWS,
        "write_path": path,
    }


def start(config: dict[str, Any], folder: Path) -> Process:
    return Process(command("target_voucherify", config, folder))


def wait_for_requests(sandbox: Sandbox, number: int) -> None:
    until = time.monotonic() + 20
    while len(sandbox.requests) < number and time.monotonic() < until:
        time.sleep(0.002)


def states(printed: bytes) -> list[int]:
    return [json.loads(line)["seen"] for line in printed.splitlines(keepends=True) if b"\n" in line]


def assert_there(sandbox: Sandbox, seen: int) -> None:
    held = {customer["source_id"] for customer in sandbox.project.customers.values()}
    assert {f"crm-{number}" for number in range(seen)} <= held


def resume(sandbox: Sandbox, path: str, seen: int) -> None:
    """Run again from the last state, as a scheduler would, and find everything."""
    rest = INPUT[INPUT.index(state({"seen": seen})) + 1 :] if seen else INPUT[1:]
    done = run("target_voucherify", settings(sandbox, path), stdin=lines(schema(), *rest))
    assert done.exit_code == 0
    assert_there(sandbox, COUNT)


@pytest.mark.parametrize(("path", "number"), CASES, ids=[f"{p} at request {n}" for p, n in CASES])
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize("moment", ["before it is applied", "after it is applied"])
def test_nothing_acknowledged_is_missing(
    tmp_path: Path, signum: signal.Signals, path: str, number: int, moment: str
) -> None:
    with Sandbox(readings=Readings(job_polls=0)) as sandbox:
        kind = "cut_before" if moment.startswith("before") else "slow_headers"
        sandbox.faults.add(Fault(kind=kind, numbers=[number], seconds=0.3))  # type: ignore[arg-type]
        with start(settings(sandbox, path), tmp_path) as process:
            assert process.stdin
            process.stdin.write(lines(*INPUT).encode())
            process.stdin.close()
            process.stdin = None
            wait_for_requests(sandbox, number)
            process.send_signal(signum)
            printed, log = process.communicate(timeout=40)
        seen = states(printed)
        assert seen == sorted(set(seen))
        assert_there(sandbox, max(seen, default=0))
        assert b"Traceback" not in log
        if signum == signal.SIGTERM:
            assert process.returncode == 143 or (process.returncode, seen[-1:]) == (0, [COUNT])
            assert log.count(b"run summary") == 1
            assert b"run summary" in log.splitlines()[-1]
        sandbox.faults.clear()
        resume(sandbox, path, max(seen, default=0))


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_while_waiting_for_input_ends_at_once(
    tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    with Sandbox(readings=Readings(job_polls=0)) as sandbox:
        with start(settings(sandbox, "bulk"), tmp_path) as process:
            assert process.stdin
            process.stdin.write(lines(*contacts(36, state_every=12)).encode())
            process.stdin.flush()
            wait_for_requests(sandbox, 1)
            time.sleep(0.2)
            process.send_signal(signum)
            began = time.monotonic()
            printed, log = process.communicate(timeout=10)
        assert process.returncode == code
        assert time.monotonic() - began < 3
        # The batch that was sent is confirmed; the dozen customers still collected are not sent.
        assert states(printed)[-1] == ROWS
        assert len(sandbox.project.customers) == ROWS
        assert b'"complete": false' in log
        assert b'"unconfirmed": 12' in log


def test_a_signal_cuts_a_long_wait_short(tmp_path: Path) -> None:
    limits = Limits(bulk_calls=1, bulk_period_seconds=3600)
    with Sandbox(readings=Readings(job_polls=0), limits=limits) as sandbox:
        with start(settings(sandbox, "bulk"), tmp_path) as process:
            assert process.stdin
            process.stdin.write(lines(*INPUT).encode())
            process.stdin.close()
            process.stdin = None
            wait_for_requests(sandbox, 2)
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            printed, _ = process.communicate(timeout=10)
        assert process.returncode == 143
        assert time.monotonic() - began < 3
        assert states(printed) == [EVERY]
        assert len(sandbox.project.customers) == ROWS


def test_a_server_that_hangs_cannot_outlast_the_grace(tmp_path: Path) -> None:
    with Sandbox(readings=Readings(job_polls=0)) as sandbox:
        sandbox.faults.add(Fault(kind="slow_headers", numbers=[2], seconds=59))
        with start(settings(sandbox, "bulk"), tmp_path) as process:
            assert process.stdin
            process.stdin.write(lines(*INPUT).encode())
            process.stdin.close()
            process.stdin = None
            wait_for_requests(sandbox, 2)
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            printed, logged = process.communicate(timeout=50)
        assert process.returncode == 143
        assert b"run summary" in logged.splitlines()[-1]
        assert time.monotonic() - began < 35
        assert_there(sandbox, max(states(printed), default=0))


EARLY = """
import os, signal, sys
from target_voucherify.__main__ import main
from target_voucherify.target import TargetVoucherify
left = [int(sys.argv.pop())]
def stop(event, arguments):
    handler = getattr(signal.getsignal(left[0]), "__func__", None) if left else None
    if event == "os.listdir" and handler is TargetVoucherify._handle_termination:
        os.kill(os.getpid(), left.pop())
sys.path.append("/")
sys.addaudithook(stop)
main()
"""
"""Sends a signal to itself where Python looks for packages, and swallows exceptions meanwhile."""


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_before_anything_is_read_ends_the_process(
    tmp_path: Path, signum: int, status: int
) -> None:
    with Sandbox() as sandbox:
        line = command("target_voucherify", settings(sandbox, "bulk"), tmp_path)
        early = [sys.executable, "-c", EARLY, *line[3:], str(int(signum))]
        with Process(early) as process:
            printed, log = process.communicate(lines(*INPUT).encode(), timeout=60)
        assert (process.returncode, printed, sandbox.calls) == (status, b"", 0)
        assert b"Stopped by a signal" in log
