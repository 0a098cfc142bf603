"""Tiers and pending points are read by loyalty campaign, while rows go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from singer import Run, run, selecting
from voucherify_sandbox import Movement, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Tap = Callable[..., Run]

PROGRAM = "Friends points"


@pytest.fixture
def tap(connection: dict[str, Any], tmp_path: Path) -> Tap:
    def read(stream: str, **settings: Any) -> Run:
        return run("tap_voucherify", {**connection, **settings}, *selecting(tmp_path, stream))

    return read


@pytest.fixture
def program(sandbox: Sandbox) -> Sandbox:
    sandbox.project.create_referral_campaign("Friends", referrer_reward={"loyalty_points": 5})
    return sandbox


def ids(done: Run) -> set[str]:
    assert done.exit_code == 0, done.log
    return {record["id"] for record in done.records()}


def earn(sandbox: Sandbox, count: int) -> None:
    for number in range(count):
        sandbox.project.add_pending_points(PROGRAM, f"member-{number % 7}", number)


@pytest.mark.parametrize("stream", ["loyalty_tiers", "pending_points", "campaign_transactions"])
def test_a_campaign_that_does_not_say_its_type_is_asked(
    program: Sandbox, tap: Tap, stream: str
) -> None:
    earn(program, 3)
    program.project.add_loyalty_tier(PROGRAM, "Gold", (0, 99))
    code = program.project.referral_code("Friends", "adam")
    program.project.redeem(code, "rita", {"source_id": "order-1", "amount": 100})
    program.project.settle()
    told = ids(tap(stream))
    program.readings.change(null_fields="everywhere")

    assert told
    assert ids(tap(stream)) == told


@pytest.mark.parametrize("cursor", ["empty", "next", "start", "not_found"])
@pytest.mark.parametrize("request_number", [3, 4, 5])
def test_points_that_become_active_meanwhile_hide_no_others(
    program: Sandbox, tap: Tap, cursor: Any, request_number: int
) -> None:
    earn(program, 350)
    rows = program.project.loyalty.pending_points
    in_order = list(rows)
    last = sorted(rows)[100 * (request_number - 2) - 1]
    program.readings.change(gone_cursor=cursor)
    gone = {"action": "remove", "kind": "pending_points", "position": in_order.index(last)}
    program.movements.add(Movement(action=gone, nth=(request_number,)))

    found = tap("pending_points")

    assert last not in rows
    assert ids(found) >= set(rows)
    assert len(found.records()) == len(ids(found))
    assert program.calls <= 1 + 2 * 4


def test_points_that_always_become_active_at_a_cursor_fail_the_run(
    program: Sandbox, tap: Tap
) -> None:
    earn(program, 150)
    rows = program.project.loyalty.pending_points
    in_order = list(rows)
    for request_number in (3, 5, 7):
        number = sorted(rows)[99 + (request_number - 3) // 2]
        gone = {"action": "remove", "kind": "pending_points", "position": in_order.index(number)}
        in_order.remove(number)
        program.movements.add(Movement(action=gone, nth=(request_number,)))

    done = tap("pending_points")

    assert done.exit_code == 1
    assert "Rows go faster than their list can be read" in done.log


def test_points_that_come_and_go_meanwhile_are_in_the_next_run(program: Sandbox, tap: Tap) -> None:
    earn(program, 450)
    rows = program.project.loyalty.pending_points
    before = set(rows)
    more = {"action": "add_pending_points", "campaign": PROGRAM, "holder": "late", "points": 1}
    program.movements.add(Movement(action=more, rate=2))
    gone = {"action": "remove", "kind": "pending_points", "position": 40}
    program.movements.add(Movement(action=gone, nth=(4,)))

    first = ids(tap("pending_points"))
    program.movements.clear()

    assert first >= before & set(rows)
    assert ids(tap("pending_points")) == set(rows)


@pytest.mark.parametrize("total", ["filtered", "all", "absent"])
def test_tiers_of_every_campaign_come_and_a_campaign_that_goes_is_left_out(
    program: Sandbox, tap: Tap, total: Any
) -> None:
    program.readings.change(total=total)
    for number in range(3):
        program.project.create_referral_campaign(
            f"More {number}", referrer_reward={"loyalty_points": 5}
        )
        program.project.add_loyalty_tier(f"More {number} points", "Gold", (0, 99))
    gone = program.project.programs.campaign("More 1 points")
    (position,) = (
        place
        for place, campaign in enumerate(program.project.programs.campaigns)
        if campaign == gone["id"]
    )
    leave = {"action": "remove", "kind": "campaigns", "position": position}
    program.movements.add(Movement(action=leave, path="/v1/loyalties/*", nth=(1,)))

    done = tap("loyalty_tiers")

    left = {
        key
        for key, tier in program.project.loyalty.tiers.items()
        if tier["campaign_id"] != gone["id"]
    }
    assert ids(done) == left
    assert "Skipping a loyalty campaign that was deleted meanwhile" in done.log


def test_more_tiers_than_the_list_shows_are_an_error_that_says_so(
    program: Sandbox, tap: Tap
) -> None:
    program.clock.advance(-3600)
    for number in range(101):
        program.project.add_loyalty_tier(PROGRAM, f"Tier {number}", (number, number + 1))
    program.clock.set(None)

    done = tap("loyalty_tiers")

    assert done.exit_code == 1
    assert "loyalty_tiers: the API lists 100 rows at most and there are 101" in done.log
    assert len(done.records()) == 100


@pytest.mark.parametrize("stream", ["loyalty_tiers", "pending_points"])
def test_a_project_without_loyalty_campaigns_costs_one_call(
    sandbox: Sandbox, tap: Tap, stream: str
) -> None:
    sandbox.project.create_referral_campaign("Gifts", referrer_reward={"gift_credit": 5})

    assert ids(tap(stream)) == set()
    assert sandbox.calls == 1


@pytest.mark.parametrize("stream", ["loyalty_tiers", "pending_points"])
def test_a_run_with_too_few_calls_names_a_number_that_helps(
    sandbox: Sandbox, tap: Tap, stream: str
) -> None:
    sandbox.clock.advance(-3600)
    for number in range(20):
        name = f"More {number}"
        sandbox.project.create_referral_campaign(name, referrer_reward={"loyalty_points": 5})
        sandbox.project.add_loyalty_tier(f"{name} points", "Gold", (0, 99))
        sandbox.project.add_pending_points(f"{name} points", "adam", 9)
    sandbox.clock.set(None)

    stuck = tap(stream, max_calls=5)

    assert stuck.exit_code == 1
    assert f"ends every run before {stream} gets further: set it to at least 23" in stuck.log
    assert len(ids(tap(stream, max_calls=23))) == 20
