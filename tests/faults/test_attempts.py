"""How often a request is repeated and how long that takes, over a socket, without the waits."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from tap_voucherify.voucherify_client.client import Client, Connection
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.shutdown import Shutdown
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox


class Waits(Shutdown):
    """Adds waits up instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    @override
    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)


def waits_until_given_up(sandbox: Sandbox, attempts: int) -> list[float]:
    """The seconds of each wait between the attempts at one request."""
    connection = Connection(sandbox.url, sandbox.application_id, sandbox.secret_key)
    waits, log = Waits(), logging.getLogger("test")
    client = Client(connection, shutdown=waits, log=log, max_concurrency=1, max_calls=None)
    client.get("/v1/campaigns")  # without a response at all fewer attempts are made
    sandbox.forget_requests()
    with pytest.raises(VoucherifyError, match=f"{attempts} times in a row: run again later"):
        client.get("/v1/customers")
    assert sandbox.calls == attempts
    return waits.seconds


FAILURES: dict[str, dict[str, Any]] = {
    "5xx": {"kind": "status", "status": 503},
    "a success that is not JSON": {"kind": "html"},
    "a cut body": {"kind": "cut_body"},
    "408": {"kind": "status", "status": 408, "body": "<html>"},
    "409 resource_locked": {"kind": "status", "status": 409, "body": {"key": "resource_locked"}},
}


@pytest.mark.parametrize("fault", FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_is_retried_for_about_a_minute(sandbox: Sandbox, fault: dict[str, Any]) -> None:
    sandbox.faults.add(Fault(**fault, path="/v1/customers", times=None))

    assert 50 < sum(waits_until_given_up(sandbox, 9)) < 65


def test_a_503_is_retried_when_the_server_asks(sandbox: Sandbox) -> None:
    headers = {"Retry-After": "100"}
    fault = Fault(kind="status", status=503, headers=headers, path="/v1/customers", times=None)
    sandbox.faults.add(fault)

    assert waits_until_given_up(sandbox, 9) == [100.0] * 8


def test_a_429_is_retried_fifty_times_with_longer_and_longer_waits(sandbox: Sandbox) -> None:
    headers = {"Retry-After": "0"}
    fault = Fault(kind="status", status=429, headers=headers, path="/v1/customers", times=None)
    sandbox.faults.add(fault)

    waits = waits_until_given_up(sandbox, 50)

    assert all(before * 1.5 < after for before, after in pairwise(waits[:8]))
    assert min(waits[9:]) >= 60
