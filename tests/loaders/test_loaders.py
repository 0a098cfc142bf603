"""Every stream of the tap, in the loaders that people use: no column is lost, none of a wrong kind.

Those of warehouses that nobody can start here translate the schemas; the others load the records.
`make loaders` installs them, each in an environment of its own; target-csv is part of `.venv`.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from demo.services import crm_database
from singer import Run, run, selecting_all
from tap_voucherify.streams.catalog import STREAMS
from voucherify_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[2]
PROBE = Path(__file__).parent / "column_types.py"

TEXT, NUMBER, BOOLEAN, TIME, STRUCTURE = "text", "number", "boolean", "time", "structure"
KINDS = {
    "string": TEXT,
    "integer": NUMBER,
    "number": NUMBER,
    "boolean": BOOLEAN,
    "object": STRUCTURE,
    "array": STRUCTURE,
}
"""Kinds by the types of JSON Schema."""

DAYS = {"activates_at"}
"""What the API calls as it does times, and gives as a day."""

SNOWFLAKE = {
    "VARCHAR": TEXT,
    "DECIMAL": NUMBER,
    "DOUBLE": NUMBER,
    "BOOLEAN": BOOLEAN,
    "TIMESTAMP_NTZ": TIME,
    "VARIANT": STRUCTURE,
}
BIGQUERY = {
    "STRING": TEXT,
    "INTEGER": NUMBER,
    "FLOAT": NUMBER,
    "BOOLEAN": BOOLEAN,
    "TIMESTAMP": TIME,
    "JSON": STRUCTURE,
    "RECORD": STRUCTURE,
}
POSTGRES = {
    "text": TEXT,
    "bigint": NUMBER,
    "numeric": NUMBER,
    "double precision": NUMBER,
    "boolean": BOOLEAN,
    "timestamp without time zone": TIME,
    "jsonb": STRUCTURE,
    "ARRAY": STRUCTURE,
}


@dataclass(frozen=True)
class Output:
    """What one run of the tap over every stream printed."""

    run: Run
    metadata_as_json: bool

    @cached_property
    def schemas(self) -> dict[str, dict[str, Any]]:
        """The properties of each stream."""
        return {
            message["stream"]: message["schema"]["properties"]
            for message in self.run.messages
            if message["type"] == "SCHEMA"
        }

    @cached_property
    def kinds(self) -> dict[str, dict[str, str]]:
        """The kind of each property, by stream."""
        return {
            stream: {name: kind_of(schema) for name, schema in properties.items()}
            for stream, properties in self.schemas.items()
        }

    @cached_property
    def keys(self) -> dict[str, set[str]]:
        """The ids of the records, by stream."""
        return {
            stream: {str(record["id"]) for record in self.run.records(stream)}
            for stream in self.schemas
        }


def kind_of(schema: dict[str, Any]) -> str:
    """The kind of a property.

    Raises:
        ValueError: a loader could not tell its type.
    """
    types = {schema["type"]} if isinstance(schema["type"], str) else {*schema["type"]}
    (only,) = types - {"null"}
    return TIME if schema.get("format") == "date-time" else KINDS[only]


@pytest.fixture(scope="module")
def seeded() -> Iterator[Sandbox]:
    with Sandbox(seed="demo") as running:
        yield running


@pytest.fixture(scope="module", params=[False, True], ids=["objects", "metadata_as_json"])
def output(
    request: pytest.FixtureRequest, seeded: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Output:
    settings = {
        "application_id": seeded.application_id,
        "secret_key": seeded.secret_key,
        "api_url": seeded.url,
        "metadata_as_json": request.param,
    }
    selection = selecting_all(tmp_path_factory.mktemp("loaders"), settings)
    done = run("tap_voucherify", settings, *selection)
    assert done.exit_code == 0, done.log
    made = Output(done, request.param)
    assert set(made.schemas) == {stream.name for stream in STREAMS}
    return made


def environment(loader: str) -> Path:
    """The programs of a loader, without which the test is skipped."""
    programs = ROOT / f".venv-loader-{loader}/bin"
    if not (programs / "python").exists():
        pytest.skip(f"target-{loader} is not there: `make loaders`")
    return programs


def load(command: list[str], output: Output, config: dict[str, Any], folder: Path) -> None:
    """Load all records by a loader; the last line that it prints is the last state."""
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    done = subprocess.run(
        [*command, "--config", str(path)],
        input=output.run.stdout,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == output.run.states[-1]


def translated(loader: str, output: Output) -> dict[str, dict[str, Any]]:
    """What the translator of a loader makes of every stream."""
    done = subprocess.run(
        [environment(loader) / "python", PROBE, loader],
        input=output.run.stdout,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return made


def kinds_of(columns: dict[str, str], kinds: dict[str, str]) -> dict[str, str]:
    """The kinds of columns by the names of their SQL types; a type that is not known fails."""
    return {name: kinds[sql_type] for name, sql_type in columns.items()}


def distinct(columns: dict[str, str]) -> bool:
    """Whether no two columns are one to a warehouse that ignores case."""
    return len({name.lower() for name in columns}) == len(columns)


def test_the_schema_says_what_is_a_time_and_what_an_object(output: Output) -> None:
    for stream, kinds in output.kinds.items():
        times = {name for name in kinds if name.endswith(("_at", "_date"))} - DAYS
        assert {name for name in times if kinds[name] != TIME} == set(), stream
        assert kinds.get("metadata") in {None, TEXT if output.metadata_as_json else STRUCTURE}


@pytest.mark.parametrize(
    ("loader", "sql_types"),
    [("snowflake", SNOWFLAKE), ("bigquery", BIGQUERY)],
    ids=["snowflake", "bigquery"],
)
def test_a_warehouse_has_every_column_in_its_kind(
    output: Output, loader: str, sql_types: dict[str, str]
) -> None:
    made = translated(loader, output)
    assert set(made) == set(output.kinds)
    for stream, kinds in output.kinds.items():
        assert kinds_of(made[stream]["types"], sql_types) == kinds, stream
        assert distinct(made[stream]["types"]), stream


def test_bigquery_loads_whole_records_as_json(output: Output) -> None:
    """Without `denormalized`, its default, nothing depends on the columns."""
    for stream, made in translated("bigquery", output).items():
        assert ["data", "JSON"] in made["loaded"], stream


def test_the_view_of_bigquery_needs_metadata_as_json(output: Output) -> None:
    """`JSON_VALUE` of an object is null, and the view takes objects of unknown keys by it."""
    made = translated("bigquery", output)
    lost = {stream for stream, one in made.items() if "as JSON)" in one["view"]}
    assert bool(lost) is not output.metadata_as_json, lost


def test_postgres_loads_every_record_and_column(output: Output, tmp_path: Path) -> None:
    command = [str(environment("postgres") / "target-postgres")]
    with crm_database(tmp_path / "db") as address:
        url = address.replace("postgresql", "postgresql+psycopg", 1)
        config = {"sqlalchemy_url": url, "default_target_schema": "voucherify"}
        load(command, output, config, tmp_path)
        with psycopg.connect(address) as connection:
            columns = connection.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = 'voucherify' AND column_name NOT LIKE '\\_sdc\\_%'"
            ).fetchall()
            keys = {
                stream: {
                    key
                    for (key,) in connection.execute(
                        f"SELECT id::text FROM voucherify.{stream}"  # noqa: S608 - our own name
                    )
                }
                for stream in output.schemas
            }
    assert keys == output.keys
    made: dict[str, dict[str, str]] = {stream: {} for stream in output.schemas}
    for stream, name, data_type in columns:
        made[stream][name] = data_type
    for stream, kinds in output.kinds.items():
        assert kinds_of(made[stream], POSTGRES) == kinds, stream


def test_jsonl_holds_every_record_as_it_is(output: Output, tmp_path: Path) -> None:
    command = [str(environment("jsonl") / "target-jsonl")]
    load(command, output, {"destination_path": str(tmp_path)}, tmp_path)
    for stream in output.schemas:
        wanted = sorted_lines(output.run.records(stream))
        held = [json.loads(line) for path in files(tmp_path, stream) for line in lines(path)]
        assert sorted_lines(held) == wanted, stream


def test_csv_holds_every_record_and_column(output: Output, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "target-csv")]
    load(command, output, {"output_path": str(tmp_path)}, tmp_path)
    for stream, kinds in output.kinds.items():
        with (tmp_path / f"{stream}.csv").open(newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        assert set(reader.fieldnames or ()) == set(kinds), stream
        held = {row["id"]: row for row in rows}
        records = {str(record["id"]): record for record in output.run.records(stream)}
        assert set(held) == set(records), stream
        for name, kind in kinds.items():
            for key, record in records.items():
                value, text = record.get(name), held[key][name]
                assert value is None or kind == STRUCTURE or same(text, value, kind), name
                # Objects are text of Python, dates inside them too: no column is empty for it.
                assert (value is None) is (not text) or kind == TEXT, (stream, name)


def same(text: str, value: Any, kind: str) -> bool:
    """Whether a cell has the value of a record; Python writes its booleans and times."""
    if kind == TIME:
        return datetime.fromisoformat(text) == datetime.fromisoformat(value)
    return text == str(value)


def files(folder: Path, stream: str) -> list[Path]:
    return sorted(folder.glob(f"{stream}-*.jsonl"))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def sorted_lines(records: list[Any]) -> list[str]:
    return sorted(json.dumps(record, sort_keys=True) for record in records)
