"""`--doctor` of both plugins: each broken set-up has its line, nothing is written, few calls."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from singer_input import contacts, lines
from target_run import load, settings
from voucherify_sandbox import Fault, Limits, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TAP, TARGET = "tap_voucherify", "target_voucherify"
Config = dict[str, Any]


def examined(plugin: str, config: Config, folder: Path, *more: str) -> tuple[int, str]:
    """The exit status and the report."""
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, "-m", plugin, "--config", str(path), *more, "--doctor"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    leaks.saw(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def refused(path: str, status: int = 403) -> Fault:
    body = json.dumps({"code": status, "key": "forbidden", "message": "No", "details": "No"})
    return Fault(kind="status", status=status, body=body, path=path, times=None)


@pytest.mark.parametrize("plugin", [TAP, TARGET])
def test_a_good_set_up_is_green_and_nothing_is_written(
    plugin: str, project: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    config = settings(project) if plugin == TARGET else keys(project)
    if plugin == TARGET:
        names = ("ledger_path", "refused_records_path", "results_path")
        config |= {name: str(folder / name) for name in names}
    status, report = examined(plugin, config, tmp_path)
    assert status == 0, report
    assert "0 WRONG" in report
    assert list(folder.iterdir()) == []
    assert {request.method for request in project.requests} == {"GET"}
    assert project.calls <= 12
    assert f"by {project.calls} API calls" in report
    assert project.secret_key not in report


def keys(sandbox: Sandbox, **more: Any) -> Config:
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
        **more,
    }


CONFIGS: dict[str, tuple[str, Config, str]] = {
    "tap: no key": (TAP, {"secret_key": None}, "secret_key"),
    "tap: an unknown setting": (TAP, {"start_dat": "2026"}, "the nearest is start_date"),
    "tap: no date": (TAP, {"start_date": "yesterday"}, "start_date is not an ISO 8601"),
    "tap: an end before the start": (
        TAP,
        {"start_date": "2026-02-01", "end_date": "2026-01-01"},
        "end_date must be after start_date",
    ),
    "tap: a wrong key": (TAP, {"secret_key": "wrong"}, "WRONG   keys and region"),
    "tap: http": (TAP, {"api_url": "http://api.voucherify.io"}, "api_url"),
    "tap: nobody there": (TAP, {"api_url": "http://127.0.0.1:9"}, "Cannot reach"),
    "tap: no store": (TAP, {"webhook_store": "/nowhere/store.db"}, "start `voucherify-webhooks"),
    "tap: no folder for metrics": (TAP, {"metrics_path": "/nowhere/m.prom"}, "/nowhere is missing"),
    "target: no key": (TARGET, {"application_id": None}, "application_id"),
    "target: an unknown setting": (TARGET, {"ledger": "x"}, "the nearest is ledger_path"),
    "target: a wrong value": (TARGET, {"write_path": "fast"}, "write_path"),
    "target: settings at odds": (TARGET, {"verify": True}, "verify needs compare: export"),
    "target: one stream for two": (
        TARGET,
        {"entities": {"orders": {"stream": "customers"}}},
        "both come from stream customers",
    ),
    "target: a wrong key": (TARGET, {"secret_key": "wrong"}, "WRONG   keys and region"),
    "target: nobody there": (TARGET, {"api_url": "http://127.0.0.1:9"}, "Cannot reach"),
    "target: no folder for a ledger": (TARGET, {"ledger_path": "/nowhere/l.db"}, "/nowhere is"),
    "target: a folder as results": (TARGET, {"results_path": "/usr"}, "results_path: /usr cannot"),
    "target: a plan of no dry run": (TARGET, {"plan_path": "p"}, "plan_path is for a dry run"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_wrong_setting_has_its_line(name: str, project: Sandbox, tmp_path: Path) -> None:
    plugin, change, line = CONFIGS[name]
    config = {**keys(project), **change}
    status, report = examined(plugin, {k: v for k, v in config.items() if v is not None}, tmp_path)
    assert status == 1
    assert line in report
    assert "wrong" not in report.replace("WRONG", "")


DENIED: dict[str, tuple[str, str, Config, str]] = {
    "tap: a stream": (TAP, "/v1/redemptions", {}, "WRONG   stream redemptions"),
    "tap: customers": (TAP, "/v1/customers", {}, "WRONG   keys and region"),
    "tap: exports": (TAP, "/v1/exports", {"customers_backfill": "export"}, "WRONG   exports"),
    "target: jobs": (TARGET, "/v1/async-actions", {}, "WRONG   jobs"),
    "target: orders": (TARGET, "/v1/orders", {"entities": {"orders": {}}}, "WRONG   orders"),
    "target: exports": (TARGET, "/v1/exports", {"compare": "export"}, "WRONG   exports"),
    "target: a schema": (TARGET, "/v1/metadata-schemas/*", {}, "WRONG   metadata of customers"),
}


@pytest.mark.parametrize("name", DENIED)
def test_what_the_key_may_not_read_has_its_line(
    name: str, project: Sandbox, tmp_path: Path
) -> None:
    plugin, path, change, line = DENIED[name]
    project.faults.add(refused(path))
    more: tuple[str, ...] = ()
    if plugin == TAP and "redemptions" in path:
        catalog = tmp_path / "catalog.json"
        found = subprocess.check_output([sys.executable, "-m", TAP, "--discover"])
        chosen = json.loads(found)
        for stream in chosen["streams"]:
            for part in stream["metadata"]:
                if part["breadcrumb"] == []:
                    part["metadata"]["selected"] = True
        catalog.write_text(json.dumps(chosen))
        more = ("--catalog", str(catalog))
    status, report = examined(plugin, keys(project, **change), tmp_path, *more)
    assert (status, line in report) == (1, True), report


def ledger_of_another(project: Sandbox, folder: Path) -> Config:
    config = settings(project, ledger_path=str(folder / "ledger.db"))
    load(config, lines(*contacts(2)))
    return {**config, "application_id": "another"}


def a_ledger_in_use(project: Sandbox, folder: Path) -> Config:
    config = settings(project, ledger_path=str(folder / "ledger.db"))
    load(config, lines(*contacts(2)))
    descriptor = os.open(folder / "ledger.db.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return config


def a_key_that_no_schema_has(project: Sandbox, _: Path) -> Config:
    known = {"tier": {"type": "string"}}
    project.project.define_metadata("customer", known, allow_defined_only=True)
    return settings(project, mapping={"name": "name", "metadata.level": "tier"})


def a_required_key_that_is_not_mapped(project: Sandbox, _: Path) -> Config:
    needed = {"tier": {"type": "string", "optional": False}}
    project.project.define_metadata("customer", needed)
    return settings(project, mapping={"name": "name"})


FILES: dict[str, tuple[Callable[[Sandbox, Path], Config], str]] = {
    "a ledger of another project": (ledger_of_another, "belongs to another project"),
    "a ledger in use": (a_ledger_in_use, "is in use by another run"),
    "metadata that the schema lacks": (a_key_that_no_schema_has, "level is mapped, and the schema"),
    "metadata that is required": (a_required_key_that_is_not_mapped, "tier is required, and not"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_does_not_fit_the_project_has_its_line(
    name: str, project: Sandbox, tmp_path: Path
) -> None:
    make, line = FILES[name]
    status, report = examined(TARGET, make(project, tmp_path), tmp_path)
    assert (status, line in report) == (1, True), report


def test_the_state_of_another_project_has_its_line(project: Sandbox, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"project": "0" * 16, "bookmarks": {}}))
    status, report = examined(TAP, keys(project), tmp_path, "--state", str(state))
    assert (status, "belongs to another project" in report) == (1, True)


def test_a_used_up_quota_is_not_waited_for(tmp_path: Path) -> None:
    with Sandbox(limits=Limits(calls=1, period_seconds=3600)) as sandbox:
        status, report = examined(TARGET, settings(sandbox), tmp_path)
        assert sandbox.calls == 1
    assert status == 1
    assert "0 of 1 calls are left" in report
    assert "unseen  jobs" in report
