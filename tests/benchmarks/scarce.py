"""What a first run gives under 100 calls a minute: its first record, and what a stop costs."""

from __future__ import annotations

import json
import math
import subprocess
import time
from contextlib import closing
from threading import Timer
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import FOLDER, ROOT, log_progress, server
from benchmarks.speed import tap

if TYPE_CHECKING:
    from benchmarks.measurement import Contestant

CALLS_A_MINUTE = 100
SECONDS_AN_ANSWER = 0.2
CUSTOMERS = 50_000
"""Far more than a minute's calls reach."""

PAGE_ROWS = 100
RECORD, STATE = b'{"type":"RECORD"', b'{"type":"STATE"'
STOPPED_AFTER = (1.5, 3.0, 6.0, 12.0, 30.0)
"""Seconds; the calls of the first minute are used up before the last ones."""


def measured() -> dict[str, Any]:
    """Seconds to the first RECORD, and the calls whose rows a stopped run did not keep."""
    stops = [_stopped(seconds) for seconds in STOPPED_AFTER]
    found = {"first_record": max(one["first_record"] for one in stops), "stops": stops}
    log_progress(f"scarce: {found}")
    return found


def _stopped(seconds: float) -> dict[str, Any]:
    """A run that is asked to stop (SIGTERM) after some seconds."""
    with server(
        CUSTOMERS, delay=SECONDS_AN_ANSWER, calls=CALLS_A_MINUTE, period=60.0, log=1
    ) as served:
        first_record, states = _output_of(tap(served.url), seconds)
    customers = json.loads(states[-1])["value"]["bookmarks"]["customers"] if states else {}
    read = customers.get("first_run", {"rows": 0})["rows"]
    calls = sum(status == 200 for _, status in served.answered)
    return {
        "after": seconds,
        "first_record": first_record,
        "calls": calls,
        "lost": max(0, calls - math.ceil(read / PAGE_ROWS)),
    }


def _output_of(contestant: Contestant, seconds: float) -> tuple[float, list[bytes]]:
    """Seconds to the first RECORD, and the STATE messages up to the end after SIGTERM."""
    began, first, states = time.monotonic(), math.inf, []
    with (FOLDER / "scarce.log").open("wb") as log:
        process = subprocess.Popen(
            list(contestant.command), stdout=subprocess.PIPE, stderr=log, cwd=ROOT
        )
    if process.stdout is None:
        raise RuntimeError("Popen opened no pipe.")
    with process, closing(process.stdout):
        Timer(seconds, process.terminate).start()
        for line in process.stdout:
            if line.startswith(RECORD):
                first = min(first, time.monotonic() - began)
            elif line.startswith(STATE):
                states.append(line)
    return first, states
