"""The Meltano project of the checkout with its services."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

import leaks
from demo.services import ROOT, crm_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox import Sandbox

MELTANO = Path(sys.executable).with_name("meltano")


@dataclass(frozen=True)
class Meltano:
    """The command `meltano`, with settings from the environment."""

    env: dict[str, str]
    crm: str
    folder: Path

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse.duckdb"

    @property
    def refused(self) -> Path:
        return self.folder / "refused.singer"

    def start(self, *arguments: str, source: IO[str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [MELTANO, "--environment=production", *arguments],
            cwd=ROOT,
            env=self.env,
            text=True,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str, source: Path = Path(os.devnull)) -> str:
        """Run to the end and return the log; a failure fails the test."""
        with source.open() as given:
            process = self.start(*arguments, source=given)
        log, _ = process.communicate(timeout=240)
        leaks.saw(log)
        assert process.returncode == 0, log
        return log


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Iterator[None]:
    """The project folder with installed plugins, locked for one test at a time.

    Runs in one folder share the catalog that Meltano writes there.
    """
    shared = tmp_path_factory.getbasetemp().parent
    with (shared / f"meltano-{testrun_uid}").open("a+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        turn.seek(0)
        if turn.read() != "installed":
            done = subprocess.run(
                [MELTANO, "install"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                timeout=280,
            )
            leaks.saw(done.stdout + done.stderr)
            assert done.returncode == 0, done.stdout + done.stderr
            turn.write("installed")
            turn.flush()
        yield


@pytest.fixture
def meltano(project: None, sandbox: Sandbox, tmp_path: Path) -> Iterator[Meltano]:  # noqa: ARG001 - a turn
    # The path of a socket has 107 characters at most; pytest's folders can be longer.
    with tempfile.TemporaryDirectory(prefix="crm") as socket, crm_database(Path(socket)) as crm:
        env = {
            **os.environ,
            "MELTANO_STATE_BACKEND_URI": f"file://{tmp_path}/state",
            "MELTANO_DATABASE_URI": f"sqlite:///{tmp_path}/meltano.db",
            "CRM_URL": crm,
            "CRM_PSYCOPG_URL": crm.replace("postgresql", "postgresql+psycopg", 1),
            "VOUCHERIFY_API_URL": sandbox.url,
            "VOUCHERIFY_APPLICATION_ID": sandbox.application_id,
            "VOUCHERIFY_SECRET_KEY": sandbox.secret_key,
            "WAREHOUSE_PATH": str(tmp_path / "warehouse.duckdb"),
            "REFUSED_RECORDS_PATH": str(tmp_path / "refused.singer"),
            "DBT_POSTGRES_HOST": socket,
        }
        yield Meltano(env, crm, tmp_path)
