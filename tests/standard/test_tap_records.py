"""The tap writes the records that the SDK would write, and reshapes them as the SDK does."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from filling import fill
from singer import Run, run, selecting
from tap_voucherify.streams.catalog import STREAMS

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

EVERY_STREAM = sorted(stream.name for stream in STREAMS)
ORDINARY_WAY = {"stream_maps": {name: {"__alias__": name} for name in EVERY_STREAM}}
"""Maps that change nothing: with any map the SDK's own code makes and writes each record."""


def without_now(done: Run) -> list[str]:
    """The lines of a run, without what tells the time of it."""
    lines = re.sub(r'"(time_extracted|started|replication_key_value)":"[^"]*"', "", done.stdout)
    return lines.splitlines()


def calls_of(done: Run) -> int:
    """The calls of a run, by its summary."""
    return int(json.loads(done.log.rpartition("run summary ")[2].splitlines()[0])["calls"])


@pytest.fixture
def long_ago(sandbox: Sandbox) -> Sandbox:
    """A filled sandbox with more customers than one page, some of them updated."""
    sandbox.clock.advance(-3600)
    fill(sandbox.project)
    for number in range(230):
        customer = {"source_id": f"c{number}", "name": f"Zoë {number}", "metadata": {"age": number}}
        sandbox.project.upsert_customer(customer)
    for number in range(0, 230, 3):
        sandbox.project.upsert_customer({"source_id": f"c{number}", "phone": "1"})
    sandbox.clock.set(None)
    return sandbox


def test_the_quick_way_writes_the_text_that_the_sdk_writes(
    long_ago: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    selected = selecting(tmp_path, *EVERY_STREAM)

    quick = run("tap_voucherify", connection, *selected)
    ordinary = run("tap_voucherify", {**connection, **ORDINARY_WAY}, *selected)

    assert quick.exit_code == ordinary.exit_code == 0, quick.log + ordinary.log
    assert len(quick.records("customers")) == len(long_ago.project.people.by_id)
    records = [line for line in without_now(quick) if '"type":"RECORD"' in line]
    assert records == [line for line in without_now(ordinary) if '"type":"RECORD"' in line]
    assert quick.states[-1].keys() == ordinary.states[-1].keys()


def test_the_sdk_counts_what_it_does_not_write(
    long_ago: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    done = run("tap_voucherify", connection, *selecting(tmp_path, "customers"))

    count = len(long_ago.project.people.by_id)
    counted = re.findall(r'"metric":"record_count","value":(\d+)', done.log)
    assert [int(value) for value in counted] == [count]
    assert f'"rows": {count}' in done.log


def test_a_column_that_is_not_wanted_does_not_come(
    long_ago: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    del long_ago
    _, path = selecting(tmp_path, "customers")
    catalog = json.loads((tmp_path / "catalog.json").read_text())
    customers = next(s for s in catalog["streams"] if s["tap_stream_id"] == "customers")
    for column in (["email"], ["address", "city"]):
        breadcrumb = [step for name in column for step in ("properties", name)]
        known = [entry for entry in customers["metadata"] if entry["breadcrumb"] == breadcrumb]
        entry = known[0] if known else {"breadcrumb": breadcrumb, "metadata": {}}
        entry["metadata"] = {"inclusion": "available", "selected": False}
        customers["metadata"] += [] if known else [entry]
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))

    records = run("tap_voucherify", connection, "--catalog", path).records("customers")

    assert len(records) > 230
    assert not any("email" in record for record in records)
    assert not any("city" in (record.get("address") or {}) for record in records)


def test_counters_that_are_not_wanted_still_spare_calls(
    long_ago: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    del long_ago
    path = selecting(tmp_path, "customers", "reward_events")[1]
    whole = run("tap_voucherify", connection, "--catalog", path)
    catalog = json.loads((tmp_path / "catalog.json").read_text())
    customers = next(s for s in catalog["streams"] if s["tap_stream_id"] == "customers")
    for entry in customers["metadata"]:
        if entry["breadcrumb"][1:] in (["summary"], ["loyalty"], ["referrals"]):
            entry["metadata"] = {"inclusion": "available", "selected": False}
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))

    done = run("tap_voucherify", connection, "--catalog", path)

    assert calls_of(done) == calls_of(whole) > 0
    assert not any(
        {"summary", "loyalty", "referrals"} & r.keys() for r in done.records("customers")
    )
    assert done.records("reward_events") == whole.records("reward_events")


def test_what_came_before_a_record_that_breaks_the_map_is_written(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    sandbox.clock.advance(-3600)
    for number in range(5):
        sandbox.project.upsert_customer({"source_id": f"c{number}"})
    sandbox.clock.advance(60)
    sandbox.project.upsert_customer({"name": "without a source_id"})
    sandbox.clock.set(None)
    config = {**connection, "stream_maps": {"customers": {"key": "source_id.upper()"}}}

    done = run("tap_voucherify", config, *selecting(tmp_path, "customers"))

    assert done.exit_code == 1
    assert [r["key"] for r in done.records("customers")] == ["C0", "C1", "C2", "C3", "C4"]


@pytest.mark.parametrize(
    ("settings", "columns"),
    [
        pytest.param(
            {"stream_maps": {"customers": {"initial": "source_id[:1]"}}}, {"initial"}, id="mapped"
        ),
        pytest.param(
            {"stream_maps": {"customers": {"crm": "source_id", "object": "__NULL__"}}},
            {"crm"},
            id="renamed",
        ),
        pytest.param(
            {"flattening_enabled": True, "flattening_max_depth": 1},
            {"loyalty__points"},
            id="flattened",
        ),
    ],
)
def test_what_is_to_be_reshaped_is_reshaped(
    long_ago: Sandbox,
    connection: dict[str, Any],
    tmp_path: Path,
    settings: dict[str, Any],
    columns: set[str],
) -> None:
    done = run("tap_voucherify", {**connection, **settings}, *selecting(tmp_path, "customers"))

    records = done.records("customers")
    assert len(records) == len(long_ago.project.people.by_id), done.log
    assert all(columns <= record.keys() for record in records)


def test_a_record_of_a_version_says_so(
    long_ago: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    del long_ago
    _, path = selecting(tmp_path, "customers")
    catalog = json.loads((tmp_path / "catalog.json").read_text())
    for stream in catalog["streams"]:
        root = next(entry for entry in stream["metadata"] if not entry["breadcrumb"])
        root["metadata"]["forced-replication-method"] = "FULL_TABLE"
        stream["replication_method"] = "FULL_TABLE"
    (tmp_path / "catalog.json").write_text(json.dumps(catalog))

    done = run(
        "tap_voucherify", {**connection, "emit_activate_version_messages": True}, "--catalog", path
    )

    versions = {
        m.get("version") for m in done.messages if m["type"] in {"RECORD", "ACTIVATE_VERSION"}
    }
    assert len(versions) == 1
    assert None not in versions


def test_a_row_that_does_not_fit_takes_the_ordinary_way_in_its_place(
    long_ago: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    odd = list(long_ago.project.people.by_id.values())[120]
    odd.profile["phone"] = 12

    done = run("tap_voucherify", connection, *selecting(tmp_path, "customers"))

    records = done.records("customers")
    assert len(records) == len(long_ago.project.people.by_id)
    assert [r["phone"] for r in records if r["id"] == odd.id] == ["12"]
    times = [record["created_at"] for record in records]
    assert times == sorted(times)
