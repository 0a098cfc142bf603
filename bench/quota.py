"""How much of a quota is used where answers take their time."""

from __future__ import annotations

from typing import Any

from bench.measuring import FOLDER, cost_of, server
from bench.speed import tap

SECONDS_AN_ANSWER = 0.2
CALLS_A_SECOND = 2_000 / 60
"""The plan Organization (reference §2.1)."""

PERIOD = 6.0
"""A tenth of a minute, with a tenth of its calls: more borders in less time."""

FORMER = 1
"""Calls at once of a reader that waits for each answer."""


def measured(count: int) -> list[dict[str, Any]]:
    """The share of the quota that a first run of customers uses, by calls at once and plan."""
    calls = round(CALLS_A_SECOND * PERIOD)
    return [
        _share(count, calls, at_once=8),
        _share(min(count, 5_000), calls, at_once=FORMER),
        _share(min(count, 30_000), calls // 20 * 10, at_once=8),
    ]


def _share(count: int, calls: int, *, at_once: int) -> dict[str, Any]:
    with server(count, delay=SECONDS_AN_ANSWER, calls=calls, period=PERIOD, log=1) as served:
        cost_of(tap(served.url, max_concurrency=at_once), FOLDER / "last.log")
    statuses = [status for _, status in served.answered]
    seconds = served.answered[-1][0] - served.answered[0][0] + SECONDS_AN_ANSWER
    in_a_row = "".join("x" if status == 429 else " " for status in statuses).split()  # noqa: PLR2004
    return {
        "at_once": at_once,
        "calls_a_period": calls,
        "calls": statuses.count(200),
        "seconds": seconds,
        "share": statuses.count(200) / (seconds / PERIOD * calls),
        "refused": statuses.count(429),
        "refused_at_once": max((len(run) for run in in_a_row), default=0),
    }
