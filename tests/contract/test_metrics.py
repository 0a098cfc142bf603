"""The file of `metrics_path`, as Prometheus reads it, and that the alerts ask for nothing else."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from singer import Run, run, selecting
from singer_input import contacts, lines, record, schema, state
from tap_voucherify.voucherify_client.metrics import METRICS

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

ALERTS = Path(__file__).parents[2] / "examples" / "prometheus" / "alerts.yml"

Config = dict[str, Any]


def samples(path: Path) -> dict[str, float]:
    """The samples of a file, as Prometheus parses it; a label's value stands after a colon."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(path.read_text()):
        assert family.documentation
        assert family.type in {"counter", "gauge"}
        for sample in family.samples:
            assert sample.labels["pipeline"] == path.stem
            rest = [value for name, value in sample.labels.items() if name != "pipeline"]
            name = ":".join([sample.name, *rest])
            assert name not in found
            found[name] = sample.value
    return found


def names(path: Path) -> set[str]:
    return {name.partition(":")[0] for name in samples(path)}


def summary(done: Run) -> dict[str, Any]:
    line = next(line for line in reversed(done.log.splitlines()) if "run summary" in line)
    counts: dict[str, Any] = json.loads(line.partition("run summary ")[2])
    return counts


def tapped(connection: Config, path: Path, **more: Any) -> Run:
    catalog = selecting(path.parent, "customers")
    return run("tap_voucherify", {**connection, "metrics_path": str(path), **more}, *catalog)


def loaded(connection: Config, path: Path, *messages: Any, **more: Any) -> Run:
    config = {**connection, "metrics_path": str(path), **more}
    return run("target_voucherify", config, stdin=lines(*messages))


@pytest.fixture
def filled(sandbox: Sandbox, connection: Config) -> Sandbox:
    assert run("target_voucherify", connection, stdin=lines(*contacts(120))).exit_code == 0
    return sandbox


@pytest.mark.usefixtures("filled")
def test_a_run_of_the_tap_is_told_as_in_its_summary(connection: Config, tmp_path: Path) -> None:
    path, begun = tmp_path / "shop.prom", time.time()
    told = summary(tapped(connection, path))
    found = samples(path)
    assert found["voucherify_tap_rows_total:customers"] == told["rows"] == 120
    assert found["voucherify_tap_api_calls_total"] == told["calls"]
    assert found["voucherify_tap_waited_seconds_total"] == told["seconds_waited"]
    assert found["voucherify_tap_quota_left"] == told["quota_left"]
    assert found["voucherify_tap_last_run_complete"] == 1
    assert found["voucherify_tap_last_run_exit_code"] == 0
    assert begun - 1 < found["voucherify_tap_last_success_timestamp_seconds"] <= time.time()
    lag = time.time() - found["voucherify_tap_bookmark_timestamp_seconds:customers"]
    assert 0 < lag < 200


def test_a_run_of_the_target_is_told_as_in_its_summary(connection: Config, tmp_path: Path) -> None:
    path, begun = tmp_path / "crm.prom", time.time()
    refused = [record(9, source_id=""), record(10, source_id=None)]
    messages = [*contacts(8), *refused, state({"at": 1})]
    more = {"refused_records_path": str(tmp_path / "refused"), "max_refused_percent": 100}
    told = summary(loaded(connection, path, *messages, **more))
    found = samples(path)
    for outcome in ("accepted", "refused", "unchanged", "duplicates", "deleted", "unconfirmed"):
        assert found[f"voucherify_target_records_total:{outcome}"] == told[outcome]
    assert told["refused"] > 0
    assert found["voucherify_target_last_run_refused_ratio"] == told["refused"] / told["received"]
    assert found["voucherify_target_last_run_complete"] == 1
    assert begun - 1 < found["voucherify_target_state_timestamp_seconds"] <= time.time()


