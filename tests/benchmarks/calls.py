"""API calls by task, counted in the log of the sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import FOLDER, cost_of, log_progress
from benchmarks.speed import catalog_of, settings, tap, target
from voucherify_sandbox import Readings, Sandbox

if TYPE_CHECKING:
    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.project import Project

SPREAD = timedelta(days=200)
CHANGED, REWARDED = 1_000, 40
"""Customers that a nightly sync changes, and those of them that got a reward."""

INSTANTS = 20
"""Bulk loads that made all customers, each in an instant."""

JOB_SECONDS = 1.0
AN_HOUR = timedelta(hours=1)
SECONDS_BETWEEN_CHANGES = 0.01


def measured(count: int) -> dict[str, int]:
    """Calls by task."""
    # A live job ends after a time, not after a number of polls.
    with Sandbox(readings=Readings(job_polls=0, job_seconds=JOB_SECONDS)) as sandbox:
        # Metadata in the mapping would cost one more call, for its schema.
        plain: dict[str, Any] = {"mapping": {"name": "name", "email": "email"}, **_keys(sandbox)}
        found = {"written": _calls(sandbox, target(sandbox.url, count, **plain))}
    with Sandbox() as sandbox:
        sandbox.project.add_customers(
            count, prefix="crm", created_at=datetime.now(UTC) - SPREAD, spread=SPREAD
        )
        by_export = {**_keys(sandbox), "customers_backfill": "export"}
        found["list"] = _calls(sandbox, tap(sandbox.url, **_keys(sandbox)))
        found["export"] = _calls(sandbox, tap(sandbox.url, **by_export))
    found["instants"] = _in_instants(count)
    log_progress(f"calls: {found}")
    return {**found, **later_runs(min(count, 20_000))}


def _in_instants(count: int) -> int:
    """Calls of a first run by list where thousands of customers have one creation time."""
    with Sandbox() as sandbox:
        begin = datetime.now(UTC) - SPREAD
        for number in range(INSTANTS):
            sandbox.project.add_customers(
                count // INSTANTS, prefix=f"load-{number}", created_at=begin + number * AN_HOUR
            )
        return _calls(sandbox, tap(sandbox.url, **_keys(sandbox)))


def later_runs(count: int) -> dict[str, int]:
    """Calls of later runs of customers and reward events together."""
    with Sandbox() as sandbox:
        project = sandbox.project
        sandbox.clock.advance(-86_400)
        project.add_customers(count, created_at=sandbox.clock.now() - SPREAD, spread=SPREAD)
        project.create_referral_campaign(
            "Friends", referee_reward={"gift_credit": 10}, referrer_reward={"gift_credit": 20}
        )
        state = _run(sandbox, {})
        first = sandbox.calls
        sandbox.clock.set(None)
        state = _run(sandbox, state)
        sandbox.forget_requests()
        state = _run(sandbox, state)
        found = {"first_of_both": first, "nothing_new": sandbox.calls}
        _night(project, sandbox.clock)
        sandbox.forget_requests()
        _run(sandbox, state)
        found["night"] = sandbox.calls
        found["night_asked"] = sum(call.path.endswith("/activity") for call in sandbox.requests)
        for stream in ("customers", "reward_events"):
            sandbox.forget_requests()
            _run(sandbox, state, "--catalog", catalog_of(stream))
            found[f"night_{stream}"] = sandbox.calls
        return found


def _night(project: Project, clock: Clock) -> None:
    """Change many customers, and let some redeem a friend's code."""
    for number in range(CHANGED):
        project.upsert_customer({"source_id": f"crm-{number}", "phone": "1"})
        clock.advance(SECONDS_BETWEEN_CHANGES)
    code = project.referral_code("Friends", "crm-0")
    for number in range(1, REWARDED):
        project.redeem(code, f"crm-{number}", {"source_id": f"o{number}", "amount": 5_000})
    project.settle()


def _keys(sandbox: Sandbox) -> dict[str, str]:
    return {"application_id": sandbox.application_id, "secret_key": sandbox.secret_key}


def _calls(sandbox: Sandbox, contestant: Any) -> int:
    sandbox.forget_requests()
    cost_of(contestant, FOLDER / "calls.log")
    return sandbox.calls


def _run(sandbox: Sandbox, state: dict[str, Any], *more: str) -> dict[str, Any]:
    """Read customers and reward events from a state; returns the last state."""
    path = FOLDER / "state.json"
    path.write_text(json.dumps(state))
    config = settings(sandbox.url, **_keys(sandbox))
    line = [sys.executable, "-m", "tap_voucherify", "--config", config, "--state", str(path), *more]
    printed = subprocess.run(line, capture_output=True, check=True, cwd=FOLDER.parent).stdout
    states = [line for line in printed.splitlines() if line.startswith(b'{"type":"STATE"')]
    left: dict[str, Any] = json.loads(states[-1])["value"] if states else state
    return left
