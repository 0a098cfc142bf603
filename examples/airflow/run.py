"""`make example-airflow`: the hourly DAG once, as `airflow dags test` runs it."""

from __future__ import annotations

from pathlib import Path

from demo import crm
from examples.stage import expect, stage

HERE = Path(__file__).resolve().parent
AIRFLOW = HERE / ".venv/bin/airflow"
REFUSED = 1
A_DAY = "2026-09-01"


def main() -> None:
    """Run everything in a folder of its own."""
    with stage() as on:
        on.env["AIRFLOW_HOME"] = str(on.folder / "airflow")
        on.env["AIRFLOW__CORE__DAGS_FOLDER"] = str(HERE / "dags")
        on.env["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        crm.fill(on.crm)
        on.api.act("advance_clock", seconds=-6 * 3_600)
        on.run(AIRFLOW, "db", "migrate")
        on.run(AIRFLOW, "dags", "test", "voucherify", A_DAY)
        expect("customers in Voucherify", on.customers(), crm.CONTACTS - REFUSED)
        on.refer()
        on.api.act("advance_clock", seconds=3_600)
        on.run(AIRFLOW, "dags", "test", "voucherify", A_DAY)
        expect("customers in DuckDB", on.in_warehouse("customers"), crm.CONTACTS - REFUSED)
        events = on.in_warehouse("reward_events")
        expect("reward events in the CRM", crm.count(on.crm, "voucherify.reward_events"), events)
        print("Airflow: every task ran, and nothing is missing")


if __name__ == "__main__":
    main()
