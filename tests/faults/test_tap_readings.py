"""Customers under each answer to what the API leaves open: a first run, changes, a next run."""

from __future__ import annotations

import itertools
import json
import os
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from singer import run, selecting
from voucherify_sandbox import Readings, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

TORTURE = bool(os.environ.get("TORTURE"))
LONG_AGO = datetime(2026, 1, 10, 12, tzinfo=UTC)

READINGS: dict[str, list[Any]] = {
    "filters": ["inclusive", "exclusive"],
    "ties": ["stable", "reversed", "random"],
    "never_updated": ["first", "last", "excluded", "mixed"],
    "never_updated_in_filters": [True, False],
    "total": ["filtered", "all", "remaining"],
    "has_more_in_page_mode": [True, False],
    "missing_updated_at": ["absent", "null"],
    "timestamps": [
        *("milliseconds", "seconds", "microseconds", "short_offset", "long_offset", "mixed"),
    ],
    "unknown_fields": [True],
    "null_fields": ["none", "missing"],
    "page_limit": ["page_over_limit", "empty"],
    "recalculation_updates": [True, False],
}
SINGLE = [{name: answer} for name, answers in READINGS.items() for answer in answers]


def mixtures(count: int) -> list[dict[str, Any]]:
    """Random combinations of all readings; the seed is the number in the test's name."""
    return [
        {name: random.Random(f"{seed} {name}").choice(READINGS[name]) for name in READINGS}
        for seed in range(count)
    ]


CASES = [
    *(pytest.param(reading, 8, id=json.dumps(reading)[1:-1]) for reading in SINGLE),
    *(
        pytest.param(mixture, concurrency, id=f"mixture {seed}, {concurrency} at once")
        for seed, (mixture, concurrency) in enumerate(
            zip(mixtures(48 if TORTURE else 4), itertools.cycle((8, 1, 16)), strict=False)
        )
    ),
]


@pytest.mark.parametrize(("readings", "concurrency"), CASES)
def test_no_customer_is_lost(readings: dict[str, Any], concurrency: int, tmp_path: Path) -> None:
    size = 25_000 if TORTURE else 2_400
    with Sandbox(readings=Readings(**readings)) as sandbox:
        project, day = sandbox.project, timedelta(days=1)
        project.add_customers(
            size, prefix="a-", created_at=LONG_AGO, spread=day, updated_at=LONG_AGO + 3 * day
        )
        project.add_customers(size // 16, prefix="t-", created_at=LONG_AGO + day / 2)
        project.add_customers(90, prefix="n-", created_at=LONG_AGO + day, spread=day)
        config = {
            "application_id": sandbox.application_id,
            "secret_key": sandbox.secret_key,
            "api_url": sandbox.url,
            "max_concurrency": concurrency,
        }
        arguments = selecting(tmp_path, "customers")

        first = run("tap_voucherify", config, *arguments)

        assert first.exit_code == 0, first.log
        assert {record["id"] for record in first.records()} == set(project.customers)
        changed = {
            project.update_customer(key, {"metadata": {"seen": 1}})["id"]
            for key in ("a-1", "n-2")
            if project.customer_by_source_id(key)
        }
        changed |= {project.upsert_customer({"source_id": f"new-{n}"})["id"] for n in range(150)}
        state = tmp_path / "state.json"
        state.write_text(json.dumps(first.states[-1]))
        second = run("tap_voucherify", config, *arguments, "--state", str(state))

        assert second.exit_code == 0, second.log
        assert changed <= {record["id"] for record in second.records()}
