"""The tap in the company of others: files from backups, a second tap, a loader that dies."""

from __future__ import annotations

import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.torture.books import Warehouses
from voucherify_sandbox.torture.cases import Case, by_pairs
from voucherify_sandbox.torture.forked import Forked
from voucherify_sandbox.torture.plugins import TIMEOUT, Run, connection
from voucherify_sandbox.torture.receiver import SECRET, receiving
from voucherify_sandbox.torture.tap_case import (
    DEFAULT_STREAMS,
    PAIRS,
    TapRuns,
    change,
    fill,
    finished,
    refer,
    violations,
)
from voucherify_sandbox.torture.tap_movement import catalog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from random import Random

    from voucherify_sandbox.torture.plugins import Plugin
    from voucherify_sandbox.torture.receiver import Receiver
    from voucherify_sandbox.torture.score import Score

PART = "tap company"
SAMPLE = 2

CONDITIONS: Mapping[str, Sequence[Any]] = {
    "event": ("state", "state and warehouse", "store", "two taps", "broken pipe"),
    "moment": (0, 1, 2, 3),
    "killed": (False, True),
    "in_place": (False, True),
    "cold": (False, True),
}
"""What happens and when; the last three are about the receiver and the backup of its store."""

SETTINGS: Mapping[str, Sequence[Any]] = {
    "max_concurrency": (8, 1),
    "customers_backfill": ("list", "export"),
}

LINES = (0, 1, 40, 290)
"""Lines that a loader reads before it dies, by moment."""

LEAVERS = 2
"""Customers that are deleted at each stage."""

UNKNOWN = "Deletions among them are unknown"
"""What a run says whose store may lack events."""


