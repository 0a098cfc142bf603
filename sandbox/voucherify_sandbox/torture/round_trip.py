"""A case of the round trip through Meltano: CRM, Voucherify, warehouse, and back to the CRM.

The three jobs of `meltano.yml` run against PostgreSQL and DuckDB. A run that fails or is killed is
started again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg

from demo import crm
from demo.services import ROOT, crm_database
from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.torture.cases import Injection
from voucherify_sandbox.torture.plugins import beside_python, faults
from voucherify_sandbox.torture.score import Score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox.torture.cases import Case

JOBS = ("crm-to-voucherify", "voucherify-to-warehouse", "rewards-to-crm")
SYSTEM, PLUGINS = ".meltano", ("extractors", "loaders")
CONTACTS, CHANGED, PAIRS = 120, 10, 5
TRIES = 4
TIMEOUT = 240
"""Seconds for `meltano run` with all three jobs."""

CAMPAIGN = "Refer a friend"
REWARDS = frozenset(("customer.rewarded", "customer.rewarded.loyalty_points", "customer.referred"))


@dataclass
class Trip:
    """The sandbox and databases of one case, with its score."""

    sandbox: Sandbox
    crm: str
    folder: Path
    score: Score = field(default_factory=lambda: Score(combinations=1))

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.folder / "warehouse.duckdb"

    def run(self, injection: Injection) -> None:
        """Run the three jobs until they succeed."""
        for turn in range(TRIES):
            if self._run_once(injection if turn == 0 else Injection()):
                return
        self.score.violations.append(f"{TRIES} runs in a row failed")

    def _run_once(self, injection: Injection) -> bool:
        self.sandbox.forget_requests()
        self.sandbox.faults.add(*faults(injection))
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                # For five minutes Meltano takes a killed run for one that is still running.
                [beside_python("meltano"), "--environment=production", "run", "--force", *JOBS],
                cwd=ROOT,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            code = self._wait(process, injection)
            log.seek(0)
            text = log.read().decode(errors="replace")
        self.sandbox.faults.clear()
        self.score.runs += 1
        self.score.kills += injection.is_signal and code != 0
        self.score.violations += ["the secret key was printed"] * (self.sandbox.secret_key in text)
        return code == 0

    def _wait(self, process: subprocess.Popen[bytes], injection: Injection) -> int:
        until = time.monotonic() + TIMEOUT
        while injection.is_signal and process.poll() is None and time.monotonic() < until:
            if self.sandbox.calls >= injection.number:
                os.killpg(process.pid, signal.Signals[injection.kind])
                break
            time.sleep(0.002)
        try:
            return process.wait(until - time.monotonic())
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            self.score.violations.append(f"a run took more than {TIMEOUT} seconds")
            return process.wait()

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "MELTANO_SYS_DIR_ROOT": str(self.folder / SYSTEM),
            "MELTANO_STATE_BACKEND_URI": f"file://{self.folder}/state",
            "MELTANO_DATABASE_URI": f"sqlite:///{self.folder}/meltano.db",
            "CRM_URL": self.crm,
            "CRM_PSYCOPG_URL": self.crm.replace("postgresql", "postgresql+psycopg", 1),
            "VOUCHERIFY_API_URL": self.sandbox.url,
            "VOUCHERIFY_APPLICATION_ID": self.sandbox.application_id,
            "VOUCHERIFY_SECRET_KEY": self.sandbox.secret_key,
            "WAREHOUSE_PATH": str(self.warehouse),
            "REFUSED_RECORDS_PATH": str(self.folder / "refused.singer"),
        }


def install() -> None:
    """Install the plugins of the Meltano project.

    Raises:
        CalledProcessError: `meltano install` failed.
    """
    command = [beside_python("meltano"), "install"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def run_case(case: Case) -> Score:
    """Run one case: fill, refer, change, then compare CRM, sandbox and warehouse."""
    with _trip(Readings(**case.readings)) as trip:
        trip.sandbox.clock.advance(-6 * 3600)
        crm.fill(trip.crm, CONTACTS)
        trip.sandbox.project.create_referral_campaign(
            CAMPAIGN, referee_reward={"gift_credit": 500}, referrer_reward={"gift_credit": 900}
        )
        for number, injection in enumerate((*case.injections, Injection())):
            trip.run(injection)
            trip.sandbox.clock.advance(3600)
            if number < len(case.injections) - 1:
                _refer(trip.sandbox)
                crm.change(trip.crm, CHANGED)
        _judge(trip)
        trip.score.faults = trip.sandbox.faults.injected
        return trip.score


@contextmanager
def _trip(readings: Readings) -> Iterator[Trip]:
    with (
        # The path of a socket has 107 characters at most.
        tempfile.TemporaryDirectory(prefix="crm") as socket,
        tempfile.TemporaryDirectory(prefix="trip") as folder,
        crm_database(Path(socket)) as address,
        Sandbox(readings=readings) as sandbox,
    ):
        # Runs that share this folder would overwrite each other's catalogs.
        (Path(folder) / SYSTEM).mkdir()
        for kind in PLUGINS:
            (Path(folder) / SYSTEM / kind).symlink_to(ROOT / SYSTEM / kind)
        yield Trip(sandbox, address, Path(folder))


def _refer(sandbox: Sandbox) -> None:
    for pair in range(1, 2 * PAIRS + 1, 2):
        code = sandbox.project.referral_code(CAMPAIGN, crm.contact_id(pair))
        order = {"source_id": f"shop-{pair}", "amount": 5_000}
        sandbox.project.redeem(code, crm.contact_id(pair + 1), order)
    sandbox.project.settle()


def _judge(trip: Trip) -> None:
    """Compare CRM with sandbox, sandbox with warehouse, and rewards with the CRM's table."""
    project = trip.sandbox.project
    with psycopg.connect(trip.crm) as connection:
        tiers = connection.execute("SELECT contact_id, tier FROM contacts").fetchall()
        paid = _ids(connection.execute("SELECT id FROM voucherify.reward_events").fetchall())
    for key, tier in tiers:
        customer = project.customer_by_source_id(key)
        there = customer is not None and (customer.get("metadata") or {}).get("tier") == tier
        trip.score.lost += not there
    with duckdb.connect(str(trip.warehouse), read_only=True) as warehouse:
        tables = ("customers", "reward_events")
        found = [warehouse.execute(f"SELECT id FROM voucherify.{t}").fetchall() for t in tables]  # noqa: S608 - ours
    customers, events = map(_ids, found)
    given = {
        event.id
        for person in project.people.by_id.values()
        for event in person.activity
        if event.type in REWARDS
    }
    trip.score.rows = len(tiers) + len(customers) + len(events) + len(paid)
    for name, want, have in (
        ("customers in the warehouse", set(project.customers), customers),
        ("rewards in the warehouse", given, events),
        ("rewards in the CRM", given, paid),
    ):
        trip.score.lost += len(want - have)
        if want - have:
            trip.score.violations.append(f"{len(want - have)} {name} are missing")
    doubled = len(found[0]) - len(customers) + len(found[1]) - len(events)
    if doubled:
        trip.score.violations.append(f"{doubled} rows are twice in the warehouse")


def _ids(rows: list[tuple[Any, ...]]) -> set[str]:
    return {str(row[0]) for row in rows}
