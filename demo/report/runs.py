"""What runs did, as the plugins' `run summary` lines in Meltano's logs tell it."""

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
        at: when it ended, as the log has it; empty where the log has no times.
        plugin: `tap-voucherify` or `target-voucherify`, with its suffix if it is inherited.
        done: rows read, or customers accepted.
        refused: refused records; none for a tap.
        calls: API calls.
        quota_left: calls left when it ended, where the API said it.
        waited: seconds spent waiting for a limit.
        complete: whether it did everything it set out to do.
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
    """Every run in the logs, newest first."""
    found = [run for log in _logs(places) for line in _lines(log) if (run := _run(line))]
    return sorted(found, key=lambda run: run.at, reverse=True)


def refusals(path: Path | None) -> Counter[str]:
    """How often each reason stands in the file of refused records; no record is kept."""
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
        line = _spoken(line)
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


def _spoken(line: str) -> str:
    """A line of a JSON log as a line of a plain one."""
    try:
        said = json.loads(line)
    except ValueError:
        return ""
    return " ".join(str(said.get(key, "")) for key in ("timestamp", "string_id", "event"))
