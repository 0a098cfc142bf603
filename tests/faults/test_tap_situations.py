"""Situations of `docs/operating.md` that no other test of the tap shows in full."""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from singer import Process, Run, command, run, selecting
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

CUSTOMERS = "/v1/customers"
LONG_AGO = datetime(2026, 1, 10, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WAIT = 60.0
"""Seconds that a test waits for a request; a busy machine is slow."""


@pytest.fixture
def customers_only(tmp_path: Path) -> list[str]:
    return selecting(tmp_path, "customers")


def with_state(folder: Path, done: Run, **changes: Any) -> list[str]:
    path = folder / "state.json"
    path.write_text(json.dumps({**done.states[-1], **changes}))
    return ["--state", str(path)]


def critical(done: Run) -> str:
    (line,) = (line for line in done.log.splitlines() if "| CRITICAL" in line)
    return line


def test_more_rows_of_one_millisecond_than_the_pages_reach(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    project = sandbox.project
    project.add_customers(150, prefix="a-", created_at=LONG_AGO, spread=150 * SECOND)
    project.add_customers(9_950, prefix="t-", created_at=LONG_AGO + timedelta(days=1))

    done = run("tap_voucherify", connection, *customers_only)

    assert done.exit_code == 1
    assert "More than 9,900 rows share one instant" in critical(done)
    assert sandbox.calls <= 250
    before = {c["id"] for c in project.customers.values() if c["source_id"].startswith("a-")}
    assert {record["id"] for record in done.records()} >= before
    again = run("tap_voucherify", connection, *customers_only, *with_state(tmp_path, done))
    assert before.isdisjoint(record["id"] for record in again.records())
    whole = run("tap_voucherify", {**connection, "customers_backfill": "export"}, *customers_only)
    assert (whole.exit_code, len(whole.records())) == (0, 10_100), whole.log


@pytest.mark.parametrize(
    ("settings", "streams", "sentence"),
    [
        ({"max_cals": 9}, ["customers"], "the nearest is max_calls"),
        ({}, [], "selects no stream"),
        ({"end_date": "2026-02-01T00:00:00Z"}, ["customers", "rewards"], "but rewards can only"),
    ],
    ids=["an unknown setting", "an empty selection", "a slice"],
)
def test_settings_and_selections_that_cannot_work_make_no_request(  # noqa: PLR0913, PLR0917 - fixtures
    sandbox: Sandbox,
    connection: dict[str, Any],
    tmp_path: Path,
    settings: dict[str, Any],
    streams: list[str],
    sentence: str,
) -> None:
    done = run("tap_voucherify", {**connection, **settings}, *selecting(tmp_path, *streams))

    assert (done.exit_code, sandbox.calls) == (1, 0)
    assert sentence in critical(done)


def page(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data_ref": "customers", "total": 250, "customers": list(rows)}


DATE = LONG_AGO.isoformat()
INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "out of order": (
        page({"id": "c2", "created_at": "2030-01-01T00:00:00Z"}, {"id": "c1", "created_at": DATE}),
        "does not keep the order",
    ),
    "a row without an id": (page({"created_at": "2030-01-01T00:00:00Z"}), "has no `id`"),
    "an invalid timestamp": (page({"id": "c1", "created_at": "yesterday"}), "is not an ISO 8601"),
}


@pytest.mark.parametrize(("body", "sentence"), INVALID.values(), ids=INVALID.keys())
def test_a_list_that_could_hide_rows_ends_the_run_and_keeps_what_came_before(  # noqa: PLR0913, PLR0917 - fixtures
    sandbox: Sandbox,
    connection: dict[str, Any],
    customers_only: list[str],
    tmp_path: Path,
    body: dict[str, Any],
    sentence: str,
) -> None:
    sandbox.project.add_customers(250, created_at=LONG_AGO, spread=250 * SECOND)
    sandbox.faults.add(
        Fault(kind="status", status=200, path=CUSTOMERS, body=body, nth=[3], times=None)
    )

    done = run("tap_voucherify", {**connection, "max_concurrency": 1}, *customers_only)

    assert done.exit_code == 1
    assert sentence in critical(done)
    written = {record["id"] for record in done.records()}
    sandbox.faults.clear()
    rest = run("tap_voucherify", connection, *customers_only, *with_state(tmp_path, done))
    again = {record["id"] for record in rest.records()}
    assert rest.exit_code == 0, rest.log
    assert written | again == set(sandbox.project.customers)
    assert len(written & again) <= 1 < len(written)


def test_a_short_page_that_repeats_fails_the_run(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    rows = [
        {"id": f"c{number}", "created_at": (LONG_AGO + number * SECOND).isoformat()}
        for number in range(4)
    ]
    short, repeated = page(*rows), page(rows[-1])
    # Between the two a request finds out that `total` heeds filters.
    for body, nth in ((short, 1), (repeated, 2)):
        sandbox.faults.add(
            Fault(kind="status", status=200, path=CUSTOMERS, body=body, nth=[nth], times=1)
        )
    slice_ = {"start_date": DATE, "end_date": (LONG_AGO + timedelta(days=1)).isoformat()}

    done = run("tap_voucherify", {**connection, **slice_}, *customers_only)

    assert done.exit_code == 1
    assert "and counts 250 in it, so rows could be missed: run again" in critical(done)
    assert len(done.records()) == 4


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("more", [{"has_more": True}, {}], ids=["has_more", "total"])
def test_a_page_that_is_empty_too_soon_is_requested_twice(
    sandbox: Sandbox,
    connection: dict[str, Any],
    customers_only: list[str],
    more: dict[str, Any],
    times: int,
) -> None:
    sandbox.project.add_customers(250, created_at=LONG_AGO, spread=250 * SECOND)
    # By `total` the request after the empty page finds out whether it heeds filters.
    nth = [2, 3] if more else [2, 4]
    sandbox.faults.add(
        Fault(
            kind="status",
            status=200,
            path=CUSTOMERS,
            body={**page(), **more},
            nth=nth[:times],
            times=None,
        )
    )
    slice_ = {"start_date": DATE, "end_date": (LONG_AGO + timedelta(days=1)).isoformat()}

    done = run("tap_voucherify", {**connection, **slice_, "max_concurrency": 1}, *customers_only)

    assert sandbox.faults.injected == times
    if times == 1:
        assert (done.exit_code, len(done.records())) == (0, 250), done.log
    else:
        assert (done.exit_code, len(done.records())) == (1, 100), done.log
        assert "so rows could be missed: run again" in critical(done)


def test_the_state_of_a_replaced_key_pair_is_read_without_its_project(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    sandbox.project.add_customers(3, created_at=LONG_AGO)
    first = run("tap_voucherify", connection, *customers_only)
    state = {name: value for name, value in first.states[-1].items() if name != "project"}
    (tmp_path / "state.json").write_text(json.dumps(state))

    with Sandbox(application_id="11111111-2222-4333-8444-555555555555") as replaced:
        keys = {
            "api_url": replaced.url,
            "application_id": replaced.application_id,
            "secret_key": replaced.secret_key,
        }
        replaced.project.add_customers(3, created_at=LONG_AGO)
        options = [*customers_only, "--state", str(tmp_path / "state.json")]
        done = run("tap_voucherify", keys, *options)

    assert (done.exit_code, done.records()) == (0, [])


def test_a_signal_during_an_export_leaves_its_id_in_the_state(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], tmp_path: Path
) -> None:
    sandbox.project.add_customers(30, created_at=LONG_AGO)
    sandbox.readings.change(export_polls=4)
    config = {**connection, "customers_backfill": "export"}
    with Process(command("tap_voucherify", config, tmp_path, *customers_only)) as process:
        until = time.monotonic() + WAIT
        while not polls(sandbox) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        printed, log = process.communicate(timeout=WAIT)
    cut = Run(process.returncode, printed.decode(), log.decode())

    done = run("tap_voucherify", config, *customers_only, *with_state(tmp_path, cut))

    assert (cut.exit_code, cut.records()) == (130, [])
    assert (done.exit_code, len(done.records())) == (0, 30)
    assert [r.path for r in sandbox.requests if r.method == "POST"] == ["/v1/exports"]


def polls(sandbox: Sandbox) -> int:
    return sum(request.path.startswith("/v1/exports/") for request in sandbox.requests)


@pytest.mark.parametrize("status", [402, 403])
def test_a_metadata_schema_that_the_key_may_not_read_stops_no_run(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str], status: int
) -> None:
    sandbox.project.add_customers(3, created_at=LONG_AGO)
    sandbox.faults.add(
        Fault(kind="status", status=status, path="/v1/metadata-schemas*", times=None)
    )
    config = {**connection, "customers_backfill": "export"}

    found = run("tap_voucherify", config, "--discover")
    done = run("tap_voucherify", config, *customers_only)

    assert sandbox.faults.injected >= 2
    assert (found.exit_code, done.exit_code) == (0, 0), found.log + done.log
    assert len(done.records()) == 3


def test_an_export_with_other_columns_fails_the_run(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    sandbox.project.add_customers(3, created_at=LONG_AGO)
    sandbox.readings.change(export_polls=0)
    sandbox.faults.add(
        Fault(kind="status", status=200, path="/v1/exports/*", body="a,b\n1,2\n", nth=[2])
    )

    done = run("tap_voucherify", {**connection, "customers_backfill": "export"}, *customers_only)

    assert done.exit_code == 1
    assert "columns that are not" in critical(done)
    assert "customers_backfill: list" in critical(done)


def test_a_value_of_another_type_is_converted_or_becomes_null_and_is_counted(
    sandbox: Sandbox, connection: dict[str, Any], customers_only: list[str]
) -> None:
    rows = [
        {"id": f"c{number}", "created_at": DATE, "phone": 12, "address": "Mill Lane"}
        for number in range(3)
    ]
    body = {**page(*rows), "total": 3}
    sandbox.faults.add(Fault(kind="status", status=200, path=CUSTOMERS, body=body, times=None))

    done = run("tap_voucherify", connection, *customers_only)

    assert done.exit_code == 0, done.log
    assert [(row["phone"], row["address"]) for row in done.records()] == [("12", None)] * 3
    assert "address: 3 values of another type than the schema's became null" in done.log
    assert "Mill Lane" not in done.log
