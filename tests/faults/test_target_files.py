"""The files of a run: who may read them, and that one run at a time uses them."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from singer import Process, command
from singer_input import contacts, lines, record, schema, state
from target_run import load, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox import Sandbox

REFUSED = record(8, name=["no text"])


@pytest.fixture
def config(project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return settings(
        project,
        ledger_path=str(tmp_path / "ledger.db"),
        refused_records_path=str(tmp_path / "refused.singer"),
    )


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def descriptors() -> set[str]:
    """What this process has open, as the kernel names it."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(f"{link.name}: {link.readlink()}")
    return found


def modes(folder: Path) -> dict[str, int]:
    return {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in folder.iterdir()
        if path.name.startswith(("ledger", "refused"))
    }


@pytest.mark.usefixtures("umask")
def test_only_the_owner_may_read_what_a_run_keeps(config: dict[str, Any], tmp_path: Path) -> None:
    done = load(config, lines(*contacts(5), REFUSED))
    assert done.error is None
    assert set(modes(tmp_path).values()) == {0o600}
    assert {"ledger.db", "refused.singer"} <= modes(tmp_path).keys()


def test_files_that_others_may_read_are_tightened(config: dict[str, Any], tmp_path: Path) -> None:
    load(config, lines(*contacts(5), REFUSED))
    for name in modes(tmp_path):
        (tmp_path / name).chmod(0o644)
    load(config, lines(*contacts(6), REFUSED))
    assert set(modes(tmp_path).values()) == {0o600}


def begin(config: dict[str, Any], folder: Path, messages: list[Any], project: Sandbox) -> Process:
    """A run that has sent something and waits for more input."""
    process = Process(command("target_voucherify", config, folder))
    assert process.stdin
    process.stdin.write(lines(*messages).encode())
    process.stdin.flush()
    until = time.monotonic() + 20
    while not project.requests and time.monotonic() < until:
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("shared", ["ledger_path", "refused_records_path"])
def test_a_second_run_beside_the_first_is_refused(
    project: Sandbox, config: dict[str, Any], tmp_path: Path, shared: str
) -> None:
    config = {**config, "write_path": "single"}
    mine = {**settings(project), shared: str(tmp_path / "." / config[shared])}
    messages = [*contacts(150), REFUSED, state({"seen": 150})]
    with begin(config, tmp_path, messages, project) as process:
        before = (tmp_path / "refused.singer").read_bytes()
        second = load(mine, lines(*contacts(5)))
        assert f"{shared}: " in str(second.error)
        assert f"is in use by another run (process {process.pid} since " in str(second.error)
        dry = load({**mine, "dry_run": True}, lines(*contacts(5)))
        assert dry.error is None
        assert (tmp_path / "refused.singer").read_bytes()[: len(before)] == before
        process.communicate(timeout=40)
    assert process.returncode == 0
    assert load(mine, lines(*contacts(5))).error is None


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_run_that_was_killed_holds_nothing(
    project: Sandbox, config: dict[str, Any], tmp_path: Path, signum: signal.Signals
) -> None:
    config = {**config, "write_path": "single"}
    with begin(config, tmp_path, contacts(150), project) as process:
        process.send_signal(signum)
        process.communicate(timeout=40)
    assert load(config, lines(*contacts(5))).error is None


