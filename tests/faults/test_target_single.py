"""Single writing, ledger, deletions and dry run, against the sandbox."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from singer_input import PROPERTIES, TEXT, contacts, lines, record, schema, state
from target_run import held, load, settings
from voucherify_sandbox import Fault, Limits, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

DELETED = {**PROPERTIES, "_sdc_deleted_at": TEXT}


def written(sandbox: Sandbox) -> int:
    return sum(request.method != "GET" for request in sandbox.requests)


FAULTS = ["server_error", "html", "empty", "reset", "cut_before", "cut_after", "limit_retry_after"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("number", [1, 2, 57, 130])
def test_single_writing_loses_nothing(project: Sandbox, fault: str, number: int) -> None:
    project.faults.add(Fault(kind=fault, numbers=[number], seconds=0.05))  # type: ignore[arg-type]
    config = settings(project, write_path="single")
    done = load(config, lines(*contacts(150, state_every=50)))
    assert done.error is None
    assert done.states[-1] == {"seen": 150}
    assert len(held(project)) == done.summary["accepted"] == 150


def ways(sandbox: Sandbox) -> set[str]:
    """How customers were written."""
    return {request.path for request in sandbox.requests if request.method == "POST"}


SINGLY, IN_BULK = {"/v1/customers"}, {"/v1/customers/bulk/async"}


@pytest.mark.parametrize(
    ("records", "way"),
    [
        pytest.param(contacts(1), SINGLY, id="one"),
        pytest.param(contacts(50), SINGLY, id="as many as go singly"),
        pytest.param(contacts(51), IN_BULK, id="one more"),
        pytest.param(contacts(40, state_every=7), SINGLY, id="states between"),
        pytest.param([*contacts(1), record(0, name="Z")], SINGLY, id="a key twice"),
        pytest.param(contacts(120), IN_BULK, id="several batches, all of them small"),
    ],
)
def test_auto_goes_one_way_in_a_run(project: Sandbox, records: list[Any], way: set[str]) -> None:
    config = settings(project, write_path="auto", batch_size_rows=51 if way == SINGLY else 50)
    planned = load({**config, "dry_run": True}, lines(*records))
    project.forget_requests()

    done = load(config, lines(*records))

    assert (done.error, ways(project)) == (None, way)
    assert done.summary["accepted"] == len(held(project))
    singly = done.summary["accepted"] + 2  # for the metadata schema and for earlier jobs
    assert (planned.summary["would_call"] == singly) is (way == SINGLY)


def test_single_refusals_are_refusals(project: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "refused.singer"
    given = [
        record(n, metadata={"photo": "https://x/no" if n % 10 == 0 else "https://x/y.png"})
        for n in range(50)
    ]
    config = settings(project, write_path="single", refused_records_path=str(path))
    done = load(config, lines(schema(), *given, state({"seen": 50})))
    assert (done.error, done.states) == (None, [{"seen": 50}])
    assert (done.summary["accepted"], done.summary["refused"]) == (45, 5)
    assert len(path.read_text().splitlines()) == 6


def test_single_writing_keeps_the_last_of_a_key(project: Sandbox) -> None:
    given = [record(n % 7, name=f"version {n}") for n in range(350)]
    done = load(settings(project, write_path="single"), lines(schema(), *given, state({"seen": 1})))
    assert done.error is None
    names = {customer["name"] for customer in project.project.customers.values()}
    assert names == {f"version {n}" for n in range(343, 350)}


@pytest.mark.parametrize("most", [102, 103, 260])
def test_single_writing_stops_at_max_calls(project: Sandbox, most: int) -> None:
    config = settings(project, write_path="single", max_calls=most)
    done = load(config, lines(*contacts(300, state_every=50)))
    assert done.error is None
    assert len(project.requests) <= most
    seen = done.states[-1]["seen"] if done.states else 0
    assert {f"crm-{n}" for n in range(seen)} <= held(project)
    assert done.summary["complete"] is False


def test_a_key_that_loses_its_rights_stops_single_writing(project: Sandbox) -> None:
    project.faults.add(Fault(kind="revoked_key", numbers=[130]))
    config = settings(project, write_path="single")
    done = load(config, lines(*contacts(300, state_every=50)))
    assert "check application_id and secret_key" in str(done.error)
    assert done.states[-1] == {"seen": 100}


def reordered(value: Any) -> Any:
    """The same value with the keys of all objects in reverse order."""
    if isinstance(value, list):
        return [reordered(member) for member in value]
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return value


def test_another_order_of_keys_is_no_change(project: Sandbox, tmp_path: Path) -> None:
    config = settings(project, ledger_path=str(tmp_path / "ledger.db"))
    members = {"tier": "gold", "brands": [{"a": 1, "b": {"c": 2, "d": 3}}], "level": 4}
    address = {"city": "Berlin", "country": "DE"}
    properties = {**PROPERTIES, "address": {"type": ["null", "object"]}}
    messages = [schema(properties)]
    messages += [record(number, metadata=members, address=address) for number in range(9)]
    messages.append(record(9, metadata=json.dumps(members), address=address))
    load(config, lines(*messages))

    messages[-1]["record"]["metadata"] = json.dumps(reordered(members))
    again = load(config, lines(*reordered(messages)))
    assert again.summary["unchanged"] == 10


def test_unchanged_customers_are_not_sent_again(project: Sandbox, tmp_path: Path) -> None:
    config = settings(project, ledger_path=str(tmp_path / "ledger.db"))
    text = lines(*contacts(50, state_every=10))
    assert load(config, text).summary["accepted"] == 50
    writes = written(project)
    again = load(config, text)
    assert again.summary["unchanged"] == 50
    assert again.states[-1] == {"seen": 50}
    assert written(project) == writes
    changed = contacts(50)
    changed[7]["record"]["name"] = "Somebody else"
    third = load(config, lines(*changed))
    assert (third.summary["accepted"], third.summary["unchanged"]) == (1, 49)
    assert project.project.customer_by_source_id("crm-6")["name"] == "Somebody else"


@pytest.mark.parametrize(
    "change",
    [{"mapping": {"name": "name"}}, {"nulls": "send"}, {"unmapped": "metadata"}],
    ids=["another mapping", "another policy on nulls", "another place for the rest"],
)
def test_other_settings_send_everything_again(
    project: Sandbox, tmp_path: Path, change: dict[str, Any]
) -> None:
    config = settings(project, ledger_path=str(tmp_path / "ledger.db"))
    load(config, lines(*contacts(5)))
    assert load({**config, **change}, lines(*contacts(5))).summary["accepted"] == 5


def test_a_ledger_belongs_to_one_project(project: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    load(settings(project, ledger_path=str(path)), lines(*contacts(5)))
    with Sandbox(application_id="another-project") as other:
        done = load(settings(other, ledger_path=str(path)), lines(*contacts(5)))
        assert "belongs to another project" in str(done.error)
        assert held(other) == set()


def test_a_change_back_after_a_lost_run_is_sent(project: Sandbox, tmp_path: Path) -> None:
    """The case a careless ledger loses: changed, accepted, never written down, changed back."""
    path = tmp_path / "ledger.db"
    config = settings(project, ledger_path=str(path))
    load(config, lines(schema(), record(1, name="old")))
    project.faults.add(Fault(kind="redirect", path="/v1/async-actions/*", times=None))
    assert load(config, lines(schema(), record(1, name="new"))).error is not None
    project.faults.clear()
    assert project.project.customer_by_source_id("crm-1")["name"] == "new"
    load(config, lines(schema(), record(1, name="old")))
    assert project.project.customer_by_source_id("crm-1")["name"] == "old"


@pytest.mark.parametrize("write_path", ["bulk", "single"])
@pytest.mark.parametrize("between", [0, 3, 498, 499, 1_200], ids=lambda count: f"{count} between")
@pytest.mark.parametrize("changes", [False, True], ids=["the same", "changed"])
def test_a_change_back_within_a_run_is_sent(
    project: Sandbox, tmp_path: Path, write_path: str, between: int, *, changes: bool
) -> None:
    """Whatever of it is looked up together, and whatever was sent and accepted in between."""
    config = settings(
        project,
        ledger_path=str(tmp_path / "ledger.db"),
        write_path=write_path,
        batch_size_rows=100 if between > 100 else 1,
    )
    numbers, name = range(2, 2 + between), "Somebody else" if changes else "Nobody else"
    others = [record(number, name="Nobody else") for number in numbers]
    load(config, lines(schema(), record(1, name="old"), *others))
    others = [record(number, name=name) for number in numbers]
    done = load(config, lines(schema(), record(1, name="new"), *others, record(1, name="old")))
    assert project.project.customer_by_source_id("crm-1")["name"] == "old"
    assert done.summary["unchanged"] == (0 if changes else between)
    if between:
        assert project.project.customer_by_source_id("crm-2")["name"] == name


def test_a_lost_ledger_costs_calls_only(project: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    config = settings(project, ledger_path=str(path))
    load(config, lines(*contacts(5)))
    path.unlink()
    assert load(config, lines(*contacts(5))).summary["accepted"] == 5


def test_a_damaged_ledger_is_named(project: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("this is no database, and long enough to be taken for one" * 20)
    done = load(settings(project, ledger_path=str(path)), lines(*contacts(5)))
    assert "ledger_path" in str(done.error)


def deletions(keep: int, delete: int) -> list[dict[str, Any]]:
    """So many contacts, then so many of them marked as deleted, a STATE after each part."""
    marked = [record(n, _sdc_deleted_at="2026-01-01T00:00:00Z") for n in range(delete)]
    kept = [record(n) for n in range(keep)]
    return [schema(DELETED), *kept, state({"seen": keep}), *marked, state({"seen": keep + delete})]


def test_deletions_are_ignored_by_default(project: Sandbox) -> None:
    done = load(settings(project), lines(*deletions(20, 2)))
    assert (done.summary["accepted"], done.summary["deletes_ignored"]) == (20, 2)
    assert len(held(project)) == 20
    assert done.states[-1] == {"seen": 22}


@pytest.mark.parametrize("mode", ["delete", "permanent_delete"])
@pytest.mark.parametrize("write_path", ["bulk", "single"])
def test_deletions_are_carried_out_at_the_end(project: Sandbox, mode: str, write_path: str) -> None:
    config = settings(project, on_delete=mode, max_delete_percent=20, write_path=write_path)
    done = load(config, lines(*deletions(20, 2)))
    assert done.error is None
    assert done.summary["deleted"] == 2
    assert held(project) == {f"crm-{n}" for n in range(2, 20)}
    assert done.states[-1] == {"seen": 22}
    assert done.accounted == 22


def test_the_breaker_deletes_nothing(project: Sandbox) -> None:
    config = settings(project, on_delete="delete")
    done = load(config, lines(*deletions(20, 2)))
    assert "max_delete_percent" in str(done.error)
    assert len(held(project)) == 20
    assert done.states == [{"seen": 20}]


def test_who_is_gone_already_is_deleted(project: Sandbox) -> None:
    config = settings(project, on_delete="delete", max_delete_percent=50)
    gone = record("never-there", _sdc_deleted_at="2026-01-01T00:00:00Z")
    done = load(config, lines(schema(DELETED), record(1), gone, state({"seen": 2})))
    assert (done.error, done.summary["deleted"]) == (None, 1)


@pytest.mark.parametrize("on_delete", ["delete", "permanent_delete"])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_key_whose_slash_breaks_the_path_is_not_taken_for_gone(
    project: Sandbox, on_delete: str, *, is_named: bool
) -> None:
    """A 404 of Voucherify names the customer that does not exist; one of a path names nothing."""
    body = {"code": 404, "key": "not_found", "message": "Resource not found"}
    named = {"resource_id": "a/b", "resource_type": "customer"} if is_named else {}
    path = "/v1/customers/a/b*"
    project.faults.add(Fault(kind="status", status=404, body={**body, **named}, path=path))
    config = settings(project, on_delete=on_delete, max_delete_percent=100)
    gone = record(1, source_id="a/b", _sdc_deleted_at="2026-01-01T00:00:00Z")
    done = load(config, lines(schema(DELETED), gone, state({"seen": 1})))
    assert (done.summary["deleted"], done.summary["refused"]) == (is_named, not is_named)
    assert (done.error is None, done.states == [{"seen": 1}]) == (is_named, is_named)


def test_a_proxy_that_knows_no_such_page_has_deleted_nobody(project: Sandbox) -> None:
    body = {"message": "no Route matched"}
    project.faults.add(Fault(kind="status", status=404, body=body, method="DELETE"))
    config = settings(project, on_delete="delete", max_delete_percent=20)
    done = load(config, lines(*deletions(20, 2)))
    assert "check that api_url" in str(done.error)
    assert done.states == [{"seen": 20}]


def test_a_404_that_cannot_be_read_has_deleted_nobody(project: Sandbox) -> None:
    body = "<html>Nothing here</html>"
    project.faults.add(Fault(kind="status", status=404, body=body, method="DELETE"))
    load(settings(project), lines(*contacts(20)))
    config = settings(project, on_delete="delete", max_delete_percent=20)
    done = load(config, lines(*deletions(20, 2)))
    assert (done.error, done.summary["deleted"], done.summary["retries"]) == (None, 2, 1)
    assert held(project).isdisjoint({"crm-0", "crm-1"})


def test_who_comes_back_is_not_deleted(project: Sandbox) -> None:
    config = settings(project, on_delete="delete", max_delete_percent=50)
    gone = record(1, _sdc_deleted_at="2026-01-01T00:00:00Z")
    text = lines(schema(DELETED), record(1), gone, record(1, name="back"), state({"seen": 3}))
    done = load(config, text)
    assert project.project.customer_by_source_id("crm-1")["name"] == "back"
    assert (done.error, done.accounted) == (None, 3)


@pytest.mark.parametrize("key", [".", "..", "cust_abc"])
def test_a_key_that_could_name_somebody_else_is_not_deleted(
    project: Sandbox, tmp_path: Path, key: str
) -> None:
    config = settings(
        project,
        on_delete="delete",
        max_delete_percent=100,
        refused_records_path=str(tmp_path / "refused.singer"),
    )
    gone = record(1, source_id=key, _sdc_deleted_at="2026-01-01T00:00:00Z")
    done = load(config, lines(schema(DELETED), gone, state({"seen": 1})))
    assert done.summary["refused"] == 1
    assert written(project) == 0


@pytest.mark.parametrize("key", ["a/b", "a b", "a@b.c", "?x=1#y", "100%", "ü", "..x"])
def test_a_key_of_any_characters_is_deleted(project: Sandbox, key: str) -> None:
    config = settings(project, on_delete="delete", max_delete_percent=100)
    gone = record(1, source_id=key, _sdc_deleted_at="2026-01-01T00:00:00Z")
    done = load(config, lines(schema(DELETED), record(1, source_id=key), gone))
    assert done.error is None
    assert held(project) == set()


@pytest.mark.parametrize("fault", ["cut_after", "cut_before", "server_error", "redirect"])
def test_a_deletion_that_fails_holds_the_states(project: Sandbox, fault: str) -> None:
    project.faults.add(Fault(kind=fault, method="DELETE"))  # type: ignore[arg-type]
    config = settings(project, on_delete="delete", max_delete_percent=20)
    done = load(config, lines(*deletions(20, 2)))
    if done.error is None:
        assert held(project) == {f"crm-{n}" for n in range(2, 20)}
    else:
        assert done.states == [{"seen": 20}]


def versions(numbers: list[int], version: int) -> str:
    activate = {"type": "ACTIVATE_VERSION", "stream": "customers", "version": version}
    records = [{**record(n), "version": version} for n in numbers]
    return lines(schema(), *records, activate, state({"version": version}))


def test_who_is_missing_from_a_whole_stream_is_deleted(project: Sandbox, tmp_path: Path) -> None:
    config = settings(
        project,
        on_delete="delete",
        max_delete_percent=20,
        ledger_path=str(tmp_path / "ledger.db"),
    )
    load(config, versions(list(range(20)), 1))
    same = load(config, versions([1], 1))
    assert (same.error, len(held(project))) == (None, 20)
    done = load(config, versions(list(range(18)), 2))
    assert (done.error, done.states) == (None, [{"version": 2}])
    assert done.summary["deleted_unseen"] == 2
    assert held(project) == {f"crm-{n}" for n in range(18)}


def test_without_a_ledger_nobody_is_missing(project: Sandbox) -> None:
    config = settings(project, on_delete="delete")
    load(config, versions(list(range(20)), 1))
    done = load(config, versions([1], 2))
    assert "without ledger_path" in done.log
    assert len(held(project)) == 20


def test_a_dry_run_writes_nothing_and_says_what_would_happen(
    project: Sandbox, tmp_path: Path
) -> None:
    for number in range(4):
        project.project.upsert_customer({"source_id": f"crm-{number}"})
    config = settings(
        project,
        dry_run=True,
        on_delete="delete",
        max_delete_percent=100,
        refused_records_path=str(tmp_path / "refused.singer"),
        ledger_path=str(tmp_path / "ledger.db"),
    )
    bad = record("bad", name=[])
    done = load(config, lines(*deletions(10, 1), bad, state({"seen": 12})))
    assert (done.error, done.states) == (None, [])
    assert written(project) == 0
    assert list(tmp_path.iterdir()) == []
    counts = done.summary
    assert (counts["would_create"], counts["would_update"]) == (6, 4)
    assert (counts["would_delete"], counts["refused"]) == (1, 1)
    assert counts["would_call"] > 1
    assert counts["minutes_at_limit"] == 1


def test_a_dry_run_asks_the_ledger_if_there_is_one(project: Sandbox, tmp_path: Path) -> None:
    config = settings(project, ledger_path=str(tmp_path / "ledger.db"))
    load(config, lines(*contacts(50)))
    writes = written(project)
    changed = contacts(60)
    changed[1]["record"]["name"] = "Somebody else"
    counts = load({**config, "dry_run": True}, lines(*changed)).summary
    assert (counts["would_create"], counts["would_update"], counts["unchanged"]) == (10, 1, 49)
    assert written(project) == writes


def test_a_dry_run_estimates_what_is_too_much_to_read(project: Sandbox) -> None:
    for number in range(900):
        project.project.upsert_customer({"source_id": f"crm-{number}"})
    counts = load(settings(project, dry_run=True), lines(*contacts(1000))).summary
    assert counts["looked_up"] == 18
    assert 500 < counts["would_update"] <= 1000
    assert project.calls <= 20


def test_limits_of_single_writing_are_waited_for() -> None:
    limits = Limits(calls=30, period_seconds=1)
    with Sandbox(limits=limits) as small:
        done = load(settings(small, write_path="single"), lines(*contacts(80, state_every=20)))
        assert done.error is None
        assert len(held(small)) == 80
        assert done.summary["retries"] > 0


def test_personal_data_is_in_no_file_but_the_two_that_hold_it(
    project: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    load(settings(project, ledger_path=str(path)), lines(*contacts(3)))
    assert b"Contact 1" not in path.read_bytes()
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*) FROM accepted").fetchone() == (3,)
    database.close()
    assert project.secret_key not in path.read_bytes().decode(errors="replace")
    assert json.dumps(project.application_id) not in path.read_bytes().decode(errors="replace")
