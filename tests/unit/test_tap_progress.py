"""What a progress line says to a reader."""

from __future__ import annotations

import pytest

from tap_voucherify.voucherify_client.client import Usage
from tap_voucherify.voucherify_client.timestamps import format_duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        pytest.param(0.2, "0 s", id="nearly nothing"),
        pytest.param(90, "90 s", id="seconds up to two minutes"),
        pytest.param(720, "12 min", id="minutes"),
        pytest.param(3_599, "1 h 0 min", id="minutes never reach sixty"),
        pytest.param(17_849, "4 h 57 min", id="hours"),
        pytest.param(360_000, "100 h 0 min", id="days stay hours"),
    ],
)
def test_the_time_left_is_said_in_words_of_its_size(seconds: float, said: str) -> None:
    assert format_duration(seconds) == said


@pytest.mark.parametrize(
    ("usage", "calls", "elapsed", "seconds"),
    [
        pytest.param(Usage(calls=50), 100, 10, 20, id="no quota is known: the pace so far"),
        pytest.param(
            Usage(calls=100, quota_left=0, quota_limit=100, period_seconds=60),
            300,
            3,
            180,
            id="a burst says nothing about the periods to come",
        ),
        pytest.param(
            Usage(calls=50, quota_left=950, quota_limit=1_000, period_seconds=60),
            100,
            10,
            20,
            id="what is left of the period is enough",
        ),
        pytest.param(
            Usage(calls=200, quota_left=20, quota_limit=100, period_seconds=60),
            30,
            120,
            60,
            id="ten more than are left take another period",
        ),
    ],
)
def test_the_time_left_follows_the_quota(
    usage: Usage, calls: float, elapsed: float, seconds: float
) -> None:
    assert usage.seconds_for(calls, elapsed) == seconds
