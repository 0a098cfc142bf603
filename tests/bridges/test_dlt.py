"""The pair in pipelines of dlt, which runs in an environment of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from filling import fill
from singer import run, selecting
from voucherify_sandbox.faults import Fault

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "bridges/dlt/.venv/bin/python"
READ, WRITE = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs/dlt.md").read_text(), re.MULTILINE | re.DOTALL
)
"""The programs of the page."""

HOUR = 3_600.0
ROWS = """
import json
counts = pipeline.last_trace.last_normalize_info.row_counts
print(json.dumps({name: rows for name, rows in counts.items() if not name.startswith("_dlt")}))
"""

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="dlt is not there: `make bridge-dlt`")


@dataclass(frozen=True)
class Dlt:
    """The interpreter that has dlt and the bridge."""

    folder: Path
    env: dict[str, str]

    def start(self, program: str, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            (PYTHON, "-c", program),
            cwd=self.folder,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        leaks.saw(done.stderr)
        return done

    def run(self, program: str, **env: str) -> str:
        done = self.start(program, **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def read(self, *resources: str, **env: str) -> dict[str, int]:
        """The rows of a run by table; no table that got none."""
        chosen = f".with_resources(*{resources})" if resources else ""
        program = READ.replace("voucherify_source()", f"voucherify_source(){chosen}")
        rows: dict[str, int] = json.loads(self.run(program + ROWS, **env).splitlines()[-1])
        return {table: count for table, count in rows.items() if count}

    def query(self, sql: str) -> list[Any]:
        program = f"""
import duckdb, json
with duckdb.connect("warehouse.duckdb", read_only=True) as warehouse:
    print(json.dumps(warehouse.execute('''{sql}''').fetchall(), default=str))
