"""What a progress line says to a reader."""

from __future__ import annotations

import pytest

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
