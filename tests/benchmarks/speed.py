"""The time of the plugins and of alternatives for the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.measurement import (
    FOLDER,
    ROOT,
    Contestant,
    Cost,
    cost_of,
    interleaved,
    log_progress,
    medians,
    server,
)

YARDSTICKS = Path(__file__).parent / "yardsticks"
SCHEMA = ROOT / "tap-voucherify/tap_voucherify/schemas/customers.json"

PACKAGES = {
    "singer": ("singer-sdk==0.54.9", "requests==2.34.2"),
    "dlt": ("dlt==1.31.0",),
    "airbyte": ("airbyte-cdk==7.39.1",),
    "voucherify": ("voucherify==6.1.1",),
}
"""Packages of the yardsticks; each has an environment of its own."""

TENTH = 10

SCRIPT, TAP = "15-line script", "tap-voucherify"
NOOP, TARGET = "no-op target, no validation", "target-voucherify"


def environment(name: str, packages: tuple[str, ...]) -> str:
    """The Python of an environment with these packages, created if it does not exist."""
    folder = FOLDER / name
    python, done = folder / "bin" / "python", folder / "done"
    wanted = " ".join(packages)
    if not done.exists() or done.read_text() != wanted:
        log_progress(f"installing {wanted}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        done.write_text(wanted)
    return str(python)


def settings(url: str, **more: Any) -> str:
    """A file with settings for either plugin."""
    keys = {"application_id": "bench", "secret_key": "bench", "api_url": url}
    return _file(f"{'-'.join(['settings', *more])}.json", {**keys, **more})


def catalog_of(wanted: str) -> str:
    """A catalog that selects one stream."""
    line = [sys.executable, "-m", "tap_voucherify", "--discover"]
    catalog = json.loads(subprocess.check_output(line, stderr=subprocess.DEVNULL))
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] == wanted
    return _file(f"catalog-{wanted}.json", catalog)


def tap(url: str, *, stream: str = "customers", **more: Any) -> Contestant:
    """The tap, reading one stream."""
    files = ["--config", settings(url, **more), "--catalog", catalog_of(stream)]
    return Contestant(TAP, [sys.executable, "-m", "tap_voucherify", *files])


def target(url: str, count: int, **more: Any) -> Contestant:
    """The target, writing `count` customers."""
    config = settings(url, **{"mapping": records.MAPPING, **more})
    line = [sys.executable, "-m", "target_voucherify", "--config", config]
    return Contestant(TARGET, line, records.ready_made(FOLDER, count))


def readers(url: str, *, yardsticks: bool) -> list[Contestant]:
    """The contestants that read all customers."""
    made = [tap(url)]
    if yardsticks:
        python = {name: environment(name, packages) for name, packages in PACKAGES.items()}
        script = [python["singer"], str(YARDSTICKS / "script.py"), url]
        plain = [python["singer"], str(YARDSTICKS / "plain_tap.py"), url, str(SCHEMA)]
        dlt = [python["dlt"], str(YARDSTICKS / "dlt_extract.py"), url]
        airbyte = [python["airbyte"], str(YARDSTICKS / "airbyte_source.py"), url, str(SCHEMA)]
        raw = [sys.executable, "-m", "benchmarks.raw_client", url]
        made = [
            Contestant("raw client, no decoding", raw),
            Contestant(SCRIPT, script),
            *made,
            Contestant("dlt 1.31, extract only", dlt),
            Contestant("airbyte-cdk 7.39, declarative", airbyte),
            Contestant("plain singer-sdk 0.54.9 tap", plain),
        ]
    return made


def writers(url: str, count: int, *, yardsticks: bool) -> list[Contestant]:
    """Who takes so many records in."""
    made = [target(url, count)]
    if yardsticks:
        python = environment("singer", PACKAGES["singer"])
        line = [python, str(YARDSTICKS / "noop_target.py")]
        source = records.ready_made(FOLDER, count)
        unchecked = _file("unchecked.json", {"validate_records": False})
        made = [
            Contestant(NOOP, [*line, "--config", unchecked], source),
            *made,
            Contestant("no-op target, validation", line, source),
        ]
    return made


def measured(count: int, rounds: int, *, yardsticks: bool) -> dict[str, dict[str, Any]]:
    """The costs of all contestants by task and name."""
    with server(count) as served:
        url = served.url
        found = {
            "read": interleaved(readers(url, yardsticks=yardsticks), rounds),
            "written": interleaved(writers(url, count, yardsticks=yardsticks), rounds),
        }
    if yardsticks:
        found["read"][f"official voucherify 6.1.1 SDK, {count // TENTH:,} customers times ten"] = [
            _official(count // TENTH)
        ]
    return {
        task: {name: _figures(costs) for name, costs in by_name.items()}
        for task, by_name in found.items()
    }


def _official(count: int) -> Cost:
    """Voucherify's own SDK, once and with a tenth of the customers, as it takes minutes for all."""
    python = environment("voucherify", PACKAGES["voucherify"])
    with server(count) as served:
        line = [python, str(YARDSTICKS / "official_sdk.py"), served.url]
        cost = cost_of(Contestant("official SDK", line), FOLDER / "last.log")
    return Cost(cost.wall * TENTH, cost.cpu * TENTH, cost.peak_mb)


def _figures(costs: list[Cost]) -> dict[str, Any]:
    return {**medians(costs).to_json(), "walls": [cost.wall for cost in costs]}


def _file(name: str, content: Any) -> str:
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / name
    path.write_text(json.dumps(content))
    return str(path)