def test_another_name_of_a_file_is_the_same_file(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "refused.singer"
    link.symlink_to(tmp_path / "refused.singer")
    config = {**config, "write_path": "single"}
    with begin(config, tmp_path, contacts(150), project) as process:
        other = settings(project, refused_records_path=str(link))
        assert "is in use by another run" in str(load(other, lines(*contacts(5))).error)
        process.communicate(timeout=40)


def test_no_refused_record_is_lost_by_runs_at_once(config: dict[str, Any], tmp_path: Path) -> None:
    """Each of several runs sets its records aside, or is refused and says so."""
    del config["ledger_path"]
    records = [record(number, name=["no text"]) for number in range(150)]
    text = lines(schema(), *records, state({"seen": 150})).encode()
    runs = [Process(command("target_voucherify", config, tmp_path)) for _ in range(3)]
    with ThreadPoolExecutor(len(runs)) as pool:  # `communicate` does not mind one that is refused
        ended = pool.map(lambda each: each.communicate(text, timeout=60), runs)
    passed = [bool(printed) for printed, _ in ended]
    kept = [json.loads(line) for line in (tmp_path / "refused.singer").read_text().splitlines()]
    assert sum(each["type"] == "RECORD" for each in kept) == 150 * sum(passed) > 0


@pytest.mark.parametrize("setting", ["ledger_path", "refused_records_path"])
def test_a_path_that_cannot_be_written_is_named_with_what_to_do(
    project: Sandbox, tmp_path: Path, setting: str
) -> None:
    (tmp_path / "file").touch()
    for path, advice in (
        (tmp_path / "none" / "file", "its folder must exist"),
        (tmp_path / "file" / "file", "its folder must exist"),
        (tmp_path, "it is a folder"),
    ):
        done = load(settings(project, **{setting: str(path)}), lines(*contacts(1)))
        assert f"{setting}: {path} cannot be written" in str(done.error)
        assert advice in str(done.error)


def posts(project: Sandbox) -> int:
    return sum(request.method == "POST" for request in project.requests)


def limited(command_line: list[str], kilobytes: int, **streams: Any) -> Process:
    """A run that can write files of a limited size, as on a disk that gets full."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    return Process(command_line, preexec_fn=limit, **streams)


def fed(process: Process, messages: list[Any]) -> tuple[list[Any], str]:
    """The states and the log of a run that reads all messages."""
    printed, log = process.communicate(lines(*messages).encode(), timeout=60)
    assert process.returncode == 1, log.decode()
    assert b'"complete": false' in log.splitlines()[-1]
    assert b"Unexpected" not in log
    assert b"Traceback" not in log
    return [json.loads(line) for line in printed.splitlines()], log.decode()


def test_a_ledger_on_a_full_disk_is_named(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    config |= {"batch_size_rows": 500}
    process = limited(command("target_voucherify", config, tmp_path), 60)
    states, log = fed(process, contacts(6000, state_every=500))
    assert f"ledger_path: {tmp_path}/ledger.db cannot be used" in log
    assert "check the space on its disk" in log
    there = {customer["source_id"] for customer in project.project.customers.values()}
    assert {f"crm-{n}" for n in range(max((s["seen"] for s in states), default=0))} <= there
    assert load(config, lines(*contacts(6000))).error is None


def test_a_refused_file_on_a_full_disk_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    del config["ledger_path"]
    messages: list[Any] = [schema()]
    for number in range(200):
        messages += [record(number, name=["x" * 500]), state({"seen": number + 1})]
    process = limited(command("target_voucherify", config, tmp_path), 60)
    states, log = fed(process, messages)
    path = tmp_path / "refused.singer"
    assert f"refused_records_path: {path} cannot be written" in log
    whole = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    kept = [message for message in map(json.loads, whole) if message["type"] == "RECORD"]
    assert 0 < states[-1]["seen"] <= len(kept) < 200
    assert load(config, lines(*messages)).states[-1] == {"seen": 200}


FULL = {"by the export": (500, 30), "by the copy of the project": (12_000, 2_500)}
"""Customers of a project, and kilobytes that are too few for them."""


@pytest.mark.parametrize(("customers", "kilobytes"), FULL.values(), ids=FULL.keys())
def test_a_full_folder_for_temporary_files_is_named(
    customers: int, kilobytes: int, project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    del config["ledger_path"]
    project.project.add_customers(customers)
    config["compare"] = "export"
    process = limited(command("target_voucherify", config, tmp_path), kilobytes)
    states, log = fed(process, [*contacts(10), state(1)])
    assert states == []
    assert "The folder for temporary files, /" in log
    assert "set TMPDIR to another folder" in log
    assert posts(project) == 1, "the export is all that was ordered"


def test_a_replay_on_a_full_disk_loses_nothing(config: dict[str, Any], tmp_path: Path) -> None:
    del config["ledger_path"]
    records = [record(number, name=["x" * 500]) for number in range(200)]
    load(config, lines(schema(), *records))
    path = tmp_path / "refused.singer"
    before = path.read_bytes()
    with path.open() as source:
        process = limited(command("target_voucherify", config, tmp_path), 60, stdin=source)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"cannot be written" in log
    assert path.read_bytes() == before


def test_a_locked_ledger_is_named(project: Sandbox, config: dict[str, Any], tmp_path: Path) -> None:
    load(config, lines(*contacts(5)))
    before = posts(project)
    reader = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    reader.execute("BEGIN IMMEDIATE")
    done = load(config, lines(*contacts(15), state({"seen": 15})))
    reader.close()
    assert "another program holds it" in str(done.error)
    assert (done.states, posts(project)) == ([], before)
    assert load(config, lines(*contacts(15), state({"seen": 15}))).states == [{"seen": 15}]


KILLED = """
import os, signal, sqlite3, sys
ledger = sqlite3.connect(sys.argv[1])
ledger.execute("PRAGMA cache_size = 1")
rows = ((f"half-{number}", b"x" * 999) for number in range(999))
ledger.executemany("INSERT INTO accepted VALUES (?, ?)", rows)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_dry_run_reads_the_ledger_of_a_run_that_was_killed_while_it_wrote(
    config: dict[str, Any], tmp_path: Path
) -> None:
    load(config, lines(*contacts(5)))
    line = [sys.executable, "-c", KILLED, config["ledger_path"]]
    leaks.saw(subprocess.run(line, capture_output=True, check=False).stderr)
    assert (tmp_path / "ledger.db-journal").exists()
    done = load({**config, "dry_run": True}, lines(*contacts(6)))
    assert (done.error, done.summary["unchanged"]) == (None, 5)
    assert done.summary["would_create"] == 1


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_ledger_that_is_damaged_inside_is_named(
    config: dict[str, Any], tmp_path: Path, page: int
) -> None:
    load(config, lines(*contacts(3000)))
    with (tmp_path / "ledger.db").open("r+b") as file:
        file.seek(page * 4096)
        file.write(b"\xff" * 40960)
    done = load(config, lines(*contacts(3000), state({"seen": 3000})))
    assert "it is damaged; delete it" in str(done.error)
    assert done.states == []


@pytest.mark.parametrize("write_path", ["single", "bulk"])
def test_a_run_leaves_nothing_open(config: dict[str, Any], write_path: str) -> None:
    text = lines(*contacts(5), REFUSED, state({"seen": 5}))
    load(config, text)
    gc.disable()  # what only the collector closes was left open
    try:
        before = descriptors()
        load({**config, "write_path": write_path}, text)
        until = time.monotonic() + 10
        while (ours := descriptors() - before) and time.monotonic() < until:
            time.sleep(
                0.01
            )  # the sandbox closes its end once it sees that the run closed the other
    finally:
        gc.enable()
    assert ours == set()
