"""The life of a tap: a first run, changes, a second run, each struck; then a quiet one.

Two warehouses follow it. One keeps every row that was printed. The other is the most careless
loader that Singer allows: it writes what came before a STATE when the STATE comes, and forgets the
rest when the run dies. The tap goes on from the last STATE. A row that the first one has and the
second has not was acknowledged early; one that the first has not is lost.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.torture.cases import Blow
from voucherify_sandbox.torture.score import Score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Ended, Plugin

Rows = dict[tuple[str, str], dict[str, Any]]

LONG_AGO = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
CAMPAIGN = "Refer a friend"
PAIRS = 6
TRIES = 5
"""Runs until one ends well; each fault strikes once, so more would hide a fault of the tap."""

KILLED = -9
"""Exit code of a process that SIGKILL ended."""

COMPARED = ("source_id", "name", "email")
"""What a customer is compared by, beside its id and its metadata."""


class Warehouses:
    """The careful and the careless loader of one life."""

    def __init__(self) -> None:
        """Empty."""
        self.kept: Rows = {}
        self.committed: Rows = {}
        self.state: dict[str, Any] | None = None

    def load(self, ended: Ended) -> int:
        """Take the output of a run; how many rows came that had come before as they are."""
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


def live(case: Case, tap: Plugin, *, ours: bool) -> Score:
    """Live through one case.

    Args:
        case: what is turned and what strikes.
        tap: the command with its settings.
        ours: whether the settings are those of the bench, so that the books of the sandbox say
            what must arrive; with a user's settings, a quiet full run says it.
    """
    score, house = Score(combinations=1), Warehouses()
    readings = Readings(**case.readings)
    with Sandbox(readings=readings) as sandbox:
        sandbox.clock.advance(-6 * 3600)
        fill(sandbox)
        for act, blow in enumerate((*case.blows, Blow())):
            _run_until_well(sandbox, tap, blow, house, score)
            _judge(sandbox, house, score) if act == len(case.blows) and ours else None
            sandbox.clock.advance(3600)
            if act < len(case.blows) - 1:
                _change(sandbox)
        if not ours:
            truth = Warehouses()
            truth.load(tap.run(sandbox, Blow()))
            _compare(truth.kept, house, score)
        score.faults = sandbox.faults.injected
    score.rows = len(house.kept)
    return score


def fill(sandbox: Sandbox) -> None:
    """Ties across a page, customers never updated, rewards on both sides."""
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
    """What happens between two runs."""
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
    sandbox: Sandbox, tap: Plugin, blow: Blow, house: Warehouses, score: Score
) -> None:
    """Run, and run again from the last state, until a run ends well."""
    for turn in range(TRIES):
        more = []
        if house.state is not None:
            path = tap.folder / "state.json"
            path.write_text(json.dumps(house.state))
            more = ["--state", str(path)]
        try:
            ended = tap.run(sandbox, blow if turn == 0 else Blow(), b"", *more)
        except TimeoutError as error:
            score.wrong.append(str(error))
            return
        sandbox.faults.clear()
        again = house.load(ended)
        score.runs += 1
        score.kills += blow.is_signal and turn == 0 and ended.exit_code != 0
        if turn:
            score.sent_again(again)
        score.wrong += wrongs(ended, sandbox)
        if ended.exit_code == 0:
            return
    score.wrong.append(f"{TRIES} runs in a row failed: {last_words(ended)}")


def wrongs(ended: Ended, sandbox: Sandbox) -> list[str]:
    """What no run may do, however it ends."""
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


def last_words(ended: Ended) -> str:
    """The sentence that told what ended a run, for whoever looks for the reason."""
    loud = [line for line in ended.log.splitlines() if "CRITICAL" in line]
    return loud[-1].rpartition("| ")[2] if loud else f"exit code {ended.exit_code}"


def _judge(sandbox: Sandbox, house: Warehouses, score: Score) -> None:
    """Hold both warehouses against the books of the sandbox."""
    truth: Rows = {("customers", key): one for key, one in sandbox.project.customers.items()}
    types = frozenset(
        ("customer.rewarded", "customer.rewarded.loyalty_points", "customer.referred")
    )
    for person in sandbox.project.people.by_id.values():
        for event in person.activity:
            if event.type in types:
                truth["reward_events", event.id] = {"customer_id": person.id}
    _compare(truth, house, score)


def _compare(truth: Rows, house: Warehouses, score: Score) -> None:
    lost = {key for key, row in truth.items() if not _same(row, house.kept.get(key))}
    early = {key for key, row in truth.items() if not _same(row, house.committed.get(key))} - lost
    score.lost += len(lost)
    score.early += len(early)
    if lost or early:
        keys = ", ".join(" ".join(key) for key in sorted(lost | early)[:5])
        score.wrong.append(f"{len(lost)} lost, {len(early)} early, such as {keys}")


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
