"""Orders by import: history, 2,000 at once, and never a second order of one key."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from singer_input import TEXT, lines, schema, state
from target_run import load, settings
from voucherify_sandbox import Fault, Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from target_run import Outcome

IMPORT = "/v1/orders/import"
MAPPING = {"status": "status", "amount": "amount", "customer.source_id": "buyer"}
ENTITIES = {"orders": {"write_path": "bulk", "mapping": MAPPING}}
COLUMNS: dict[str, Any] = {
    "source_id": {"type": "string"},
    "status": TEXT,
    "amount": {"type": ["null", "integer"]},
    "buyer": TEXT,
}
OF_ORDERS = schema(COLUMNS, "orders")


def order(number: int, **more: Any) -> dict[str, Any]:
    """A RECORD of a paid order; a hundred of them have one customer."""
    row = {"source_id": f"o-{number}", "status": "PAID", "amount": 100}
    row |= {"buyer": f"c-{number // 100}", **more}
    return {"type": "RECORD", "stream": "orders", "record": row}


def orders(count: int) -> list[dict[str, Any]]:
    """A stream of orders and a state behind them."""
    return [OF_ORDERS, *(order(number) for number in range(count)), state({"seen": count})]


def configured(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    return settings(sandbox, entities=ENTITIES, **more)


def import_of(sandbox: Sandbox, text: str, **more: Any) -> Outcome:
    return load(configured(sandbox, **more), text)


def amounts(sandbox: Sandbox) -> dict[str, int]:
    """The amount of each order; fails where two have one key."""
    held = list(sandbox.project.records.orders.values())
    found = {row["source_id"]: row["amount"] for row in held}
    assert len(found) == len(held), "an order is doubled"
    return found


def whole(count: int) -> dict[str, int]:
    return {f"o-{number}": 100 for number in range(count)}


@pytest.fixture(params=["doubled", "changed", "refused"])
def of_each_reading(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A project under each answer to what an import does with a known order."""
    readings = Readings(job_polls=0, known_order_imported=request.param, second_import="refused")
    with Sandbox(readings=readings) as running:
        yield running


def test_a_history_is_imported_and_nothing_follows_from_it(project: Sandbox) -> None:
    done = import_of(project, lines(*orders(250)))

    assert (done.error, done.states) == (None, [{"seen": 250}])
    assert amounts(project) == whole(250)
    activity = [one for who in project.project.people.by_id.values() for one in who.activity]
    assert not [one.type for one in activity if one.type.startswith("customer.order")]
    assert done.summary["entities"]["orders"]["accepted"] == 250
    assert "/v1/orders" not in {one.path for one in project.requests if one.method == "POST"}


def test_a_hundred_thousand_orders_take_few_calls(project: Sandbox) -> None:
    done = import_of(project, lines(*orders(100_000)))

    assert done.error is None
    assert len(amounts(project)) == 100_000
    assert project.calls <= 130
    imports = [one for one in project.requests if one.path == IMPORT]
    assert len(imports) == 50


def test_a_known_order_is_changed_by_a_call_of_its_own(of_each_reading: Sandbox) -> None:
    import_of(of_each_reading, lines(*orders(20)))
    of_each_reading.forget_requests()
    text = lines(*orders(20)[:-1], order(3, amount=300), order(30), state({"n": 2}))
    done = import_of(of_each_reading, text)

    assert (done.error, done.states) == (None, [{"n": 2}])
    assert amounts(of_each_reading) == {**whole(20), "o-3": 300, "o-30": 100}
    posts = [one.path for one in of_each_reading.requests if one.method == "POST"]
    assert posts.count("/v1/orders") == 20


