"""`make demo`: the three jobs on a filled CRM, twice, then the marts and a summary."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from demo import crm
from demo.report.runs import refusals
from demo.services import (
    FOLDER,
    ROOT,
    Sandbox,
    crm_database,
    environment,
    exit_on_sigterm,
    own_folder,
    sandbox,
)

REFERRALS = {"Refer a friend": 40, "Bring a buddy": 20}
REGULARS = (3, 81)
"""Contacts that refer every third friend of a campaign."""
CHANGED_CONTACTS = 25
JOBS = ("crm-to-voucherify", "voucherify-to-warehouse", "rewards-to-crm")
SECONDS_TO_STOP = 10
AN_HOUR = 3_600
TWO_WEEKS = 14 * 24 * AN_HOUR
SECONDS_BETWEEN_ORDERS = TWO_WEEKS // sum(REFERRALS.values())

QUESTION = """
SELECT customer_source_id AS customer, recipient_role AS role, amount, points,
       campaign_name AS campaign, order_source_id AS "order"
FROM voucherify.reward_events
WHERE type = 'customer.rewarded'
  AND order_source_id IN ('shop-00001', 'shop-00002', 'shop-00041')
ORDER BY "order", role
"""

BY_ROLE = """
SELECT campaign_name, recipient_role, count(*), sum(amount), sum(points)
FROM voucherify.reward_events
WHERE type = 'customer.rewarded'
GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Load:
    """The result of one run of the CRM job."""

    created: int
    calls: int
    summary: dict[str, Any]


class Story:
    """The steps of the demo; each prints a line."""

    def __init__(self, api: Sandbox, address: str) -> None:
        self.api = api
        self.address = address
        self.console = Console()
        self.calls: dict[str, list[int]] = {job: [] for job in JOBS}
        self.loads: list[Load] = []

    def log(self, text: str) -> None:
        """Print a line."""
        self.console.print(f"[bold]>[/bold] {text}")

    def run(self, job: str) -> Path:
        """Run one job of `meltano.yml` and count the API calls it made.

        Raises:
            SystemExit: the job failed; its log is shown.
        """
        number = len(self.calls[job]) + 1
        log = FOLDER / f"{job}-{number}.log"
        before, began = self.api.state(), time.monotonic()
        meltano("run", job, log=log)
        after = self.api.state()
        calls = after["calls"] - before["calls"]
        self.calls[job].append(calls)
        if job == JOBS[0]:
            created = after["customers"] - before["customers"]
            self.loads.append(Load(created, calls, run_summary(log)))
        self.log(f"meltano run {job}: {calls} API calls, {time.monotonic() - began:.1f} s")
        return log

    def refer(self) -> None:
        """Refer friends: each code is redeemed with one order."""
        order, contact = 0, 1
        for regular, (campaign, referrals) in zip(REGULARS, REFERRALS.items(), strict=True):
            for _ in range(referrals):
                order += 1
                referrer = contact if order % 3 else regular
                code = self.api.act(
                    "referral_code", campaign=campaign, referrer=crm.contact_id(referrer)
                )
                self.api.act(
                    "redeem",
                    code=code,
                    customer=crm.contact_id(contact + 1),
                    order={"source_id": f"shop-{order:05}", "amount": 4_000 + 150 * order},
                )
                contact += 2
                self.api.act("advance_clock", seconds=SECONDS_BETWEEN_ORDERS)
        self.api.act("settle")
        self.log(f"{order} friends redeem a referral code with an order, in two weeks")

    def transform(self) -> None:
        """Build the marts of `transform/` and run their tests."""
        began = time.monotonic()
        meltano("run", "transform", log=FOLDER / "transform.log")
        self.log(f"meltano run transform: models and their tests, {time.monotonic() - began:.1f} s")

    def an_hour_later(self) -> None:
        """Advance Voucherify's clock, as if the jobs ran on a schedule."""
        self.api.act("advance_clock", seconds=AN_HOUR)


