"""The commands of the quick start, run in a copy of the checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import duckdb
import psycopg
import pytest

import leaks
from demo import crm
from demo.services import ROOT
from voucherify_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Meltano

CONTACTS = 500
CALLS_AN_HOUR = 100
"""What the smallest plan allows."""


BY_ROLE = """
SELECT recipient_role, count(*) FROM voucherify.reward_events
WHERE type = 'customer.rewarded' GROUP BY 1 ORDER BY 1
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A project that has customers and rewards already, as has that of `make services`."""
    with Sandbox(seed="demo") as running:
        yield running


def commands() -> str:
    text = (ROOT / "docs/quick-start.md").read_text()
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def checkout(folder: Path) -> Path:
    """A copy of the files in git, with the virtual environment of the checkout."""
    # Otherwise `make install` would link this environment to the copy.
    subprocess.run(["make", "-q", ".venv/dev.done"], cwd=ROOT, check=True)
    known = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    for name in known:
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.mark.timeout(900)  # a minute on an idle machine
def test_the_quick_start_leads_to_a_filled_warehouse(
    meltano: Meltano, sandbox: Sandbox, tmp_path: Path
) -> None:
    crm.fill(meltano.crm, CONTACTS)
    folder = checkout(tmp_path / "checkout")
    script = commands()
    assert script.count("meltano run") >= 4

    done = subprocess.run(
        ["bash", "-euxc", script],
        cwd=folder,
        env=meltano.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )

    # Lines that start with a plus are the trace of the shell.
    leaks.saw(done.stdout + re.sub(r"^\++ .*$", "", done.stderr, flags=re.MULTILINE))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    assert len(sandbox.project.customers) == CONTACTS
    assert sandbox.calls <= CALLS_AN_HOUR
    with duckdb.connect(str(meltano.warehouse), read_only=True) as warehouse:
        rows = warehouse.execute("SELECT count(*) FROM analytics.stg_customers").fetchone()
        rewards = warehouse.execute(BY_ROLE).fetchall()
    assert rows == (CONTACTS,)
    given = sandbox.project.books().values()
    assert dict(rewards) == {
        role: sum(line["count"] for roles in given for line in roles[role].values())
        for role in ("referee", "referrer")
    }
    with psycopg.connect(meltano.crm) as contacts:
        brought_back = contacts.execute(
            BY_ROLE.replace(
                "reward_events", "reward_events JOIN contacts ON contact_id = customer_source_id"
            )
        ).fetchall()
    assert brought_back == rewards
    assert "dry run" in (done.stdout + done.stderr).lower()
