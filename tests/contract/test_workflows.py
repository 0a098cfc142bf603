"""Workflows pin actions to commits and have minimal permissions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+){0,2}")


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load(path.read_text())["jobs"])


workflows = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


@workflows
def test_every_action_is_pinned_to_a_commit_and_names_its_version(path: Path) -> None:
    used = re.findall(r"^\s*-?\s*uses:\s*(.*)$", path.read_text(), re.MULTILINE)
    steps = [step for job in jobs(path).values() for step in job.get("steps", [])]

    assert len(used) == sum("uses" in step for step in steps) > 0
    assert [action for action in used if not PINNED.fullmatch(action)] == []


@workflows
def test_a_workflow_as_a_whole_may_read_the_code_at_most(path: Path) -> None:
    """A further permission belongs to one job, with a comment."""
    assert yaml.safe_load(path.read_text())["permissions"] in ({}, {"contents": "read"})


@workflows
def test_a_checkout_leaves_no_credentials_behind(path: Path) -> None:
    checkouts = [
        step
        for job in jobs(path).values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert [step for step in checkouts if step["with"]["persist-credentials"] is not False] == []


@workflows
def test_no_text_from_outside_becomes_part_of_a_command(path: Path) -> None:
    """A branch or a title may hold any text, so it is passed by an environment variable."""
    commands = [step.get("run", "") for job in jobs(path).values() for step in job["steps"]]
    assert [command for command in commands if re.search(r"\$\{\{(?! matrix\.)", command)] == []


def test_every_change_is_checked_and_what_is_locked_is_audited() -> None:
    commands = {
        step.get("run")
        for job in jobs(ROOT / ".github" / "workflows" / "ci.yml").values()
        for step in job["steps"]
    }
    assert {".ci/run", "make audit"} <= commands


@pytest.mark.parametrize(
    "loose",
    [
        "actions/checkout@v6",
        "actions/checkout@main",
        "actions/checkout@8e8c483 # v6.0.1",
        "actions/checkout@8e8c483db84b4bee98b60c0593521ed34d9990e8",
    ],
)
def test_a_loose_pin_would_be_noticed(loose: str) -> None:
    assert not PINNED.fullmatch(loose)
