"""The environment of the examples: a CRM, the sandbox, and the variables for both."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg

from demo import crm
from demo.services import ROOT, Sandbox, crm_database, sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MELTANO = Path(sys.executable).with_name("meltano")
REFERRALS = 10


@dataclass(frozen=True)
class Stage:
    """A filled CRM, the sandbox, and the environment of the schedulers' processes."""

    folder: Path
    crm: str
    api: Sandbox
    env: dict[str, str]

    def run(self, *command: str | Path, **env: str) -> None:
        """Run a scheduler's command to its end.

        Raises:
            SystemExit: it failed; the end of its output is shown.
        """
        done = subprocess.run(
            command,
            env={**self.env, **env},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{(done.stdout + done.stderr)[-6000:]}\n\nfailed: {command}")

    def meltano(self, *arguments: str, **env: str) -> None:
        """Run Meltano in the checkout."""
        self.run(self.env["MELTANO"], "--cwd", str(ROOT), *arguments, **env)

    def refer(self) -> None:
        """Refer friends, who order with referral codes."""
        for pair in range(1, 2 * REFERRALS, 2):
            code = self.api.act(
                "referral_code", campaign="Refer a friend", referrer=crm.contact_id(pair)
            )
            order = {"source_id": f"shop-{pair}", "amount": 5_000}
            self.api.act("redeem", code=code, customer=crm.contact_id(pair + 1), order=order)
        self.api.act("settle")

    def slow_jobs(self, seconds: float) -> None:
        """Set the duration of bulk jobs."""
        self.api.set_readings(job_seconds=seconds)

    def customers(self) -> int:
        """Customers in Voucherify."""
        return int(self.api.state()["customers"])

    def in_warehouse(self, table: str) -> int:
        """The number of rows of a table in DuckDB, which must equal that of its keys."""
        with duckdb.connect(self.env["WAREHOUSE_PATH"], read_only=True) as warehouse:
            query = f"SELECT count(*), count(DISTINCT id) FROM voucherify.{table}"  # noqa: S608
            rows, keys = warehouse.execute(query).fetchone() or (0, 0)
        expect(f"distinct rows of {table}", keys, rows)
        return int(rows)

    def in_crm(self, query: str) -> list[tuple[Any, ...]]:
        """The result of a query of the CRM's database."""
        with psycopg.connect(self.crm) as connection:
            return connection.execute(query).fetchall()


@contextmanager
def stage(**settings: str) -> Iterator[Stage]:
    """Both services, in a temporary folder."""
    with (
        tempfile.TemporaryDirectory(prefix="example") as name,
        crm_database(Path(name) / "pg") as address,
        sandbox(Path(name) / "sandbox.log") as api,
    ):
        folder = Path(name)
        env = {
            **os.environ,
            "MELTANO": str(MELTANO),
            "MELTANO_PROJECT_ROOT": str(ROOT),
            "MELTANO_ENVIRONMENT": "production",
            "MELTANO_STATE_BACKEND_URI": f"file://{folder}/state",
            "MELTANO_DATABASE_URI": f"sqlite:///{folder}/meltano.db",
            "CRM_URL": address,
            "CRM_PSYCOPG_URL": address.replace("postgresql", "postgresql+psycopg", 1),
            "VOUCHERIFY_API_URL": api.url,
            "VOUCHERIFY_APPLICATION_ID": api.keys["X-App-Id"],
            "VOUCHERIFY_SECRET_KEY": api.keys["X-App-Token"],
            "WAREHOUSE_PATH": str(folder / "warehouse.duckdb"),
            "REFUSED_RECORDS_PATH": str(folder / "refused.singer"),
            **settings,
        }
        yield Stage(folder, address, api, env)


def free_port() -> int:
    """A free port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(done: Callable[[], bool]) -> None:
    """Ask until a server answers that it is so; one that does not listen yet is asked again.

    Raises:
        SystemExit: it did not answer in time.
    """
    for _ in range(200):
        try:
            if done():
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("a service did not start in 20 seconds")


def expect(what: str, found: object, wanted: object) -> None:
    """Say what was found.

    Raises:
        SystemExit: it is something else than was wanted.
    """
    if found != wanted:
        raise SystemExit(f"{what}: {found}, but should be {wanted}")
    print(f"{what}: {found}")
