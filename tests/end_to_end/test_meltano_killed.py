"""What Meltano does after its own process was killed; the plugins have no part in it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import leaks
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent
WAIT = 120.0
"""Seconds that a test waits for a request; a busy machine is slow."""

RUN = ("run", "tap-voucherify", "target-voucherify")


def plugin(name: str, connection: dict[str, Any], **config: Any) -> dict[str, Any]:
    """A plugin that Meltano need not install."""
    settings = [{"name": key} for key in (*connection, *config)]
    executable = str(BIN / name)
    return {
        "name": name,
        "namespace": name.replace("-", "_"),
        "executable": executable,
        "capabilities": ["catalog", "discover", "state"] if name.startswith("tap") else [],
        "settings": settings,
        "config": {**connection, **config},
    }


@pytest.fixture
def meltano(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> Callable[..., subprocess.Popen[str]]:
    sandbox.project.upsert_customer({"source_id": "crm-1"})
    project = {
        "default_environment": "dev",
        "environments": [{"name": "dev"}],
        "send_anonymous_usage_stats": False,
        "plugins": {
            "extractors": [
                {**plugin("tap-voucherify", connection), "select": ["customers.source_id"]}
            ],
            "loaders": [plugin("target-voucherify", connection)],
        },
    }
    (tmp_path / "meltano.yml").write_text(yaml.safe_dump(project))

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [BIN / "meltano", *arguments],
            cwd=tmp_path,
            env={**os.environ, "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return start


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    log, _ = process.communicate(timeout=WAIT)
    leaks.saw(log)
    return process.returncode, log


def test_a_run_that_was_killed_blocks_the_next_for_five_minutes(
    sandbox: Sandbox, meltano: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    fault = Fault(kind="slow_headers", seconds=60, path="/v1/customers")
    sandbox.faults.add(fault)
    killed = meltano(*RUN)
    until = time.monotonic() + WAIT
    while not sandbox.faults.injected and killed.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(killed.pid, signal.SIGKILL)
    code, log = ended(killed)
    assert code == -signal.SIGKILL, log

    code, log = ended(meltano(*RUN))
    assert code == 1
    assert "is already running" in log
    assert "--force" in log

    code, log = ended(meltano(RUN[0], "--force", *RUN[1:]))
    assert code == 0, log

    forget_for_five_minutes(tmp_path / ".meltano" / "meltano.db")
    code, log = ended(meltano(*RUN))
    assert code == 0, log


def forget_for_five_minutes(path: Path) -> None:
    """Turn the finished runs into one that still runs, and whose last sign is that long ago."""
    last = (datetime.now(UTC) - timedelta(minutes=5, seconds=1)).replace(tzinfo=None)
    with sqlite3.connect(path) as database:
        database.execute(
            "UPDATE runs SET state = 'RUNNING', ended_at = NULL, last_heartbeat_at = ?",
            [last.isoformat(sep=" ")],
        )
    database.close()
