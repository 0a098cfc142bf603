"""The Fivetran connector in Fivetran's SDK, which hands over what Fivetran would take.

Fivetran's own tester is not run: the connector is not tested by the platform.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from voucherify_sandbox.faults import Fault

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "bridges/fivetran"
PYTHON = FOLDER / ".venv/bin/python"
SYNC = Path(__file__).parent / "fivetran_sync.py"
HOUR = 3_600.0

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="Fivetran's SDK is not there: `make bridge-fivetran`"
)


@dataclass(frozen=True)
class Sync:
    """The operations of one sync, in their order."""

    exit_code: int
    log: str
    operations: list[dict[str, Any]]

    @property
    def tables(self) -> dict[str, dict[str, str]]:
        """The types of the columns by table."""
        (schema,) = (one["schema"] for one in self.operations if "schema" in one)
        return {
            table["name"]: {column["name"]: column["type"] for column in table["columns"]}
            for table in schema["withoutSchema"]["tables"]
        }

    def ids(self, table: str, *, covered: bool = False) -> list[str]:
        """The ids of upserted records; only those before the last checkpoint if `covered`."""
        ended = [n for n, one in enumerate(self.operations) if "checkpoint" in one]
        last = (ended[-1] if ended else 0) if covered else len(self.operations)
        return [
            record["data"]["id"]["string"]
            for one in self.operations[:last]
            for record in records_of(one)
            if record["tableName"] == table
        ]

    @property
    def state(self) -> dict[str, Any]:
        """The state of the last checkpoint."""
        states = [one["checkpoint"]["stateJson"] for one in self.operations if "checkpoint" in one]
        state: dict[str, Any] = json.loads(states[-1])
        return state


def records_of(operation: dict[str, Any]) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = operation.get("structuredRecords", {}).get(
        "structuredRecords", []
    )
    alone = operation.get("structuredRecord")
    return [*records, *([alone] if alone else [])]


def sync(sandbox: Sandbox, state: dict[str, Any], **settings: Any) -> Sync:
    configuration = {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
        "settings": json.dumps(settings),
    }
    done = subprocess.run(
        (PYTHON, SYNC, FOLDER),
        input=json.dumps({"configuration": configuration, "state": state}),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    leaks.saw(done.stderr)
    return Sync(done.returncode, done.stderr, [*map(json.loads, done.stdout.splitlines())])


def test_a_sync_brings_all_and_the_next_one_what_changed(sandbox: Sandbox) -> None:
    sandbox.clock.advance(-24 * HOUR)
    sandbox.project.add_customers(250)
    sandbox.clock.advance(HOUR)

    first = sync(sandbox, {})

    assert first.exit_code == 0, first.log
    assert sorted(first.ids("customers")) == sorted(sandbox.project.customers)
    assert set(first.tables) == {"customers", "reward_events"}
    assert first.tables["customers"]["created_at"] == "UTC_DATETIME"
    assert first.tables["customers"]["metadata"] == "JSON"

    sandbox.project.upsert_customer({"source_id": "crm-9", "name": "After"})
    sandbox.clock.advance(HOUR)
    second = sync(sandbox, first.state)
    assert len(second.ids("customers")) == 1
    assert sync(sandbox, second.state).ids("customers") == []


def test_a_checkpoint_covers_only_what_was_upserted(sandbox: Sandbox) -> None:
    sandbox.clock.advance(-24 * HOUR)
    sandbox.project.add_customers(2_500)
    sandbox.clock.advance(HOUR)
    refusing = Fault(kind="status", status=401, times=None, path="/v1/customers", nth=range(15, 99))
    sandbox.faults.add(refusing)

    failed = sync(sandbox, {}, max_concurrency=1)

    assert failed.exit_code
    assert "tap-voucherify failed with exit code 1" in failed.log
    sandbox.faults.clear()
    covered = failed.ids("customers", covered=True)
    assert 0 < len(set(covered)) < 2_500
    rest = sync(sandbox, failed.state)
    assert {*covered, *rest.ids("customers")} == set(sandbox.project.customers)
