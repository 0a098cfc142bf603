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
KIND = re.compile(r"[a-z][a-z_]{0,63}|[45]\d\d", re.ASCII)
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


def runs(places: Iterable[Path], torn: Counter[str]) -> list[Run]:
    """All runs in the logs, newest first; lines that cannot be read are counted by file."""
    found = []
    for log in _logs(places):
        for line in _lines(log):
            try:
                run = _run(line)
            except (ValueError, KeyError, TypeError):
                torn[log.name] += 1
            else:
                found += [run] if run else []
    return sorted(found, key=lambda run: run.at, reverse=True)


def refusals(path: Path | None, torn: Counter[str]) -> Counter[str]:
    """The number of refused records by kind; the full reason may quote the record."""
    kinds: Counter[str] = Counter()
    if path is None or not path.exists():
        return kinds
    for line in _lines(path):
        try:
            message = json.loads(line)
            if message["type"] == "RECORD":
                kinds[_kind(message["record"].get("_refused_key"))] += 1
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            torn[path.name] += 1
    return kinds


def _kind(key: object) -> str:
    return key if isinstance(key, str) and KIND.fullmatch(key) else "other"


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
