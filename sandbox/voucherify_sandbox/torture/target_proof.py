"""Customers compared with an export and read back, while jobs lie and people edit by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Fault, Movement, Readings, Sandbox
from voucherify_sandbox.torture.cases import SIGNALS, Injection, by_pairs
from voucherify_sandbox.torture.plugins import FAULT_VALUES
from voucherify_sandbox.torture.target_books import (
    Crm,
    TargetRuns,
    configured,
    name_of,
    record,
    schema,
    with_states,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin
    from voucherify_sandbox.torture.score import Score

PART, SAMPLE = "target proof", 2
MOST = 24

CONTACTS = 30
EDITED = range(3, 9)

CONDITIONS: dict[str, tuple[Any, ...]] = {
    "ends": (
        "nothing",
        "SIGKILL",
        "SIGTERM",
        "job_lies",
        "job_lies",
        "job_loses",
        "job_vanishes",
        "cut_after",
        "export_fails",
        "export_vanishes",
        "export_shrinks",
    ),
    "place": (1, 2, 3),
    "edits": ("none", "between runs", "during runs"),
    "ledger": ("kept", "lost"),
}
"""How the first and the second run end, at which of the requests that it is about, when somebody
edits customers by hand, and whether the ledger is there in the next run. A job that lies comes
twice, because only this part finds it."""

SETTINGS: dict[str, tuple[Any, ...]] = {"write_path": ("bulk", "single", "auto")}


def cases(rng: Random) -> list[Case]:
    """The cases of this part."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=MOST)


def run_case(case: Case, plugin: Plugin) -> Score:
    """Two loads with changes and edits, one that is well, and one that has nothing to send."""
    conditions = case.conditions
    target = configured(plugin, compare="export", verify=True, ledger_path="ledger.db")
    crm = Crm(CONTACTS)
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        runs = TargetRuns(sandbox, target, crm)
        for turn in (1, 2):
            messages = [schema(), *with_states(crm.records(), turn)]
            if conditions["edits"] == "during runs":
                sandbox.movements.add(*(_edit(crm, number) for number in EDITED))
            sandbox.faults.add(*_faults(conditions))
            runs.once(messages, _signal(conditions))
            sandbox.movements.clear()
            if conditions["ledger"] == "lost":
                (target.folder / "ledger.db").unlink(missing_ok=True)
            runs.until_well(messages)
            _edit_between(sandbox, conditions, turn)
            crm.change(f"crm-{number}" for number in (1, 4, CONTACTS + turn))
        messages = [schema(), *with_states(crm.records(), 3)]
        runs.until_well(messages)
        ended = runs.once(messages)
        if ended.summary.get("accepted"):
            runs.score.violations.append("a run without changes sent customers")
        _judge_edits(runs)
        return runs.judge_end(gone=())


def _faults(conditions: Mapping[str, Any]) -> list[Fault]:
    kind, place = conditions["ends"], conditions["place"]
    if kind == "nothing" or kind in SIGNALS:
        return []
    path = "/v1/exports" if kind.startswith("export") else "/v1/customers*"
    nth = 1 + place % 2 if kind.startswith("export") else place
    return [Fault(kind=kind, method="POST", path=path, nth=[nth], **FAULT_VALUES.get(kind, {}))]


def _signal(conditions: Mapping[str, Any]) -> Injection:
    """A signal before, among or after the requests that write."""
    kind, place = conditions["ends"], conditions["place"]
    return Injection(kind, 4 * place, after=bool(place % 2)) if kind in SIGNALS else Injection()


def _edit(crm: Crm, number: int) -> Movement:
    """Somebody edits a customer by hand, each time otherwise; the name stays."""
    key = f"crm-{number}"
    fields = {"name": name_of(key, crm.live[key]), "email": f"edit-{{n}}-of-{key}@example.com"}
    action = {"action": "update_customer", "key": key, "fields": fields}
    return Movement(action=action, rate=0.3, path="/v1/[ae]*")


def _edit_between(sandbox: Sandbox, conditions: Mapping[str, Any], turn: int) -> None:
    for number in EDITED if conditions["edits"] == "between runs" else ():
        fields = {"email": f"turn-{turn}-of-{number}@example.com", "metadata": {"number": -turn}}
        sandbox.project.update_customer(f"crm-{number}", fields)


def _judge_edits(runs: TargetRuns) -> None:
    """Edits by hand are healed by the last load."""
    project = runs.sandbox.project
    left = [
        key
        for key, number in runs.crm.live.items()
        if (project.customer_by_source_id(key) or {}).get("email")
        != record(key, number)["record"]["email"]
    ]
    runs.score.lost += len(left)
    if left:
        runs.score.violations.append(f"{len(left)} edits by hand are left, such as {min(left)}")
