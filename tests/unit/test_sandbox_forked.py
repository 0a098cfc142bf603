"""A forked program is like one that was started anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox.torture.forked import Forked

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, os, random, signal, sys
told = {
    "arguments": sys.argv[1:],
    "cwd": os.getcwd(),
    "environ": {k: v for k, v in os.environ.items() if k != "_"},
    "files": sorted(os.listdir("/proc/self/fd"))[:4],
    "name": __name__,
    "parent": os.getppid(),
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
    "text": sys.stdin.read(),
    "threads": len(os.listdir("/proc/self/task")),
}
print(json.dumps(told))
print("logged", file=sys.stderr)
if "wait" in sys.argv:
    sys.stdout.flush()
    signal.pause()
if "fail" in sys.argv:
    raise ValueError("as asked")
sys.exit(len(sys.argv) - 1)
"""


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command of a package in the folder of the test."""
    package = f"told_{abs(hash(tmp_path))}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / package / "__main__.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return [sys.executable, "-m", package]


def ended(kind: type[subprocess.Popen[bytes]], line: list[str], **more: Any) -> dict[str, Any]:
    pipe = subprocess.PIPE
    with kind(line, stdin=pipe, stdout=pipe, stderr=pipe, **more) as process:
        printed, logged = process.communicate(b"given\n")
    return {**json.loads(printed), "code": process.returncode, "log": logged.splitlines()[:1]}


def test_a_forked_program_is_like_one_started_anew(line: list[str], tmp_path: Path) -> None:
    environ = {**os.environ, "ONE": "1"}
    anew = ended(subprocess.Popen, [*line, "a", "b"], env=environ, cwd=tmp_path)
    forked = ended(Forked, [*line, "a", "b"], env=environ, cwd=tmp_path)

    assert forked == anew
    assert anew["parent"] == os.getpid()
    assert anew["code"] == 2


def test_an_error_ends_it_as_one_started_anew(line: list[str]) -> None:
    pipe = subprocess.PIPE
    with Forked([*line, "fail"], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        _, logged = process.communicate(b"")

    assert process.returncode == 1
    assert logged.splitlines()[-1] == b"ValueError: as asked"


def test_a_kill_ends_it_at_once(line: list[str]) -> None:
    with Forked([*line, "wait"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL


def test_threads_start_programs_side_by_side(line: list[str]) -> None:
    before = set(threading.enumerate())
    with ThreadPoolExecutor(8) as pool:
        codes = list(
            pool.map(lambda number: ended(Forked, [*line, *"a" * number])["code"], range(30))
        )

    assert codes == list(range(30))
    assert set(threading.enumerate()) <= before


def test_a_program_that_is_not_python_is_started() -> None:
    with Forked(["/bin/echo", "word"], stdout=subprocess.PIPE) as process:
        printed, _ = process.communicate()

    assert printed == b"word\n"


def test_another_python_path_starts_it_anew(line: list[str]) -> None:
    environ = {**os.environ, "PYTHONHASHSEED": "7"}

    assert ended(Forked, line, env=environ)["environ"]["PYTHONHASHSEED"] == "7"
