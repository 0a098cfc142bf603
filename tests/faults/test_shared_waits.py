"""An error or a signal ends the waits of all threads at once."""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from singer import Process, command, run, selecting
from singer_input import contacts, lines, record, schema, state
from tap_voucherify.pagination.ordered_map import ordered_map
from tap_voucherify.voucherify_client.client import Client, Connection
from tap_voucherify.voucherify_client.errors import StopSignalError, VoucherifyError
from tap_voucherify.voucherify_client.shutdown import Shutdown
from voucherify_sandbox import Fault, Readings, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

TAP, TARGET = "tap_voucherify", "target_voucherify"
AT_ONCE = 8
SOON = 8.0
"""Seconds for a run without waits."""

HOUR, LONG = 3_600, 90_000
ACTIVITY = "/v1/customers/*/activity"
CYCLE = {"X-Rate-Limit-Type": "api_calls_cycle", "Retry-After": str(LONG)}


def limited(seconds: float, **more: Any) -> Fault:
    return Fault(kind="limit_retry_after", seconds=seconds, **more)


CYCLE_USED_UP: dict[str, Any] = {"kind": "status", "status": 429, "headers": CYCLE}
MORE_THAN_A_DAY: dict[str, Any] = {"kind": "limit_retry_after", "seconds": LONG}
ENDINGS: dict[str, tuple[dict[str, Any], str]] = {
    "the cycle is used up": (CYCLE_USED_UP, "calls of this billing cycle are used up"),
    "a wait of more than a day": (MORE_THAN_A_DAY, "asks to wait 90000 s, longer than a day"),
    "a refused key": ({"kind": "status", "status": 401}, "check application_id and secret_key"),
    "no rights": ({"kind": "status", "status": 403}, "role lacks a permission"),
}


@pytest.fixture
def rewarded(sandbox: Sandbox) -> Sandbox:
    project = sandbox.project
    project.add_customers(40)
    project.create_referral_campaign("Refer", referee_reward={"loyalty_points": 5})
    for number in range(0, 40, 2):
        code = project.referral_code(campaign="Refer", referrer=f"crm-{number}")
        project.redeem(code=code, customer=f"crm-{number + 1}", order={"amount": 500})
    project.settle()
    return sandbox


@pytest.mark.parametrize(("fault", "sentence"), ENDINGS.values(), ids=ENDINGS.keys())
def test_an_error_in_one_thread_ends_the_waits_of_all(
    rewarded: Sandbox,
    connection: dict[str, Any],
    tmp_path: Path,
    fault: dict[str, Any],
    sentence: str,
) -> None:
    """The response that ends the run comes while all other threads wait for an hour.

    Nobody takes its result: that of a request before it, which waits, is taken first.
    """
    rewarded.faults.add(
        limited(HOUR, path=ACTIVITY, nth=[2], delay=2),
        Fault(**fault, path=ACTIVITY, nth=[4], delay=3),
    )
    began = time.monotonic()

    done = run(TAP, connection, *selecting(tmp_path, "reward_events"), timeout=20)

    assert rewarded.faults.injected == 2
    assert done.exit_code == 1, done.log
    assert sentence in done.log
    assert time.monotonic() - began < SOON
    assert done.states


@pytest.mark.parametrize("fault", [CYCLE_USED_UP, MORE_THAN_A_DAY], ids=["cycle", "day"])
def test_nobody_waits_for_what_ends_the_run(
    rewarded: Sandbox, connection: dict[str, Any], tmp_path: Path, fault: dict[str, Any]
) -> None:
    rewarded.faults.add(Fault(**fault, path=ACTIVITY, nth=[10]))
    began = time.monotonic()

    done = run(TAP, connection, *selecting(tmp_path, "reward_events"), timeout=20)

    assert done.exit_code == 1, done.log
    assert time.monotonic() - began < SOON


@pytest.mark.parametrize("stream", ["reward_events", "customers"])
def test_a_signal_ends_shared_waits(
    rewarded: Sandbox, connection: dict[str, Any], tmp_path: Path, stream: str
) -> None:
    path = ACTIVITY if stream == "reward_events" else "/v1/customers"
    rewarded.project.add_customers(2_000, prefix="more")
    rewarded.faults.add(limited(HOUR, path=path, nth=[4]))
    config = {**connection, "reward_events_scan": "all"}
    line = [*command(TAP, config, tmp_path), *selecting(tmp_path, stream)]
    with Process(line, stdout=subprocess.DEVNULL) as process:
        while rewarded.faults.injected == 0 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, log = process.communicate(timeout=20)

    assert process.returncode == 143, log
    assert time.monotonic() - began < SOON


