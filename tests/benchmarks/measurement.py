"""Measures a process: wall time, CPU time, peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench"
"""Environments, generated data and results; git ignores it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one run of a process."""

    wall: float
    cpu: float
    peak_mb: float

    def to_json(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One program to measure.

    Attributes:
        name: in the document.
        command: to run.
        source: the file for its standard input.
    """

    name: str
    command: Sequence[str]
    source: Path = Path(os.devnull)


def cost_of(contestant: Contestant, log: Path) -> Cost:
    """Run a contestant; its output goes through a pipe, like that of a tap.

    Raises:
        RuntimeError: it failed.
    """
    with contestant.source.open("rb") as source, log.open("wb") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            list(contestant.command),
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
        )
        if process.stdout is None:
            raise RuntimeError("Popen opened no pipe.")
        while os.read(process.stdout.fileno(), 1 << 20):
            pass
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.stdout.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{contestant.name} failed; its log is {log}.")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def interleaved(contestants: Sequence[Contestant], rounds: int) -> dict[str, list[Cost]]:
    """Run the contestants in turn, so that a disturbance affects all of them."""
    costs: dict[str, list[Cost]] = {contestant.name: [] for contestant in contestants}
    for number in range(rounds):
        for contestant in contestants:
            cost = cost_of(contestant, FOLDER / "last.log")
            costs[contestant.name].append(cost)
            log_progress(
                f"round {number + 1}: {contestant.name} {cost.wall:.2f} s, {cost.cpu:.2f} s CPU"
            )
    return costs


def medians(costs: Iterable[Cost]) -> Cost:
    """The median of each figure."""
    known = list(costs)
    return Cost(
        median(cost.wall for cost in known),
        median(cost.cpu for cost in known),
        max(cost.peak_mb for cost in known),
    )


def log_progress(sentence: str) -> None:
    """Print a line of progress."""
    print(sentence, file=sys.stderr, flush=True)


@dataclass(slots=True)
class Served:
    """A server with prepared responses.

    Attributes:
        url: its address.
        answered: time and status of each response; filled at the end, with `log=1`.
    """

    url: str
    answered: list[tuple[float, int]]


@contextmanager
def server(count: int, kind: str = "as published", **settings: float) -> Iterator[Served]:
    """A server with prepared responses, as a separate process."""
    FOLDER.mkdir(exist_ok=True)
    more = [f"{name}={value}" for name, value in settings.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", str(FOLDER), str(count), kind, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("Popen opened no pipes.")
        served = Served(process.stdout.readline().strip(), [])
        yield served
        process.stdin.close()
        served.answered += json.loads(process.stdout.read() or "[]")


def written(path: Path, text: str) -> str:
    """Write a file and return its name."""
    path.write_text(text)
    return str(path)
