"""Run the benchmarks and write the results.

`make bench` runs all parts and writes `docs/benchmarks.md`. `make bench BENCH="speed --rows 100000
--rounds 5"` runs one part; earlier results are kept in `.bench/`. `make bench BENCH=small` is a
smoke test that takes seconds and installs nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import calls, document, growth, lag, quota, scarce, speed
from benchmarks.measurement import FOLDER, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = FOLDER / "results.json"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
SMALL = 1_000
MEASURED = ("speed", "data", "quota", "scarce", "calls", "growth", "lag")
KIND_ROUNDS = 3
"""Rounds of a part with many contestants at most."""


def main() -> None:
    """Run the selected parts."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=[*MEASURED, "document"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    given = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    if len(given.parts) == 1:
        _measure(given.parts[0], given)
        return
    sizes = map(str, given.sizes)
    same = ["--rows", str(given.rows), "--rounds", str(given.rounds), "--sizes", *sizes]
    for part in given.parts:
        # A process for each part: the peak memory of a child starts with that of its parent.
        command = [sys.executable, "-m", "benchmarks", part, *same]
        subprocess.run(command, cwd=ROOT, check=True)


def _measure(part: str, given: argparse.Namespace) -> None:
    PARTS[part](given)
    if part in MEASURED:
        _keep(**{f"about {part}": document.about()})


def _keep(**found: Any) -> None:
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**known, **found}, indent=1))


def _speed(given: argparse.Namespace) -> None:
    found = speed.measured(given.rows, given.rounds, yardsticks=True)
    _keep(speed=found, rows=given.rows, rounds=given.rounds)


def _data(given: argparse.Namespace) -> None:
    rounds = min(given.rounds, KIND_ROUNDS)
    _keep(
        kinds=speed.by_kind(given.rows, rounds),
        reshaped=speed.reshaped(given.rows // 10, rounds),
        lists=speed.lists(given.rows, rounds),
    )


def _growth(given: argparse.Namespace) -> None:
    _keep(
        growth=growth.measured(given.sizes),
        sizes=growth.by_record_size(given.rows),
        ledger=growth.ledger(max(given.sizes)),
        compared=growth.compared(max(given.sizes)),
    )


def _document(_given: argparse.Namespace) -> None:
    python = speed.environment("plots", ("matplotlib==3.11.2",))
    folder = ROOT / "docs" / "benchmarks"
    folder.mkdir(exist_ok=True)
    drawing = str(Path(__file__).with_name("plots.py"))
    subprocess.run([python, drawing, str(RESULTS), str(folder)], check=True)
    text = document.written(json.loads(RESULTS.read_text()))
    (ROOT / "docs" / "benchmarks.md").write_text(text)


def _small(_given: argparse.Namespace) -> None:
    speed.measured(SMALL, 1, yardsticks=False)
    growth.measured([SMALL])
    calls.measured(SMALL)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "speed": _speed,
    "data": _data,
    "quota": lambda given: _keep(quota=quota.measured(given.rows)),
    "scarce": lambda _: _keep(scarce=scarce.measured()),
    "calls": lambda given: _keep(calls=calls.measured(given.rows)),
    "growth": _growth,
    "lag": lambda _: _keep(lag=lag.measured()),
    "document": _document,
    "small": _small,
}

if __name__ == "__main__":
    main()
