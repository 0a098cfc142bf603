"""`make example-scaling`: a first load in eight parallel slices, compared with one run.

The slices share no disk: their states are in a bucket, their rows in PostgreSQL.
"""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from examples.dagster.run import DAGSTER
from examples.dagster.run import HERE as DAGSTER_PROJECT
from examples.stage import Stage, expect, free_port, stage, until

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(__file__).resolve().parent / ".venv/bin"
CUSTOMERS = 4_000
NEW = 15
SLICES = [f"2026-{month:02}-01" for month in range(1, 9)]
AT_ONCE = 2
STREAMS = '["customers.*", "redemptions.*"]'
IN_ONE_BUT_NOT_THE_OTHER = """
SELECT count(*) FROM (
    (SELECT id, source_id, modified_at FROM {}.customers
     EXCEPT SELECT id, source_id, modified_at FROM {}.customers)
    UNION ALL
    (SELECT id, source_id, modified_at FROM {}.customers
     EXCEPT SELECT id, source_id, modified_at FROM {}.customers)
) AS difference
"""


@contextmanager
def bucket() -> Iterator[str]:
    """The URL of a stand-in for S3 with an empty bucket `states`."""
    port = free_port()
    server = subprocess.Popen(
        [BIN / "moto_server", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"

    def made() -> bool:
        request = urllib.request.Request(f"{address}/states", method="PUT")
        with urllib.request.urlopen(request) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - made

    try:
        until(made)
        yield address
    finally:
        server.terminate()
        server.wait()


def keys(address: str) -> int:
    """The number of states in the bucket."""
    with urllib.request.urlopen(f"{address}/states?list-type=2") as answer:
        return int(answer.read().count(b"/state.json</Key>"))


def materialize(on: Stage, asset: str, *partition: str) -> None:
    """Materialize an asset in a separate process."""
    definitions = str(DAGSTER_PROJECT / "definitions.py")
    on.run(DAGSTER, "asset", "materialize", "--select", asset, "-f", definitions, *partition)


def difference(on: Stage, one: str, other: str) -> int:
    """The number of customers that differ between two schemas."""
    query = IN_ONE_BUT_NOT_THE_OTHER.format(one, other, other, one)
    return int(on.in_crm(query)[0][0])


def main() -> None:
    """Run all checks in a temporary folder."""
    with bucket() as address, stage() as on:
        home = on.folder / "dagster"
        home.mkdir()
        shutil.copy(DAGSTER_PROJECT / "dagster.yaml", home)
        on.env.update(
            DAGSTER_HOME=str(home),
            MELTANO=str(BIN / "meltano"),
            MELTANO_STATE_BACKEND_URI="s3://states/voucherify",
            MELTANO_STATE_BACKEND_S3_ENDPOINT_URL=address,
            MELTANO_STATE_BACKEND_S3_AWS_ACCESS_KEY_ID="nobody",
            MELTANO_STATE_BACKEND_S3_AWS_SECRET_ACCESS_KEY="nothing",  # noqa: S106 - the stand-in takes any
            FIRST_CUSTOMER="2026-01-01",
            LAST_SLICE_ENDS="2026-09-01",
        )
        on.api.act(
            "add_customers",
            count=CUSTOMERS,
            prefix="crm-",
            created_at="2026-01-01T00:00:00Z",
            spread_seconds=242 * 86_400,
        )
        materialize(on, "tables")
        with ThreadPoolExecutor(AT_ONCE) as workers:
            done = [
                workers.submit(materialize, on, "first_load", "--partition", slice_)
                for slice_ in SLICES
            ]
            for each in done:
                each.result()
        rows = on.in_crm("SELECT count(*), count(DISTINCT id) FROM voucherify.customers")
        expect("rows and customers of eight slices", rows, [(CUSTOMERS, CUSTOMERS)])
        in_project = {"TAP_VOUCHERIFY__SELECT": STREAMS}
        one_run = {**in_project, "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": "one_run"}
        pair = ("tap-voucherify", "target-postgres")
        on.meltano("run", "--state-id-suffix=one-run", *pair, **one_run)
        expect("customers that differ from one run's", difference(on, "voucherify", "one_run"), 0)

        materialize(on, "hand_over")
        on.api.act(
            "add_customers",
            count=NEW,
            prefix="new-",
            created_at="2026-09-20T00:00:00Z",
            spread_seconds=86_400,
        )
        calls = on.api.state()["calls"]
        on.meltano("run", *pair, **in_project)
        expect("calls of the run that takes over", on.api.state()["calls"] - calls, 4)
        rows = on.in_crm("SELECT count(*), count(DISTINCT id) FROM voucherify.customers")
        expect("rows and customers after it", rows, [(CUSTOMERS + NEW, CUSTOMERS + NEW)])
        expect("states in the bucket", keys(address) > 0, wanted=True)
        print("Eight slices and the job that takes over hold what one run holds")


if __name__ == "__main__":
    main()
