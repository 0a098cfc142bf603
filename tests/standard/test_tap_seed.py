"""The tap reads the project of `--seed demo` as it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from singer import Run, run, selecting_all
from tap_voucherify.streams.catalog import STREAMS
from voucherify_sandbox import Sandbox
from voucherify_sandbox.torture.books import SOURCES, facts, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHOUT_ROWS = {"customer_deletions"}
"""A stream of webhooks alone."""


@pytest.fixture(scope="module")
def seeded() -> Iterator[Sandbox]:
    with Sandbox(seed="demo") as running:
        yield running


@pytest.fixture(scope="module")
def whole(seeded: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run that reads every stream."""
    settings = {
        "application_id": seeded.application_id,
        "secret_key": seeded.secret_key,
        "api_url": seeded.url,
    }
    selection = selecting_all(tmp_path_factory.mktemp("seed"), settings)
    done = run("tap_voucherify", settings, *selection)
    assert done.exit_code == 0, done.log
    return done


def test_no_stream_is_empty(whole: Run) -> None:
    rows = Counter(one["stream"] for one in whole.messages if one["type"] == "RECORD")
    assert set(rows) == {stream.name for stream in STREAMS} - WITHOUT_ROWS


def test_every_row_of_the_project_comes_as_it_is(whole: Run, seeded: Sandbox) -> None:
    held = {
        (one["stream"], one["record"]["id"]): one["record"]
        for one in whole.messages
        if one["type"] == "RECORD"
    }
    wanted = facts(seeded, SOURCES)
    assert missing(wanted, held) == set()
    compared = {key for key in held if key[0] in SOURCES and key[0] != "reward_events"}
    assert compared == {key for key in wanted if key[0] != "reward_events"}


def test_every_record_fits_its_schema(whole: Run) -> None:
    validators: dict[str, Any] = {}
    for message in whole.messages:
        if message["type"] == "SCHEMA":
            validators[message["stream"]] = jsonschema_rs.validator_for(message["schema"])
        elif message["type"] == "RECORD":
            errors = [
                error.message
                for error in validators[message["stream"]].iter_errors(message["record"])
            ]
            assert errors == [], message["stream"]


def test_the_rewards_are_those_that_the_project_gave(whole: Run, seeded: Sandbox) -> None:
    given: dict[str, dict[str, Any]] = {}
    for row in whole.records("reward_events"):
        if row["type"] == "customer.rewarded":
            roles = given.setdefault(row["campaign_name"], {})
            kinds = roles.setdefault(row["recipient_role"], {})
            unit = "gift_credit" if row["amount"] else "loyalty_points"
            line = kinds.setdefault(unit, {"count": 0, "sum": 0})
            line["count"] += 1
            line["sum"] += row["amount"] or row["points"]
    assert given == seeded.project.books()
    assert {role for roles in given.values() for role in roles} == {"referee", "referrer"}


def test_rollbacks_and_points_of_orders_are_seen(whole: Run, seeded: Sandbox) -> None:
    events = Counter(row["type"] for row in whole.records("reward_events"))
    rollbacks = [r for r in whole.records("redemptions") if r["object"] == "redemption_rollback"]
    rolled_back = [r for r in whole.records("redemptions") if r["status"] == "ROLLED_BACK"]
    assert {row["redemption"] for row in rollbacks} == {row["id"] for row in rolled_back}
    assert events["customer.redemption.rollback.succeeded"] == len(rollbacks) == 2
    assert events["customer.reward_redemptions.rolledback"] == 1
    earned = [r for r in whole.records("campaign_transactions") if r["type"] == "POINTS_ACCRUAL"]
    assert events["customer.rewarded.loyalty_points"] == len(earned) > 0
    assert seeded.project.counts()["pending"] == 0
