"""The examples name existing jobs and plugins, and pin what they install."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
MELTANO: dict[str, Any] = yaml.safe_load((ROOT / "meltano.yml").read_text())
JOBS = {job["name"] for job in MELTANO["jobs"]}
SCHEDULERS = [EXAMPLES / "dagster/definitions.py", EXAMPLES / "airflow/dags/voucherify.py"]
WORKFLOWS = [
    *EXAMPLES.glob("github-actions/*.yml"),
    ROOT / ".github/workflows/examples.yml",
    ROOT / ".github/workflows/docs.yml",
]


@pytest.mark.parametrize("file", SCHEDULERS, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_a_scheduler_runs_every_job_of_meltano_yml(file: Path) -> None:
    text = file.read_text()
    compile(text, file, "exec")

    assert set(re.findall(r'meltano_job\("([a-z-]+)"', text)) == JOBS


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_workflow_is_pinned_and_may_only_read(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    used = re.findall(r"uses: (\S+)", file.read_text())

    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []
    assert workflow["permissions"] == {"contents": "read"}


def test_the_workflow_gives_each_variable_that_its_jobs_read() -> None:
    workflow = yaml.safe_load((EXAMPLES / "github-actions/voucherify.yml").read_text())
    given = set(workflow["jobs"]["run"]["env"])
    read = set(re.findall(r"\$\{([A-Z_]+)\}", (ROOT / "meltano.yml").read_text()))

    assert read - given == {"MELTANO_PROJECT_ROOT", "WAREHOUSE_PATH"}


@pytest.mark.parametrize(
    "folder",
    ["examples/airflow", "examples/dagster", "examples/scaling", "bridges/dlt", "bridges/airbyte"],
)
def test_what_a_platform_needs_is_pinned_with_hashes_and_without_addresses(folder: str) -> None:
    locked = (ROOT / folder / "requirements.txt").read_text()
    pins = re.findall(r"^[a-z0-9._-]+(?:\[[a-z, ]+\])?==", locked, re.MULTILINE)

    assert len(pins) > 20
    assert locked.count("--hash=sha256:") >= len(pins)
    assert "://" not in locked


def test_the_example_of_the_environment_names_every_variable_of_production() -> None:
    example = (ROOT / ".env.example").read_text()
    read = set(re.findall(r"\$\{([A-Z_]+)\}", (ROOT / "meltano.yml").read_text()))

    assert set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)) == read - {"MELTANO_PROJECT_ROOT"}
