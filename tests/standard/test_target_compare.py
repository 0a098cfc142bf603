"""Customers compared with what the project holds, and read back after they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from singer_input import TEXT, contacts, lines, record, schema, state
from target_run import load, settings
from voucherify_sandbox import Fault, Readings, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

CALLS_OF_AN_EXPORT = 8

METADATA = {
    "tier": {"type": "string"},
    "points": {"type": "number"},
    "newsletter": {"type": "boolean"},
    "since": {"type": "date"},
    "seen": {"type": "datetime"},
    "tags": {"type": "string", "array": True},
    "box": {"type": "object"},
}
VALUES: dict[str, Any] = {
    "tier": "gold",
    "points": 12.5,
    "newsletter": False,
    "since": "2024-02-29",
    "seen": "2024-02-29T10:00:00Z",
    "tags": ["vip", "b2b, really"],
    "box": {"width": 3, "names": ["a", None]},
}


@pytest.fixture
def config(project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return comparing(project, tmp_path)


def comparing(sandbox: Sandbox, folder: Path, **more: Any) -> dict[str, Any]:
    return settings(sandbox, compare="export", ledger_path=str(folder / "ledger.db"), **more)


def written(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The customers in the bulk requests since the last look."""
    rows: list[dict[str, Any]] = []
    for job in sandbox.project.jobs.all.values():
        rows += job.rows
    return rows


def test_what_somebody_changed_by_hand_is_healed_and_nothing_else_is_sent(
    project: Sandbox, config: dict[str, Any]
) -> None:
    text = lines(*contacts(50), state(1))
    load(config, text)
    project.project.update_customer("crm-7", {"name": "Somebody Else"})
    project.project.delete_customer("crm-9")
    project.project.jobs.all.clear()
    project.forget_requests()

    done = load(config, text)

    assert (done.error, done.states) == (None, [1])
    assert {row["source_id"] for row in written(project)} == {"crm-7", "crm-9"}
    assert (done.summary["unchanged"], done.summary["accepted"]) == (48, 2)
    assert (done.summary["compared"], done.summary["changed_fields"]) == (49, {"name": 1})
    names = {one["source_id"]: one["name"] for one in project.project.customers.values()}
    assert names == {f"crm-{number}": f"Contact {number}" for number in range(50)}
    assert project.calls <= CALLS_OF_AN_EXPORT + 4