def cases(rng: Random) -> list[Case]:
    """Cases by pairs."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=26)


def run_case(case: Case, plugin: Plugin) -> Score:
    """Run one case."""
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        sandbox.clock.advance(-6 * 3600)
        fill(sandbox)
        # An export may hold only metadata that is defined.
        defined = {"tier": {"type": "string", "optional": True}}
        sandbox.project.define_metadata("customer", defined)
        sandbox.clock.advance(600)
        runs = TapRuns(sandbox, plugin)
        try:
            EVENTS[case.conditions["event"]](case, runs)
        except TimeoutError as error:
            runs.is_stuck(str(error))
        return finished(runs)


def _state(case: Case, runs: TapRuns) -> None:
    """Go on from an earlier state, with the warehouse of then or of now."""
    moments = [runs.warehouses.copy()]
    first = runs.once()
    moments += [_at_first_state(first), runs.warehouses.copy()]
    _live(runs, 0)
    runs.until_well()
    moments.append(runs.warehouses.copy())
    _live(runs, 1)
    runs.until_well()
    earlier = moments[case.conditions["moment"]]
    if case.conditions["event"] == "state":
        runs.warehouses.state = earlier.state
    else:
        runs.warehouses = earlier
    _live(runs, 2)
    runs.until_well()
    runs.judge(runs.facts())


def _at_first_state(ended: Run) -> Warehouses:
    """A warehouse whose loader died at the first STATE."""
    states = [number for number, line in enumerate(ended.lines) if line["type"] == "STATE"]
    read = ended.output.split("\n")[: states[0] + 1]
    died = Warehouses()
    died.load(replace(ended, exit_code=1, output="".join(f"{line}\n" for line in read)))
    return died


def _broken_pipe(case: Case, runs: TapRuns) -> None:
    """Loaders die after some lines, in a first run and in a later one."""
    lines = LINES[case.conditions["moment"]]
    for stage in range(2):
        ended = _run_until_pipe_breaks(runs, lines)
        runs.score.runs += 1
        runs.score.violations += violations(ended, runs.sandbox)
        # Rows after the last STATE are as lost as in a loader that is killed.
        runs.warehouses.load(replace(ended, exit_code=1))
        runs.until_well()
        runs.judge(runs.facts())
        _live(runs, stage)


def _run_until_pipe_breaks(runs: TapRuns, lines: int) -> Run:
    """Run the tap with a loader that reads some lines and closes its end."""
    folder, state = runs.tap.folder, runs.warehouses.state
    path, log = folder / "config.json", folder / "stderr"
    path.write_text(json.dumps({**runs.tap.config, **connection(runs.sandbox)}))
    options = ["--config", str(path)]
    if state is not None:
        (folder / "state.json").write_text(json.dumps(state))
        options += ["--state", str(folder / "state.json")]
    with log.open("wb") as logged:
        process = Forked(
            [runs.tap.command, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=logged,
        )
        try:
            if process.stdout is None:
                raise AssertionError("standard output is a pipe")
            read = [process.stdout.readline() for _ in range(lines)]
            process.stdout.close()
            code = process.wait(TIMEOUT)
        finally:
            process.kill()
            process.wait()
    return Run(code, b"".join(read).decode(), log.read_text(errors="replace"))


@dataclass
class Store:
    """A webhook store, the taps that read it, and the customers that left."""

    receiver: Receiver
    readers: list[TapRuns]
    left: list[set[str]] = field(default_factory=list)

    def live(self) -> None:
        """Change the project, and wait until every webhook is delivered.

        Raises:
            TimeoutError: webhooks are not delivered.
        """
        runs = self.readers[0]
        project = runs.sandbox.project
        before = set(project.people.by_id)
        _live(runs, len(self.left))
        self.left.append(before - set(project.people.by_id))
        if not project.webhooks.wait(TIMEOUT):
            raise TimeoutError("webhooks are not delivered")

    def judge(self, known: set[str]) -> None:
        """Compare what each tap brought with the project, and its deletions with those known."""
        for runs in self.readers:
            runs.judge(runs.facts())
            named = {key for stream, key in runs.warehouses.kept if stream == "customer_deletions"}
            runs.score.deleted += len(named & set(runs.sandbox.project.people.by_id))
            if not known <= named:
                runs.score.lost += len(known - named)
                runs.score.violations.append(f"{len(known - named)} deletions are lost")


def _store(case: Case, runs: TapRuns) -> None:
    """Restore the store from a backup, while runs lie behind it or before it."""
    moment, folder = case.conditions["moment"], runs.tap.folder
    with receiving(folder / "store.sqlite") as receiver:
        store = Store(receiver, [_reader(runs, folder)])
        _subscribe(runs.sandbox, receiver)
        runs.until_well()
        store.live()
        backup = folder / "backup.sqlite"
        if case.conditions["cold"]:
            receiver.stop()
        receiver.copy_store(backup)
        if case.conditions["cold"]:
            receiver.start()
        if moment in {1, 3}:
            runs.until_well()
        store.live()
        if moment in {2, 3}:
            runs.until_well()
        receiver.stop(signal.SIGKILL if case.conditions["killed"] else signal.SIGTERM)
        receiver.restore(backup, in_place=case.conditions["in_place"])
        receiver.start()
        store.live()
        # Nothing shows that a store was restored whose receiver was stopped when the backup was
        # made, if it is the same file and no run knows a later start: that only polling finds.
        is_hidden = case.conditions["cold"] and case.conditions["in_place"] and moment < 2  # noqa: PLR2004 - see above
        runs.is_judged = not is_hidden
        ended = runs.until_well()
        runs.is_judged = True
        runs.once(reconciliation_interval=1)
        is_read = moment in {2, 3}
        store.judge(set().union(*(left for n, left in enumerate(store.left) if n != 1 or is_read)))
        if not is_hidden and ended is not None and UNKNOWN not in ended.log:
            runs.score.violations.append("a run does not say that the store was restored")


def _two_taps(case: Case, runs: TapRuns) -> None:
    """Two taps read one store at the same time, each with its own state."""
    folder = runs.tap.folder
    other = replace(runs, tap=replace(runs.tap, folder=folder / "other"), warehouses=Warehouses())
    other.tap.folder.mkdir()
    with receiving(folder / "store.sqlite") as receiver:
        store = Store(receiver, [_reader(runs, folder), _reader(other, folder)])
        _subscribe(runs.sandbox, receiver)
        for stage in range(3):
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(TapRuns.until_well, store.readers[: 1 if stage == 1 else 2]))
            if stage == case.conditions["moment"]:
                receiver.stop(signal.SIGKILL if case.conditions["killed"] else signal.SIGTERM)
                receiver.start()
            store.live()
        for reader in store.readers:
            reader.until_well()
        store.judge(set().union(*store.left))


def _reader(runs: TapRuns, folder: Path) -> TapRuns:
    """The tap with the store and the stream of deletions."""
    settings = {"webhook_store": str(folder / "store.sqlite"), "lookback_window": 5}
    runs.tap = replace(runs.tap, config={**runs.tap.config, **settings})
    runs.arguments = catalog(runs.tap, (*DEFAULT_STREAMS, "customer_deletions"))
    return runs


def _subscribe(sandbox: Sandbox, receiver: Receiver) -> None:
    """Deliver every event, some twice, and again soon after a failure."""
    sandbox.project.add_webhook(
        receiver.url, SECRET, kind="distribution", duplicates=0.2, retry_seconds=(0.1,) * 50
    )


def _live(runs: TapRuns, stage: int) -> None:
    """Change the project between two runs; some customers leave."""
    change(runs.sandbox)
    project = runs.sandbox.project
    project.update_customer("never-9", {"metadata": {"tier": f"stage {stage}"}})
    project.upsert_customer({"source_id": f"stage-{stage}"})
    first = PAIRS + 2 + 2 * stage
    refer(runs.sandbox, range(first, first + 2))
    project.settle()
    for number in range(LEAVERS):
        project.delete_customer(f"crm-{60 + LEAVERS * stage + number}")
    runs.sandbox.clock.advance(600)


EVENTS = {
    "state": _state,
    "state and warehouse": _state,
    "store": _store,
    "two taps": _two_taps,
    "broken pipe": _broken_pipe,
}
