"""Reads the runs from the lines `run summary` in Meltano's logs."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SUMMARY = re.compile(r"run summary (?=\{)")
PLUGIN = re.compile(r"\b(?:tap|target)-voucherify[\w-]*")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


@dataclass(frozen=True)
class Run:
    """One run of one plugin.

    Attributes:
        at: when it ended; empty where the log has no timestamps.
        plugin: `tap-voucherify` or `target-voucherify`, with its suffix if it is inherited.
        done: rows read, or customers accepted.
        refused: refused records; `None` for a tap.
        calls: API calls.
        quota_left: calls left when it ended, or `None`.
        waited: seconds waited for limits and retries.
        complete: whether the run completed.
    """

    at: str
    plugin: str
    done: int
    refused: int | None
    calls: int
    quota_left: int | None
    waited: float
    complete: bool


def runs(places: Iterable[Path]) -> list[Run]:
    """All runs in the logs, newest first."""
    found = [run for log in _logs(places) for line in _lines(log) if (run := _run(line))]
    return sorted(found, key=lambda run: run.at, reverse=True)


def refusals(path: Path | None) -> Counter[str]:
    """The number of refused records by reason."""
    if path is None or not path.exists():
        return Counter()
    messages = (json.loads(line) for line in _lines(path))
    return Counter(
        message["record"]["_refused_reason"] for message in messages if message["type"] == "RECORD"
    )


def _logs(places: Iterable[Path]) -> Iterator[Path]:
    for place in places:
        if place.is_dir():
            yield from sorted(place.glob("**/*.log"))
        else:
            yield place


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        yield from lines


def _run(line: str) -> Run | None:
    if line.startswith("{"):
        line = _plain_line(line)
    text = SUMMARY.search(line)
    if text is None:
        return None
    summary: dict[str, Any] = json.JSONDecoder().raw_decode(line[text.end() :])[0]
    at, plugin = INSTANT.search(line), PLUGIN.search(line)
    return Run(
        at=at.group() if at else "",
        plugin=plugin.group() if plugin else "",
        done=int(summary.get("rows", summary.get("accepted", 0))),
        refused=summary.get("refused"),
        calls=int(summary["calls"]),
        quota_left=summary.get("quota_left"),
        waited=float(summary["seconds_waited"]),
        complete=bool(summary["complete"]),
    )


def _plain_line(line: str) -> str:
    """A line of a JSON log in plain form."""
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    return " ".join(str(entry.get(key, "")) for key in ("timestamp", "string_id", "event"))