def test_a_lost_ledger_costs_nothing_but_the_export(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    text = lines(*contacts(50))
    load(config, text)
    (tmp_path / "ledger.db").unlink()
    project.project.jobs.all.clear()
    assert load(config, text).summary["unchanged"] == 50
    assert written(project) == []
    assert load({**config, "compare": "ledger"}, text).summary["unchanged"] == 50


@pytest.mark.parametrize("columns", ["columns", "json"])
@pytest.mark.parametrize("dates", ["milliseconds", "short_offset"])
def test_every_kind_of_value_is_known_again(tmp_path: Path, columns: Any, dates: Any) -> None:
    readings = Readings(export_metadata=columns, timestamps=dates, phones="normalized")
    with Sandbox(readings=readings) as sandbox:
        sandbox.project.define_metadata("customer", dict(METADATA))
        properties = {
            "source_id": {"type": "string"},
            **dict.fromkeys(("name", "email", "phone", "description", "birthdate"), TEXT),
            "address": {"type": "object"},
            "metadata": {"type": "object"},
        }
        rows = [
            {"address": {"city": "Łódź", "line_1": 'a "quoted", line'}, "metadata": VALUES},
            {"name": "", "description": "two\nlines", "birthdate": "1990-01-31"},
            {"name": None, "address": {}, "metadata": {"tags": [], "points": None}},
            {"metadata": {"points": 3, "newsletter": True}, "phone": "+48 (22) 555-01-02"},
        ]
        text = lines(schema(properties), *(record(n, **row) for n, row in enumerate(rows)))
        config = comparing(sandbox, tmp_path, nulls="send", verify=True)

        first = load(config, text)
        again = load(config, text)

        assert (first.error, first.summary["verified"]) == (None, 4)
        assert (again.error, again.summary["unchanged"]) == (None, 4), again.summary
        assert "printed_otherwise" not in first.summary


def test_a_key_of_metadata_that_the_export_does_not_show_is_named_once(
    project: Sandbox, config: dict[str, Any]
) -> None:
    project.project.define_metadata("customer", {"tier": {"type": "string"}})
    text = lines(
        schema({"source_id": {"type": "string"}, "metadata": {"type": "object"}}),
        *(record(n, metadata={"tier": "gold", "shoe_size": n}) for n in range(5)),
    )
    load(config, text)
    done = load(config, text)
    assert done.summary["unchanged"] == 5
    assert done.log.count("shoe_size") == 1


def test_a_job_that_lies_is_found_and_nothing_is_acknowledged(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config["verify"] = True
    text = lines(*contacts(40), state(1))
    project.faults.add(Fault(kind="job_lies", method="POST", path="/v1/customers/bulk/async"))

    lied = load(config, text)

    there = len(project.project.customers)
    assert there < 40
    assert f"{40 - there} customers that Voucherify accepted are not there" in str(lied.error)
    assert (lied.states, lied.summary["complete"], lied.summary["verified"]) == ([], False, there)
    assert "crm-" not in str(lied.error)
    by_ledger = load({**config, "compare": "ledger", "verify": False, "dry_run": True}, text)
    assert by_ledger.summary["unchanged"] == there

    good = load(config, text)

    assert (good.error, good.states, good.summary["complete"]) == (None, [1], True)
    assert (good.summary["unchanged"], good.summary["verified"]) == (there, 40 - there)
    assert len(project.project.customers) == 40


def test_a_job_that_lies_about_a_change_is_found(project: Sandbox, config: dict[str, Any]) -> None:
    config["verify"] = True
    load(config, lines(*contacts(40), state(1)))
    project.faults.add(
        Fault(kind="job_lies", method="POST", path="/v1/customers/bulk/async", times=3)
    )
    changed = [schema(), *(record(number, name="Another") for number in range(40)), state(2)]

    for _ in range(3):
        lied = load(config, lines(*changed))
        assert "are not there as they were sent" in str(lied.error)
        assert lied.states == []

    assert load(config, lines(*changed)).states == [2]
    assert {one["name"] for one in project.project.customers.values()} == {"Another"}


def test_no_state_is_passed_before_what_it_covers_is_read_back(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config |= {"verify": True, "batch_size_rows": 10}
    done = load(config, lines(*contacts(60, state_every=10)))
    assert (done.error, done.states) == (None, [{"seen": 60}])
    assert project.calls <= 6 * 4 + 2 * CALLS_OF_AN_EXPORT


def test_a_run_without_changes_reads_the_project_once(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config["verify"] = True
    text = lines(*contacts(20), state(1))
    load(config, text)
    project.forget_requests()
    done = load(config, text)
    assert (done.states, done.summary["verified"]) == ([1], 0)
    assert [one.path for one in project.requests].count("/v1/exports") == 1


def test_a_dry_run_is_the_exact_plan(project: Sandbox, config: dict[str, Any]) -> None:
    load(config, lines(*contacts(300)))
    project.project.update_customer("crm-3", {"email": "new@example.com", "name": "New"})
    project.forget_requests()
    config["dry_run"] = True

    done = load(config, lines(*contacts(400)))

    plan = done.summary
    assert (plan["would_create"], plan["would_update"], plan["unchanged"]) == (100, 1, 299)
    assert plan["changed_fields"] == {"name": 1, "email": 1}
    writes = {(one.method, one.path) for one in project.requests if one.method != "GET"}
    assert writes == {("POST", "/v1/exports")}
    assert project.calls <= 20


def test_a_record_that_comes_twice_in_a_run_is_compared_with_what_was_sent(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config |= {"batch_size_rows": 1}
    load(config, lines(schema(), record(1)))
    others = [message for n in range(2, 12) for message in (record(n), state(n))]
    text = lines(schema(), record(1, name="Other"), state(1), *others, record(1), state(99))
    assert load(config, text).states[-1] == 99
    assert project.project.customer_by_source_id("crm-1")["name"] == "Contact 1"


def test_an_export_that_cannot_be_made_says_what_to_do(
    project: Sandbox, config: dict[str, Any]
) -> None:
    project.faults.add(Fault(kind="export_fails", method="POST", path="/v1/exports", times=9))
    done = load(config, lines(*contacts(3), state(1)))
    assert "compare: ledger" in str(done.error)
    assert (done.states, written(project)) == ([], [])


CONTRADICTIONS = {
    "verify alone": ({"verify": True, "compare": "ledger"}, "verify needs compare: export"),
    "verify without a ledger": ({"verify": True, "ledger_path": None}, "ledger_path"),
    "few calls": ({"max_calls": 100}, "does not go with max_calls"),
}


@pytest.mark.parametrize(("more", "words"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused(
    project: Sandbox, config: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    done = load({**config, **more}, lines(*contacts(3)))
    assert words in str(done.error)
    assert project.calls == 0


def test_no_file_of_the_copy_is_left(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    load(config, lines(*contacts(30)))
    assert {one.name for one in tmp_path.iterdir()} <= {"ledger.db", "ledger.db.lock"}


def test_what_is_printed_otherwise_is_learned_and_not_sent_for_ever(tmp_path: Path) -> None:
    with Sandbox(readings=Readings(phones="normalized")) as sandbox:
        config = comparing(sandbox, tmp_path, verify=True)
        text = lines(schema(), *(record(n, phone=f"0555 {n}") for n in range(9)), state(1))
        runs = [load(config, text) for _ in range(4)]
    assert [done.error for done in runs] == [None] * 4
    assert [done.summary["accepted"] for done in runs] == [9, 9, 0, 0]
    assert runs[0].summary["printed_otherwise"] == 9
    assert "prints some values otherwise than they were sent: phone" in runs[0].log


def test_a_change_by_hand_in_the_middle_is_not_taken_for_how_it_is_printed(
    project: Sandbox, config: dict[str, Any]
) -> None:
    config["verify"] = True
    meddling = {"action": "update_customer", "key": "crm-1", "fields": {"name": "Meddled"}}
    text = lines(*contacts(3), state(1))
    project.faults.add(Fault(kind="act", path="/v1/exports", nth=[2], action=meddling))
    assert load(config, text).states == [1]
    assert project.project.customer_by_source_id("crm-1")["name"] == "Meddled"
    assert load(config, text).summary["accepted"] == 1
    assert project.project.customer_by_source_id("crm-1")["name"] == "Contact 1"


def test_a_job_of_an_earlier_run_is_waited_for_before_the_project_is_read(tmp_path: Path) -> None:
    with Sandbox(readings=Readings(job_polls=3)) as sandbox:
        config = comparing(sandbox, tmp_path)
        load(config, lines(*contacts(3)))
        late = settings(sandbox, async_timeout=0.01)
        assert load(late, lines(schema(), record(1, name="Late"))).error is not None

        load(config, lines(*contacts(3)))
        sandbox.project.finish_jobs()

        assert sandbox.project.customer_by_source_id("crm-1")["name"] == "Contact 1"
