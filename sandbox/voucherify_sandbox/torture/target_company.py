"""The target is not alone: a second run starts, a neighbour writes, a replay is killed."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Fault, Movement, Readings, Sandbox
from voucherify_sandbox.torture.cases import Injection, by_pairs
from voucherify_sandbox.torture.plugins import TIMEOUT, Run, connection
from voucherify_sandbox.torture.target_books import (
    Crm,
    Message,
    TargetRuns,
    configured,
    encoded,
    name_of,
    record,
    rest_after,
    schema,
    state,
    with_states,
)

if TYPE_CHECKING:
    from concurrent.futures import Future
    from random import Random

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin
    from voucherify_sandbox.torture.score import Score

PART, SAMPLE = "target company", 2
MOST = 26

CONTACTS = 26
NEIGHBOURS = 12
HELD_SECONDS = 1.5
"""Seconds that the first run waits for a response while the second one starts."""

IN_USE = "in use by another run"

CONDITIONS: dict[str, tuple[Any, ...]] = {
    "second": ("of the same pipeline", "with its ledger", "with its refused file", None),
    "begins_at": (1, 3, 6),
    "first_ends": ("well", "SIGKILL", "SIGTERM"),
    "neighbour": (None, "writes", "deletes", "both"),
    "replay": ("well", "SIGKILL", "SIGTERM"),
    "killed_at": (1, 2, 4),
}
"""A second run and the request of the first one at which it begins, what another program does
meanwhile, and how the first replay of the refused file ends."""

SETTINGS: dict[str, tuple[Any, ...]] = {
    "ledger_path": ("ledger.db", None),
    "write_path": ("bulk", "single", "auto"),
    "on_delete": ("delete", "ignore"),
}


def cases(rng: Random) -> list[Case]:
    """The cases of this part."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=MOST)


def run_case(case: Case, plugin: Plugin) -> Score:
    """A load with company, a load that is well, replays of what was refused."""
    target, conditions = configured(plugin, max_delete_percent=100), case.conditions
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        photo = {"photo": {"type": "image_url", "optional": True}}
        sandbox.project.define_metadata("customer", photo, allow_defined_only=False)
        for number in range(NEIGHBOURS):
            sandbox.project.upsert_customer({"source_id": f"other-{number}", "name": "Theirs"})
        crm = Crm(CONTACTS)
        crm.bad = {"crm-2", "crm-9", "crm-20"}
        sandbox.movements.add(*_neighbour(conditions["neighbour"]))
        stays = range(NEIGHBOURS if conditions["neighbour"] in {None, "writes"} else 0)
        runs = TargetRuns(sandbox, target, crm, {f"other-{number}" for number in stays})

        messages = _whole(crm, 1)
        _with_company(runs, messages, case)
        runs.until_well(rest_after(messages, runs.state))
        crm.change(["crm-1", "crm-2", "crm-14"])
        crm.leave(["crm-5"], marked=True)
        runs.until_well(_whole(crm, 2))

        sandbox.project.define_metadata("customer", {}, allow_defined_only=False)
        ending = conditions["replay"]
        if ending != "well":
            runs.replay(Injection(ending, conditions["killed_at"], after=True))
        ended = runs.replay()
        if ended.exit_code or runs.refusals():
            runs.score.violations.append(f"{len(runs.refusals())} are left after a replay")
        runs.until_well(_whole(crm, 3))
        return runs.judge_end(gone=set() if runs.ignores_deletions else crm.left)


def _whole(crm: Crm, run: int) -> list[Message]:
    records = crm.records()
    return [schema(), *with_states(records, run), state(run, len(records) + 1)]


def _neighbour(does: str | None) -> list[Movement]:
    """What another program does at the requests of the target, to customers of its own."""
    kept: list[dict[str, Any]] = [
        {"action": "upsert_customer", "fields": {"source_id": f"{name}-{{n}}", "name": "Theirs"}}
        for name in ("new", "other")
    ]
    gone = [{"action": "delete_customer", "key": "other-{n}"}]
    actions = {"writes": kept, "deletes": gone, "both": [*kept, *gone]}
    return [Movement(action=one, rate=0.7) for one in (actions[does] if does else [])]


def _with_company(runs: TargetRuns, messages: list[Message], case: Case) -> None:
    """The first run, and a second one that begins meanwhile."""
    conditions, sandbox = case.conditions, runs.sandbox
    begins_at = conditions["begins_at"]
    ends = conditions["first_ends"]
    injection = Injection() if ends == "well" else Injection(ends, begins_at + 2, after=True)
    sandbox.forget_requests()
    sandbox.faults.add(Fault(kind="slow_headers", numbers=[begins_at], seconds=HELD_SECONDS))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(runs.once, messages, injection)
        if conditions["second"] is not None:
            _intrude(runs, messages, conditions["second"], first, begins_at)
        first.result()


def _intrude(
    runs: TargetRuns, messages: list[Message], kind: str, first: Future[Run], begins_at: int
) -> None:
    """Start a second run: it is refused, or does its work once the first one has ended."""
    while not first.done() and runs.sandbox.calls < begins_at:
        time.sleep(0.01)
    config = dict(runs.target.config)
    own = runs.target.folder / "second.singer"
    if kind == "with its ledger" and "ledger_path" in config:
        config["refused_records_path"] = str(own)
    if kind == "with its refused file":
        config.pop("ledger_path", None)
        messages = [schema(), *(record(f"lead-{number}", 0) for number in range(8))]
    path = runs.target.folder / "second.json"
    path.write_text(json.dumps({**config, **connection(runs.sandbox)}))
    done = subprocess.run(
        [runs.target.command, "--config", str(path)],
        input=encoded(messages),
        capture_output=True,
        check=False,
        timeout=TIMEOUT,
    )
    ended = Run(done.returncode, done.stdout.decode(), done.stderr.decode())
    first.result()
    if ended.exit_code == 1 and IN_USE in ended.log:
        runs.score.runs += 1
        runs.score.violations += ["a refused run printed a state"] * bool(ended.lines)
        return
    with runs.refused.open("ab") as file:
        file.write(own.read_bytes() if own.exists() else b"")
    runs.judge(ended, messages, runs.position())
    if kind == "with its refused file":
        leads = {f"lead-{number}": name_of(f"lead-{number}", 0) for number in range(8)}
        runs.foreign |= leads.keys()
        absent = leads.items() - runs.held().items()
        runs.score.lost += len(absent)