"""
        rows: list[Any] = json.loads(self.run(program))
        return rows

    def counts(self, table: str) -> list[int]:
        """Rows and distinct keys."""
        (counts,) = self.query(f"SELECT count(*), count(DISTINCT id) FROM voucherify.{table}")  # noqa: S608
        return list(counts)

    def state(self) -> dict[str, Any]:
        program = 'import dlt, json; print(json.dumps(dlt.attach("warehouse").state["sources"]))'
        sources: dict[str, Any] = json.loads(self.run(program))
        return sources["voucherify"]


@pytest.fixture
def dlt(sandbox: Sandbox, tmp_path: Path) -> Dlt:
    sandbox.clock.advance(-24 * HOUR)
    keys = {"APPLICATION_ID": sandbox.application_id, "SECRET_KEY": sandbox.secret_key}
    given = {
        "SOURCES__VOUCHERIFY__SETTINGS": json.dumps({"api_url": sandbox.url}),
        "DESTINATION__VOUCHERIFY__SETTINGS": writing(sandbox),
        "DLT_DATA_DIR": str(tmp_path / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    for role in ("SOURCES", "DESTINATION"):
        given |= {f"{role}__VOUCHERIFY__{name}": key for name, key in keys.items()}
    return Dlt(tmp_path, {**os.environ, **given})


def writing(sandbox: Sandbox, **more: Any) -> str:
    given = {"source_id": "contact_id", "mapping": {"name": "full_name", "email": "email"}}
    return json.dumps({"api_url": sandbox.url, **given, **more})


def contacts(count: int, **columns: Any) -> str:
    """The program of the page with other rows."""
    row = f"{{'contact_id': f'k-{{n}}', 'email': f'{{n}}@example.com', **{columns!r}}}"
    return re.sub(r"    yield .*", f"    for n in range({count}): yield {row}", WRITE)


REFUSING = {"kind": "status", "status": 401, "times": None}


def test_the_first_run_loads_everything_and_the_next_what_changed(
    sandbox: Sandbox, dlt: Dlt
) -> None:
    sandbox.project.add_customers(250)
    fill(sandbox.project)
    sandbox.clock.advance(HOUR)

    first = dlt.read()
    events = first["reward_events"]
    held = len(sandbox.project.customers)

    assert first == {"customers": held, "reward_events": events}
    assert dlt.counts("customers") == [held, held]
    assert dlt.counts("reward_events") == [events, events]

    sandbox.clock.advance(HOUR)
    sandbox.forget_requests()
    assert dlt.read() == {}
    assert sandbox.calls <= 3

    sandbox.project.upsert_customer({"source_id": "crm-7", "name": "Ann"})
    sandbox.clock.advance(HOUR)
    assert dlt.read() == {"customers": 1}
    assert dlt.counts("customers") == [held, held]
    changed = "SELECT source_id FROM voucherify.customers WHERE name = $$Ann$$"
    assert dlt.query(changed) == [["crm-7"]]


def test_every_stream_is_a_table_with_all_its_columns_and_rows(
    sandbox: Sandbox, dlt: Dlt, connection: dict[str, Any], tmp_path: Path
) -> None:
    fill(sandbox.project)
    sandbox.clock.advance(HOUR)
    catalog = json.loads(run("tap_voucherify", {}, "--discover").stdout)["streams"]
    properties = {stream["stream"]: stream["schema"]["properties"] for stream in catalog}
    del properties["customer_deletions"]  # comes from webhooks
    direct = run("tap_voucherify", connection, *selecting(tmp_path, *properties))

    dlt.read(*properties)

    found: dict[str, dict[str, str]] = {}
    for table, column, kind in dlt.query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = $$voucherify$$"
    ):
        found.setdefault(table, {})[column] = kind
    bookmarks = {name: kept["bookmark"] for name, kept in dlt.state()["resources"].items() if kept}
    final = direct.states[-1]["bookmarks"]
    for stream, columns in properties.items():
        rows = len({record["id"] for record in direct.records(stream)})
        assert rows
        assert dlt.counts(stream) == [rows, rows]
        assert {name: found[stream].get(name) for name in columns} == {
            name: duckdb_type(schema) for name, schema in columns.items()
        }
        assert bookmarks[stream].keys() == final[stream].keys()
        if "replication_key_value" in final[stream]:
            ours = bookmarks[stream]["replication_key_value"]
            assert ours >= final[stream]["replication_key_value"]
    assert not [table for table in found if "__" in table]  # no tables of nested values


def duckdb_type(schema: dict[str, Any]) -> str:
    types = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    if schema.get("format") == "date-time":
        return "TIMESTAMP WITH TIME ZONE"
    kinds = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}
    return kinds.get(*(types - {"null"}), "JSON")


def test_a_tap_that_fails_loads_nothing_and_the_next_run_reads_it_again(
    sandbox: Sandbox, dlt: Dlt
) -> None:
    sandbox.project.add_customers(2_500)
    sandbox.clock.advance(HOUR)
    cut = Fault(path="/v1/customers", nth=range(15, 99), **REFUSING)
    sandbox.faults.add(cut)

    failed = dlt.start(READ, SOURCES__VOUCHERIFY__SETTINGS=slowly(sandbox))

    assert failed.returncode
    assert "tap-voucherify failed with exit code 1" in failed.stderr
    assert re.search(r'"customers": {"rows": [1-9]', failed.stderr)
    assert dlt.query("SELECT table_name FROM information_schema.tables") == []

    sandbox.faults.clear()
    assert dlt.read()["customers"] == 2_500
    assert dlt.counts("customers") == [2_500, 2_500]


def slowly(sandbox: Sandbox, **more: Any) -> str:
    return json.dumps({"api_url": sandbox.url, "max_concurrency": 1, **more})


def test_a_load_that_fails_is_kept_for_the_next_run(sandbox: Sandbox, dlt: Dlt) -> None:
    sandbox.project.add_customers(20, prefix="old")
    sandbox.clock.advance(HOUR)
    dlt.read("customers")
    sandbox.project.add_customers(120)
    sandbox.clock.advance(HOUR)
    elsewhere = {"DESTINATION__DUCKDB__CREDENTIALS": "/nowhere/x.duckdb"}

    failed = dlt.start(READ, RESTORE_FROM_DESTINATION="false", **elsewhere)

    assert "cannot open file" in failed.stderr.lower()
    assert dlt.counts("customers") == [20, 20]
    sandbox.clock.advance(HOUR)
    sandbox.forget_requests()
    dlt.start(READ)  # loads what is pending and reads nothing, so the page has no rows to print
    assert sandbox.calls == 0
    assert dlt.counts("customers") == [140, 140]
    assert dlt.read() == {}


def test_a_lost_working_directory_is_restored_from_the_destination(
    sandbox: Sandbox, dlt: Dlt, tmp_path: Path
) -> None:
    sandbox.project.add_customers(120)
    sandbox.clock.advance(HOUR)
    dlt.read("customers")
    sandbox.clock.advance(HOUR)

    assert dlt.read("customers", DLT_DATA_DIR=str(tmp_path / "new")) == {}


def test_a_resource_that_was_left_out_continues_at_its_own_bookmark(
    sandbox: Sandbox, dlt: Dlt
) -> None:
    fill(sandbox.project)
    sandbox.clock.advance(HOUR)
    customers = dlt.read("customers")
    sandbox.clock.advance(HOUR)
    assert customers == {"customers": len(sandbox.project.customers)}
    assert not [request for request in sandbox.requests if "activity" in request.path]

    events = dlt.read("reward_events")

    assert events.keys() == {"reward_events"}
    assert events["reward_events"] > 20


def test_a_dropped_resource_is_read_from_the_beginning(sandbox: Sandbox, dlt: Dlt) -> None:
    sandbox.project.add_customers(120)
    sandbox.clock.advance(HOUR)
    dlt.read("customers")
    sandbox.clock.advance(HOUR)
    again = READ.replace(
        "source())", 'source().with_resources("customers"), refresh="drop_resources")'
    )

    assert '"customers": 120' in dlt.run(again + ROWS)


def test_runs_with_few_calls_load_part_after_part(sandbox: Sandbox, dlt: Dlt) -> None:
    sandbox.project.add_customers(5_000, spread=timedelta(minutes=50))
    sandbox.clock.advance(HOUR)
    few = slowly(sandbox, max_calls=30)
    rows = []

    while not rows or rows[-1].get("customers", 0) > 0:
        rows.append(dlt.read("customers", SOURCES__VOUCHERIFY__SETTINGS=few))
        assert len(rows) < 8

    assert len(rows) > 2
    assert dlt.counts("customers") == [5_000, 5_000]


def test_of_two_versions_in_one_run_the_later_one_stays(sandbox: Sandbox, dlt: Dlt) -> None:
    sandbox.project.add_customers(300)
    sandbox.clock.advance(HOUR)
    dlt.read("customers")
    for number in range(150):
        sandbox.project.upsert_customer({"source_id": f"crm-{number}", "name": "Before"})
        sandbox.clock.advance(1)
    change = {"action": "update_customer", "key": "crm-9", "fields": {"name": "After"}}
    sandbox.faults.add(Fault(kind="act", path="/v1/customers", nth=[3], action=change))

    rows = dlt.read("customers", SOURCES__VOUCHERIFY__SETTINGS=slowly(sandbox))

    assert rows["customers"] == 151
    changed = "SELECT name FROM voucherify.customers WHERE source_id = $$crm-9$$"
    assert dlt.query(changed) == [["After"]]
    assert dlt.counts("customers") == [300, 300]


def test_the_page_writes_a_customer(sandbox: Sandbox, dlt: Dlt) -> None:
    dlt.run(WRITE)

    (customer,) = sandbox.project.customers.values()
    assert (customer["source_id"], customer["name"]) == ("7", "Ann")


def test_rows_become_customers_in_few_calls(sandbox: Sandbox, dlt: Dlt) -> None:
    dlt.run(contacts(12_000, full_name="Ann"))

    assert len(sandbox.project.customers) == 12_000
    assert sandbox.calls <= 12


def test_null_clears_a_field_where_nulls_are_sent(sandbox: Sandbox, dlt: Dlt) -> None:
    sending = writing(sandbox, nulls="send")
    dlt.run(contacts(1, full_name="Ann"), DESTINATION__VOUCHERIFY__SETTINGS=sending)
    dlt.run(contacts(1, full_name=None), DESTINATION__VOUCHERIFY__SETTINGS=sending)

    (customer,) = sandbox.project.customers.values()
    assert customer.get("name") is None
    assert customer["email"] == "0@example.com"


def test_a_failed_write_stays_pending_and_is_completed_by_the_next_run(
    sandbox: Sandbox, dlt: Dlt
) -> None:
    sandbox.faults.add(Fault(method="POST", nth=range(2, 99), **REFUSING))
    program = contacts(250, full_name="Ann").replace("destination()", "destination(batch_size=100)")

    failed = dlt.start(program, LOAD__RAISE_ON_MAX_RETRIES="1")

    assert failed.returncode
    assert "target-voucherify failed with exit code 1" in failed.stdout + failed.stderr
    assert len(sandbox.project.customers) == 100

    sandbox.faults.clear()
    sandbox.forget_requests()
    dlt.run(program)
    assert len(sandbox.project.customers) == 250
    sent = [request for request in sandbox.requests if request.method == "POST"]
    assert len(sent) == 2  # the first batch is not repeated


def test_a_run_that_acknowledges_less_than_its_batch_is_no_success(
    sandbox: Sandbox, dlt: Dlt
) -> None:
    few = writing(sandbox, max_calls=8, batch_size_rows=10, ledger_path="ledger.db")

    failed = dlt.start(
        contacts(250, full_name="Ann"),
        DESTINATION__VOUCHERIFY__SETTINGS=few,
        LOAD__RAISE_ON_MAX_RETRIES="1",
    )

    assert failed.returncode
    assert 0 < len(sandbox.project.customers) < 250


def test_a_refused_row_fails_the_load_unless_there_is_a_file_for_it(
    sandbox: Sandbox, dlt: Dlt
) -> None:
    program = contacts(30, full_name="Ann").replace("f'k-{n}'", "f'k-{n}' if n else ' '")
    with_file = writing(sandbox, refused_records_path="refused.singer")

    failed = dlt.start(program, LOAD__RAISE_ON_MAX_RETRIES="1")
    assert failed.returncode
    dlt.run(program, DESTINATION__VOUCHERIFY__SETTINGS=with_file)

    assert (dlt.folder / "refused.singer").read_text().count("RECORD") == 1
    assert len(sandbox.project.customers) == 29


def test_one_command_installs_the_bridge_and_both_plugins(tmp_path: Path) -> None:
    venv.create(tmp_path)
    python = tmp_path / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    install = (uv, "pip", "install", "--quiet", "--python", python, ROOT / "bridges/dlt")
    subprocess.run(install, check=True)
    code = "import dlt_voucherify; print(dlt_voucherify.voucherify_source.__name__)"

    assert subprocess.check_output((python, "-c", code), text=True).strip() == "voucherify_source"
    for plugin in ("tap-voucherify", "target-voucherify"):
        assert subprocess.check_output((tmp_path / "bin" / plugin, "--version"))
