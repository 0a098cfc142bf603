"""The tap with scarce calls: a small `max_calls`, a quota of a second, one of an hour.

Every run that has calls moves forward, and a run that cannot says with how many it would. Where the
quota of an hour is used up a scheduler ends the run, as it would wait for most of that hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Limits, Readings, Sandbox
from voucherify_sandbox.torture.books import LONG_AGO
from voucherify_sandbox.torture.cases import Case, Injection, by_pairs
from voucherify_sandbox.torture.tap_case import DAY, VISIBLE, TapRuns, fatal_message, fill, finished
from voucherify_sandbox.torture.tap_movement import ADVICE, STREAMS, catalog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from voucherify_sandbox.torture.plugins import Plugin, Run
    from voucherify_sandbox.torture.score import Score

PART = "tap calls"
SAMPLE = 1

HOURLY = 100
QUOTAS: Mapping[str, Limits] = {
    "plenty": Limits(),
    # A second stands for the minute of Voucherify's plans, so that nobody waits for long.
    "second": Limits(calls=20, period_seconds=1),
    "hour": Limits(calls=HOURLY, period_seconds=3600),
}

CONDITIONS: Mapping[str, Sequence[Any]] = {
    "quota": tuple(QUOTAS),
    "max_calls": (None, 1, 2, 3, 6, 12, 40),
    "streams": tuple(STREAMS),
    "customers": (0, 300),
    "changes": (False, True),
}
SETTINGS: Mapping[str, Sequence[Any]] = {
    "max_concurrency": (8, 1),
    "reward_events_scan": ("changed", "all"),
    "customers_backfill": ("list", "export"),
}

FEW_RUNS, MANY_CALLS = 6, 100
"""After so many runs each has at least so many calls, or a case would have hundreds of runs."""

MOST_ADVICE = 3
"""Runs in a row that may ask for more calls: what the streams not yet read take is an estimate."""

MOST_RUNS = 30
"""Runs until everything is there."""


def cases(rng: Random) -> list[Case]:
    """Cases by pairs."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=26)


def run_case(case: Case, plugin: Plugin) -> Score:
    """Run one case: from run to run until everything is there, twice."""
    conditions = case.conditions
    limits = QUOTAS[conditions["quota"]]
    with Sandbox(readings=Readings(**case.readings), limits=limits) as sandbox:
        # Each run takes an hour of the sandbox's time, which may not overtake this machine's.
        sandbox.clock.advance(-100 * 3600)
        fill(sandbox)
        sandbox.project.add_customers(
            conditions["customers"], prefix="more", created_at=LONG_AGO, spread=20 * DAY
        )
        sandbox.clock.advance(3600)
        streams = STREAMS[conditions["streams"]]
        runs = TapRuns(sandbox, plugin, streams, catalog(plugin, streams))
        scheduler = Scheduler(runs, conditions)
        try:
            for _ in range(2):
                if not scheduler.run_to_the_end():
                    break
                runs.judge(runs.facts())
        except TimeoutError as error:
            runs.is_stuck(str(error))
        return finished(runs)


@dataclass
class Scheduler:
    """Starts the tap once an hour, with few calls.

    Attributes:
        runs: the tap.
        conditions: of the case.
        calls: `max_calls` of the next run.
        advised: how many of the last runs asked for more.
    """

    runs: TapRuns
    conditions: Mapping[str, Any]
    calls: int | None = None
    advised: int = 0

    def run_to_the_end(self) -> bool:
        """Run until a run says that it is complete; whether one does."""
        self.calls, self.advised = self.conditions["max_calls"], 0
        for turn in range(MOST_RUNS):
            if self.calls is not None and turn >= FEW_RUNS:
                self.calls = max(self.calls, MANY_CALLS)
            if self._run():
                return True
            if self.runs.score.stuck:
                return False
            if self.conditions["changes"] and turn < FEW_RUNS:
                self.runs.sandbox.project.upsert_customer({"source_id": f"later-{turn}"})
                self.runs.sandbox.clock.advance(VISIBLE.total_seconds())
        self.runs.is_stuck(f"{MOST_RUNS} runs did not bring everything")
        return False

    def _run(self) -> bool:
        """Run once; whether everything is said to be there."""
        settings = {} if self.calls is None else {"max_calls": self.calls}
        injection = Injection()
        if self.conditions["quota"] == "hour":
            injection = Injection("SIGTERM", HOURLY + 1, after=True)
        before = self.runs.progress
        ended = self.runs.once(injection, **settings)
        self.runs.sandbox.clock.advance(3600)
        if ended.exit_code == 1:
            self._take_advice(ended)
        elif not ended.summary.get("complete") and before == self.runs.progress:
            self.runs.is_stuck(f"a run with {self.calls} calls got no further")
        else:
            self.advised = 0
        return ended.exit_code == 0 and bool(ended.summary["complete"])

    def _take_advice(self, ended: Run) -> None:
        advice = ADVICE.search(ended.log)
        self.advised += 1
        if advice is None:
            self.runs.is_stuck(f"a run failed: {fatal_message(ended)}")
        elif self.advised > MOST_ADVICE or int(advice[1]) <= (self.calls or 0):
            self.runs.is_stuck(f"{self.calls} calls do not help, although the run before said so")
        else:
            self.calls = int(advice[1])
