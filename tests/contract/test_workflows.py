"""Workflows pin actions to commits and have minimal permissions."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
EXAMPLE = ROOT / "examples" / "github-actions" / "voucherify.yml"
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


def test_a_release_is_built_by_locked_packages_alone_and_checked_before_it_is_published() -> None:
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    steps = {
        name: [step.get("run") or step["uses"].partition("@")[0] for step in job["steps"]]
        for name, job in release.items()
    }

    assert steps["build"] == [
        "actions/checkout",
        "actions/setup-python",
        "make dist-packages",
        "actions/upload-artifact",
    ]
    assert 'make dist-check TAG="$TAG"' in steps["check"]
    assert [release[name]["needs"] for name in ("release", "publish", "attest", "check")] == [
        "publish",
        "attest",
        "check",
        "build",
    ]


def test_the_example_keeps_the_refused_records_of_a_run_encrypted() -> None:
    (job,) = jobs(EXAMPLE).values()
    encrypt, keep = job["steps"][-2:]
    file = Path(job["env"]["REFUSED_RECORDS_PATH"]).name

    for step in (encrypt, keep):
        assert step["if"] == f"always() && hashFiles('{file}') != ''"
    assert f" {file} " in encrypt["run"]
    assert keep["uses"].startswith("actions/upload-artifact@")
    assert keep["with"]["path"] == f"{file}.gpg"


@pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")
def test_the_example_encrypts_so_that_the_passphrase_opens_it(tmp_path: Path) -> None:
    (job,) = jobs(EXAMPLE).values()
    (tmp_path / "refused.singer").write_text("a record")
    env = {**os.environ, "GNUPGHOME": str(tmp_path), "REFUSED_PASSPHRASE": "opens it"}

    def shell(command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-ec", command],
            cwd=tmp_path,
            env={**env, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    assert shell(job["steps"][-2]["run"], REFUSED_PASSPHRASE="").returncode != 0
    assert not (tmp_path / "refused.singer.gpg").exists()
    assert shell(job["steps"][-2]["run"]).returncode == 0
    decrypt = "gpg --batch --pinentry-mode loopback --passphrase-fd 3 --decrypt"
    opened = shell(f"{decrypt} refused.singer.gpg 3<<<'opens it'")
    assert opened.stdout == "a record"


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