def test_a_signal_has_the_last_word_over_an_error(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    """The signal arrives while the response that ends the run is in flight."""
    sandbox.project.add_customers(3)
    sandbox.faults.add(Fault(kind="slow_headers", seconds=2, path="/v1/customers"))
    with Process([*command(TAP, connection, tmp_path), *selecting(tmp_path, "customers")]) as run_:
        while sandbox.faults.injected == 0 and run_.poll() is None:
            time.sleep(0.01)
        run_.send_signal(signal.SIGTERM)
        _, log = run_.communicate(timeout=20)

    leaks.saw(log.decode() if isinstance(log, bytes) else log)
    assert run_.returncode == 143, log


def client_of(sandbox: Sandbox, shutdown: Shutdown) -> Client:
    return Client(
        Connection(sandbox.url, sandbox.application_id, sandbox.secret_key),
        max_concurrency=AT_ONCE,
        max_calls=None,
        shutdown=shutdown,
        log=logging.getLogger("test"),
    )


@pytest.mark.parametrize("number", [0, 3, 7])
def test_who_stops_taking_results_does_not_wait_for_those_who_sleep(
    sandbox: Sandbox, number: int
) -> None:
    """Standard output may break, or a row be invalid, while others wait for a limit."""
    shutdown = Shutdown()
    client = client_of(sandbox, shutdown)
    began = time.monotonic()

    def work(item: int) -> int:
        if item > number:
            shutdown.wait(HOUR)
        return item

    results = ordered_map(work, range(20), concurrency=AT_ONCE, fail=client.fail)
    assert [item for item, _ in zip(range(number + 1), results, strict=False)] == list(
        range(number + 1)
    )
    results.close()  # type: ignore[attr-defined]

    assert time.monotonic() - began < SOON


def test_a_failure_that_is_not_of_the_api_ends_the_waits_of_others(sandbox: Sandbox) -> None:
    shutdown = Shutdown()
    client = client_of(sandbox, shutdown)

    def work(item: int) -> int:
        if item == 5:
            raise KeyError(item)
        shutdown.wait(HOUR)
        return item

    with pytest.raises(KeyError):
        list(ordered_map(work, range(8), concurrency=AT_ONCE, fail=client.fail))


def test_a_second_failure_does_not_replace_the_first() -> None:
    shutdown = Shutdown()
    shutdown.fail(VoucherifyError("first"))
    shutdown.fail(VoucherifyError("second"))

    with pytest.raises(VoucherifyError, match="first"):
        shutdown.wait(HOUR)
    shutdown.check()
    shutdown.request(signal.SIGTERM)
    with pytest.raises(StopSignalError):
        shutdown.wait(HOUR)


def doomed(count: int) -> str:
    gone = (record(number, _sdc_deleted_at="2026-01-01T00:00:00Z") for number in range(count))
    return lines(schema(), *gone)


DELETES = {"on_delete": "delete", "max_delete_percent": 100, "write_path": "single"}


@pytest.mark.parametrize("way", ["write", "delete"])
@pytest.mark.parametrize(("fault", "_"), ENDINGS.values(), ids=ENDINGS.keys())
def test_an_error_in_one_thread_of_the_target_ends_the_waits_of_all(
    sandbox: Sandbox, connection: dict[str, Any], fault: dict[str, Any], _: str, way: str
) -> None:
    path = "/v1/customers" if way == "write" else "/v1/customers/*"
    sandbox.project.add_customers(40)
    sandbox.faults.add(
        Fault(**fault, path=path, nth=[2], delay=1), limited(HOUR, path=path, nth=[3])
    )
    text = lines(*contacts(40)) if way == "write" else doomed(40)
    began = time.monotonic()

    done = run(TARGET, {**connection, **DELETES}, stdin=text, timeout=20)

    assert sandbox.faults.injected == 2
    assert done.exit_code == 1, done.log
    assert time.monotonic() - began < SOON
    assert done.states == []


@pytest.mark.parametrize("fault", [CYCLE_USED_UP, MORE_THAN_A_DAY], ids=["cycle", "day"])
def test_what_is_in_flight_is_confirmed_without_the_wait_that_ends_the_run(
    connection: dict[str, Any], fault: dict[str, Any]
) -> None:
    with Sandbox(readings=Readings(job_seconds=1)) as sandbox:
        sandbox.faults.add(Fault(**fault, path="/v1/customers/bulk/async", nth=[2]))
        loads = [[state({"seen": 0})], contacts(5), [state({"seen": 5})], contacts(9)[5:]]
        began = time.monotonic()

        done = run(
            TARGET,
            {**connection, "api_url": sandbox.url, "write_path": "bulk", "batch_size_rows": 5},
            stdin=lines(*(message for load in loads for message in load)),
            timeout=20,
        )

    assert done.exit_code == 1, done.log
    assert done.states[-1] == {"seen": 5}
    assert time.monotonic() - began < SOON


def test_a_late_429_does_not_shorten_the_wait_of_the_target(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    """The server asks for a shorter wait after a longer one, in a response that was in flight."""
    sandbox.faults.add(
        limited(1, path="/v1/customers", nth=[2], delay=0.3),
        limited(3, path="/v1/customers", nth=[3]),
    )

    config = {**connection, "write_path": "single"}
    with Process(command(TARGET, config, tmp_path), stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(lines(*contacts(40)).encode())
        process.stdin.close()
        process.stdin = None
        while sandbox.faults.injected < 2 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.6)
        before = sandbox.calls
        time.sleep(1.6)
        during = sandbox.calls - before
        _, log = process.communicate(timeout=20)

    assert process.returncode == 0, log
    assert during == 0


def test_a_signal_ends_a_tap_whose_loader_does_not_read(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    sandbox.project.add_customers(3_000)
    line = [*command(TAP, connection, tmp_path), *selecting(tmp_path, "customers")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        time.sleep(4)  # by then the pipe is full, and nobody reads it
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)

    assert process.returncode == 143
    assert time.monotonic() - began < 25
