"""Dagster: the jobs of `meltano.yml` as assets on a schedule, and a first load in slices.

`meltano` must be on the path, or set by `MELTANO`. Its addresses and secrets are environment
variables of the code location.
"""

import json
import os
import tempfile
from pathlib import Path

import dagster as dg

MELTANO = os.environ.get("MELTANO", "meltano")
PROJECT = os.environ.get("MELTANO_PROJECT_ROOT", str(Path(__file__).resolve().parents[2]))
FIRST_CUSTOMER = os.environ.get("FIRST_CUSTOMER", "2026-01-01")
LAST_SLICE_ENDS = os.environ.get("LAST_SLICE_ENDS", "2026-09-01")

# A stopped run confirms jobs in flight for up to 30 seconds.
MELTANO_ENDS = dg.PipesSubprocessClient(cwd=PROJECT, termination_timeout_seconds=90)
# Meltano takes a killed run for a running one for five minutes, so retries come later.
AGAIN = dg.RetryPolicy(max_retries=2, delay=360, backoff=dg.Backoff.EXPONENTIAL)
# The run monitor of `dagster.yaml` ends longer runs.
SIX_HOURS = {"dagster/max_runtime": str(6 * 3_600)}

SLICES = dg.MonthlyPartitionsDefinition(start_date=FIRST_CUSTOMER, end_date=LAST_SLICE_ENDS)
SLICED_STREAMS = ("customers", "redemptions")


def meltano_job(name: str, after: list[str]) -> dg.AssetsDefinition:
    """A job of `meltano.yml` as an asset that runs after others; its pool prevents overlaps."""

    @dg.asset(
        name=name.replace("-", "_"), deps=after, retry_policy=AGAIN, pool=name, group_name="hourly"
    )
    def run(
        context: dg.AssetExecutionContext, meltano: dg.PipesSubprocessClient
    ) -> dg.MaterializeResult:
        return meltano.run(context=context, command=[MELTANO, "run", name]).get_materialize_result()

    return run


def load(
    context: dg.AssetExecutionContext,
    meltano: dg.PipesSubprocessClient,
    name: str,
    begin: str,
    end: str,
) -> dg.MaterializeResult:
    """Load customers created in [begin, end), with a Meltano folder of its own."""
    with tempfile.TemporaryDirectory() as own:
        return meltano.run(
            context=context,
            command=[
                *(MELTANO, "run", f"--state-id-suffix={name}"),
                *("tap-voucherify", "target-postgres"),
            ],
            env={
                "MELTANO_SYS_DIR_ROOT": own,
                "MELTANO_DATABASE_URI": f"sqlite:///{own}/meltano.db",
                "TAP_VOUCHERIFY_START_DATE": begin,
                "TAP_VOUCHERIFY_END_DATE": end,
                "TAP_VOUCHERIFY__SELECT": json.dumps([f"{s}.*" for s in SLICED_STREAMS]),
            },
        ).get_materialize_result()


@dg.asset(retry_policy=AGAIN, group_name="first_load")
def tables(
    context: dg.AssetExecutionContext, meltano: dg.PipesSubprocessClient
) -> dg.MaterializeResult:
    """The tables, created by an empty slice: parallel loaders would all try to."""
    return load(context, meltano, "tables", FIRST_CUSTOMER, FIRST_CUSTOMER)


@dg.asset(partitions_def=SLICES, deps=[tables], retry_policy=AGAIN, group_name="first_load")
def first_load(
    context: dg.AssetExecutionContext, meltano: dg.PipesSubprocessClient
) -> dg.MaterializeResult:
    """The customers created in one month, with its own state id."""
    window = context.partition_time_window
    begin, end = window.start.isoformat(), window.end.isoformat()
    return load(context, meltano, context.partition_key, begin, end)


@dg.asset(deps=[first_load], group_name="first_load")
def hand_over(
    context: dg.AssetExecutionContext, meltano: dg.PipesSubprocessClient
) -> dg.MaterializeResult:
    """Set the bookmarks of the incremental job to the end of the last slice.

    Reward events have no bookmark, so the job reads them from the beginning.
    """
    keys = {"customers": "modified_at", "redemptions": "date"}
    bookmarks = {
        stream: {
            "replication_key": key,
            "replication_key_value": f"{LAST_SLICE_ENDS}T00:00:00.000000Z",
        }
        for stream, key in keys.items()
    }
    environment = os.environ.get("MELTANO_ENVIRONMENT", "production")
    return meltano.run(
        context=context,
        command=[
            *(MELTANO, "state", "set", "--force"),
            f"{environment}:tap-voucherify-to-target-postgres",
            json.dumps({"singer_state": {"bookmarks": bookmarks}}),
        ],
    ).get_materialize_result()


HOURLY = [
    meltano_job("crm-to-voucherify", after=[]),
    meltano_job("voucherify-to-warehouse", after=["crm_to_voucherify"]),
    meltano_job("rewards-to-crm", after=["crm_to_voucherify"]),
    meltano_job("transform", after=["voucherify_to_warehouse"]),
]
hourly = dg.define_asset_job("hourly", dg.AssetSelection.groups("hourly"), tags=SIX_HOURS)

defs = dg.Definitions(
    assets=[*HOURLY, tables, first_load, hand_over],
    jobs=[hourly],
    schedules=[dg.ScheduleDefinition(job=hourly, cron_schedule="5 * * * *")],
    resources={"meltano": MELTANO_ENDS},
)
