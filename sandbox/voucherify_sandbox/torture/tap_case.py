"""A case of the tap: a run, changes, a second run, each with an injection; then one without.

The tap resumes from the last STATE. A row that only the warehouse holds that keeps every row was
acknowledged early; a row that neither holds is lost.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.torture.books import LONG_AGO, Facts, Warehouses, facts, facts_of, missing
from voucherify_sandbox.torture.cases import Injection
from voucherify_sandbox.torture.score import Score

if TYPE_CHECKING:
    from collections.abc import Callable

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin, Run

DAY = timedelta(days=1)
CAMPAIGN = "Refer a friend"
PAIRS = 6
TRIES = 5
"""Runs until one succeeds. Each fault hits once, so more would hide a defect of the tap."""

KILLED = -9
"""Exit code after SIGKILL."""

DEFAULT_STREAMS = ("customers", "reward_events")

VISIBLE = timedelta(seconds=4)
"""Age at which a change shows in every list, under the readings that are tried."""

COMPLETE = re.compile(r"complete: ([\d,]+) (?:changed )?(\w+) (since|of|created before)")
"""A completeness line: rows, stream, and what the figure counts."""


@dataclass
class TapRuns:
    """The sandbox, the tap and the warehouses of one case, with its score.

    Attributes:
        sandbox: the project.
        tap: the command with its settings.
        streams: those whose rows are compared.
        arguments: of the command, such as a catalog.
        wanted: which rows a run must bring if it says that it is complete; all of the streams by
            default.
        is_judged: whether the state of the sandbox is what must arrive.
    """

    sandbox: Sandbox
    tap: Plugin
    streams: tuple[str, ...] = DEFAULT_STREAMS
    arguments: tuple[str, ...] = ()
    wanted: Callable[[Facts], Facts] = lambda found: found
    is_judged: bool = True
    warehouses: Warehouses = field(default_factory=Warehouses)
    score: Score = field(default_factory=lambda: Score(combinations=1))
    _read_began: tuple[Facts, datetime] | None = None
    """What was there, and what was visible, when the read began that is not at its end."""
    _again: int = 0
    _was_idle: bool = False

    def once(self, injection: Injection | None = None, **settings: Any) -> Run:
        """Run once from the last state, and judge the run.

        Raises:
            TimeoutError: the run takes too long.
        """
        injection, more = injection or Injection(), list(self.arguments)
        tap = replace(self.tap, config={**self.tap.config, **settings})
        if self.warehouses.state is not None:
            path = tap.folder / "state.json"
            path.write_text(json.dumps(self.warehouses.state))
            more += ["--state", str(path)]
        # A run that goes on from a cut one ends the read that began with that one.
        began = self._read_began or (self.facts(), self.sandbox.clock.now() - VISIBLE)
        progress = self.progress
        ended = tap.run(self.sandbox, injection, b"", *more)
        self.sandbox.faults.clear()
        self._again = self.warehouses.load(ended)
        self.score.runs += 1
        self.score.kills += injection.is_signal and ended.exit_code != 0
        self.score.violations += violations(ended, self.sandbox)
        self.score.violations += miscounts(ended)
        self._read_began = began
        if ended.exit_code == 0 and ended.summary.get("complete"):
            self._read_began = None
            there, visible = began
            self._check_success({k: f for k, f in there.items() if f.changed < visible})
        self._check_idle(ended, has_moved=progress != self.progress)
        return ended

    def until_well(self, injection: Injection | None = None, tries: int = TRIES) -> Run | None:
        """Run from the last state until a run succeeds; `None` if none does."""
        for turn in range(tries):
            try:
                ended = self.once(injection if turn == 0 else None)
            except TimeoutError as error:
                self.is_stuck(str(error))
                return None
            if turn:
                self.score.sent_again(self._again)
            if ended.exit_code == 0:
                return ended
        self.is_stuck(f"{tries} runs in a row failed: {fatal_message(ended)}")
        return None

    def is_stuck(self, violation: str) -> None:
        """Count that the runs come to no end, in a sentence."""
        self.score.stuck += 1
        self.score.violations.append(violation)

    @property
    def goes_on(self) -> bool:
        """Whether the next run goes on with the read that another one began."""
        return self._read_began is not None

    @property
    def progress(self) -> tuple[Any, int]:
        """What differs where a run got further: the state, or the rows."""
        return self.warehouses.state, len(self.warehouses.kept)

    def facts(self) -> Facts:
        """The rows that the project holds now and the warehouse must hold."""
        return self.wanted(facts(self.sandbox, self.streams)) if self.is_judged else {}

    def judge(self, wanted: Facts) -> None:
        """Compare both warehouses with the rows that they must hold at the end."""
        lost = missing(wanted, self.warehouses.kept)
        early = missing(wanted, self.warehouses.committed) - lost
        self.score.lost += len(lost)
        self.score.early += len(early)
        if lost or early:
            keys = ", ".join(" ".join(key) for key in sorted(lost | early)[:5])
            self.score.violations.append(f"{len(lost)} lost, {len(early)} early, such as {keys}")

    def _check_success(self, before: Facts) -> None:
        """Check that a run that says it is complete brought what was there when it began.

        Of a row that changed meanwhile some version must have come, of one that is gone none.
        """
        now = self.facts()
        wanted = {
            key: fact if now[key] == fact else replace(fact, content={})
            for key, fact in before.items()
            if key in now
        }
        absent = missing(wanted, self.warehouses.committed)
        if absent:
            self.score.untrue += 1
            keys = ", ".join(" ".join(key) for key in sorted(absent)[:5])
            self.score.violations.append(
                f"a run that says it is complete lacks {len(absent)} rows, such as {keys}"
            )

    def _check_idle(self, ended: Run, *, has_moved: bool) -> None:
        """Count two runs in a row that leave work undone, get no further and do not fail."""
        has_work = ended.exit_code == 0 and not ended.summary.get("complete")
        is_idle = has_work and not has_moved
        if is_idle and self._was_idle:
            self.is_stuck("two runs in a row exit 0, incomplete, without progress")
        self._was_idle = is_idle


def run_case(case: Case, tap: Plugin, *, ours: bool) -> Score:
    """Run one case.

    Args:
        case: the readings, settings and injections.
        tap: the command with its settings.
        ours: whether the settings are the bench's own, so that the state of the sandbox is what
            must arrive; with a user's settings it is the output of an undisturbed run.
    """
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        sandbox.clock.advance(-6 * 3600)
        fill(sandbox)
        runs = TapRuns(sandbox, tap, is_judged=ours)
        for act, injection in enumerate((*case.injections, Injection())):
            runs.until_well(injection)
            if ours and act == len(case.injections):
                runs.judge(runs.facts())
            sandbox.clock.advance(3600)
            if act < len(case.injections) - 1:
                change(sandbox)
        if not ours:
            truth = Warehouses()
            truth.load(tap.run(sandbox, Injection()))
            runs.judge(facts_of(truth.kept))
        return finished(runs)


def finished(runs: TapRuns) -> Score:
    """The score of a case that has come to its end."""
    runs.score.faults = runs.sandbox.faults.injected
    runs.score.rows = len(runs.warehouses.kept)
    return runs.score


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
    refer(sandbox, range(PAIRS))
    project.settle()


def change(sandbox: Sandbox) -> None:
    """Change the project between two runs."""
    project = sandbox.project
    for number in range(5):
        project.update_customer(f"never-{number}", {"metadata": {"tier": "gold"}})
        project.upsert_customer({"source_id": f"new-{number}", "name": f"New {number}"})
    refer(sandbox, range(PAIRS, PAIRS + 2))
    project.settle()


def refer(sandbox: Sandbox, pairs: range) -> None:
    """Let customers refer others, which rewards both."""
    for pair in pairs:
        code = sandbox.project.referral_code(CAMPAIGN, f"crm-{pair}")
        order = {"source_id": f"shop-{pair}", "amount": 5_000}
        sandbox.project.redeem(code, f"tie-{pair}", order)


PERSONAL = re.compile(
    r"[\w.+%-]+(?:@|%40)example\.\w+|\bcrm-\d+|\b(?:Contact|Customer|New) \d+|\bcust_[0-9a-f]{24}"
)
"""E-mail addresses, keys and names of the people in the bench, and ids of customers."""


def violations(ended: Run, sandbox: Sandbox) -> list[str]:
    """What a run did that none may do, however it ends."""
    found = []
    if "Traceback" in ended.log:
        found.append("a traceback in the log")
    if sandbox.secret_key in ended.log + ended.output:
        found.append("the secret key was printed")
    if person := PERSONAL.search(ended.log):
        found.append(f"the log holds {person[0]}")
    if ended.exit_code not in {0, 1, KILLED, 130, 143}:
        found.append(f"exit code {ended.exit_code}")
    if ended.exit_code != KILLED and not ended.summary:
        found.append("no run summary")
    return found


def miscounts(ended: Run) -> list[str]:
    """What a run printed that does not agree: its rows, its summary, its completeness lines."""
    if ended.exit_code == KILLED or not ended.summary:
        return []
    written = Counter(line["stream"] for line in ended.lines if line["type"] == "RECORD")
    counted = {name: int(one["rows"]) for name, one in ended.summary["streams"].items()}
    found = [
        f"{name}: {written[name]} rows written, {counted.get(name, 0)} in the summary"
        for name in sorted(written.keys() | counted.keys())
        if written[name] != counted.get(name, 0)
    ]
    if ended.summary["rows"] != sum(counted.values()):
        found.append("the rows of the streams do not add up to those of the run")
    for figure, name, counts in COMPLETE.findall(ended.log):
        # Rows created before the read began were written by earlier runs, too.
        if counts != "created before" and int(figure.replace(",", "")) != counted.get(name):
            found.append(f"{name}: {figure} in the completeness line, {counted.get(name)} rows")
    return found


def fatal_message(ended: Run) -> str:
    """The log message of the error that ended a run."""
    loud = [line for line in ended.log.splitlines() if "CRITICAL" in line]
    return loud[-1].rpartition("| ")[2] if loud else f"exit code {ended.exit_code}"
