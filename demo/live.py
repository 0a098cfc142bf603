"""`make demo-live`: contacts change and refer friends, and each step is timed.

The three jobs run one after another without a pause. The sandbox sends signed webhooks, some twice
and out of order; the receiver stores them and the tap reads them without a call. It ends after
about two minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb
import psycopg
from rich.console import Console
from rich.live import Live
from rich.table import Table

from demo import crm
from demo.__main__ import JOBS, meltano
from demo.services import (
    FOLDER,
    SECONDS_TO_START,
    Sandbox,
    crm_database,
    environment,
    exit_on_sigterm,
    own_folder,
    printed_address,
    sandbox,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 120
CONTACTS = 60
CAMPAIGN = "Refer a friend"
SECRET = "secret-of-the-live-demo"  # noqa: S105 - published on purpose
STORE = FOLDER / "webhooks.sqlite"

STEPS = (
    "CRM to Voucherify",
    "redeemed, rewards settled",
    "webhooks on disk",
    "in DuckDB",
    "back in the CRM",
)
SETTINGS = {
    "TARGET_VOUCHERIFY_WRITE_PATH": "auto",
    "TAP_VOUCHERIFY_WEBHOOK_STORE": str(STORE),
    "TAP_VOUCHERIFY_REWARDS_WEBHOOK_STORE": str(STORE),
}


@dataclass
class Round:
    """The seconds of each step for one contact."""

    number: int
    seconds: list[float] = field(default_factory=list)

    def cells(self) -> list[str]:
        """The row of the table."""
        times = [f"{seconds:.1f} s" for seconds in self.seconds]
        missing = [""] * (len(STEPS) - len(times))
        total = f"{sum(self.seconds):.1f} s" if not missing else ""
        return [crm.contact_id(self.number), *times, *missing, total]


def shown(rounds: list[Round]) -> Table:
    """The table of all rounds."""
    table = Table(title="How long each step took, from the commit in the CRM and back to it")
    table.add_column("contact", no_wrap=True)
    for name in (*STEPS, "all"):
        table.add_column(name, justify="right")
    for one in rounds:
        table.add_row(*one.cells())
    return table


@contextmanager
def receiver() -> Iterator[str]:
    """The webhook receiver, as a separate process; yields its address.

    Raises:
        RuntimeError: it did not start.
    """
    output = FOLDER / "receiver.log"
    command = [sys.executable, "-m", "tap_voucherify.webhooks", "serve", "--store", str(STORE)]
    with output.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [*command, "--port", "0"],
            env={**os.environ, "VOUCHERIFY_WEBHOOK_SECRETS": SECRET},
            stderr=log,
        )
    try:
        yield printed_address(process, output, "Receiving webhooks on ")
    finally:
        process.terminate()
        process.wait()


def metric(receiver_url: str, name: str) -> float:
    """A number of the receiver's metrics."""
    url = receiver_url.replace("/webhooks", "/metrics")
    with urllib.request.urlopen(url) as response:  # noqa: S310 - a loopback address of our own
        lines = response.read().decode().splitlines()
    full = f"voucherify_webhooks_{name}"
    return sum(float(line.split()[-1]) for line in lines if line.startswith(full))


def wait_until(holds: Callable[[], bool], problem: str) -> None:
    """Check a condition twenty times a second.

    Raises:
        RuntimeError: it is not met in time.
    """
    for _ in range(SECONDS_TO_START * 20):
        if holds():
            return
        time.sleep(0.05)
    raise RuntimeError(f"{problem}: see the logs in {FOLDER}.")


