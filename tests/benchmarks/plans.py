"""Ten million customers, by arithmetic from what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CUSTOMERS = 10_000_000
ROWS_A_CALL = 99
BATCH_ROWS = 5_000
CALLS_A_JOB = 2
PLANS = {"Business": (100, 100_000), "Organization": (2_000, 300_000)}
"""Calls a minute and calls a billing cycle, as Voucherify publishes them."""


def million_customers(results: Mapping[str, Any]) -> Iterable[str]:
    """The section about them."""
    rate = CUSTOMERS / results["growth"]["tap"][-1]["size"]
    cpu = results["growth"]["tap"][-1]["wall"] * rate / 60
    by_list, writes = -(-CUSTOMERS // ROWS_A_CALL), CUSTOMERS // BATCH_ROWS
    lines = [
        f"| {plan} | {a_minute:,} | {by_list / a_minute / 60:.1f} hours | "
        f"{by_list / a_cycle:.0%} | {writes * (1 + CALLS_A_JOB):,} calls |"
        for plan, (a_minute, a_cycle) in PLANS.items()
    ]
    return (
        f"## {CUSTOMERS:,} customers, by arithmetic",
        "",
        f"Out by list: {CUSTOMERS:,} / {ROWS_A_CALL} = {by_list:,} calls. The tap itself would need",
        f"{cpu:.0f} minutes at the speed of the table above, so the plan decides. In, by bulk requests",
        f"of {BATCH_ROWS:,}: {writes:,} requests and about {CALLS_A_JOB} polls of each job. Bulk requests",
        "have a limit of their own, which is not published; at 50 an hour these are",
        f"{writes / 50:.0f} hours, which is why later runs should have a ledger. Memory does not grow.",
        "",
        "| plan | calls a minute | out by list | share of a cycle's calls | in |",
        "| --- | --- | --- | --- | --- |",
        *lines,
        "",
        "So: `customers_backfill: export` for the first run, a handful of calls on any plan; the list",
        "where exports are not allowed; slices (`start_date`, `end_date`) on several machines only where",
        "the tap and not the quota is the bound, because they share the quota. Later runs cost what",
        "changed.",
        "",
    )
