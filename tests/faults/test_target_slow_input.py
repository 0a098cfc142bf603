"""A tap that is slow or silent: what it sent is written, and its states are emitted."""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from singer import Process, command
from singer_input import contacts, lines, record, schema, state
from target_run import held, settings
from target_voucherify.run import Run
from target_voucherify.settings import SETTINGS, Settings, with_defaults
from target_voucherify.singer.reader import MessageReader
from voucherify_sandbox import Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT = 30.0
"""Seconds that a test waits for output; a busy machine is slow."""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def slow() -> Iterator[Sandbox]:
    """A project whose jobs take a while."""
    with Sandbox(readings=Readings(job_polls=3)) as running:
        yield running


def started(sandbox: Sandbox, folder: Path, **more: Any) -> Process:
    return Process(command("target_voucherify", settings(sandbox, **more), folder))


def send(process: Process, *messages: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(lines(*messages).encode())
    process.stdin.flush()


def printed_line(process: Process) -> bytes:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], WAIT)
    return process.stdout.readline() if ready else b"nothing"


def test_the_state_of_a_finished_job_is_emitted_without_a_further_message(
    slow: Sandbox, tmp_path: Path
) -> None:
    with started(slow, tmp_path, batch_size_rows=3) as process:
        send(process, *contacts(3), state({"seen": 3}))
        assert printed_line(process) == b'{"seen": 3}\n'
        send(process, *contacts(3, start=3)[1:], state({"seen": 6}))
        assert printed_line(process) == b'{"seen": 6}\n'
        assert process.communicate()[0] == b""
    assert process.returncode == 0
    assert len(held(slow)) == 6


def test_a_signal_ends_the_wait_for_input(sandbox: Sandbox, tmp_path: Path) -> None:
    with started(sandbox, tmp_path, batch_size_rows=1) as process:
        send(process, schema(), record(1), state({"seen": 1}), record(2))
        assert printed_line(process) == b'{"seen": 1}\n'
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=WAIT)
        process.communicate()
    assert process.returncode == 143


@pytest.mark.parametrize("more", [{}, {"write_path": "single"}], ids=str)
@pytest.mark.parametrize("ledger", ["", "ledger.db"])
def test_a_batch_is_sent_when_it_is_old(
    sandbox: Sandbox, tmp_path: Path, more: dict[str, Any], ledger: str
) -> None:
    more = {**more, "max_batch_age": 40, "ledger_path": ledger and str(tmp_path / ledger)}
    clock = Clock()
    run = Run(Settings.from_config(with_defaults(settings(sandbox, **more), SETTINGS)), clock)
    run.customers.add("crm-1", b'{"source_id":"crm-1"}', b"")
    assert run.work_while_waiting() == 40
    clock.now = 39
    run.customers.add("crm-2", b'{"source_id":"crm-2"}', b"")
    assert run.work_while_waiting() == 1
    assert held(sandbox) == set()

    clock.now = 40
    assert run.work_while_waiting() is None
    run.finish(None)

    assert held(sandbox) == {"crm-1", "crm-2"}


def test_an_input_that_never_ends_is_written_and_acknowledged_as_it_comes(
    tmp_path: Path,
) -> None:
    """A record comes every tenth of a second, so the target never waits for a whole batch age."""
    with (
        Sandbox(readings=Readings(job_polls=0)) as sandbox,
        started(sandbox, tmp_path, max_batch_age=1, batch_size_rows=5000) as process,
    ):
        send(process, schema())
        sent = 0
        for _ in range(40):
            time.sleep(0.1)
            sent += 1
            send(process, record(sent), state({"seen": sent}))
        seen = json.loads(printed_line(process))["seen"]
        assert 0 < seen <= sent
        assert len(held(sandbox)) >= seen
        jobs = [one for one in sandbox.requests if one.path == "/v1/customers/bulk/async"]
        assert len(jobs) <= 6
        process.send_signal(signal.SIGTERM)
        rest = process.communicate()[0]
    last = json.loads(rest.splitlines()[-1])["seen"] if rest else seen
    assert {f"crm-{number}" for number in range(1, last + 1)} <= held(sandbox)


def test_the_reader_works_between_reads_and_while_it_waits() -> None:
    into, out = os.pipe()
    calls = threading.Semaphore(0)
    found: list[dict[str, Any]] = []
    reader = MessageReader()

    def before_read() -> float:
        calls.release()
        return 0.01

    reader.before_read = before_read
    with os.fdopen(into, "rb") as source, os.fdopen(out, "wb", buffering=0) as sink:
        thread = threading.Thread(
            target=reader.process_lines, args=(source, {"RECORD": found.append})
        )
        thread.start()
        assert all(calls.acquire(timeout=WAIT) for _ in range(5))
        sink.write(b'{"type":"RECORD"}\n{"type"')
        assert all(calls.acquire(timeout=WAIT) for _ in range(5))
        sink.write(b':"RECORD"}')
        sink.close()
        thread.join(timeout=WAIT)
    assert (len(found), reader.error) == (2, None)