class Play:
    """Runs the rounds one after another."""

    def __init__(self, api: Sandbox, address: str, webhook: str) -> None:
        self.api = api
        self.address = address
        self.webhook = webhook
        self.rounds: list[Round] = []

    def go(self, number: int, live: Live) -> None:
        """Run one round: the contact changes, refers a friend, and both get rewards."""
        one = Round(number)
        self.rounds.append(one)
        steps = (self._change, self._redeem, self._delivered, self._warehouse, self._crm)
        for step in steps:
            began = time.monotonic()
            step(number)
            one.seconds.append(time.monotonic() - began)
            live.update(shown(self.rounds))

    def _change(self, number: int) -> None:
        change(self.address, number)
        run(JOBS[0])

    def _redeem(self, number: int) -> None:
        refer(self.api, number)
        wait_until(lambda: self.api.state()["pending"] == 0, "rewards did not settle")

    def _delivered(self, number: int) -> None:
        del number
        wait_until(
            lambda: self.api.act("webhooks")[self.webhook]["waiting"] == 0,
            "webhooks did not arrive",
        )

    def _warehouse(self, number: int) -> None:
        run(JOBS[1])
        with duckdb.connect(str(FOLDER / "warehouse.duckdb"), read_only=True) as warehouse:
            row = warehouse.execute(REWARDS.format("?"), [order_of(number)]).fetchone()
        check(row, "DuckDB")

    def _crm(self, number: int) -> None:
        run(JOBS[2])
        check(rewards_in_crm(self.address, number), "the CRM")


REWARDS = (
    "SELECT count(*) FROM voucherify.reward_events "
    "WHERE type = 'customer.rewarded' AND order_source_id = {}"
)


def change(address: str, number: int) -> None:
    """Change the tier of a contact in the CRM."""
    with psycopg.connect(address) as connection:
        connection.execute(
            "UPDATE contacts SET tier = 'platinum', updated_at = now() WHERE contact_id = %s",
            (crm.contact_id(number),),
        )


def refer(api: Sandbox, number: int) -> None:
    """Let the next contact order with this contact's code."""
    code = api.act("referral_code", campaign=CAMPAIGN, referrer=crm.contact_id(number))
    order = {"source_id": order_of(number), "amount": 9_900}
    api.act("redeem", code=code, customer=crm.contact_id(number + 1), order=order)


def rewards_in_crm(address: str, number: int) -> tuple[int, ...] | None:
    """The number of rewards of a contact's order in the CRM."""
    with psycopg.connect(address) as connection:
        return connection.execute(REWARDS.format("%s"), (order_of(number),)).fetchone()


def check(row: tuple[int, ...] | None, where: str) -> None:
    """Check that both parties have a reward.

    Raises:
        SystemExit: they have not.
    """
    if row != (2,):
        raise SystemExit(f"The two rewards are not in {where}: see the logs in {FOLDER}.")


def order_of(number: int) -> str:
    """The key of the order of a round."""
    return f"live-{number:03}"


def run(job: str) -> None:
    """Run a job of `meltano.yml`, its output in a file."""
    meltano("run", job, log=FOLDER / f"{job}-live.log")


@contextmanager
def stage() -> Iterator[tuple[Sandbox, str, str, str]]:
    """After a first run of all jobs: the sandbox, the addresses of CRM and receiver, the webhook.

    The webhook is named by its id.
    """
    exit_on_sigterm()
    with (
        own_folder(FOLDER, empty=True),
        crm_database(FOLDER / "postgres") as address,
        sandbox(FOLDER / "sandbox.log") as api,
        receiver() as receiver_url,
    ):
        os.environ.update(SETTINGS | environment(FOLDER, address, api))
        meltano("install", log=FOLDER / "install.log")
        crm.fill(address, CONTACTS)
        webhook = api.act(
            "add_webhook",
            url=receiver_url,
            secret=SECRET,
            kind="distribution",
            duplicates=0.3,
            disorder_seconds=1,
        )
        for job in JOBS:
            run(job)
        yield api, address, receiver_url, webhook


def main() -> None:
    """Run the demo in an empty folder, and stop all services at the end."""
    console = Console()
    console.print("[bold]>[/bold] meltano install, then a first run of all jobs")
    with stage() as (api, address, receiver_url, webhook):
        play, until = Play(api, address, webhook), time.monotonic() + SECONDS
        with Live(shown([]), console=console, refresh_per_second=4) as live:
            for number in range(1, CONTACTS, 2):
                play.go(number, live)
                if time.monotonic() >= until:
                    break
        stored, twice = (metric(receiver_url, f"{name}_total") for name in ("stored", "duplicates"))
        console.print(f"{stored:,.0f} events stored; {twice:,.0f} duplicates dropped")


if __name__ == "__main__":
    main()
