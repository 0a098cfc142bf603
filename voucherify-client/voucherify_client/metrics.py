"""What a run did, as a text file that the node exporter's textfile collector hands to Prometheus.

Everything in it is a number or a name from this project: no key, no id, no record. Counters go on
from the file of the run before, and so does the time of the last success.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Iterator, Mapping

READABLE_BY_ALL = 0o644
"""The collector is another user, and nothing in the file is private."""

MAX_BYTES = 1024 * 1024
"""No file of ours is longer, so a longer one is not read."""

SAMPLE = re.compile(r"(\w+\{.*\}) (\d+(?:\.\d+)?(?:e[+-]?\d+)?)", re.ASCII)


class Metric(NamedTuple):
    """One metric: its name after the plugin's, and what it counts."""

    name: str
    kind: Literal["counter", "gauge"]
    meaning: str
    label: str = ""
    is_kept: bool = False
    """Whether a run that has no value leaves the one of an earlier run."""


COMMON = (
    Metric("runs_total", "counter", "Runs that ended, well or not."),
    Metric("failed_runs_total", "counter", "Runs that ended with another exit code than 0."),
    Metric("last_run_timestamp_seconds", "gauge", "When the last run ended."),
    Metric(
        "last_success_timestamp_seconds",
        "gauge",
        "When the last complete run ended; 0 before the first one.",
        is_kept=True,
    ),
    Metric("last_run_exit_code", "gauge", "Exit code of the last run."),
    Metric("last_run_complete", "gauge", "1 if the last run did all that it should, else 0."),
    Metric("api_calls_total", "counter", "API calls, repeated ones among them."),
    Metric("api_retries_total", "counter", "API calls that repeated one that failed."),
    Metric("waited_seconds_total", "counter", "Seconds waited for limits and after faults."),
    Metric("quota_left", "gauge", "Calls left in Voucherify's period, by the last response."),
    Metric("quota_limit", "gauge", "Calls in Voucherify's period."),
)

METRICS: dict[str, tuple[Metric, ...]] = {
    "tap": (
        *COMMON,
        Metric("rows_total", "counter", "Records written.", "stream"),
        Metric(
            "bookmark_timestamp_seconds",
            "gauge",
            "The instant up to which everything is read.",
            "stream",
        ),
    ),
    "target": (
        *COMMON,
        Metric("records_total", "counter", "Records by what became of them.", "outcome"),
        Metric(
            "last_run_refused_ratio", "gauge", "Share of the last run's records that were refused."
        ),
        Metric(
            "state_timestamp_seconds",
            "gauge",
            "When a state was emitted last: all records before it are settled.",
            is_kept=True,
        ),
    ),
}
"""The metrics of each plugin; their names begin with `voucherify_tap_` or `voucherify_target_`."""


def values_of_run(summary: Mapping[str, Any], status: int) -> dict[str, float | None]:
    """The metrics that both plugins have.

    Args:
        summary: the run summary, as it is logged.
        status: exit code of the run.
    """
    now = time.time()
    is_complete = not status and bool(summary["complete"])
    return {
        "runs_total": 1,
        "failed_runs_total": int(status != 0),
        "last_run_timestamp_seconds": now,
        "last_success_timestamp_seconds": now if is_complete else None,
        "last_run_exit_code": status,
        "last_run_complete": int(is_complete),
        "api_calls_total": summary["calls"],
        "api_retries_total": summary["retries"],
        "waited_seconds_total": summary["seconds_waited"],
        "quota_left": summary["quota_left"],
    }


def write_metrics(
    path: str,
    plugin: Literal["tap", "target"],
    values: Mapping[str, float | Mapping[str, float] | None],
    log: logging.Logger,
) -> None:
    """Write the metrics of a run, and go on from those of the run before.

    A file that cannot be written is a warning: the run did its work, and its alert will come when
    the last success in the old file is too long ago.

    Args:
        path: of the file. Its name without the ending becomes the label `pipeline`, because two
            files must not give one metric the same labels.
        plugin: whose metrics they are.
        values: by the metrics' names after the plugin's; by label where a metric has one.
        log: where the warning goes.
    """
    file = Path(path)
    text = "".join(_lines(plugin, _escaped(file.stem), values, _samples_in(file)))
    # Not one that ends in .prom: the collector would read it half written.
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with half.open("w", encoding="utf-8") as opened:
            opened.write(text)
            opened.flush()
            os.fchmod(opened.fileno(), READABLE_BY_ALL)
            os.fsync(opened.fileno())
        half.replace(file)
    except OSError as error:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        log.warning(
            "metrics_path: %s cannot be written (%s): let its folder exist and this user write "
            "there; until then the metrics stay those of an earlier run",
            path,
            error.strerror,
        )


def _lines(
    plugin: Literal["tap", "target"],
    pipeline: str,
    values: Mapping[str, float | Mapping[str, float] | None],
    before: Mapping[str, float],
) -> Iterator[str]:
    for metric in METRICS[plugin]:
        name = f"voucherify_{plugin}_{metric.name}"
        value = values.get(metric.name)
        samples = {
            f'{name}{{pipeline="{pipeline}"{_label(metric.label, of)}}}': number
            for of, number in _by_label(value)
        }
        if metric.kind == "counter":
            old = {key: number for key, number in before.items() if key.startswith(f"{name}{{")}
            samples = {key: samples.get(key, 0) + old.get(key, 0) for key in {**old, **samples}}
        elif metric.is_kept and not samples:
            key = f'{name}{{pipeline="{pipeline}"}}'
            never = {key: 0.0} if metric.name == "last_success_timestamp_seconds" else {}
            samples = {key: before[key]} if key in before else never
        if samples:
            yield f"# HELP {name} {metric.meaning}\n# TYPE {name} {metric.kind}\n"
        for key, number in samples.items():
            yield f"{key} {number:.15g}\n"


def _by_label(value: float | Mapping[str, float] | None) -> Iterable[tuple[str, float]]:
    if value is None:
        return ()
    return (("", value),) if isinstance(value, int | float) else value.items()


def _label(name: str, value: str) -> str:
    return f',{name}="{_escaped(value)}"' if name else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _samples_in(file: Path) -> dict[str, float]:
    """The samples of an earlier run; what is not of this form is left out."""
    try:
        text = file.read_text("utf-8") if file.stat().st_size <= MAX_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return {}
    found = (SAMPLE.fullmatch(line) for line in text.splitlines())
    return {match[1]: float(match[2]) for match in found if match}
