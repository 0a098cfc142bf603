"""`make example-airflow`: runs both DAGs with `airflow dags test`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demo import crm
from examples.stage import expect, stage

if TYPE_CHECKING:
    from examples.stage import Stage

HERE = Path(__file__).resolve().parent
AIRFLOW = HERE / ".venv/bin/airflow"
REFUSED = 1
A_DAY = "2026-09-01"
OLD_CUSTOMERS = 800


def load_in_slices(on: Stage) -> None:
    """Load customers of eight months into PostgreSQL, a mapped task for each slice."""
    on.api.act(
        "add_customers",
        count=OLD_CUSTOMERS,
        prefix="old-",
        created_at="2026-01-01T00:00:00Z",
        spread_seconds=242 * 86_400,
    )
    on.run(AIRFLOW, "dags", "test", "voucherify_first_load", A_DAY)
    rows = on.in_crm("SELECT count(*), count(DISTINCT id) FROM voucherify.customers")
    expect("rows and customers of eight slices", rows, [(OLD_CUSTOMERS, OLD_CUSTOMERS)])


def main() -> None:
    """Run all checks in a temporary folder."""
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
        load_in_slices(on)
        print("Airflow: every task ran, and nothing is missing")


if __name__ == "__main__":
    main()
