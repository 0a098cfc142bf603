"""First runs that read pages side by side: what they cost, and how soon their rows come."""

from __future__ import annotations

import json
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any

import pytest

from singer import Process, Run, command, run, selecting
from voucherify_sandbox import Fault, Movement, Readings, Sandbox
from voucherify_sandbox.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG_AGO = datetime(2026, 1, 10, 12, tzinfo=UTC)
LOST = 30
"""Calls of a stopped run without rows: two pages of each thread, counts, and refused ones."""

BULK_ROWS = 2_500
"""Customers of one bulk job, which get one instant."""


@pytest.fixture
def customers_only(tmp_path: Path) -> list[str]:
    """Arguments that select the stream customers alone."""
    return selecting(tmp_path, "customers")


def bulk_loaded(sandbox: Sandbox, customers: int) -> None:
    for number in range(0, customers, BULK_ROWS):
        sandbox.project.add_customers(
            min(BULK_ROWS, customers - number),
            prefix=f"job-{number}-",
            created_at=LONG_AGO + timedelta(seconds=number / 100),
        )


def keys_of(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
    }


@pytest.mark.parametrize("ties", ["stable", "reversed", "random"])
def test_thousands_of_customers_of_one_instant_cost_one_call_a_hundred(
    customers_only: list[str], ties: Any
) -> None:
    with Sandbox(readings=Readings(ties=ties)) as sandbox:
        bulk_loaded(sandbox, 20_000)

        done = run("tap_voucherify", keys_of(sandbox), *customers_only)

        found = [one["id"] for one in done.records("customers")]
        assert done.exit_code == 0, done.log
        assert sorted(found) == sorted(sandbox.project.customers)
        assert sandbox.calls <= (1.1 if ties == "stable" else 1.3) * 200


def test_deletions_while_pages_are_read_lose_nobody_else(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    sandbox.project.add_customers(4_000, created_at=LONG_AGO, spread=timedelta(days=9))
    everybody = list(sandbox.project.customers)
    gone = everybody[50::400]
    for number, key in enumerate(gone):
        action = {"action": "delete_customer", "key": key}
        sandbox.movements.add(Movement(action=action, nth=(4 + 5 * number,), path="/v1/customers"))

    done = run("tap_voucherify", connection, *customers_only)

    assert done.exit_code == 0, done.log
    assert len(sandbox.project.customers) < 4_000 - 5
    assert {one["id"] for one in done.records("customers")} >= {*everybody} - {*gone}


@pytest.fixture
def small_plan() -> Iterator[Sandbox]:
    """A project of 20,000 customers that allows 100 calls a minute."""
    with Sandbox(limits=Limits(calls=100, period_seconds=60)) as running:
        running.project.add_customers(20_000, created_at=LONG_AGO, spread=timedelta(days=90))
        running.faults.add(Fault(kind="slow_headers", seconds=0.2, times=None))
        yield running


def test_rows_of_a_small_plan_come_at_once_and_a_stop_loses_few_calls(
    small_plan: Sandbox, customers_only: list[str], tmp_path: Path
) -> None:
    line = command("tap_voucherify", keys_of(small_plan), tmp_path, *customers_only)
    printed = tmp_path / "messages"
    with printed.open("wb") as stdout:
        process = Process(line, stdin=DEVNULL, stdout=stdout)
        while b'"RECORD"' not in printed.read_bytes():
            time.sleep(0.01)
        calls_of_the_first = small_plan.calls
        while small_plan.calls < 100:
            time.sleep(0.05)
        time.sleep(1)  # what is in flight arrives; then all wait for the next minute
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=30)
    stopped = Run(process.returncode, printed.read_text(), logged.decode())

    assert stopped.exit_code == 143, stopped.log
    assert calls_of_the_first <= 20
    assert small_plan.calls - len(stopped.records()) // 100 <= LOST
    reached = stopped.states[-1]["bookmarks"]["customers"]["first_run"]["rows"]
    assert small_plan.calls - reached // 100 <= LOST


SINCE = LONG_AGO + timedelta(days=30)


