"""With few calls in each run, every run moves forward, and one that cannot says so."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from api_runs import connection_of
from singer import run, selecting
from tap_run import Message, extract
from voucherify_sandbox import Readings, Sandbox

if TYPE_CHECKING:
    from pathlib import Path


DAY = 86_400.0


@pytest.fixture
def busy(sandbox: Sandbox) -> Sandbox:
    """A project in which collecting customers takes more calls than a run has."""
    project = sandbox.project
    sandbox.clock.advance(-7 * DAY)
    project.create_referral_campaign(
        "Gifts", referee_reward={"gift_credit": 7}, referrer_reward={"gift_credit": 9}
    )
    for number in range(12):
        sandbox.clock.advance(3_600)
        project.add_customers(100, prefix=f"batch-{number}-")
        code = project.referral_code("Gifts", f"batch-{number}-1")
        project.redeem(code, f"batch-{number}-2", {"amount": 100, "source_id": f"o-{number}"})
    project.settle()
    sandbox.clock.advance(DAY)
    return sandbox


def ids(messages: list[Message]) -> set[str]:
    return {message["record"]["id"] for message in messages if message["type"] == "RECORD"}


@pytest.mark.parametrize(
    ("stream", "max_calls"),
    [
        ("reward_events", 7),
        ("reward_events", 9),
        ("reward_events", 30),
        ("referral_holders", 6),
        ("campaign_transactions", 2),
    ],
)
def test_every_run_moves_on_until_nothing_is_left(
    busy: Sandbox, connection: dict[str, Any], stream: str, max_calls: int
) -> None:
    whole = ids(extract({**connection, "max_concurrency": 1}, {}, only=stream))
    needed = busy.calls  # of a run that reads as those with few calls do, one page after another
    busy.forget_requests()
    state: dict[str, Any] = {}
    found: set[str] = set()

    while state.get("bookmarks", {}).get(stream, {}).keys() != {
        "replication_key",
        "replication_key_value",
    }:
        messages = extract({**connection, "max_calls": max_calls}, state, only=stream)
        found |= ids(messages)
        before, state = state, [one["value"] for one in messages if one["type"] == "STATE"][-1]
        assert state != before

    assert found == whole
    assert busy.calls <= 2.5 * needed


def test_parents_that_change_between_two_parts_are_not_missed(
    busy: Sandbox, connection: dict[str, Any]
) -> None:
    state: dict[str, Any] = {}
    found: set[str] = set()
    for number in range(12):
        messages = extract({**connection, "max_calls": 9}, state, only="reward_events")
        found |= ids(messages)
        state = [one["value"] for one in messages if one["type"] == "STATE"][-1]
        code = busy.project.referral_code("Gifts", f"batch-{number}-1")
        order = {"amount": 100, "source_id": f"later-{number}"}
        busy.project.redeem(code, f"batch-{number}-3", order)
        busy.project.settle()
        busy.clock.advance(3_600)

    for _ in range(2):
        messages = extract(connection, state, only="reward_events")
        found |= ids(messages)
        state = [one["value"] for one in messages if one["type"] == "STATE"][-1]

    assert found == ids(extract(connection, {}, only="reward_events"))


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("stream", ["reward_events", "reward_assignments"])
def test_a_run_that_cannot_move_fails_and_names_a_number_that_helps(
    connection: dict[str, Any], tmp_path: Path, stream: str
) -> None:
    options, path = selecting(tmp_path, stream), tmp_path / "state.json"
    for _ in range(3):
        stuck = run("tap_voucherify", {**connection, "max_calls": 1}, *options)
        if stuck.exit_code:
            break
        path.write_text(json.dumps(stuck.states[-1]))
        options = [*selecting(tmp_path, stream), "--state", str(path)]

    (advice,) = re.findall(r"max_calls \(1\) ends every run before .* at least (\d+)", stuck.log)
    assert stuck.exit_code == 1
    assert int(advice) <= 8
    helped = run("tap_voucherify", {**connection, "max_calls": int(advice)}, *options)
    assert helped.exit_code == 0, helped.log


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("calls", range(1, 8))
@pytest.mark.parametrize(
    ("streams", "settings"),
    [
        pytest.param(("campaigns", "customers"), {"customers_backfill": "export"}, id="export"),
        pytest.param(("campaign_transactions", "referral_holders"), {}, id="children"),
        pytest.param(("campaigns", "orders", "reward_events"), {}, id="a child last"),
        pytest.param(
            ("skus", "loyalty_tiers", "reward_assignments", "reward_events"), {}, id="read whole"
        ),
        pytest.param(
            ("customers", "redemptions", "campaigns", "reward_events"), {}, id="of the warehouse"
        ),
    ],
)
def test_the_number_that_is_named_helps_whatever_the_streams_before_it_take(
    connection: dict[str, Any],
    tmp_path: Path,
    streams: tuple[str, ...],
    settings: dict[str, Any],
    calls: int,
) -> None:
    options, path, config = selecting(tmp_path, *streams), tmp_path / "state.json", connection
    path.write_text("{}")
    for _ in range(6):
        config = {**connection, **settings, "max_calls": calls}
        stuck = run("tap_voucherify", config, *options, "--state", str(path))
        path.write_text(json.dumps(stuck.states[-1]))
        if stuck.exit_code:
            break
    else:
        return  # so many calls are enough

    (advice,) = re.findall(r"ends every run before .* at least (\d+)", stuck.log)
    helped = run(
        "tap_voucherify", {**config, "max_calls": int(advice)}, *options, "--state", str(path)
    )
    assert helped.exit_code == 0, helped.log
    assert int(advice) <= 20


def test_each_stream_gets_its_turn_in_a_project_that_changes_all_the_time(
    busy: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    """Between two runs so much changes that the first stream takes all calls of a run."""
    options, path = selecting(tmp_path, "customers", "reward_events"), tmp_path / "state.json"
    path.write_text("{}")
    config = {**connection, "max_calls": 8, "lookback_window": 0}
    found: set[str] = set()
    for _ in range(9):
        done = run("tap_voucherify", config, *options, "--state", str(path))
        path.write_text(json.dumps(done.states[-1]))
        found |= {record["id"] for record in done.records("reward_events")}
        busy.clock.advance(3_600)
        for key in list(busy.project.customers)[:1_000]:
            busy.project.update_customer(key, {"metadata": {"seen": len(found)}})
        busy.clock.advance(3_600)

    assert found


def test_a_number_that_covers_every_reward_is_named_first(
    busy: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    for number in range(40):
        busy.project.create_referral_campaign(
            f"More {number}", referee_reward={"gift_credit": 7}, referrer_reward={"gift_credit": 9}
        )
    busy.clock.advance(2)  # rows of the second in which a run begins take a call more to count
    options = selecting(tmp_path, "reward_assignments")

    stuck = run("tap_voucherify", {**connection, "max_calls": 3}, *options)

    (advice,) = re.findall(r"ends every run before .* at least (\d+)", stuck.log)
    helped = run("tap_voucherify", {**connection, "max_calls": int(advice)}, *options)
    assert helped.exit_code == 0, helped.log
    assert "ends every run" not in helped.log


def test_few_numbers_lead_through_pages_of_customers_that_were_never_updated(
    tmp_path: Path,
) -> None:
    options, path = selecting(tmp_path, "customers"), tmp_path / "state.json"
    readings = Readings(never_updated="first", never_updated_in_filters=True)
    with Sandbox(readings=readings) as sandbox:
        config = connection_of(sandbox, sandbox.url)
        sandbox.clock.advance(-DAY)
        sandbox.project.add_customers(2_000)
        sandbox.clock.advance(DAY)
        path.write_text(json.dumps(run("tap_voucherify", config, *options).states[-1]))
        options, calls, numbers = [*options, "--state", str(path)], 5, 0
        while True:
            done = run("tap_voucherify", {**config, "max_calls": calls}, *options)
            if not done.exit_code:
                break
            calls, numbers = int(re.findall(r"at least (\d+)", done.log)[0]), numbers + 1

    assert '"complete": true' in done.log
    assert numbers <= 2
