"""The figures of the report, from the marts of `transform/`; customers by `source_id` only."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import duckdb
import psycopg

Rows = list[tuple[Any, ...]]

CUSTOMERS = "SELECT count(*), count(source_id) FROM analytics.stg_customers"
TAKEN_PART = "SELECT count(*) FROM analytics.customer_referral_summary"
TOTALS = """
SELECT cast(sum(conversions) AS bigint), cast(sum(rewards) AS bigint),
       cast(sum(credit_given) AS bigint), cast(sum(points_given) AS bigint),
       cast(sum(order_total_amount) AS bigint)
FROM analytics.referral_program_daily
"""
REWARDS_BY_DAY = """
SELECT cast(cast(rewarded_at AS date) AS varchar), coalesce(campaign_name, campaign_id, 'unknown'),
       coalesce(recipient_role, 'neither'), count(*)
FROM analytics.referral_rewards GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
TOP_REFERRERS = """
SELECT coalesce(customer_source_id, customer_id), friends_referred, order_total_amount_brought,
       credit_received, points_received
FROM analytics.customer_referral_summary WHERE friends_referred > 0
ORDER BY friends_referred DESC, order_total_amount_brought DESC, 1 LIMIT 10
"""
DELIVERY = """
SELECT cast(day AS varchar), entity,
       CASE WHEN reason = 'drifted' THEN 'drifted, and written again'
            WHEN outcome = 'not_there' THEN 'accepted, and not there'
            ELSE 'refused: ' || reason END,
       cast(sum(records) AS bigint)
FROM analytics.delivery_daily
WHERE outcome IN ('refused', 'not_there') OR reason = 'drifted'
GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3 LIMIT 20
"""


class WarehouseError(Exception):
    """The warehouse cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Figures:
    """The figures of a warehouse.

    Attributes:
        customers: customers in Voucherify.
        with_source_id: those with a key of the CRM.
        taken_part: customers that referred, were referred or received a reward.
        totals: conversions, rewards, credit and points given, amount of orders; money in the
            smallest currency unit.
        by_day: day, campaign, role, rewards.
        top: source id, friends, amount of orders, credit and points received.
        delivery: day, entity, what was not as it should be, records; the newest first.
    """

    customers: int
    with_source_id: int
    taken_part: int
    totals: tuple[int, ...]
    by_day: Rows
    top: Rows
    delivery: Rows

    @classmethod
    def of(cls, warehouse: str) -> Figures:
        """Query a DuckDB file, or a PostgreSQL database by its URL.

        Raises:
            WarehouseError: it cannot be opened, or has no marts yet.
        """
        try:
            answers = _answers(warehouse)
        except (duckdb.IOException, psycopg.OperationalError) as error:
            raise WarehouseError(_unopened(str(error))) from error
        except (duckdb.Error, psycopg.Error) as error:
            raise WarehouseError(
                "The warehouse has no readable marts: check --warehouse, and run "
                "`meltano run voucherify-to-warehouse transform` first."
            ) from error
        (customers, with_source_id), *_ = answers[0]
        return cls(
            customers=customers,
            with_source_id=with_source_id,
            taken_part=answers[1][0][0],
            totals=tuple(value or 0 for value in answers[2][0]),
            by_day=answers[3],
            top=answers[4],
            delivery=answers[5],
        )


def _unopened(problem: str) -> str:
    if "lock" in problem:
        return "Another process has the warehouse open: wait until it ends, then run again."
    return (
        "The warehouse cannot be opened: check --warehouse, and that its server runs, or run "
        "`meltano run voucherify-to-warehouse transform` first."
    )


def _answers(warehouse: str) -> list[Rows]:
    queries = (CUSTOMERS, TAKEN_PART, TOTALS, REWARDS_BY_DAY, TOP_REFERRERS, DELIVERY)
    if warehouse.startswith(("postgresql://", "postgres://")):
        with closing(psycopg.connect(warehouse)) as server:
            return [server.execute(query).fetchall() for query in queries]
    with closing(duckdb.connect(warehouse, read_only=True)) as file:
        return [file.execute(query).fetchall() for query in queries]