def test_a_first_run_from_a_date_is_read_side_by_side_and_counted(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    project = sandbox.project
    project.add_customers(6_000, prefix="old", created_at=LONG_AGO, spread=timedelta(days=29))
    created = SINCE + timedelta(hours=1)
    project.add_customers(6_000, prefix="new", created_at=created, spread=timedelta(days=29))
    changed = {project.update_customer(f"old-{n}", {"name": "New"})["id"] for n in range(150)}
    new = {key for key, one in project.customers.items() if one["source_id"].startswith("new")}
    for number in range(1_000):
        project.update_customer(f"new-{number}", {"name": "New"})

    done = run("tap_voucherify", {**connection, "start_date": SINCE.isoformat()}, *customers_only)

    found = [one["id"] for one in done.records("customers")]
    assert done.exit_code == 0, done.log
    assert sorted(found) == sorted(new | changed)
    assert "6,000 customers created before the read began (the API counts 6,000)" in done.log
    assert sandbox.calls <= 60 + 2 + 12


@pytest.mark.parametrize("number", range(3, 70, 9))
def test_a_first_run_from_a_date_is_resumed_where_it_was_cut(
    sandbox: Sandbox,
    connection: dict[str, Any],
    customers_only: list[str],
    tmp_path: Path,
    number: int,
) -> None:
    project = sandbox.project
    project.add_customers(2_500, prefix="old", created_at=LONG_AGO, spread=timedelta(days=29))
    project.add_customers(2_500, prefix="new", created_at=SINCE, spread=timedelta(days=29))
    changed = {project.update_customer(f"old-{n}", {"name": "New"})["id"] for n in range(900)}
    new = {key for key, one in project.customers.items() if one["source_id"].startswith("new")}
    settings = {**connection, "start_date": SINCE.isoformat()}
    found: set[str] = set()
    state: dict[str, Any] = {}
    for calls in (number, None):
        path = tmp_path / "state.json"
        path.write_text(json.dumps(state))
        limit = {} if calls is None else {"max_calls": calls}
        done = run("tap_voucherify", {**settings, **limit}, *customers_only, "--state", str(path))
        assert done.exit_code == 0 or calls is not None, done.log
        found.update(one["id"] for one in done.records("customers"))
        state = done.states[-1] if done.states else state

    assert found == new | changed
    assert "replication_key_value" in state["bookmarks"]["customers"]


def test_an_export_from_a_date_gives_what_changed_since(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    project = sandbox.project
    project.add_customers(400, prefix="old", created_at=LONG_AGO, spread=timedelta(days=29))
    project.add_customers(300, prefix="new", created_at=SINCE, spread=timedelta(days=29))
    changed = {project.update_customer(f"old-{n}", {"name": "New"})["id"] for n in range(50)}
    new = {key for key, one in project.customers.items() if one["source_id"].startswith("new")}
    settings = {"start_date": SINCE.isoformat(), "customers_backfill": "export"}

    done = run("tap_voucherify", {**connection, **settings}, *customers_only)

    assert done.exit_code == 0, done.log
    assert {one["id"] for one in done.records("customers")} == new | changed
    assert sandbox.calls <= 10


def test_a_slice_that_lacks_a_row_the_api_counts_is_an_error(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    sandbox.project.add_customers(300, created_at=LONG_AGO, spread=timedelta(days=29))
    hidden = list(sandbox.project.customers)[40]
    sandbox.project.hide(hidden)
    slice_ = {
        "start_date": (LONG_AGO - timedelta(days=1)).isoformat(),
        "end_date": (LONG_AGO + timedelta(days=20)).isoformat(),
    }

    done = run("tap_voucherify", {**connection, **slice_}, *customers_only)

    assert done.exit_code == 1
    assert "customers in the slice but gave" in done.log


def test_a_wait_says_until_when_and_that_it_is_over(customers_only: list[str]) -> None:
    with Sandbox(limits=Limits(calls=20, period_seconds=8)) as sandbox:
        sandbox.project.add_customers(2_500, created_at=LONG_AGO, spread=timedelta(days=9))
        done = run("tap_voucherify", keys_of(sandbox), *customers_only)

    assert done.exit_code == 0, done.log
    assert re.search(r"waiting [\d.]+ s, until \d\d:\d\d:\d\d UTC \(", done.log)
    assert "going on after a wait of" in done.log
