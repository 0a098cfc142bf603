"""`make example-dagster`: materializes the assets; one run is stopped and repeated."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from demo import crm
from examples.stage import expect, stage

if TYPE_CHECKING:
    from examples.stage import Stage

HERE = Path(__file__).resolve().parent
DAGSTER = HERE / ".venv/bin/dagster"
CONTACTS = crm.CONTACTS
REFUSED = 1


def materialize(select: str) -> list[str | Path]:
    """The command that materializes assets."""
    return [
        *(DAGSTER, "asset", "materialize", "--select", select),
        *("-f", str(HERE / "definitions.py")),
    ]


def stop_in_the_middle(on: Stage) -> None:
    """Start the load into Voucherify and stop it when some customers are there."""
    with (on.folder / "stopped.log").open("w") as log:
        process = subprocess.Popen(
            materialize("crm_to_voucherify"), env=on.env, stdout=log, stderr=log
        )
        while on.customers() == 0:
            if process.poll() is not None:
                raise SystemExit(f"ended early:\n{(on.folder / 'stopped.log').read_text()[-4000:]}")
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        code = process.wait()
    text = (on.folder / "stopped.log").read_text()
    expect("the stopped run failed", code != 0, wanted=True)
    expect("its target confirmed jobs in flight", "Stopped by a signal" in text, wanted=True)
    expect(
        "some customers are there, not all", 0 < on.customers() < CONTACTS - REFUSED, wanted=True
    )


def main() -> None:
    """Run all checks in a temporary folder."""
    with stage(TARGET_VOUCHERIFY_BATCH_SIZE_ROWS="100") as on:
        home = on.folder / "dagster"
        home.mkdir()
        shutil.copy(HERE / "dagster.yaml", home)
        on.env["DAGSTER_HOME"] = str(home)
        crm.fill(on.crm)
        on.api.act("advance_clock", seconds=-6 * 3_600)
        on.slow_jobs(1)
        stop_in_the_middle(on)
        on.slow_jobs(0)
        on.run(*materialize("crm_to_voucherify"))
        expect("customers after running again", on.customers(), CONTACTS - REFUSED)
        on.refer()
        on.api.act("advance_clock", seconds=3_600)
        on.run(*materialize("group:hourly"))
        expect("customers in DuckDB", on.in_warehouse("customers"), CONTACTS - REFUSED)
        events = on.in_warehouse("reward_events")
        expect("reward events in the CRM", crm.count(on.crm, "voucherify.reward_events"), events)
        print("Dagster: the jobs ran, one was stopped and run again, and nothing is missing")


if __name__ == "__main__":
    main()
