"""Airflow: the jobs of `meltano.yml` every hour, and a first load in slices.

`meltano` must be on the path of the workers, or set by `MELTANO`. Its addresses and secrets are
environment variables of the workers.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task

MELTANO = os.environ.get("MELTANO", "meltano")
PROJECT = os.environ.get("MELTANO_PROJECT_ROOT", str(Path(__file__).resolve().parents[3]))
FIRST_CUSTOMER = os.environ.get("FIRST_CUSTOMER", "2026-01-01")
LAST_SLICE_ENDS = os.environ.get("LAST_SLICE_ENDS", "2026-09-01")
SLICES = 8

AGAIN = {
    "retries": 2,
    # Meltano takes a killed run for a running one for five minutes.
    "retry_delay": timedelta(minutes=6),
    # After a time-out the task gets SIGTERM and has `killed_task_cleanup_time` (60 s by default) to
    # confirm jobs in flight; the target needs 30 s at most.
    "execution_timeout": timedelta(hours=6),
}
BEGINNING = datetime(2026, 1, 1)  # noqa: DTZ001 - Airflow takes it as UTC


def meltano_job(name: str) -> BashOperator:
    """A job of `meltano.yml` as a task."""
    return BashOperator(
        task_id=name, bash_command=f"exec {MELTANO} run {name}", cwd=PROJECT, append_env=True
    )


def environment_of(name: str, begin: str, end: str) -> dict[str, str]:
    """The variables of the slice [begin, end)."""
    return {
        "SLICE": name,
        "TAP_VOUCHERIFY_START_DATE": begin,
        "TAP_VOUCHERIFY_END_DATE": end,
        "TAP_VOUCHERIFY__SELECT": '["customers.*", "redemptions.*"]',
    }


@dag(
    schedule="5 * * * *", start_date=BEGINNING, catchup=False, max_active_runs=1, default_args=AGAIN
)
def voucherify() -> None:
    """CRM to Voucherify, then warehouse and rewards to the CRM, then the marts."""
    into = meltano_job("crm-to-voucherify")
    warehouse = meltano_job("voucherify-to-warehouse")
    into >> [warehouse, meltano_job("rewards-to-crm")]
    warehouse >> meltano_job("transform")


@dag(schedule=None, start_date=BEGINNING, default_args=AGAIN)
def voucherify_first_load() -> None:
    """Customers by creation time, a slice per task; then the bookmarks."""

    @task
    def slices() -> list[dict[str, str]]:
        """The environment of each slice; all cover the same length of time."""
        first = datetime.fromisoformat(f"{FIRST_CUSTOMER}T00:00:00+00:00")
        span = (datetime.fromisoformat(f"{LAST_SLICE_ENDS}T00:00:00+00:00") - first) / SLICES
        return [
            environment_of(
                f"slice-{number + 1}",
                (first + number * span).isoformat(),
                (first + (number + 1) * span).isoformat(),
            )
            for number in range(SLICES)
        ]

    # Each task has a Meltano folder of its own.
    command = (
        'own=$(mktemp -d) && trap "rm -rf $own" EXIT && '
        "MELTANO_SYS_DIR_ROOT=$own MELTANO_DATABASE_URI=sqlite:///$own/meltano.db "
        f"{MELTANO} run --state-id-suffix=$SLICE tap-voucherify target-postgres"
    )
    # An empty slice creates the tables: parallel loaders would all try to.
    tables = BashOperator(
        task_id="tables",
        bash_command=command,
        env=environment_of("tables", FIRST_CUSTOMER, FIRST_CUSTOMER),
        cwd=PROJECT,
        append_env=True,
    )
    load = BashOperator.partial(
        task_id="load", bash_command=command, cwd=PROJECT, append_env=True
    ).expand(env=slices())

    keys = {"customers": "modified_at", "redemptions": "date"}
    bookmarks = {
        stream: {
            "replication_key": key,
            "replication_key_value": f"{LAST_SLICE_ENDS}T00:00:00.000000Z",
        }
        for stream, key in keys.items()
    }
    # Reward events have no bookmark: the incremental job reads them from the beginning.
    hand_over = BashOperator(
        task_id="hand_over",
        bash_command=(
            f"exec {MELTANO} state set --force "
            '${MELTANO_ENVIRONMENT:-production}:tap-voucherify-to-target-postgres "$BOOKMARKS"'
        ),
        env={"BOOKMARKS": json.dumps({"singer_state": {"bookmarks": bookmarks}})},
        cwd=PROJECT,
        append_env=True,
    )
    tables >> load >> hand_over


voucherify()
voucherify_first_load()
