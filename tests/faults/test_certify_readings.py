"""`certify` finds each answer of each reading that a probe can see."""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from certification import certify
from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.certify.caller import MAX_CALLS
from voucherify_sandbox.certify.questions import ELSEWHERE, UNSEEN
from voucherify_sandbox.readings import answers, checked_value, names

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox.certify.run import Outcome

TORTURE = bool(os.environ.get("TORTURE"))
NUMBERS: dict[str, tuple[float, ...]] = {
    "list_lag_seconds": (0, 1, 5),
    "settle_seconds": (0, 3, 20),
    "job_polls": (0, 2, 3),
    "job_seconds": (0, 3),
    "bulk_max_records": (0, 2, 7, 100),
    "errors_listed": (-1, 0, 1),
    "export_polls": (0, 3),
}
MEASURED = {"list_lag_seconds", "settle_seconds", "job_seconds"}
"""Readings that are found as an upper bound, because looks are some seconds apart."""

VISIBLE = [name for name in names() if name not in UNSEEN | ELSEWHERE]

BY_CHANCE = {"short_offset", "long_offset"}
"""Only a timestamp that ends with a zero tells the two."""

OPEN: dict[str, tuple[Any, ...]] = {
    # A project of a dozen customers has no page 99.
    "page_limit": ("empty", "last"),
    # Two rows are too many for it, so all bulk requests of the probe are.
    "bulk_max_records": (2,),
}
"""Answers of readings that the probe leaves open."""


def values(name: str) -> tuple[Any, ...]:
    if name in NUMBERS:
        return NUMBERS[name]
    return tuple(checked_value(name, answer) for answer in answers(name))


def wrong(outcome: Outcome, readings: Readings) -> dict[str, Any]:
    """Answered readings that are not those of the sandbox."""
    found = outcome.probe.findings.readings()
    return {
        name: value
        for name, value in found.items()
        if (
            value < getattr(readings, name)
            if name in MEASURED
            else value != getattr(readings, name)
        )
    }


def probed(readings: Readings, folder: Path) -> Outcome:
    """Probe a sandbox; all is gone afterwards, within its calls.

    Where a job shows no status, nothing tells that it ended.
    """
    with Sandbox(readings=readings) as sandbox:
        outcome = certify(sandbox, folder)
        is_told = readings.null_fields != "everywhere" or not sandbox.project.jobs.all
        assert outcome.clean is is_told, outcome.reason
        assert list(sandbox.project.customers) == []
        assert sandbox.project.exports.all == {}
        assert sandbox.calls <= MAX_CALLS
    return outcome


SINGLE = [(name, value) for name in VISIBLE for value in values(name)]
SAMPLED = SINGLE if TORTURE else Random(20261126).sample(SINGLE, 24)


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(*pair, id=f"{pair[0]} is {pair[1]}") for pair in SAMPLED]
)
def test_an_answer_is_found(name: str, value: Any, tmp_path: Path) -> None:
    readings = Readings(**{name: value})
    outcome = probed(readings, tmp_path)
    assert wrong(outcome, readings) == {}
    if value not in BY_CHANCE:
        found = outcome.probe.findings.readings()
        assert (name in found) is (value not in OPEN.get(name, ()))


@pytest.mark.parametrize("seed", range(200 if TORTURE else 8))
def test_no_mixture_gives_a_wrong_answer(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    readings = Readings(**{name: rng.choice(values(name)) for name in names()})
    assert wrong(probed(readings, tmp_path), readings) == {}


def test_every_visible_reading_of_a_likely_project_is_found(tmp_path: Path) -> None:
    found = probed(Readings(), tmp_path).probe.findings.readings()
    assert set(found) == set(VISIBLE)
