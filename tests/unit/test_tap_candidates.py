"""Candidates for rewards are found in the records of customers on their way."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.records.encoder import Record
from tap_voucherify.rewards.candidates import RewardCandidates, may_have_rewards
from tap_voucherify.rewards.id_queue import IdQueue, QueuedId
from tap_voucherify.streams.incremental import RunRange

if TYPE_CHECKING:
    from collections.abc import Iterator

SINCE = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
COUNTER = st.one_of(
    st.none(),
    st.integers(),
    st.fixed_dictionaries({}, optional={"redemptions": st.integers(0, 1), "total": st.just(0)}),
    st.fixed_dictionaries({"points": st.integers(0, 1), "campaigns": st.just({})}),
    st.just({"redemptions": {"total_redeemed": 0}, "orders": {"last_order_date": None}}),
)
ZERO = {
    "summary": {"redemptions": {}, "orders": {}},
    "loyalty": {"points": 0},
    "referrals": {"total": 0},
}
CUSTOMER = st.fixed_dictionaries(
    {}, optional={name: st.one_of(COUNTER, st.just(zero)) for name, zero in ZERO.items()}
)


def ids(candidates: RewardCandidates, since: datetime | None) -> list[str] | None:
    """Who is known to have changed since then, or that nobody is known."""
    found = candidates.changed_since(RunRange(since).since)
    if found is None:
        return None
    with found:
        return [identity for identity, _ in found.after("")]


def records(*rows: dict[str, Any]) -> Iterator[Record]:
    """The rows as the stream of customers gives them."""
    return (Record(json.dumps(row).encode()) for row in rows)


@given(rows=st.lists(CUSTOMER, max_size=8))
def test_who_may_have_rewards_is_noted_and_every_record_passes(rows: list[dict[str, Any]]) -> None:
    rows = [{**row, "id": f"cust_{number}", "name": "Ada"} for number, row in enumerate(rows)]
    given_on = [None, *records(*rows)]
    candidates = RewardCandidates()

    passed = list(candidates.tee_ids(iter(given_on), SINCE))

    assert passed == given_on
    assert ids(candidates, SINCE) == [row["id"] for row in rows if may_have_rewards(row)]


def test_hundreds_of_candidates_are_all_noted() -> None:
    candidates = RewardCandidates()
    rows = [{"id": f"cust_{number:03}"} for number in range(250)]
    list(candidates.tee_ids(records(*rows), None))

    assert ids(candidates, None) == [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("since", "known"),
    [
        (SINCE, True),
        (SINCE + timedelta(microseconds=999), True),
        (SINCE + timedelta(milliseconds=1), False),
        (SINCE - timedelta(microseconds=1), False),
        (None, False),
    ],
)
def test_only_a_walk_from_the_same_millisecond_will_do(
    since: datetime | None,
    known: bool,  # noqa: FBT001 - a table
) -> None:
    candidates = RewardCandidates()
    list(candidates.tee_ids(records({"id": "cust_1"}), SINCE))

    assert (ids(candidates, since) == ["cust_1"]) is known


def test_a_walk_that_was_not_finished_tells_nothing() -> None:
    candidates = RewardCandidates()
    next(candidates.tee_ids(records({"id": "cust_1"}), SINCE))

    assert ids(candidates, SINCE) is None


def test_candidates_are_handed_on_once() -> None:
    candidates = RewardCandidates()
    list(candidates.tee_ids(records({"id": "cust_1"}), SINCE))

    assert [ids(candidates, SINCE), ids(candidates, SINCE)] == [["cust_1"], None]


def test_only_ids_that_this_read_requested_are_done() -> None:
    """A part is read from `b` on; `a` is new in it, and the next part names it again."""
    with IdQueue() as queue:
        queue.add(QueuedId("a"), QueuedId("c"))
        assert [one.id for one in queue.after("b")] == ["c"]

        queue.finish("b")
        assert len(queue) == 0
        queue.add(QueuedId("a"), QueuedId("c"), QueuedId("d"))

        assert [one.id for one in queue.after("")] == ["a", "d"]
