"""CRM to Voucherify, to the warehouse, and back to the CRM, through the `meltano` command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb

from demo import crm

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Meltano
    from voucherify_sandbox import Sandbox

CONTACTS = 400
CHANGED = 25
JOBS = ("crm-to-voucherify", "voucherify-to-warehouse", "rewards-to-crm")


def warehouse_counts(meltano: Meltano) -> tuple[int, int]:
    """Rows of customers and reward events in DuckDB, which must equal their distinct keys."""
    with duckdb.connect(str(meltano.warehouse), read_only=True) as warehouse:
        counts = []
        for table in ("customers", "reward_events"):
            row = warehouse.execute(
                f"SELECT count(*), count(DISTINCT id) FROM voucherify.{table}"  # noqa: S608 - ours
            ).fetchone()
            assert row is not None
            assert row[0] == row[1]
            counts.append(row[0])
        return counts[0], counts[1]


def reward_events(sandbox: Sandbox, types: frozenset[str]) -> int:
    return sum(
        event.type in types
        for customer in sandbox.project.people.by_id.values()
        for event in customer.activity
    )


def operations(sandbox: Sandbox, method: str, path: str) -> int:
    return sum(r.method == method and r.path == path for r in sandbox.requests)


def test_two_runs_agree_and_the_second_moves_only_what_changed(
    meltano: Meltano, sandbox: Sandbox
) -> None:
    from tap_run import REWARD_EVENT_TYPES  # noqa: PLC0415 - the documented set

    types = frozenset(REWARD_EVENT_TYPES)
    crm.fill(meltano.crm, CONTACTS)
    sandbox.clock.advance(-timedelta(hours=6).total_seconds())
    sandbox.project.create_referral_campaign(
        "Refer a friend", referee_reward={"gift_credit": 500}, referrer_reward={"gift_credit": 900}
    )
    meltano.run("run", JOBS[0])
    for pair in range(1, 21, 2):
        code = sandbox.project.referral_code(
            campaign="Refer a friend", referrer=crm.contact_id(pair)
        )
        sandbox.project.redeem(
            code=code,
            customer=crm.contact_id(pair + 1),
            order={"source_id": f"shop-{pair}", "amount": 5_000},
        )
    sandbox.project.settle()
    sandbox.clock.advance(3_600)
    meltano.run("run", *JOBS)

    assert len(sandbox.project.customers) == CONTACTS
    expected = reward_events(sandbox, types)
    assert expected >= 20
    assert warehouse_counts(meltano) == (CONTACTS, expected)
    assert crm.count(meltano.crm, "voucherify.reward_events") == expected

    sandbox.clock.advance(3_600)
    crm.change(meltano.crm, CHANGED)
    sandbox.forget_requests()
    log = meltano.run("run", *JOBS)

    summaries = [
        json.JSONDecoder().raw_decode(line[line.index("{") :])[0]
        for line in log.splitlines()
        if "run summary" in line
    ]
    into, out, back = summaries
    assert CHANGED <= into["accepted"] <= CHANGED + 1, "a tap may repeat the row of its bookmark"
    assert out["streams"]["customers"]["rows"] == into["accepted"]
    assert out["streams"]["reward_events"]["rows"] == 0
    assert back["streams"] == {"reward_events": {"rows": 0, "complete": True}}
    assert operations(sandbox, "POST", "/v1/customers/bulk/async") == 1
    assert len(sandbox.project.customers) == CONTACTS
    assert warehouse_counts(meltano) == (CONTACTS, expected)
    assert crm.count(meltano.crm, "voucherify.reward_events") == expected
    changed = sandbox.project.customer_by_source_id(crm.contact_id(1))
    assert changed is not None
    assert changed["metadata"]["tier"] == "platinum"


def test_a_contact_that_cannot_be_a_customer_is_put_aside_and_named(
    meltano: Meltano, sandbox: Sandbox
) -> None:
    crm.fill(meltano.crm, crm.CONTACTS)

    meltano.run("run", JOBS[0])

    messages = [json.loads(line) for line in meltano.refused.read_text().splitlines()]
    refused = [message["record"] for message in messages if message["type"] == "RECORD"]
    assert [record["contact_id"] for record in refused] == [crm.contact_id(crm.CONTACTS)]
    assert "born_on" in refused[0]["_refused_reason"]
    assert len(sandbox.project.customers) == crm.CONTACTS - 1


def test_the_warehouse_loader_keeps_every_row_of_a_large_load(
    meltano: Meltano, sandbox: Sandbox
) -> None:
    """target-duckdb with a newer duckdb loses the first row of each flush; the pin prevents it."""
    sandbox.project.add_customers(
        10_500, prefix="crm-", created_at=datetime(2026, 3, 1, tzinfo=UTC), spread=timedelta(days=1)
    )

    meltano.run("run", JOBS[1])

    assert warehouse_counts(meltano)[0] == 10_500


def test_a_job_that_max_calls_stops_ends_well_and_the_next_goes_on(
    meltano: Meltano, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The tap emits no state before its end, so only a ledger lets the next run go on."""
    contacts = 12_000
    crm.fill(meltano.crm, contacts)
    meltano.env["TARGET_VOUCHERIFY_MAX_CALLS"] = "6"
    meltano.env["TARGET_VOUCHERIFY_LEDGER_PATH"] = str(tmp_path / "ledger.db")

    log = meltano.run("run", JOBS[0])

    assert '"complete": false' in log
    assert 0 < len(sandbox.project.customers) < contacts - 1
    del meltano.env["TARGET_VOUCHERIFY_MAX_CALLS"]
    meltano.run("run", JOBS[0])
    assert len(sandbox.project.customers) == contacts - 1
