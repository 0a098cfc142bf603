"""Random histories with interrupted runs: in the end CRM, project and warehouse agree.

Hypothesis draws the order of things. `make test` takes a fixed sample; with `TORTURE=1` it draws
anew each time, from a seed that it prints and that `TORTURE_SEED` sets.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from singer import Process, command
from singer_input import TEXT, lines, schema
from tap_run import REWARD_EVENT_TYPES, extract
from target_run import load
from voucherify_sandbox import Fault, Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

TORTURE = bool(os.environ.get("TORTURE"))
LOOKBACK = 60
QUIET = 3_600.0
"""Seconds without changes before the last run, more than the settling time."""

CRM, WEB = "crm", "web"
MANY = 600
COLUMNS = {
    "source_id": {"type": "string"},
    "name": TEXT,
    "email": TEXT,
    "metadata": {"type": ["null", "object"]},
    "_sdc_deleted_at": TEXT,
}

people = st.integers(0, 7)
several = st.lists(people, min_size=1, unique=True)
words = st.sampled_from(["Ada", "Zoë", "O'Brien", "東京"])
seconds = st.sampled_from([0.0, 0.0005, 0.001, 0.7, 5.0, 59.0, 61.0, 4_000.0])
"""Waits below and above a millisecond, the settling time and the lookback."""

few = st.integers(1, 12)
troubles = st.none() | st.builds(
    Fault,
    kind=st.sampled_from(["limit_retry_after", "cut_after", "expired_token", "act"]),
    nth=st.integers(1, 8).map(lambda number: [number]),
    seconds=st.just(0),
    action=st.builds(
        lambda number, name: {
            "action": "upsert_customer",
            "fields": {"source_id": f"{WEB}-{number}", "name": name},
        },
        people,
        words,
    ),
)
"""Faults at a request, or a change during a run."""

answers = st.builds(
    Readings,
    filters=st.sampled_from(["exclusive", "inclusive"]),
    ties=st.sampled_from(["stable", "reversed", "random"]),
    never_updated=st.sampled_from(["excluded", "first", "last", "mixed"]),
    never_updated_in_filters=st.booleans(),
    missing_updated_at=st.sampled_from(["absent", "null"]),
    total=st.sampled_from(["filtered", "all", "remaining"]),
    settle_seconds=st.sampled_from([0, 3, 40]),
    activity_dates=st.sampled_from(["inclusive", "exclusive"]),
    timestamps=st.sampled_from(["milliseconds", "seconds", "microseconds", "mixed"]),
    job_polls=st.just(0),
)


class Warehouse:
    """A loader that upserts by key, and its state."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, Any]]] = {"customers": {}, "reward_events": {}}
        self._versions: dict[tuple[str, str], object] = {}
        self.state: dict[str, Any] = {}

    def take(self, messages: list[dict[str, Any]], *, keep_states: bool = True) -> None:
        """Load messages; a loader that dies before it emits states has loaded the rows."""
        for message in messages:
            stream = message.get("stream", "")
            if message["type"] == "RECORD":
                record = message["record"]
                self.tables[stream][record["id"]] = record
                self._versions[stream, record["id"]] = message.get("version")
            elif message["type"] == "ACTIVATE_VERSION":
                self._drop_other_versions(stream, message["version"])
            elif message["type"] == "STATE" and keep_states:
                self.state = message["value"]

    def _drop_other_versions(self, stream: str, version: object) -> None:
        table = self.tables[stream]
        for identity in [one for one in table if self._versions[stream, one] != version]:
            del table[identity]


