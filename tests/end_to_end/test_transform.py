"""The marts of the dbt project hold the rewards that were given, in both warehouses."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest

import leaks
from demo.services import ROOT
from singer_input import lines, record, schema
from target_run import load, settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conftest import Meltano
    from voucherify_sandbox import Sandbox

CAMPAIGNS = {
    "gift": {"referee_reward": {"gift_credit": 500}, "referrer_reward": {"gift_credit": 1_000}},
    "sign-up": {"referrer_reward": {"loyalty_points": 70}, "custom_event": "signed_up"},
}
ORDERS = 6

GIVEN = """
SELECT campaign_name, recipient_role, reward_kind, count(*),
       cast(sum(coalesce(amount, points)) as bigint)
FROM analytics.referral_rewards GROUP BY 1, 2, 3
"""
DAILY = """
SELECT campaign_name, cast(sum(conversions) as bigint),
       cast(sum(conversions_rolled_back) as bigint),
       cast(sum(order_total_amount) as bigint), cast(sum(credit_given) as bigint),
       cast(sum(points_given) as bigint)
FROM analytics.referral_program_daily GROUP BY 1 ORDER BY 1
"""
REFERRER = """
SELECT friends_referred, order_total_amount_brought, rewards_as_referrer, credit_received
FROM analytics.customer_referral_summary WHERE customer_source_id = 'crm-1'
"""
WITH_ORDER = """
SELECT count(*) FROM analytics.referral_rewards
WHERE order_source_id IS NOT NULL AND order_status IS NOT NULL
"""


DELIVERED = """
SELECT outcome, reason, cast(sum(records) as bigint) FROM analytics.delivery_daily
GROUP BY 1, 2 ORDER BY 1, 2
"""
REFUSED = (
    "SELECT source_id, reason, times, accepted_since FROM analytics.refused_records ORDER BY 1"
)


def refer(sandbox: Sandbox) -> None:
    """Six orders by friends of one customer, one rolled back, and one sign-up."""
    project = sandbox.project
    sandbox.clock.advance(-timedelta(hours=3).total_seconds())
    project.add_customers(
        20, prefix="crm", created_at=datetime(2026, 3, 1, tzinfo=UTC), spread=timedelta(days=1)
    )
    for name, terms in CAMPAIGNS.items():
        project.create_referral_campaign(name, **terms)
    code = project.referral_code("gift", "crm-1")
    redeemed = [
        project.redeem(code, f"crm-{n}", {"source_id": f"shop-{n}", "amount": 4_000 + n})
        for n in range(2, 2 + ORDERS)
    ]
    project.track_event("signed_up", "crm-9", {"code": project.referral_code("sign-up", "crm-8")})
    project.settle()
    project.roll_back(redeemed[-1])
    project.settle()
    sandbox.clock.advance(3_600)


def deliver(meltano: Meltano, sandbox: Sandbox, loader: str) -> None:
    """Two runs of the target, in the second of which a refused record is accepted."""
    out = meltano.folder / "results.singer"
    files = {"results_path": str(out), "refused_records_path": str(meltano.folder / "refused")}
    config = settings(sandbox, **files)
    load(config, lines(schema(), record(1), record(2, name=["?"]), record(3, name=["?"])))
    load(config, lines(schema(), record(1), record(2)))
    meltano.run("invoke", loader, source=out)


def asked(meltano: Meltano, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query in the warehouse that holds the marts."""
    if meltano.warehouse.exists():
        with duckdb.connect(str(meltano.warehouse), read_only=True) as warehouse:
            return warehouse.execute(query).fetchall()
    with closing(psycopg.connect(meltano.crm)) as warehouse:
        return warehouse.execute(query).fetchall()


def page(meltano: Meltano) -> str:
    """The report of the warehouse."""
    where = str(meltano.warehouse) if meltano.warehouse.exists() else meltano.crm
    out = meltano.folder / "report.html"
    command = [sys.executable, "-m", "demo.report", "--warehouse", where, "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True)
    return out.read_text()


def given(sandbox: Sandbox) -> set[tuple[Any, ...]]:
    kinds = {"gift_credit": "credit", "loyalty_points": "points"}
    return {
        (campaign, role, kinds[kind], line["count"], line["sum"])
        for campaign, roles in sandbox.project.books().items()
        for role, lines in roles.items()
        for kind, line in lines.items()
    }


@pytest.mark.parametrize(
    ("loader", "transformer", "streams"),
    [
        ("target-duckdb", "dbt-duckdb", ()),
        ("target-postgres", "dbt-postgres", ("redemptions", "campaigns", "orders")),
    ],
    ids=["DuckDB, the two streams that must be there", "PostgreSQL, every stream"],
)
def test_the_marts_hold_what_was_given(
    meltano: Meltano,
    sandbox: Sandbox,
    loader: str,
    transformer: str,
    streams: Iterable[str],
) -> None:
    refer(sandbox)
    selected = ["customers.*", "reward_events.*", *(f"{stream}.*" for stream in streams)]
    meltano.env["TAP_VOUCHERIFY__SELECT"] = json.dumps(selected)

    deliver(meltano, sandbox, loader)
    log = meltano.run("run", "tap-voucherify", loader, f"{transformer}:build")

    assert " WARN=0 ERROR=0 SKIP=0 " in log
    assert set(asked(meltano, GIVEN)) == given(sandbox)
    standing = sum(4_000 + n for n in range(2, 1 + ORDERS))
    assert asked(meltano, DAILY) == [
        ("gift", ORDERS, 1, standing, 1_500 * ORDERS, 0),
        ("sign-up", 1, 0, 0, 0, 70),
    ]
    assert asked(meltano, REFERRER) == [(ORDERS - 1, standing, ORDERS, 1_000 * ORDERS)]
    assert asked(meltano, WITH_ORDER) == [(2 * ORDERS if streams else 0,)]
    assert asked(meltano, DELIVERED) == [("accepted", "", 3), ("refused", "invalid_record", 2)]
    assert asked(meltano, REFUSED) == [
        ("crm-2", "invalid_record", 1, True),
        ("crm-3", "invalid_record", 1, False),
    ]
    written = page(meltano)
    assert all(text in written for text in ("sign-up", "crm-1", ">200.20<"))
    assert "refused: invalid_record" in written
    assert "@example.com" not in written


def test_a_warehouse_that_breaks_a_rule_fails_the_run(meltano: Meltano, sandbox: Sandbox) -> None:
    refer(sandbox)
    meltano.run("run", "tap-voucherify", "target-duckdb")
    with duckdb.connect(str(meltano.warehouse)) as warehouse:
        warehouse.execute("UPDATE voucherify.reward_events SET recipient_role = 'friend'")

    process = meltano.start("run", "transform")
    log, _ = process.communicate(timeout=120)
    leaks.saw(log)

    assert process.returncode == 1
    assert "FAIL 1 accepted_values_stg_reward_events_recipient_role" in log
