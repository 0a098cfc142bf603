"""The ledger, the refused file or both are restored from a backup between two runs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.torture.cases import Injection, by_pairs
from voucherify_sandbox.torture.target_books import (
    Crm,
    Message,
    TargetRuns,
    configured,
    rest_after,
    schema,
    state,
    with_states,
)

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin
    from voucherify_sandbox.torture.score import Score

PART, SAMPLE = "target restored", 2
MOST = 24

CONTACTS = 30

CHANGED = [f"crm-{number}" for number in range(8, 16)]
CHANGED_BACK = {"crm-9", "crm-13"}
"""Contacts that change after the backup, and those of them that change back after the restore."""

FILES = {
    "ledger": ("ledger.db",),
    "refused file": ("refused.singer",),
    "both": ("ledger.db", "refused.singer"),
    "all": ("ledger.db", "ledger.db.lock", "refused.singer", "refused.singer.lock"),
}

CONDITIONS: dict[str, tuple[Any, ...]] = {
    "restored": tuple(FILES),
    "how": ("a new file", "in place"),
    "second": ("whole", "cut", "SIGKILL", "SIGTERM"),
    "third": ("anew", "with the rest"),
    "leave": ("before the backup", "after it", "after the restore"),
}
"""What a backup holds, how the second run ends that comes after it, and how the third begins."""

SETTINGS: dict[str, tuple[Any, ...]] = {
    "on_delete": ("delete", "permanent_delete", "ignore"),
    "write_path": ("bulk", "single"),
}


def cases(rng: Random) -> list[Case]:
    """The cases of this part."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=MOST)


def run_case(case: Case, plugin: Plugin) -> Score:
    """Two whole streams, a backup, a second run, the restore, a third run, two whole streams."""
    target = configured(plugin, ledger_path="ledger.db", max_delete_percent=100)
    conditions, files = case.conditions, FILES[case.conditions["restored"]]
    backup, leave = target.folder / "backup", conditions["leave"]
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        photo = {"photo": {"type": "image_url", "optional": True}}
        sandbox.project.define_metadata("customer", photo, allow_defined_only=False)
        crm = Crm(CONTACTS)
        crm.bad = {"crm-11"}
        runs = TargetRuns(sandbox, target, crm)
        runs.until_well(_whole(crm, 1))
        _leave(crm, is_now=leave == "before the backup")
        runs.until_well(_whole(crm, 2))
        backup.mkdir()
        _copy(files, target.folder, backup)

        _leave(crm, is_now=leave == "after it")
        crm.change(CHANGED)
        rest = _second_run(runs, conditions["second"])
        _copy(files, backup, target.folder, is_in_place=conditions["how"] == "in place")
        if conditions["third"] == "with the rest":
            runs.until_well(rest)
        _leave(crm, is_now=leave == "after the restore")
        crm.live |= dict.fromkeys(CHANGED_BACK, 0)
        for version in (4, 5, 6):
            runs.until_well(_whole(crm, version))
        return runs.judge_end(gone=set() if runs.ignores_deletions else crm.left)


def _whole(crm: Crm, version: int) -> list[Message]:
    """A full table with a version of its own."""
    records = [{**one, "version": version} for one in crm.records()]
    ends = {"type": "ACTIVATE_VERSION", "stream": "customers", "version": version}
    return [schema(), *with_states(records, version), ends, state(version, len(records) + 1)]


def _leave(crm: Crm, *, is_now: bool) -> None:
    if is_now:
        crm.leave(["crm-4", "crm-18"])


def _second_run(runs: TargetRuns, how: str) -> list[Message]:
    """A run after the backup; returns what a tap sends that goes on after it."""
    messages = _whole(runs.crm, 3)
    if how == "whole":
        runs.until_well(messages)
    elif how == "cut":
        runs.once(messages[: len(messages) // 3])
    else:
        runs.once(messages, Injection(how, 5, after=True))
    return rest_after(messages, runs.state)


def _copy(names: tuple[str, ...], there: Path, here: Path, *, is_in_place: bool = False) -> None:
    """Copy files; as new ones, unless the old ones are written into."""
    for name in names:
        if not is_in_place:
            (here / name).unlink(missing_ok=True)
        shutil.copyfile(there / name, here / name)
