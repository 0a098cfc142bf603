"""The wait after a response is never shorter than the server's delay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.voucherify_client.errors import BulkLimitedError
from tap_voucherify.voucherify_client.responses import Response, retry_delay_or_raise
from tap_voucherify.voucherify_client.retry_after import (
    LONGEST_BACKOFF,
    backoff,
    server_delay,
    server_time,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def epoch(seconds: int) -> str:
    return str(int((NOW + timedelta(seconds=seconds)).timestamp()))


def http_date(seconds: int) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        pytest.param(429, {"Retry-After": "7"}, 7, id="seconds"),
        pytest.param(429, {"Retry-After": " 7 "}, 7, id="seconds with blanks"),
        pytest.param(429, {"Retry-After": http_date(90)}, 90, id="an HTTP date"),
        pytest.param(429, {"Retry-After": http_date(-90)}, 0, id="a date that has passed"),
        pytest.param(429, {"X-Rate-Limit-Retry": epoch(3600)}, 3600, id="an instant, an hour away"),
        pytest.param(429, {"X-Rate-Limit-Retry": epoch(-5)}, 0, id="an instant that has passed"),
        pytest.param(
            429, {"Retry-After": "2", "X-Rate-Limit-Retry": epoch(60)}, 2, id="Retry-After first"
        ),
        pytest.param(
            429, {"Retry-After": "soon", "X-Rate-Limit-Retry": epoch(60)}, 60, id="no number"
        ),
        pytest.param(429, {"Retry-After": "0"}, 0, id="at once"),
        pytest.param(429, {"Retry-After": "0.25"}, 0.25, id="seconds with a fraction"),
        pytest.param(429, {}, None, id="nothing told"),
        pytest.param(429, {"X-Rate-Limit-Retry": "inf"}, None, id="infinity"),
        pytest.param(429, {"Retry-After": "1_0"}, None, id="no number of HTTP"),
        pytest.param(429, {"Retry-After": "1e3"}, None, id="an exponent"),
        pytest.param(
            429,
            {"Retry-After": "7", "Date": "Mon, 01 Jan 1850 00:00:00 GMT"},
            7,
            id="a date long ago",
        ),
        pytest.param(429, {"Retry-After": "Thu, 99 Jan 99999 00:00:00 GMT"}, None, id="no date"),
        pytest.param(429, {"X-Rate-Limit-Retry": "later"}, None, id="nothing readable"),
        pytest.param(503, {"Retry-After": "30"}, 30, id="unavailable, seconds"),
        pytest.param(503, {"Retry-After": http_date(30)}, 30, id="unavailable, date"),
        pytest.param(500, {"X-Rate-Limit-Retry": epoch(60)}, None, id="no limit was hit"),
    ],
)
def test_seconds_to_wait(status: int, headers: dict[str, str], seconds: float | None) -> None:
    told = server_delay(status, headers, NOW)

    assert (told and told[0]) == seconds


@pytest.mark.parametrize("date", ["Mon, 01 Jan 1850 00:00:00 GMT", "Mon, 01 Jan 0001", "soon"])
def test_a_date_long_ago_is_no_time_of_the_server(date: str) -> None:
    assert server_time({"Date": date}) is None


def test_a_limit_of_bulk_requests_does_not_end_a_read() -> None:
    limited = Response(429, {"X-Rate-Limit-Type": "bulk_api_calls", "Retry-After": "7"})

    told = retry_delay_or_raise(limited, "GET /v1/customers", NOW, is_download=False)
    assert told == (7, "Retry-After")
    with pytest.raises(BulkLimitedError):
        retry_delay_or_raise(limited, "POST /v1/customers/bulk/async", NOW, is_download=False)


@pytest.mark.parametrize("ahead", [-4000, 4000])
def test_a_wrong_local_clock_shortens_no_wait(ahead: int) -> None:
    headers = {"Date": http_date(0), "X-Rate-Limit-Retry": epoch(45)}

    told = server_delay(429, headers, NOW + timedelta(seconds=ahead))

    assert told == (45, "X-Rate-Limit-Retry")


@given(st.integers(0, 50))
def test_back_off_doubles_to_its_bound_and_jitter_only_lengthens(attempt: int) -> None:
    least = min(LONGEST_BACKOFF, 0.2 * 2**attempt)
    assert least <= backoff(attempt) <= 1.25 * least