def test_with_a_ledger_an_unchanged_order_takes_no_call(project: Sandbox, tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger.db")
    import_of(project, lines(*orders(20)), ledger_path=ledger)
    project.forget_requests()
    done = import_of(project, lines(*orders(20)), ledger_path=ledger)

    assert (done.error, done.summary["unchanged"]) == (None, 20)
    assert project.calls == 0


def test_an_order_twice_in_the_input_is_one_order(of_each_reading: Sandbox) -> None:
    text = lines(*orders(20)[:-1], order(3, amount=300), state({"n": 2}))
    done = import_of(of_each_reading, text, batch_size_rows=10)

    assert (done.error, done.states[-1]) == (None, {"n": 2})
    assert amounts(of_each_reading) == {**whole(20), "o-3": 300}


FAULTS = {
    "the response is lost": "cut_after",
    "the request is lost": "cut_before",
    "the response is cut": "truncated_json",
    "a proxy answers": "bad_gateway",
    "the job fails": "job_fails",
    "the job stops": "job_stops",
    "the job loses rows": "job_loses",
    "the job miscounts": "job_miscounts",
    "the job denies": "job_denies",
}


@pytest.mark.parametrize("kind", FAULTS.values(), ids=FAULTS)
def test_what_nobody_tells_is_looked_up_before_anything_is_imported_again(
    project: Sandbox, kind: str
) -> None:
    project.faults.add(Fault(kind=kind, path=IMPORT))
    done = import_of(project, lines(*orders(30)))

    assert (done.error, done.states) == (None, [{"seen": 30}])
    assert amounts(project) == whole(30)
    assert done.accounted == 30


def test_a_job_that_is_gone_ends_the_run_and_the_next_one_looks(project: Sandbox) -> None:
    project.faults.add(Fault(kind="job_vanishes", path=IMPORT))
    done = import_of(project, lines(*orders(30)))
    assert "no longer knows job" in str(done.error)
    assert done.states == []

    again = import_of(project, lines(*orders(30)))
    assert (again.error, again.states) == (None, [{"seen": 30}])
    assert amounts(project) == whole(30)


def test_a_response_that_is_always_lost_ends_the_run(project: Sandbox) -> None:
    project.faults.add(Fault(kind="cut_before", path=IMPORT, times=None))
    done = import_of(project, lines(*orders(30)))

    assert "does not say what became of orders after 3 imports" in str(done.error)
    assert done.states == []
    assert amounts(project) == {}
    assert project.calls < 30


@pytest.mark.parametrize("failures", ["named", "nameless"])
def test_a_refused_order_is_set_aside_alone(
    of_each_reading: Sandbox, tmp_path: Path, failures: str
) -> None:
    of_each_reading.readings.change(import_failures=failures)
    path = tmp_path / "refused.singer"
    text = lines(*orders(12)[:-1], order(12, buyer=None), order(13), state({"n": 1}))
    done = import_of(of_each_reading, text, refused_records_path=str(path))

    assert (done.error, done.states) == (None, [{"n": 1}])
    assert amounts(of_each_reading) == {**whole(12), "o-13": 100}
    refused = [json.loads(line) for line in path.read_text().splitlines() if "RECORD" in line]
    assert [one["record"]["source_id"] for one in refused] == ["o-12"]


@pytest.mark.parametrize("answer", ["queued", "refused"])
def test_an_import_waits_for_that_of_an_earlier_run(answer: str) -> None:
    """A killed run leaves its import in the queue; the orders of it are not imported again."""
    with Sandbox(readings=Readings(job_polls=3, second_import=answer)) as sandbox:
        sandbox.faults.add(Fault(kind="job_hangs", path=IMPORT))
        first = import_of(sandbox, lines(*orders(10)), async_timeout=1)
        assert "did not end within async_timeout" in str(first.error)
        for job in sandbox.project.jobs.all.values():
            job.fault = ""
        done = import_of(sandbox, lines(*orders(10)))
        assert (done.error, done.states) == (None, [{"seen": 10}])
        assert amounts(sandbox) == whole(10)


EXPORTS = {
    "it fails": Fault(kind="export_fails", path="/v1/exports", times=None),
    "it holds half": Fault(kind="export_shrinks", path="/v1/exports", times=None),
    "it has other columns": Fault(
        kind="status", status=200, path="/v1/exports/*", body="a\n1\n", nth=[2], times=None
    ),
}


@pytest.mark.parametrize("fault", EXPORTS.values(), ids=EXPORTS)
def test_without_a_trustworthy_export_nothing_is_imported(project: Sandbox, fault: Fault) -> None:
    project.readings.change(export_polls=0)
    import_of(project, lines(*orders(10)))
    project.forget_requests()
    project.faults.add(fault)
    done = import_of(project, lines(*orders(20)))

    assert "write_path of orders: single" in str(done.error)
    assert done.states == []
    assert amounts(project) == whole(10)
    assert IMPORT not in {one.path for one in project.requests}


@pytest.mark.parametrize("calls", [1, 5, 10])
def test_runs_of_few_calls_import_all_or_say_how_many_they_need(
    project: Sandbox, calls: int
) -> None:
    seen, ended = 0, None
    for _ in range(12):
        rows = [[order(number), state({"seen": number + 1})] for number in range(seen, 20)]
        text = lines(OF_ORDERS, *(message for pair in rows for message in pair))
        project.forget_requests()
        ended = import_of(project, text, max_calls=calls, batch_size_rows=5)
        assert project.calls <= calls
        seen = max([seen, *(one["seen"] for one in ended.states)])
        if ended.error:
            needed = re.search(r"max_calls to (\d+) or more", str(ended.error))
            assert needed, ended.error
            calls = int(needed[1])
        elif ended.summary["complete"]:
            break
    assert ended is not None
    assert ended.summary["complete"]
    assert amounts(project) == whole(20)


def test_a_dry_run_imports_nothing(project: Sandbox) -> None:
    done = import_of(project, lines(*orders(30)), dry_run=True)
    assert (done.error, done.summary["would_create"]) == (None, 30)
    assert {one.method for one in project.requests} == {"GET"}


def test_an_oauth_token_may_make_the_export(project: Sandbox) -> None:
    done = import_of(project, lines(*orders(3)), auth_method="oauth")
    assert done.error is None
    assert amounts(project) == whole(3)
