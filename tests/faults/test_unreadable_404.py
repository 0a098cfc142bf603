"""A 404 is judged only where its body can be read: anything on the way may send another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from singer import Run, run, selecting
from singer_input import lines, record, schema
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

TAP, TARGET = "tap_voucherify", "target_voucherify"
PATHS = {TAP: "/v1/customers", TARGET: "/v1/metadata-schemas/customer"}
both = pytest.mark.parametrize("plugin", [TAP, TARGET])
BODIES = {
    "a page of a proxy": "<html><body>404 Not Found</body></html>",
    "no body": "",
    "half an object": '{"code": 404, "key": "not_fo',
}


def synced(plugin: str, config: dict[str, Any], folder: Path) -> Run:
    if plugin == TAP:
        return run(plugin, config, *selecting(folder, "customers"))
    return run(plugin, config, stdin=lines(schema(), record(1, metadata={"tier": "gold"})))


@both
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_it_is_retried(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, plugin: str, body: str
) -> None:
    sandbox.project.add_customers(3)
    fault = Fault(kind="status", status=404, body=body, path=PATHS[plugin], times=2)
    sandbox.faults.add(fault)

    done = synced(plugin, connection, tmp_path)

    assert done.exit_code == 0, done.log
    assert "answered 404, not JSON: waiting" in done.log


@both
def test_a_wrong_address_ends_soon_and_with_advice(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, plugin: str
) -> None:
    fault = Fault(kind="status", status=404, body=BODIES["a page of a proxy"], times=None)
    sandbox.faults.add(fault)

    done = synced(plugin, connection, tmp_path)

    assert done.exit_code == 1
    assert "404, not JSON 3 times in a row: check that api_url" in done.log
    summary = json.loads(done.log.rpartition("run summary ")[2].splitlines()[0])
    assert summary["calls"] == 3


@both
def test_a_404_of_voucherify_is_judged_at_once(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, plugin: str
) -> None:
    body = {"code": 404, "key": "not_found"}
    sandbox.faults.add(Fault(kind="status", status=404, body=body, path=PATHS[plugin]))

    done = synced(plugin, connection, tmp_path)

    assert "waiting" not in done.log
    assert done.exit_code == (1 if plugin == TAP else 0)
