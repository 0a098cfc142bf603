"""Time, calls and memory of both plugins by the number of customers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import FOLDER, Contestant, cost_of, log_progress, server
from benchmarks.records import SIZES, exported
from benchmarks.speed import tap, target

if TYPE_CHECKING:
    from collections.abc import Iterable


def measured(sizes: Iterable[int]) -> dict[str, list[dict[str, Any]]]:
    """A result for each plugin and size."""
    found: dict[str, list[dict[str, Any]]] = {"tap": [], "target": []}
    for size in sizes:
        with server(size) as served:
            found["tap"].append(_line(size, tap(served.url)))
            found["target"].append(_line(size, target(served.url, size)))
    return found


def by_record_size(count: int) -> dict[str, dict[str, Any]]:
    """The cost of writing customers in records of several sizes."""
    with server(1) as served:
        return {size: _line(count, target(served.url, count, size=size)) for size in SIZES}


def ledger(size: int) -> dict[str, Any]:
    """The cost of unchanged customers: the second of two runs with a ledger."""
    path = FOLDER / "ledger.sqlite"
    path.unlink(missing_ok=True)
    with server(1) as served:
        contestant = target(served.url, size, ledger_path=str(path))
        _line(size, contestant)
        return _line(size, contestant)


def compared(size: int) -> dict[str, Any]:
    """The cost of comparing customers with an export that holds just these."""
    exported(FOLDER, size)
    with server(size) as served:
        return _line(size, target(served.url, size, compare="export"))


def _line(size: int, contestant: Contestant) -> dict[str, Any]:
    log = FOLDER / "last.log"
    cost = cost_of(contestant, log)
    summary = log.read_text().rpartition("run summary ")[2].splitlines()[0]
    line = {"size": size, "calls": json.loads(summary)["calls"], **cost.to_json()}
    log_progress(f"{contestant.name}: {line}")
    return line
