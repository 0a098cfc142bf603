"""Calls are scarce: few in a run, few in a minute. Each run with calls left moves forward."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Limits, Readings, Sandbox
from voucherify_sandbox.torture.cases import by_pairs
from voucherify_sandbox.torture.tap_case import fatal_message
from voucherify_sandbox.torture.target_books import (
    Crm,
    Message,
    TargetRuns,
    configured,
    rest_after,
    schema,
    with_states,
)

if TYPE_CHECKING:
    from random import Random

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin, Run
    from voucherify_sandbox.torture.score import Score

PART, SAMPLE = "target scarce calls", 2
MOST = 24

CONTACTS = 14
MOST_RUNS = 30

CONDITIONS: dict[str, tuple[Any, ...]] = {
    "calls": (1, 2, 3, 4, 5, 6, 9, 15),
    "per_period": (None, 7),
    "states": ("often", "last", "never"),
    "gone": (0, 4),
}
"""Calls of a run, calls in two seconds, and the records that are marked as deleted."""

SETTINGS: dict[str, tuple[Any, ...]] = {
    "ledger_path": ("ledger.db", None),
    "write_path": ("bulk", "single", "auto"),
    "auth_method": ("api_key", "oauth"),
}

ENOUGH = re.compile(r"max_calls to (\d+)")


def cases(rng: Random) -> list[Case]:
    """The cases of this part."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=MOST)


def run_case(case: Case, plugin: Plugin) -> Score:
    """Run with few calls until all is done; where a run asks for more calls, give as many."""
    target = configured(plugin, on_delete="delete", max_delete_percent=100, batch_size_rows=5)
    crm, calls = Crm(CONTACTS), case.conditions["calls"]
    per_period = case.conditions["per_period"]
    limits = Limits(calls=per_period, period_seconds=2) if per_period else Limits()
    with Sandbox(readings=Readings(**case.readings), limits=limits) as sandbox:
        for key in list(crm.live)[: case.conditions["gone"]]:
            sandbox.project.upsert_customer({"source_id": key, "name": "Before"})
            crm.leave([key], marked=True)
        runs = TargetRuns(sandbox, target, crm)
        rest = _messages(crm, case.conditions["states"])
        for _ in range(MOST_RUNS):
            ended = runs.once(rest, max_calls=calls)
            if sandbox.calls > calls:
                runs.score.violations.append(f"{sandbox.calls} calls of {calls}")
            if runs.score.stuck or (ended.exit_code == 0 and ended.summary.get("complete")):
                break
            calls = _enough(runs, ended, calls) if ended.exit_code else calls
            rest = rest_after(rest, runs.state)
        else:
            runs.score.stuck += 1
            runs.score.violations.append(f"not done after {MOST_RUNS} runs")
        return runs.judge_end(gone=crm.left)


def _enough(runs: TargetRuns, ended: Run, calls: int) -> int:
    """The number of calls that a run asks for, which had too few to get any further."""
    asked = ENOUGH.search(fatal_message(ended))
    if asked is None or int(asked[1]) <= calls:
        runs.score.stuck += 1
        runs.score.violations.append(f"{calls} calls: {fatal_message(ended)}")
        return calls
    return int(asked[1])


def _messages(crm: Crm, states: str) -> list[Message]:
    if states == "often":
        return [schema(), *with_states(crm.records(), 1)]
    last = [{"type": "STATE", "value": {"run": "1", "seen": "all"}}]
    return [schema(), *crm.records(), *(last if states == "last" else [])]