@pytest.mark.usefixtures("filled")
def test_counters_go_on_and_a_failure_keeps_the_last_success(
    connection: Config, tmp_path: Path
) -> None:
    path = tmp_path / "shop.prom"
    tapped(connection, path)
    first = samples(path)
    failed = tapped({**connection, "secret_key": "wrong"}, path)
    then = samples(path)
    success = "voucherify_tap_last_success_timestamp_seconds"
    assert failed.exit_code == then["voucherify_tap_last_run_exit_code"] == 1
    assert then["voucherify_tap_last_run_complete"] == 0
    assert then[success] == first[success]
    assert then["voucherify_tap_last_run_timestamp_seconds"] > first[success]
    assert then["voucherify_tap_runs_total"] == 2
    assert then["voucherify_tap_failed_runs_total"] == 1
    assert then["voucherify_tap_rows_total:customers"] == 120
    tapped(connection, path)
    assert samples(path)["voucherify_tap_rows_total:customers"] == 240
    assert samples(path)[success] > first[success]


def test_a_failure_keeps_what_the_target_confirmed(connection: Config, tmp_path: Path) -> None:
    path = tmp_path / "crm.prom"
    loaded(connection, path, *contacts(5), state({"at": 1}))
    first = samples(path)
    failed = loaded({**connection, "secret_key": "wrong"}, path, *contacts(5), state({"at": 2}))
    then = samples(path)
    assert failed.exit_code == then["voucherify_target_last_run_exit_code"] == 1
    for name in ("state_timestamp_seconds", "last_success_timestamp_seconds"):
        assert then[f"voucherify_target_{name}"] == first[f"voucherify_target_{name}"] > 0


@pytest.mark.usefixtures("filled")
def test_a_run_that_max_calls_cuts_is_no_success(connection: Config, tmp_path: Path) -> None:
    path = tmp_path / "shop.prom"
    assert tapped(connection, path, max_calls=1).exit_code in {0, 1}
    assert samples(path)["voucherify_tap_last_success_timestamp_seconds"] == 0
    assert samples(path)["voucherify_tap_last_run_complete"] == 0


def test_the_collector_may_read_it_and_sees_no_half(connection: Config, tmp_path: Path) -> None:
    path = tmp_path / "crm.prom"
    before = os.umask(0o077)
    try:
        loaded(connection, path, *contacts(5))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    text = path.read_text()
    assert "@" not in text
    assert connection["application_id"] not in text


@pytest.mark.parametrize("old", ["", "voucherify_target_runs_total", "\x00\udc80"])
def test_a_damaged_file_is_begun_anew(old: str, connection: Config, tmp_path: Path) -> None:
    path = tmp_path / "crm.prom"
    path.write_bytes(old.encode("utf-8", "surrogateescape"))
    loaded(connection, path, *contacts(5))
    assert samples(path)["voucherify_target_runs_total"] == 1


def test_a_file_that_cannot_be_written_is_a_warning(connection: Config, tmp_path: Path) -> None:
    done = loaded(connection, tmp_path / "none" / "crm.prom", *contacts(5))
    assert done.exit_code == 0
    assert "let its folder exist" in done.log
    assert summary(done)["complete"]


def test_a_dry_run_writes_none(connection: Config, tmp_path: Path) -> None:
    assert loaded(connection, tmp_path / "crm.prom", *contacts(5), dry_run=True).exit_code == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("plugin", ["tap_voucherify", "target_voucherify"])
def test_a_name_that_the_collector_passes_over_is_refused(plugin: str, connection: Config) -> None:
    done = run(plugin, {**connection, "metrics_path": "crm.txt"}, stdin=lines(schema()))
    assert done.exit_code == 1
    assert "metrics_path" in done.log


@pytest.mark.usefixtures("filled")
def test_alerts_name_only_what_runs_write(connection: Config, tmp_path: Path) -> None:
    tap, target = tmp_path / "tap.prom", tmp_path / "target.prom"
    tapped(connection, tap)
    loaded(connection, target, *contacts(5), state({"at": 1}))
    written = names(tap) | names(target)
    for plugin, metrics in METRICS.items():
        assert {f"voucherify_{plugin}_{metric.name}" for metric in metrics} <= written
    rules = [
        rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
    ]
    page = (ALERTS.parents[2] / "docs" / "monitoring.md").read_text()
    for rule in rules:
        asked = set(re.findall(r"voucherify_\w+", rule["expr"]))
        assert asked
        assert asked <= written
        assert f"`{rule['alert']}`" in page
