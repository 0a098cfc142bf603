"""The Airbyte connectors run by PyAirbyte, in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from airbyte import BRIDGE
from filling import fill
from target_run import held
from voucherify_sandbox.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

VENV = BRIDGE / ".venv"
PAGE = (BRIDGE.parents[1] / "docs/airbyte.md").read_text()
(READ,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
"""The program of the page."""

HOUR = 3_600.0
WRITE = """
destination = airbyte.get_destination(
    "destination-voucherify",
    local_executable=".venv/bin/destination-voucherify",
    config={**source.get_config(), "source_id": "source_id", "mapping": '{"name": "name"}'},
)
destination.write(result, streams=["customers"])
"""

pytestmark = pytest.mark.skipif(
    not (VENV / "done").exists(), reason="PyAirbyte is not there: `make bridge-airbyte`"
)


@dataclass(frozen=True)
class PyAirbyte:
    """The interpreter that has PyAirbyte, in a folder with the connectors."""

    folder: Path

    def start(self, sandbox: Sandbox, program: str) -> subprocess.CompletedProcess[str]:
        keys = {"APPLICATION_ID": sandbox.application_id, "SECRET_KEY": sandbox.secret_key}
        quiet = {"DO_NOT_TRACK": "1", "AIRBYTE_OFFLINE_MODE": "1"}
        done = subprocess.run(
            (".venv/bin/python", "-c", program),
            cwd=self.folder,
            env={**os.environ, **keys, **quiet, "API_URL": sandbox.url},
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        leaks.saw(done.stderr)
        return done

    def read(self, sandbox: Sandbox) -> int:
        """The records of a run."""
        done = self.start(sandbox, READ)
        assert done.returncode == 0, done.stdout + done.stderr
        return int(done.stdout.split()[-1])

    def query(self, sandbox: Sandbox, sql: str) -> list[Any]:
        program = f"""
import airbyte, json
rows = airbyte.new_local_cache("warehouse").run_sql_query('''{sql}''')
print(json.dumps([list(row.values()) for row in rows], default=str))
"""
        done = self.start(sandbox, program)
        assert done.returncode == 0, done.stdout + done.stderr
        rows: list[Any] = json.loads(done.stdout.splitlines()[-1])
        return rows


@pytest.fixture
def pyairbyte(sandbox: Sandbox, tmp_path: Path) -> PyAirbyte:
    sandbox.clock.advance(-24 * HOUR)
    (tmp_path / ".venv").symlink_to(VENV)
    return PyAirbyte(tmp_path)


COUNT = "SELECT count(*), count(DISTINCT id) FROM main.customers"


def test_first_run_changes_failure_and_nothing_new(sandbox: Sandbox, pyairbyte: PyAirbyte) -> None:
    sandbox.project.add_customers(250)
    fill(sandbox.project)
    sandbox.clock.advance(HOUR)

    assert pyairbyte.read(sandbox) > 254
    rows = len(sandbox.project.customers)
    assert pyairbyte.query(sandbox, COUNT) == [[rows, rows]]

    sandbox.clock.advance(HOUR)
    assert pyairbyte.read(sandbox) == 0

    sandbox.project.upsert_customer({"source_id": "crm-7", "name": "Ann"})
    sandbox.clock.advance(HOUR)
    refusing = Fault(path="/v1/customers", kind="status", status=401, times=None)
    sandbox.faults.add(refusing)
    assert pyairbyte.start(sandbox, READ).returncode
    sandbox.faults.clear()

    assert pyairbyte.read(sandbox) == 1
    assert pyairbyte.query(sandbox, COUNT) == [[rows, rows]]
    changed = "SELECT source_id FROM main.customers WHERE name = $$Ann$$"
    assert pyairbyte.query(sandbox, changed) == [["crm-7"]]


def test_rows_of_a_cache_become_customers(sandbox: Sandbox, pyairbyte: PyAirbyte) -> None:
    sandbox.project.add_customers(120)
    sandbox.clock.advance(HOUR)
    keys = held(sandbox)

    customers = READ.replace(', "reward_events"]', "]")  # the target takes no other stream
    done = pyairbyte.start(sandbox, customers + WRITE)

    assert done.returncode == 0, done.stdout + done.stderr
    assert held(sandbox) == keys
    assert [request for request in sandbox.requests if "bulk" in request.path]
