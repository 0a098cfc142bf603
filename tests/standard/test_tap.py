"""The SDK's own tap suite over every stream, and every record held against its own schema."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from filling import fill
from singer import Run, run
from tap_voucherify import schemas
from tap_voucherify.streams.catalog import STREAMS
from tap_voucherify.tap import TapVoucherify
from voucherify_sandbox import Sandbox
from voucherify_sandbox.readings import answers, names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = {stream.name for stream in STREAMS}
BY_WEBHOOKS = {"customer_deletions"}
"""Streams that the API has no rows for."""
SANDBOX = Sandbox().start()
"""The suite is parametrised when this file is read, so its sandbox already runs then."""

fill(SANDBOX.project)


def connection_to(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
    }


def everything_selected() -> dict[str, Any]:
    catalog: dict[str, Any] = TapVoucherify(config=connection_to(SANDBOX)).catalog_dict
    for stream in catalog["streams"]:
        root = next(one for one in stream["metadata"] if not one["breadcrumb"])
        root["metadata"]["selected"] = True
    return catalog


# Nearly every field of the API is optional, and a field that no row has is no warning. The SDK has
# two sentences for it; the second is said of the first field of a stream that a worker tests.
@pytest.mark.filterwarnings("ignore:No records were available to test")
@pytest.mark.filterwarnings("ignore:Fields in transformed catalog but not in records")
class TestTap(
    get_tap_test_class(  # type: ignore[misc] # the SDK makes the class as it runs
        TapVoucherify,
        config=connection_to(SANDBOX),
        catalog=everything_selected(),
        suite_config=SuiteConfig(ignore_no_records_for_streams=sorted(BY_WEBHOOKS)),
    )
):
    pass


@pytest.fixture(scope="module", autouse=True)
def _served() -> Iterator[None]:
    yield
    SANDBOX.stop()


@pytest.fixture
def all_streams(tmp_path: Path) -> list[str]:
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(everything_selected()))
    return ["--catalog", str(path)]


def problems(done: Run) -> list[str]:
    """What a strict validator objects to, format included, record by record."""
    validators = {
        message["stream"]: jsonschema_rs.validator_for(message["schema"], validate_formats=True)
        for message in done.messages
        if message["type"] == "SCHEMA"
    }
    return [
        f"{message['stream']} {'/'.join(map(str, error.instance_path))}: {error.message}"
        for message in done.messages
        if message["type"] == "RECORD"
        for error in validators[message["stream"]].iter_errors(message["record"])
    ]


def streams_of(done: Run) -> set[str]:
    return {message["stream"] for message in done.messages if message["type"] == "RECORD"}


def test_every_stream_has_records_that_fit_and_one_schema(all_streams: list[str]) -> None:
    done = run("tap_voucherify", connection_to(SANDBOX), *all_streams)

    assert done.exit_code == 0, done.log
    assert streams_of(done) == NAMES - BY_WEBHOOKS
    assert problems(done) == []
    announced = [m["stream"] for m in done.messages if m["type"] == "SCHEMA"]
    assert sorted(announced) == sorted(NAMES)
    assert "became null" not in done.log


SHOWN_IN_ROWS = ("timestamps", "unknown_fields", "null_fields", "missing_updated_at")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name} is {value}")
        for name in names()
        if name in SHOWN_IN_ROWS
        for value in answers(name)
    ],
)
def test_records_fit_however_the_api_writes_them(
    all_streams: list[str], name: str, value: str
) -> None:
    with Sandbox() as sandbox:
        fill(sandbox.project)
        sandbox.readings.change(**{name: value})

        done = run("tap_voucherify", connection_to(sandbox), *all_streams)

    assert done.exit_code == 0, done.log
    assert problems(done) == []
    assert len({record["id"] for record in done.records("customers")}) == 4


def nested(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nested(part, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from nested(schema[keyword], f"{path}.{keyword}")


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_schema_holds_what_loaders_cannot_take_otherwise(stream: Any) -> None:
    """A type everywhere, null but for the keys, no two names that differ in case alone."""
    schema = json.loads(files(schemas).joinpath(f"{stream.name}.json").read_text())
    needed = {*stream.primary_keys, *filter(None, [stream.replication_key])}
    if stream.name == "reward_events":
        needed = {"id"}

    for path, part in nested(schema, stream.name):
        assert "type" in part, path
        assert "enum" not in part, path
        assert "anyOf" not in part, path
        properties = part.get("properties", {})
        assert len({name.lower() for name in properties}) == len(properties), path
    for name, part in schema["properties"].items():
        assert ("null" in part["type"]) is (name not in needed), name
        assert part["description"].endswith("."), name