def meltano(*arguments: str, log: Path) -> None:
    """Run Meltano in this project, its output in a file.

    Raises:
        SystemExit: it failed; the end of its output is shown.
    """
    command = [str(Path(sys.executable).parent / "meltano"), *arguments]
    # A separate state, because each demo starts with an empty sandbox.
    env = {**os.environ, "MELTANO_STATE_BACKEND_URI": f"file://{FOLDER}/state"}
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - the command of this environment
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        try:
            process.wait()
        except BaseException:
            stop_group(process)
            raise
    if process.returncode != 0:
        tail = "\n".join(log.read_text().splitlines()[-20:])
        raise SystemExit(f"{tail}\n\nmeltano {' '.join(arguments)} failed; all of it: {log}")


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """Stop a process and those that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_summary(log: Path) -> dict[str, Any]:
    """The JSON object at the end of the last `run summary` line in a log."""
    lines = [line for line in log.read_text().splitlines() if "run summary" in line]
    text = lines[-1]
    summary: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    return summary


def main() -> None:
    """Run the demo in an empty folder, and stop all services at the end."""
    exit_on_sigterm()
    with (
        own_folder(FOLDER, empty=True),
        crm_database(FOLDER / "postgres") as address,
        sandbox(FOLDER / "sandbox.log") as api,
    ):
        os.environ.update(environment(FOLDER, address, api))
        story = Story(api, address)
        story.log("PostgreSQL is the CRM, the sandbox stands in for Voucherify")
        api.act("advance_clock", seconds=-(TWO_WEEKS + 6 * AN_HOUR))
        meltano("install", log=FOLDER / "install.log")
        story.log("meltano install: both plugins from this checkout, and their neighbours")
        crm.fill(address)
        story.log(f"{crm.CONTACTS:,} contacts in the CRM")
        story.run(JOBS[0])
        story.refer()
        story.an_hour_later()
        story.run(JOBS[1])
        story.run(JOBS[2])
        story.an_hour_later()
        crm.change(address, CHANGED_CONTACTS)
        story.log(f"{CHANGED_CONTACTS} contacts change in the CRM")
        story.run(JOBS[0])
        story.an_hour_later()
        story.run(JOBS[1])
        story.run(JOBS[2])
        story.transform()
        show(story)
        report()


def show(story: Story) -> None:
    """Print the summary and the result of a query of the warehouse."""
    warehouse = duckdb.connect(str(FOLDER / "warehouse.duckdb"), read_only=True)
    first, second = story.loads
    table = Table(title="What happened", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    rows: list[tuple[str, object]] = [
        ("contacts in the CRM", crm.count(story.address, "contacts")),
        ("customers created, first run", first.created),
        ("customers updated, second run", second.summary["accepted"] - second.created),
        ("customers in Voucherify", story.api.state()["customers"]),
        ("customers in DuckDB", scalar(warehouse, "SELECT count(*) FROM voucherify.customers")),
    ]
    rows += [
        (f"refused: {kind}", times)
        for kind, times in refusals(FOLDER / "refused.singer", Counter()).items()
    ]
    for campaign, role, count, amount, points in warehouse.execute(BY_ROLE).fetchall():
        given = f"{amount / 100:.2f} credit" if amount else f"{points} points"
        rows.append((f"rewards, {campaign}, {role}", f"{count} ({given})"))
    events = scalar(warehouse, "SELECT count(*) FROM voucherify.reward_events")
    rewards = scalar(warehouse, "SELECT count(*) FROM analytics.referral_rewards")
    rows += [
        ("rewards in the mart referral_rewards", rewards),
        ("reward events in DuckDB", events),
        ("reward events in the CRM", crm.count(story.address, "voucherify.reward_events")),
    ]
    rows += [
        (f"API calls, {job}", ", then ".join(str(n) for n in calls))
        for job, calls in story.calls.items()
    ]
    for label, value in rows:
        table.add_row(label, f"{value:,}" if isinstance(value, int) else str(value))
    story.console.print(table)
    story.console.print(QUESTION.strip(), style="dim", highlight=False)
    story.console.print(result_table(warehouse))


def report() -> None:
    """Write the HTML report."""
    command = [
        *(sys.executable, "-m", "demo.report", "--warehouse", str(FOLDER / "warehouse.duckdb")),
        *("--logs", str(FOLDER), "--refused", str(FOLDER / "refused.singer")),
        *("--out", str(FOLDER / "report.html")),
    ]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    print("HTML report: .demo/report.html")


def scalar(warehouse: duckdb.DuckDBPyConnection, query: str) -> int:
    """The result of a query for one number."""
    row = warehouse.execute(query).fetchone()
    return 0 if row is None else int(row[0])


def result_table(warehouse: duckdb.DuckDBPyConnection) -> Table:
    """The rewards of three orders: customer, role, amount, campaign, order."""
    result = warehouse.execute(QUESTION)
    table = Table(title="Which customer got which reward from which campaign by which order?")
    for column in result.description or []:
        table.add_column(
            column[0], justify="right" if column[0] in {"amount", "points"} else "left"
        )
    for row in result.fetchall():
        table.add_row(*("" if value is None else str(value) for value in row))
    return table


if __name__ == "__main__":
    main()
