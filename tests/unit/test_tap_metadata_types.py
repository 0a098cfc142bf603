"""Metadata keys that the project has defined get types, and no key is lost by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from filling import fill
from singer import run
from tap_voucherify.records.metadata_types import as_json_text, with_metadata_types
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

PLAIN = {
    "type": "object",
    "properties": {
        "metadata": {"type": ["object", "null"], "properties": {}, "additionalProperties": True}
    },
}


def typed(**properties: Any) -> Any:
    definitions = [{"related_object": "customer", "properties": properties}]
    made = with_metadata_types(PLAIN, "customers", definitions)
    return made["properties"]["metadata"]["properties"]


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("string", ["string", "null"]),
        ("number", ["number", "string", "null"]),
        ("boolean", ["boolean", "string", "null"]),
        ("date", ["string", "null"]),
        ("datetime", ["string", "null"]),
        ("geopoint", ["string", "null"]),
        ("image_url", ["string", "null"]),
        ("object", ["object", "string", "null"]),
        ("of the future", ["string", "null"]),
    ],
)
def test_a_defined_key_has_its_type_and_text_and_null(kind: str, types: list[str]) -> None:
    assert typed(key={"type": kind})["key"]["type"] == types
    listed = typed(key={"type": kind, "array": True})["key"]
    assert listed["type"] == ["array", "string", "null"]
    assert listed["items"]["type"] == types


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({"Tier": {"type": "string"}, "tier": {"type": "number"}}, id="case alone"),
        pytest.param({'say "a"': {"type": "string"}}, id="a quote"),
        pytest.param({"old": {"type": "string", "deleted": True}}, id="removed"),
        pytest.param({"odd": "string"}, id="no definition"),
    ],
)
def test_a_key_that_a_loader_could_not_take_stays_untyped(properties: dict[str, Any]) -> None:
    assert typed(**properties) == {}


def test_other_resources_and_other_keys_stay_open() -> None:
    made = with_metadata_types(
        PLAIN, "customers", [{"related_object": "voucher", "properties": {"a": {"type": "number"}}}]
    )

    assert made == PLAIN
    assert jsonschema_rs.is_valid(made, {"metadata": {"anything": [1]}})


def discovered(config: dict[str, Any]) -> dict[str, Any]:
    done = run("tap_voucherify", config, "--discover")
    assert done.exit_code == 0, done.log
    return {
        stream["tap_stream_id"]: stream["schema"]["properties"].get("metadata", {})
        for stream in json.loads(done.stdout)["streams"]
    }


def test_discovery_types_every_resource_by_one_call(
    sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    for resource in ("customer", "order", "redemption", "campaign", "voucher", "reward"):
        sandbox.project.define_metadata(resource, {f"{resource}_rank": {"type": "number"}})

    found = discovered(connection)

    assert sandbox.calls == 1
    for stream in ("customers", "orders", "redemptions", "campaigns", "vouchers", "rewards"):
        key = f"{stream[:-1]}_rank"
        assert found[stream]["properties"][key]["type"] == ["number", "string", "null"]
        assert found[stream]["additionalProperties"] is True


def test_a_key_defined_later_shows_at_the_next_discovery(
    sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    assert discovered(connection)["customers"]["properties"] == {}
    sandbox.project.define_metadata("customer", {"age": {"type": "number"}})
    assert set(discovered(connection)["customers"]["properties"]) == {"age"}


@pytest.mark.parametrize("status", [402, 403, 404])
def test_a_key_that_may_not_read_definitions_still_discovers(
    sandbox: Sandbox, connection: dict[str, Any], status: int
) -> None:
    sandbox.faults.add(Fault(kind="status", status=status, times=None))

    assert discovered(connection)["customers"]["properties"] == {}


def test_a_wrong_key_still_discovers_and_is_told(connection: dict[str, Any]) -> None:
    done = run("tap_voucherify", {**connection, "secret_key": "wrong"}, "--discover")

    assert done.exit_code == 0
    assert "Metadata stays without types" in done.log
    assert "check application_id and secret_key" in done.log


def test_discovery_without_settings_asks_nobody(sandbox: Sandbox) -> None:
    assert discovered({})["customers"]["properties"] == {}
    assert sandbox.calls == 0


def test_a_sync_with_a_catalog_takes_its_types_and_does_not_ask_again(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    project = sandbox.project
    project.upsert_customer({"source_id": "old", "metadata": {"age": "forty", "vip": 1}})
    project.define_metadata("customer", {"age": {"type": "number"}, "vip": {"type": "boolean"}})
    project.upsert_customer({"source_id": "new", "metadata": {"age": 40, "vip": True, "x": [1]}})
    catalog = tmp_path / "catalog.json"
    catalog.write_text(run("tap_voucherify", connection, "--discover").stdout)
    sandbox.forget_requests()

    done = run("tap_voucherify", connection, "--catalog", str(catalog))

    assert not [served for served in sandbox.requests if "metadata" in served.path]
    announced = next(m["schema"] for m in done.messages if m.get("stream") == "customers")
    types = announced["properties"]["metadata"]["properties"]
    assert types["age"]["type"] == ["number", "string", "null"]
    assert {row["source_id"]: row["metadata"] for row in done.records("customers")} == {
        "old": {"age": "forty", "vip": "1"},
        "new": {"age": 40, "vip": True, "x": [1]},
    }
    assert "became null" not in done.log


def test_only_objects_without_fixed_members_become_text() -> None:
    free = {"type": ["object", "null"], "properties": {}, "additionalProperties": True}
    fixed = {"type": "object", "properties": {"city": {"type": "string"}, "extra": free}}
    made = as_json_text(
        {
            "type": "object",
            "properties": {
                "metadata": {**fixed, "description": "The project's own."},
                "address": fixed,
                "items": {"type": "array", "items": free},
            },
        }
    )["properties"]

    text = {"type": ["string", "null"]}
    assert made["metadata"] == {**text, "description": "The project's own."}
    assert made["address"]["properties"] == {"city": {"type": "string"}, "extra": text}
    assert made["items"] == {"type": "array", "items": text}


@pytest.mark.parametrize("has_catalog", [False, True])
def test_metadata_as_json_changes_no_value_and_costs_no_call(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, *, has_catalog: bool
) -> None:
    sandbox.clock.advance(-86_400)
    fill(sandbox.project)
    sandbox.clock.advance(3_600)
    catalog = tmp_path / "catalog.json"
    # Discovered without the setting, and with types of the project.
    catalog.write_text(run("tap_voucherify", connection, "--discover").stdout)
    options = ("--catalog", str(catalog)) if has_catalog else ()
    sandbox.forget_requests()
    plain = run("tap_voucherify", connection, *options)
    calls = sandbox.calls
    sandbox.forget_requests()

    text = run("tap_voucherify", {**connection, "metadata_as_json": True}, *options)

    assert sandbox.calls == calls
    schemas = {one["stream"]: one["schema"] for one in text.messages if one["type"] == "SCHEMA"}
    assert schemas["customers"]["properties"]["metadata"]["type"] == ["string", "null"]
    for message in text.messages:
        if message["type"] == "RECORD":
            assert jsonschema_rs.is_valid(schemas[message["stream"]], message["record"])
    for stream in ("customers", "reward_events"):
        assert [parsed(record) for record in text.records(stream)] == plain.records(stream)
    assert any(isinstance(one["metadata"], str) for one in text.records("customers"))


def parsed(value: Any) -> Any:
    """The value with the objects that are JSON text in it."""
    if isinstance(value, dict):
        return {key: parsed(member) for key, member in value.items()}
    if isinstance(value, list):
        return [parsed(part) for part in value]
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def test_discovery_of_metadata_as_json_needs_no_call(
    sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    found = run("tap_voucherify", {**connection, "metadata_as_json": True}, "--discover")

    streams = {stream["stream"]: stream for stream in json.loads(found.stdout)["streams"]}
    columns = streams["customers"]["schema"]["properties"]
    assert columns["metadata"]["type"] == ["string", "null"]
    assert sandbox.calls == 0
