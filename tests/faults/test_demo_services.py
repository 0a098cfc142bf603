"""`make services`: ports and folders of its own, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import demo.services
import leaks
from voucherify_sandbox import Sandbox
from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@contextmanager
def services(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "demo.services", "--folder", folder, "--port", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


def printed(process: subprocess.Popen[str]) -> dict[str, str]:
    """What the services print, by label."""
    assert process.stdout is not None
    said: dict[str, str] = {}
    lines = []
    for line in process.stdout:
        lines.append(line)
        label, _, value = line.strip().partition(":")
        said[label] = value.strip()
        if line.startswith("Ctrl-C"):
            return said
    text = "".join(lines)
    leaks.saw(text)
    pytest.fail(text)


def state(url: str) -> dict[str, Any]:
    keys = {"X-App-Id": APPLICATION_ID, "X-App-Token": SECRET_KEY}
    return demo.services.Sandbox(url, keys).state()


def contacts(address: str) -> int:
    with psycopg.connect(address) as connection:
        row = connection.execute("SELECT count(*) FROM contacts").fetchone()
        assert row is not None
        return int(row[0])


def is_running(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_they_take_a_free_port_and_sigterm_leaves_nothing(tmp_path: Path) -> None:
    with Sandbox() as stranger:
        stranger.project.add_customers(3)
        port = int(stranger.url.rpartition(":")[2])
        with services(tmp_path, port) as process:
            said = printed(process)
            variables = (tmp_path / "variables").read_text()
            postgres = int((tmp_path / "postgres/postmaster.pid").read_text().split()[0])

            assert said["Voucherify"] != stranger.url
            assert f"VOUCHERIFY_API_URL='{said['Voucherify']}'" in variables
            assert state(said["Voucherify"])["customers"] != 3
            assert contacts(said["CRM"]) == 2_000

            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 128 + signal.SIGTERM

        assert state(stranger.url)["customers"] == 3
    with pytest.raises(OSError, match="refused"):
        state(said["Voucherify"])
    for _ in range(100):
        if not is_running(postgres):
            break
        time.sleep(0.1)
    assert not is_running(postgres)


def test_a_second_start_leaves_the_first_alone(tmp_path: Path) -> None:
    with services(tmp_path, 0) as first:
        said = printed(first)
        with services(tmp_path, 0) as second:
            text, _ = second.communicate(timeout=60)

            leaks.saw(text)
            assert second.returncode == 1
            assert "is in use by another run" in text
            assert "Traceback" not in text
        assert contacts(said["CRM"]) == 2_000
        assert state(said["Voucherify"])["customers"] >= 0
