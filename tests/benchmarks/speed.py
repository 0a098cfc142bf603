"""The time and memory of the plugins and of alternatives for the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import records
from benchmarks.customers import KINDS
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Found = dict[str, dict[str, Any]]
"""Costs by what was measured and by contestant."""

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
PLAIN_TAP = "plain singer-sdk 0.54.9 tap"
DECODE, COPY = "decoding alone", "copying alone"
NOOP, TARGET = "no-op target, no validation", "target-voucherify"


DISCOVER = (sys.executable, "-m", "tap_voucherify", "--discover")


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


def catalog_of(wanted: str, discover: Sequence[str] = DISCOVER, without: Sequence[str] = ()) -> str:
    """A catalog that selects one stream of a tap, without some of its columns."""
    catalog = json.loads(subprocess.check_output(discover, stderr=subprocess.DEVNULL))
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] == wanted
            elif entry["breadcrumb"][-1] in without:
                entry["metadata"]["selected"] = False
    return _file(
        f"catalog-{'-'.join((Path(discover[0]).parts[-3], wanted, *without))}.json", catalog
    )


def tap(
    url: str, *, stream: str = "customers", without: Sequence[str] = (), **more: Any
) -> Contestant:
    """The tap, reading one stream."""
    catalog = catalog_of(stream, without=without)
    files = ["--config", settings(url, **more), "--catalog", catalog]
    return Contestant(TAP, [*DISCOVER[:-1], *files])


def target(url: str, count: int, *, size: str = "0.4 kB", **more: Any) -> Contestant:
    """The target, writing `count` customers in records of a size."""
    config = settings(url, **{"mapping": records.MAPPING, **more})
    line = [sys.executable, "-m", "target_voucherify", "--config", config]
    return Contestant(TARGET, line, records.ready_made(FOLDER, count, size))


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
            Contestant(PLAIN_TAP, plain),
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


def by_kind(count: int, rounds: int) -> Found:
    """The costs of reading each kind of data, beside the script and the floors."""
    python = environment("singer", PACKAGES["singer"])
    found = {}
    for kind in KINDS:
        floor = [sys.executable, "-m", "benchmarks.floors", str(FOLDER), str(count), kind]
        with server(count, kind) as served:
            script = [python, str(YARDSTICKS / "script.py"), served.url]
            contestants = [
                Contestant(SCRIPT, script),
                tap(served.url),
                Contestant(DECODE, [*floor, "decode"]),
                Contestant(COPY, [*floor, "copy"]),
            ]
            found[kind] = _by_name(interleaved(contestants, rounds))
    return found


RESHAPED: Mapping[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "nothing": ((), {}),
    "columns deselected": (("summary", "loyalty", "referrals", "description"), {}),
    "a stream map": ((), {"stream_maps": {"customers": {"key": "source_id.lower()"}}}),
    "flattening": ((), {"flattening_enabled": True, "flattening_max_depth": 1}),
}
"""What is changed in the records: columns deselected, and settings of the SDK."""


def reshaped(count: int, rounds: int) -> Found:
    """The costs of reading what the SDK reshapes, beside a plain tap on the SDK."""
    python = environment("singer", PACKAGES["singer"])
    found = {}
    for name, (without, more) in RESHAPED.items():
        with server(count) as served:
            plain = [python, str(YARDSTICKS / "plain_tap.py")]
            discover = [*plain, "--discover", served.url, str(SCHEMA)]
            catalog = catalog_of("customers", discover, without)
            files = ["--config", _file(f"plain-{name}.json", more), "--catalog", catalog]
            contestants = [
                Contestant(PLAIN_TAP, [*plain, *files, served.url, str(SCHEMA)]),
                tap(served.url, without=without, **more),
            ]
            found[name] = _by_name(interleaved(contestants, rounds))
    return found


LISTS = {
    "vouchers": ("script.py", ["created_at"]),
    "redemptions": ("script.py", ["date"]),
    "orders": ("script_pages.py", []),
    "publications": ("script_pages.py", []),
}
"""The script that reads a list, and its settings."""

MOST_IN_PAGES = 10_000
"""Rows of a list that is read by page number at most."""


def lists(count: int, rounds: int) -> Found:
    """The costs of reading other lists, beside the script."""
    python = environment("singer", PACKAGES["singer"])
    found = {}
    for name, (script, more) in LISTS.items():
        rows = count if more else min(count, MOST_IN_PAGES)
        with server(rows, name) as served:
            line = [python, str(YARDSTICKS / script), served.url, name, *more]
            contestants = [Contestant(SCRIPT, line), tap(served.url, stream=name)]
            found[f"{name}, {rows:,} rows"] = _by_name(interleaved(contestants, rounds))
    return found


def _by_name(costs: Mapping[str, list[Cost]]) -> dict[str, Any]:
    return {name: _figures(each) for name, each in costs.items()}


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
    return {task: _by_name(costs) for task, costs in found.items()}


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
