"""The share of a quota that is used at 200 ms a response."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from benchmarks.measurement import FOLDER, cost_of, server
from benchmarks.speed import tap
from voucherify_sandbox import Fault, Sandbox
from voucherify_sandbox.limits import Limits

SECONDS_AN_ANSWER = 0.2
CALLS_A_SECOND = 2_000 / 60
"""The published limit of the plan Organization."""

PERIOD = 6.0
"""A tenth of a minute, with a tenth of its calls: more ends of periods in less time."""

LONGER_PERIOD = 30.0
"""For the sandbox, whose `Retry-After` has whole seconds like the API's: too much of six."""

REFUSED = 429

FORMER = 1
"""Requests in flight of a reader that waits for each response."""


def measured(count: int) -> list[dict[str, Any]]:
    """The share of the quota that first runs use, by stream, calls at once and plan.

    The first is of many customers, the second of events; the next two are of fewer customers.
    """
    calls = round(CALLS_A_SECOND * PERIOD)
    return [
        _customers(3 * count, calls, at_once=8),
        _events(count // 33, round(CALLS_A_SECOND * LONGER_PERIOD)),
        _customers(count, calls, at_once=8),
        _customers(count // 2, calls, at_once=8),
        _customers(min(count, 5_000), calls, at_once=FORMER),
        _customers(min(count, 30_000), calls // 20 * 10, at_once=8),
    ]


def _customers(count: int, calls: int, *, at_once: int) -> dict[str, Any]:
    with server(count, delay=SECONDS_AN_ANSWER, calls=calls, period=PERIOD, log=1) as served:
        cost_of(tap(served.url, max_concurrency=at_once), FOLDER / "quota.log")
    statuses = [status for _, status in served.answered]
    seconds = served.answered[-1][0] - served.answered[0][0] + SECONDS_AN_ANSWER
    what = {"stream": f"customers, {count:,}", "at_once": at_once}
    return {**what, **_used(statuses, seconds, calls, PERIOD)}


def _events(count: int, calls: int) -> dict[str, Any]:
    """Poll every customer (`reward_events_scan: all`) of a sandbox that is slow by a fault."""
    with Sandbox(limits=Limits(calls=calls, period_seconds=LONGER_PERIOD)) as sandbox:
        sandbox.project.add_customers(count, spread=timedelta(hours=1))
        slow = Fault(kind="slow_headers", seconds=SECONDS_AN_ANSWER, times=None)
        sandbox.faults.add(slow)
        keys = {"application_id": sandbox.application_id, "secret_key": sandbox.secret_key}
        reader = tap(sandbox.url, stream="reward_events", reward_events_scan="all", **keys)
        cost = cost_of(reader, FOLDER / "quota.log")
        statuses = [call.status for call in sandbox.requests]
    what = {"stream": f"events of {count:,}", "at_once": 8}
    return {**what, **_used(statuses, cost.wall, calls, LONGER_PERIOD)}


def _used(statuses: list[int], seconds: float, calls: int, period: float) -> dict[str, Any]:
    in_a_row = "".join("x" if status == REFUSED else " " for status in statuses).split()
    return {
        "calls": statuses.count(200),
        "seconds": seconds,
        "share": statuses.count(200) / (seconds / period * calls),
        "calls_a_minute": round(calls * 60 / period),
        "refused": statuses.count(REFUSED),
        "refused_at_once": max((len(run) for run in in_a_row), default=0),
    }
