"""Records that an expression of a stream map fails on, or whose values it would log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from singer import run
from singer_input import lines, record, schema, state
from target_run import held, load, settings

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

FAILING: dict[str, dict[str, Any]] = {
    "a method of null": {"name": "name.upper()"},
    "a number of text": {"name": "str(int(email))"},
    "a division by zero": {"name": "str(1 / int(bool(name)))"},
    "a member that is not there": {"name": "metadata['tier']"},
    "a filter": {"__filter__": "name.upper() != 'X'"},
}
"""Expressions that fail on one record of three."""


def bad(number: int) -> dict[str, Any]:
    """Whatever the expression, it fails on this record and on no other."""
    return record(number, name=None, email="jane@example.com", metadata={})


def good(number: int) -> dict[str, Any]:
    return record(number, email="12", metadata={"tier": "gold"})


@pytest.mark.parametrize("kind", FAILING)
def test_the_record_is_refused_and_the_others_are_written(
    sandbox: Sandbox, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "refused.singer"
    stream_map = FAILING[kind]
    config = settings(
        sandbox, refused_records_path=str(path), stream_maps={"customers": stream_map}
    )
    messages = [schema(), good(1), state({"n": 1}), bad(2), good(3), state({"n": 3})]
    done = load(config, lines(*messages))

    assert (done.error, done.states[-1]) == (None, {"n": 3})
    assert held(sandbox) == {"crm-1", "crm-3"}
    refused = json.loads(path.read_text().splitlines()[1])["record"]
    assert refused["source_id"] == "crm-2"
    assert refused["_refused_key"] == "stream_map_failed"
    part = "its filter" if kind == "a filter" else "property name"
    assert f"the stream map of customers fails at {part}" in refused["_refused_reason"]
    assert f"fails at {part}" in done.log
    assert done.accounted == done.summary["received"] == 3


def test_without_a_refused_file_the_run_fails_after_writing_the_others(sandbox: Sandbox) -> None:
    config = settings(sandbox, stream_maps={"customers": FAILING["a method of null"]})
    messages = [schema(), good(1), state({"n": 1}), bad(2), good(3), state({"n": 3})]
    done = load(config, lines(*messages))

    assert "stream_map_failed: 1" in str(done.error)
    assert done.states == [{"n": 1}]
    assert held(sandbox) == {"crm-1", "crm-3"}


@pytest.mark.parametrize("filtered", [{}, {"__filter__": "source_id != 'crm-2'"}], ids=["", "f"])
def test_a_record_that_fails_is_not_missing(
    sandbox: Sandbox, tmp_path: Path, filtered: dict[str, Any]
) -> None:
    ledger = str(tmp_path / "ledger.db")
    config = settings(
        sandbox,
        ledger_path=ledger,
        on_delete="permanent_delete",
        max_delete_percent=100,
        refused_records_path=str(tmp_path / "refused.singer"),
    )

    def whole(version: int, *records: dict[str, Any]) -> str:
        versioned = [{**each, "version": version} for each in records]
        end = {"type": "ACTIVATE_VERSION", "stream": "customers", "version": version}
        return lines(schema(), *versioned, end)

    load(config, whole(1, good(1), good(2), good(3)))
    config |= {"stream_maps": {"customers": {**filtered, **FAILING["a method of null"]}}}
    load(config, whole(2, good(1), bad(2)))

    assert held(sandbox) == {"crm-1", "crm-2", "crm-3"}


def test_values_are_not_logged_at_any_level(connection: dict[str, Any]) -> None:
    """The value of a filter is that of a property; `tests/leaks.py` knows the others."""
    stream_map = {"__filter__": "email", "name": "name.upper()"}
    config = {**connection, "stream_maps": {"customers": stream_map}}
    done = run(
        "target_voucherify",
        config,
        stdin=lines(schema(), record(1), record(2, name=None)),
        env={"LOGLEVEL": "DEBUG"},
    )

    assert done.exit_code == 1
    assert "fails at property name" in done.log
    assert "example.com" not in done.log
