"""A case of the tap: a run, changes, a second run, each with an injection; then one without.

Two warehouses load the output. One keeps every row. The other is the least careful loader that
Singer allows: it writes rows when the next STATE comes, and forgets the rest when the run dies.
The tap resumes from the last STATE. A row that only the first one holds was acknowledged early; a
row that neither holds is lost.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.torture.cases import Injection
from voucherify_sandbox.torture.score import Score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin, Run

Rows = dict[tuple[str, str], dict[str, Any]]

LONG_AGO = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CAMPAIGN = "Refer a friend"
PAIRS = 6
TRIES = 5
"""Runs until one succeeds. Each fault hits once, so more would hide a defect of the tap."""

KILLED = -9
"""Exit code after SIGKILL."""

COMPARED = ("source_id", "name", "email")
"""Fields of a customer that are compared, beside its metadata."""


class Warehouses:
    """The two warehouses of one case."""

    def __init__(self) -> None:
        """Create empty warehouses."""
        self.kept: Rows = {}
        self.committed: Rows = {}
        self.state: dict[str, Any] | None = None

    def load(self, ended: Run) -> int:
        """Load the output of a run; returns how many rows are unchanged repetitions."""
        waiting: Rows = {}
        again = 0
        for message in ended.lines:
            if message["type"] == "RECORD":
                key = (message["stream"], message["record"]["id"])
                again += self.kept.get(key) == message["record"]
                waiting[key] = self.kept[key] = message["record"]
            elif message["type"] == "STATE":
                self.committed |= waiting
                waiting = {}
                self.state = message["value"]
        if ended.exit_code == 0:
            self.committed |= waiting
        return again


def run_case(case: Case, tap: Plugin, *, ours: bool) -> Score:
    """Run one case.

    Args:
        case: the readings, settings and injections.
        tap: the command with its settings.
        ours: whether the settings are the bench's own, so that the state of the sandbox is what
            must arrive; with a user's settings it is the output of an undisturbed run.
    """
    score, warehouses = Score(combinations=1), Warehouses()
    readings = Readings(**case.readings)
    with Sandbox(readings=readings) as sandbox:
        sandbox.clock.advance(-6 * 3600)
        fill(sandbox)
        for act, injection in enumerate((*case.injections, Injection())):
            _run_until_well(sandbox, tap, injection, warehouses, score)
            _judge(sandbox, warehouses, score) if act == len(case.injections) and ours else None
            sandbox.clock.advance(3600)
            if act < len(case.injections) - 1:
                _change(sandbox)
        if not ours:
            truth = Warehouses()
            truth.load(tap.run(sandbox, Injection()))
            _compare(truth.kept, warehouses, score)
        score.faults = sandbox.faults.injected
    score.rows = len(warehouses.kept)
    return score


def fill(sandbox: Sandbox) -> None:
    """Add ties that cross a page, customers never updated, and rewards of both parties."""
    project = sandbox.project
    project.add_customers(
        120, prefix="crm", created_at=LONG_AGO, spread=DAY, updated_at=LONG_AGO + 3 * DAY
    )
    project.add_customers(130, prefix="tie", created_at=LONG_AGO + DAY / 2)
    project.add_customers(30, prefix="never", created_at=LONG_AGO + DAY, spread=DAY)
    project.create_referral_campaign(
        CAMPAIGN, referee_reward={"gift_credit": 500}, referrer_reward={"loyalty_points": 9}
    )
    _refer(sandbox, range(PAIRS))
    project.settle()


def _change(sandbox: Sandbox) -> None:
    """Change the project between two runs."""
    project = sandbox.project
    for number in range(5):
        project.update_customer(f"never-{number}", {"metadata": {"tier": "gold"}})
        project.upsert_customer({"source_id": f"new-{number}", "name": f"New {number}"})
    _refer(sandbox, range(PAIRS, PAIRS + 2))
    project.settle()


def _refer(sandbox: Sandbox, pairs: range) -> None:
    for pair in pairs:
        code = sandbox.project.referral_code(CAMPAIGN, f"crm-{pair}")
        order = {"source_id": f"shop-{pair}", "amount": 5_000}
        sandbox.project.redeem(code, f"tie-{pair}", order)


def _run_until_well(
    sandbox: Sandbox, tap: Plugin, injection: Injection, warehouses: Warehouses, score: Score
) -> None:
    """Run from the last state until a run succeeds."""
    for turn in range(TRIES):
        more = []
        if warehouses.state is not None:
            path = tap.folder / "state.json"
            path.write_text(json.dumps(warehouses.state))
            more = ["--state", str(path)]
        try:
            ended = tap.run(sandbox, injection if turn == 0 else Injection(), b"", *more)
        except TimeoutError as error:
            score.violations.append(str(error))
            return
        sandbox.faults.clear()
        again = warehouses.load(ended)
        score.runs += 1
        score.kills += injection.is_signal and turn == 0 and ended.exit_code != 0
        if turn:
            score.sent_again(again)
        score.violations += violations(ended, sandbox)
        if ended.exit_code == 0:
            return
    score.violations.append(f"{TRIES} runs in a row failed: {fatal_message(ended)}")


def violations(ended: Run, sandbox: Sandbox) -> list[str]:
    """What a run did that none may do, however it ends."""
    found = []
    if "Traceback" in ended.log:
        found.append("a traceback in the log")
    if sandbox.secret_key in ended.log + ended.output:
        found.append("the secret key was printed")
    if ended.exit_code not in {0, 1, KILLED, 130, 143}:
        found.append(f"exit code {ended.exit_code}")
    if ended.exit_code != KILLED and not ended.summary:
        found.append("no run summary")
    return found


def fatal_message(ended: Run) -> str:
    """The log message of the error that ended a run."""
    loud = [line for line in ended.log.splitlines() if "CRITICAL" in line]
    return loud[-1].rpartition("| ")[2] if loud else f"exit code {ended.exit_code}"


def _judge(sandbox: Sandbox, warehouses: Warehouses, score: Score) -> None:
    """Compare both warehouses with the state of the sandbox."""
    truth: Rows = {("customers", key): one for key, one in sandbox.project.customers.items()}
    types = frozenset(
        ("customer.rewarded", "customer.rewarded.loyalty_points", "customer.referred")
    )
    for person in sandbox.project.people.by_id.values():
        for event in person.activity:
            if event.type in types:
                truth["reward_events", event.id] = {"customer_id": person.id}
    _compare(truth, warehouses, score)


def _compare(truth: Rows, warehouses: Warehouses, score: Score) -> None:
    lost = {key for key, row in truth.items() if not _same(row, warehouses.kept.get(key))}
    early = {
        key for key, row in truth.items() if not _same(row, warehouses.committed.get(key))
    } - lost
    score.lost += len(lost)
    score.early += len(early)
    if lost or early:
        keys = ", ".join(" ".join(key) for key in sorted(lost | early)[:5])
        score.violations.append(f"{len(lost)} lost, {len(early)} early, such as {keys}")


def _same(truth: Mapping[str, Any], row: Mapping[str, Any] | None) -> bool:
    if row is None:
        return False
    if "source_id" not in truth:
        return truth.get("customer_id") == row.get("customer_id")
    metadata = truth.get("metadata") or {}
    return (
        all(truth.get(name) == row.get(name) for name in COMPARED)
        and metadata.items() <= (row.get("metadata") or {}).items()
    )
