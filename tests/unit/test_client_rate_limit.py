"""Requests in flight stay within the calls that the server reports as left."""

from __future__ import annotations

import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tap_voucherify.voucherify_client.client import Client, Connection
from tap_voucherify.voucherify_client.errors import StopSignalError
from tap_voucherify.voucherify_client.rate_limit import RateLimit
from tap_voucherify.voucherify_client.shutdown import Shutdown
from voucherify_sandbox import Sandbox
from voucherify_sandbox.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 8


@pytest.fixture
def small() -> Iterator[Sandbox]:
    """A sandbox of 25 calls a second."""
    with Sandbox(limits=Limits(calls=25, period_seconds=1)) as sandbox:
        yield sandbox


def client_of(sandbox: Sandbox) -> Client:
    return Client(
        Connection(sandbox.url, sandbox.application_id, sandbox.secret_key),
        max_concurrency=AT_ONCE,
        max_calls=None,
        shutdown=Shutdown(),
        log=logging.getLogger("test"),
    )


def refusals(sandbox: Sandbox) -> int:
    return sum(request.status == 429 for request in sandbox.requests)


def test_the_end_of_a_period_refuses_one_call(small: Sandbox) -> None:
    client = client_of(small)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: client.get("/v1/customers"), range(80)))

    statuses = [request.status for request in small.requests]
    assert statuses.count(200) == 80
    assert not any(pair == (429, 429) for pair in pairwise(statuses))


def test_two_plugins_on_one_quota_both_come_to_their_end(small: Sandbox) -> None:
    clients = [client_of(small), client_of(small)]
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        list(pool.map(lambda number: clients[number % 2].get("/v1/customers"), range(80)))

    assert small.calls - refusals(small) == 80
    assert refusals(small) <= 3 * AT_ONCE


def entered(rate_limit: RateLimit, count: int) -> int:
    """The number of `count` threads that enter while none leaves."""
    got_in = threading.Semaphore(0)

    def enter() -> None:
        with suppress(StopSignalError):
            rate_limit.enter()
            got_in.release()

    for _ in range(count):
        threading.Thread(target=enter, daemon=True).start()
    return sum(got_in.acquire(timeout=1) for _ in range(count))


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        pytest.param([], 5, id="nothing was said"),
        pytest.param([None], 5, id="an answer that says nothing"),
        pytest.param([3], 3, id="some are left"),
        pytest.param([0], 1, id="none is left, and one finds out"),
        pytest.param([0, 50], 5, id="a new period"),
    ],
)
def test_no_more_calls_are_on_their_way_than_are_left(said: list[int | None], allowed: int) -> None:
    shutdown = Shutdown()
    rate_limit = RateLimit(shutdown)
    for left in said:
        rate_limit.leave(rate_limit.enter(), left)

    assert entered(rate_limit, 5) == allowed
    shutdown.request(signal.SIGTERM)


def test_of_answers_that_overtake_each_other_the_least_counts() -> None:
    shutdown = Shutdown()
    rate_limit = RateLimit(shutdown)
    tickets = [rate_limit.enter() for _ in range(4)]
    for ticket, left in zip(tickets, (2, 5, 3, 4), strict=True):
        rate_limit.leave(ticket, left)

    assert entered(rate_limit, 5) == 2
    shutdown.request(signal.SIGTERM)


def test_an_answer_that_many_others_overtook_does_not_begin_a_period() -> None:
    shutdown = Shutdown()
    rate_limit = RateLimit(shutdown)
    slow = rate_limit.enter()
    for left in range(30, 2, -1):
        rate_limit.leave(rate_limit.enter(), left)
    rate_limit.leave(slow, 31)

    assert entered(rate_limit, 5) == 3
    shutdown.request(signal.SIGTERM)


def test_a_signal_ends_the_wait_for_a_period() -> None:
    shutdown = Shutdown()
    rate_limit = RateLimit(shutdown)
    rate_limit.leave(rate_limit.enter(), 0, delay=3_600)
    threading.Timer(0.1, shutdown.request, [signal.SIGTERM]).start()

    with pytest.raises(StopSignalError):
        rate_limit.enter()