class Contacts:
    """A CRM with numbered changes, so that a tap can read those after its state."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.numbers: dict[str, int] = {}
        self._last = 0
        self.state = 0

    def put(self, key: str, fields: dict[str, Any] | None) -> None:
        """Create or change a contact; without fields it is deleted."""
        gone = {"_sdc_deleted_at": "2026-01-01T00:00:00Z"}
        self._last += 1
        self.rows[key] = {"source_id": key, **(fields or gone)}
        self.numbers[key] = self._last

    @property
    def alive(self) -> dict[str, dict[str, Any]]:
        return {key: row for key, row in self.rows.items() if "_sdc_deleted_at" not in row}

    def changes(self) -> str:
        """The messages of all changes since the state, a STATE after every two."""
        said: list[dict[str, Any]] = [schema(COLUMNS)]
        changed = sorted((number, key) for key, number in self.numbers.items())
        since = [(number, key) for number, key in changed if number > self.state]
        for count, (number, key) in enumerate(since, 1):
            said.append({"type": "RECORD", "stream": "customers", "record": self.rows[key]})
            if count % 2 == 0 or count == len(since):
                said.append({"type": "STATE", "value": {"seen": number}})
        return lines(*said)


class Traffic(RuleBasedStateMachine):
    """The state machine of a CRM, a project and a warehouse."""

    @initialize(
        readings=answers, write_path=st.sampled_from(["bulk", "single"]), ledger=st.booleans()
    )
    def begin(self, readings: Readings, write_path: str, *, ledger: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.sandbox = Sandbox(readings=readings)
        self.sandbox.__enter__()
        self.project = self.sandbox.project
        self.sandbox.clock.set(datetime(2026, 3, 1, tzinfo=UTC))
        self.project.create_referral_campaign(
            "Refer", referee_reward={"loyalty_points": 5}, referrer_reward={"gift_credit": 700}
        )
        self.warehouse, self.crm, self.orders = Warehouse(), Contacts(), 0
        connection = {
            "application_id": self.sandbox.application_id,
            "secret_key": self.sandbox.secret_key,
            "api_url": self.sandbox.url,
        }
        self.tap = {**connection, "lookback_window": LOOKBACK}
        self.target = {
            **connection,
            "write_path": write_path,
            "batch_size_rows": 3,
            "on_delete": "delete",
            "max_delete_percent": 100,
        }
        if ledger:
            self.target["ledger_path"] = str(Path(self.folder.name) / "ledger.db")

    # Changes

    @rule(numbers=several, name=words, tier=words)
    def contacts_are_written(self, numbers: list[int], name: str, tier: str) -> None:
        for number in numbers:
            email = f"contact{number}@example.com"
            fields = {"name": name, "email": email, "metadata": {"tier": tier}}
            self.crm.put(f"{CRM}-{number}", fields)

    @precondition(lambda self: self.crm.alive)
    @rule(numbers=several)
    def contacts_are_deleted(self, numbers: list[int]) -> None:
        for number in numbers:
            if f"{CRM}-{number}" in self.crm.alive:
                self.crm.put(f"{CRM}-{number}", None)

    @rule(come=several, go=several, name=words, many=st.booleans())
    def people_come_change_and_go(
        self, come: list[int], go: list[int], name: str, *, many: bool
    ) -> None:
        """Add customers; many are more than two pages of one timestamp."""
        for number in come:
            self.project.upsert_customer({"source_id": f"{WEB}-{number}", "name": name})
        for number in go:
            if self.project.customer_by_source_id(f"{WEB}-{number}"):
                self.project.delete_customer(f"{WEB}-{number}")
        if many and len(self.project.customers) < MANY:
            self.project.add_customers(210, prefix=f"import{len(self.project.customers)}")

    @rule(pairs=st.lists(st.tuples(people, st.sampled_from([CRM, WEB]), people), min_size=1))
    def people_refer(self, pairs: list[tuple[int, str, int]]) -> None:
        for referrer, kind, referee in pairs:
            who = [f"{WEB}-{referrer}", f"{kind}-{referee}"]
            if who[0] != who[1] and all(map(self.project.customer_by_source_id, who)):
                self.orders += 1
                code = self.project.referral_code("Refer", who[0])
                order = {"source_id": f"order-{self.orders}", "amount": 12_000}
                self.project.redeem(code, who[1], order)

    @rule(wait=seconds)
    def time_passes(self, wait: float) -> None:
        self.sandbox.clock.advance(wait)

    # Runs

    @rule(trouble=troubles, share=st.none() | st.floats(0, 1), passed_on=st.booleans())
    def the_tap_runs(self, trouble: Fault | None, share: float | None, *, passed_on: bool) -> None:
        """Run with a kill, which cuts the output; the loader may die too."""
        with self._broken_by(trouble):
            messages = extract(self.tap, self.warehouse.state)
        if share is None:
            self.warehouse.take(messages)
        else:
            kept = messages[: round(share * len(messages))]
            self.warehouse.take(kept, keep_states=passed_on)

    @rule(calls=few)
    def the_tap_may_make_few_calls(self, calls: int) -> None:
        self.warehouse.take(extract({**self.tap, "max_calls": calls}, self.warehouse.state))

    @precondition(lambda self: self.crm.rows)
    @rule(trouble=troubles, calls=st.none() | few)
    def the_target_runs(self, trouble: Fault | None, calls: int | None) -> None:
        with self._broken_by(trouble):
            done = load({**self.target, "max_calls": calls}, self.crm.changes())
        self._follow(done.states)

    @precondition(lambda self: self.crm.rows)
    @rule(
        number=st.integers(1, 6),
        kind=st.sampled_from(["cut_before", "slow_headers"]),
        signum=st.sampled_from([signal.SIGKILL, signal.SIGTERM]),
    )
    def the_target_is_killed(self, number: int, kind: Any, signum: signal.Signals) -> None:
        """Kill at a request, before the project sees it or before the response."""
        self.sandbox.forget_requests()
        line = command("target_voucherify", self.target, Path(self.folder.name))
        with (
            self._broken_by(Fault(kind=kind, numbers=[number], seconds=0.3)),
            Process(line) as process,
        ):
            assert process.stdin
            process.stdin.write(self.crm.changes().encode())
            process.stdin.close()
            process.stdin = None
            while process.poll() is None and self.sandbox.calls < number:
                time.sleep(0.002)
            process.send_signal(signum)
            printed, _ = process.communicate(timeout=60)
        self._follow(states_in(printed))

    @contextmanager
    def _broken_by(self, trouble: Fault | None) -> Iterator[None]:
        """Set a fault or a change for the next run."""
        self.sandbox.faults.add(*(replace(fault) for fault in [trouble] if fault))
        yield
        self.sandbox.faults.clear()

    def _follow(self, states: list[dict[str, Any]]) -> None:
        if states:
            self.crm.state = states[-1]["seen"]

    # Invariants

    @invariant()
    def nothing_is_acknowledged_early(self) -> None:
        """Contacts that the CRM's state covers are in the project as in the CRM."""
        if not hasattr(self, "crm"):
            return
        self.project.finish_jobs()
        behind = [key for key, number in self.crm.numbers.items() if number <= self.crm.state]
        assert [key for key in behind if not self._agrees(key)] == []

    def _agrees(self, key: str) -> bool:
        held, wanted = self.project.customer_by_source_id(key), self.crm.alive.get(key)
        if held is None or wanted is None:
            return held is wanted
        return {name: held.get(name) for name in wanted} == wanted

    def teardown(self) -> None:
        if not hasattr(self, "crm"):
            return
        try:
            self._end_with_quiet_runs()
        finally:
            self.sandbox.__exit__(None, None, None)
            self.folder.cleanup()

    def _end_with_quiet_runs(self) -> None:
        done = load(self.target, self.crm.changes())
        assert done.error is None
        assert all(map(self._agrees, self.crm.rows))

        self.project.settle()
        self.sandbox.clock.advance(QUIET)
        self.warehouse.take(extract(self.tap, self.warehouse.state))
        customers = {one: shown(row) for one, row in self.project.customers.items()}
        loaded = self.warehouse.tables["customers"]
        assert {one: shown(loaded.get(one)) for one in customers} == customers
        assert loaded.keys() - customers.keys() <= self.project.people.deleted.keys()
        self._compare_events()

        whole = {**self.tap, "emit_activate_version_messages": True}
        self.warehouse.take(extract(whole, {}, full_table="customers"), keep_states=False)
        assert {one: shown(row) for one, row in loaded.items()} == customers

    def _compare_events(self) -> None:
        """The events of existing customers, and no others."""
        types = set(REWARD_EVENT_TYPES)
        happened, with_the_gone = (
            {
                event.id: customer.id
                for customer in group
                for event in customer.activity
                if event.type in types
            }
            for group in (
                self.project.people.by_id.values(),
                (*self.project.people.by_id.values(), *self.project.people.deleted.values()),
            )
        )
        loaded = {
            identity: row["customer_id"]
            for identity, row in self.warehouse.tables["reward_events"].items()
        }
        assert happened.items() <= loaded.items() <= with_the_gone.items()


def shown(customer: dict[str, Any] | None) -> dict[str, Any]:
    """The fields of a customer without nulls."""
    return {
        name: value
        for name, value in (customer or {}).items()
        if value is not None and name != "modified_at"
    }


def states_in(printed: bytes) -> list[dict[str, Any]]:
    whole_lines = printed.splitlines(keepends=True)
    return [json.loads(line) for line in whole_lines if line.endswith(b"\n")]


@pytest.mark.timeout(3_600)
def test_warehouse_and_crm_agree_with_the_project_after_quiet_runs() -> None:
    if TORTURE:
        number = int(os.environ.get("TORTURE_SEED") or secrets.randbelow(2**32))
        sys.stdout.write(f"TORTURE=1 TORTURE_SEED={number} python -m pytest {__file__}\n")
    run_state_machine_as_test(
        seed(number)(Traffic) if TORTURE else Traffic,
        settings=settings(
            max_examples=200 if TORTURE else 15,
            stateful_step_count=30 if TORTURE else 15,
            derandomize=not TORTURE,
            deadline=None,
            print_blob=False,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
