"""`certify` under faults, limits and kills: it never says that it is clean and is not."""

from __future__ import annotations

import os
import time
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from certification import Killed, Mortal, Place, SandboxClock, certify, fault, notes_of
from voucherify_sandbox import Fault, Limits, Readings, Sandbox
from voucherify_sandbox.certify.caller import MAX_CALLS, Caller, Interrupted
from voucherify_sandbox.certify.exchange import Connection
from voucherify_sandbox.certify.questions import ELSEWHERE, UNSEEN
from voucherify_sandbox.certify.run import run
from voucherify_sandbox.dialect import Dialect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


TORTURE = bool(os.environ.get("TORTURE"))
CALLS = 83
"""Of a probe of a sandbox without faults."""

LIKELY = {name: value for name, value in vars(Readings()).items() if "seconds" not in name}


def right(readings: Mapping[str, Any]) -> bool:
    """Whether all answers are those of a sandbox as it is by default."""
    return all(readings[name] == value for name, value in LIKELY.items() if name in readings)


def ends_clean(sandbox: Sandbox, folder: Path) -> None:
    """Start again without faults: nothing is left behind, but a job that never ends may be."""
    sandbox.faults.clear()
    outcome = certify(sandbox, folder, only_clean_up=True)
    assert outcome.clean is not bool(sandbox.project.jobs.waiting), outcome.reason
    assert is_empty(sandbox)
    assert right(outcome.probe.findings.readings())


def is_empty(sandbox: Sandbox) -> bool:
    """Whether nothing that `certify` made is left, as far as anybody can see it."""
    exports = sandbox.project.exports.all.values()
    return not sandbox.project.customers and all(one.fault == "vanishes" for one in exports)


@pytest.mark.parametrize("seed", range(400 if TORTURE else 16))
def test_a_fault_leaves_no_customer_behind_and_gives_no_wrong_answer(
    seed: int, tmp_path: Path
) -> None:
    rng = Random(seed)
    with Sandbox(readings=Readings(job_polls=rng.choice((0, 1, 2)))) as sandbox:
        sandbox.faults.add(fault(rng, CALLS))
        outcome = certify(sandbox, tmp_path)
        assert sandbox.calls <= MAX_CALLS
        assert right(outcome.probe.findings.readings())
        if outcome.clean:
            assert is_empty(sandbox)
        else:
            assert outcome.reason
        ends_clean(sandbox, tmp_path)


def killed(sandbox: Sandbox, folder: Path, place: Place) -> None:
    """A probe that is killed."""
    notes = notes_of(sandbox, folder)
    caller = Caller(Mortal(sandbox, place), notes, SandboxClock(sandbox), lambda _: None)
    with pytest.raises(Killed):
        run(caller, lambda _: None, lambda _: True)
    notes.close()


PLACES = [Place(number, after) for number in range(1, CALLS + 1) for after in (False, True)]
SAMPLE = [Place(number) for number in (3, 5, 24)] + Random(1).sample(PLACES, 9)


@pytest.mark.parametrize("place", PLACES if TORTURE else SAMPLE, ids=str)
@pytest.mark.parametrize("again", ["go on", "clean up"])
def test_a_killed_run_goes_on_or_cleans_up(place: Place, again: str, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        killed(sandbox, tmp_path, place)
        outcome = certify(sandbox, tmp_path, only_clean_up=again == "clean up")
        assert outcome.clean, outcome.reason
        assert is_empty(sandbox)
        assert right(outcome.probe.findings.readings())
        assert sandbox.calls <= MAX_CALLS + 2


@pytest.mark.parametrize("times", [1, 2, 6])
@pytest.mark.parametrize("kind", ["cut_after", "cut_body", "truncated_json"])
def test_an_export_whose_response_is_lost_is_deleted_and_no_other(
    tmp_path: Path, kind: Any, times: int
) -> None:
    with Sandbox() as sandbox:
        theirs = {"exported_object": "customer", "parameters": {"fields": ["id", "name"]}}
        kept = sandbox.project.exports.create(theirs, "", "").id
        sandbox.faults.add(Fault(kind=kind, path="/v1/exports", method="POST", times=times))

        outcome = certify(sandbox, tmp_path)

        assert outcome.clean, outcome.reason
        assert list(sandbox.project.customers) == []
        assert list(sandbox.project.exports.all) == [kept]
        assert sandbox.calls <= MAX_CALLS


@pytest.mark.parametrize("number", range(1, CALLS) if TORTURE else (2, 3, 20, 70))
def test_a_signal_cleans_up(number: int, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        notes = notes_of(sandbox, tmp_path)
        connection = Mortal(sandbox, Place(number), Interrupted)
        caller = Caller(connection, notes, SandboxClock(sandbox), lambda _: None)
        outcome = run(caller, lambda _: None, lambda _: True)
        notes.close()
        if outcome.clean:
            assert list(sandbox.project.customers) == []
        ends_clean(sandbox, tmp_path)


def test_an_hour_that_is_used_up_is_waited_for(tmp_path: Path) -> None:
    with Sandbox(limits=Limits(calls=50, period_seconds=3600)) as sandbox:
        outcome = certify(sandbox, tmp_path)
        assert outcome.clean
        assert outcome.reason == ""
        assert right(outcome.probe.findings.readings())


def test_an_hour_with_few_calls_is_not_waited_for_where_a_step_is_optional(tmp_path: Path) -> None:
    with Sandbox(limits=Limits(calls=75, period_seconds=3600)) as sandbox:
        outcome = certify(sandbox, tmp_path)
        assert (outcome.clean, outcome.reason) == (True, "")
        assert outcome.probe.findings.reasons["filters"].startswith("stored finer")
        assert "deleted_listed" in outcome.probe.findings.answers
        assert sandbox.clock.now().timestamp() - time.time() < 600


@pytest.mark.parametrize("headers", ["doubled", "broken", "missing"])
def test_odd_headers_cost_no_reading(headers: Any, tmp_path: Path) -> None:
    with Sandbox(dialect=Dialect(headers=headers)) as sandbox:
        outcome = certify(sandbox, tmp_path)
        assert (outcome.clean, outcome.reason) == (True, "")
        found = outcome.probe.findings.readings()
        assert set(LIKELY) - set(UNSEEN | ELSEWHERE) <= set(found), outcome.probe.findings.reasons
        assert right(found)


def test_a_free_project_has_calls_enough(tmp_path: Path) -> None:
    # 100 calls an hour, of which a first look took two.
    with Sandbox(limits=Limits(calls=98, period_seconds=3600)) as sandbox:
        outcome = certify(sandbox, tmp_path)
        assert (outcome.clean, outcome.reason) == (True, "")
        assert set(LIKELY) - set(UNSEEN | ELSEWHERE) <= set(outcome.probe.findings.readings())
        assert {request.status for request in sandbox.requests}.isdisjoint({429})


def test_bulk_requests_that_are_used_up_leave_their_questions_open(tmp_path: Path) -> None:
    with Sandbox(limits=Limits(bulk_calls=1, bulk_period_seconds=3600)) as sandbox:
        outcome = certify(sandbox, tmp_path)
        assert outcome.clean
        assert outcome.probe.findings.reasons["duplicates"].startswith("the project has no bulk")
        assert "bulk_invalid_rows" in outcome.probe.findings.answers


@pytest.mark.parametrize("total", ["filtered", "absent"])
def test_a_project_with_customers_is_left_alone(total: Any, tmp_path: Path) -> None:
    with Sandbox(readings=Readings(total=total)) as sandbox:
        sandbox.project.add_customers(21)
        outcome = certify(sandbox, tmp_path)
        assert "more than 20 customers" in outcome.reason
        assert {request.method for request in sandbox.requests} == {"GET"}


def test_customers_that_were_there_stay_and_are_not_noted(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.project.add_customers(20)
        outcome = certify(sandbox, tmp_path)
        assert outcome.clean
        assert len(sandbox.project.customers) == 20
        assert sandbox.calls == CALLS
        assert right(outcome.probe.findings.readings())
        assert "crm-" not in (tmp_path / "notes.jsonl").read_text()


def test_a_metadata_schema_is_a_reason_to_stop(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.project.define_metadata("customer", {"a": {"type": "string"}})
        assert "metadata schema" in certify(sandbox, tmp_path).reason
        assert {request.method for request in sandbox.requests} == {"GET"}


def test_nothing_is_written_without_consent(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        notes = notes_of(sandbox, tmp_path)
        connection = Connection(sandbox.url, sandbox.application_id, sandbox.secret_key)
        caller = Caller(connection, notes, SandboxClock(sandbox), lambda _: None)
        outcome = run(caller, lambda _: None, lambda customers: customers > 0)
        notes.close()
        assert outcome.reason == "nothing was written"
        assert sandbox.calls == 2


def test_a_lost_response_to_a_new_customer_costs_no_answer(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.faults.add(Fault(kind="cut_after", numbers=[4]))
        outcome = certify(sandbox, tmp_path)
        assert (outcome.clean, list(sandbox.project.customers)) == (True, [])
        found = outcome.probe.findings.readings()
        assert found["missing_updated_at"] == "absent"
        assert found["never_updated"] == "excluded"


@pytest.mark.parametrize("path", ["/bulk/async", "/async-actions"])
def test_a_job_that_is_still_queued_makes_no_customer_again(path: str, tmp_path: Path) -> None:
    with Sandbox(readings=Readings(job_polls=0, job_seconds=15)) as sandbox:
        killed(sandbox, tmp_path, Place(path=path))
        assert certify(sandbox, tmp_path, only_clean_up=True).clean
        sandbox.project.finish_jobs()
        assert list(sandbox.project.customers) == []


def test_a_row_whose_key_came_out_differently_is_deleted_too(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        notes = notes_of(sandbox, tmp_path)
        notes.write({"row": f"{notes.prefix}-odd", "id": None})
        notes.close()
        sandbox.project.upsert_customer({"source_id": f'["{notes.prefix}-odd"]'})
        assert certify(sandbox, tmp_path, only_clean_up=True).clean
        assert list(sandbox.project.customers) == []


def test_two_runs_do_not_use_the_same_notes(sandbox: Sandbox, tmp_path: Path) -> None:
    notes = notes_of(sandbox, tmp_path)
    with pytest.raises(ValueError, match="another run"):
        notes_of(sandbox, tmp_path)
    notes.close()


def test_the_404_of_another_program_is_no_answer(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        for method in ("GET", "PUT", "DELETE"):
            path = "/v1/customers/*"
            lost = Fault(kind="status", status=404, body="{}", method=method, path=path)
            sandbox.faults.add(lost)
        outcome = certify(sandbox, tmp_path)
        assert (outcome.clean, list(sandbox.project.customers)) == (True, [])
        assert outcome.probe.findings.answers["read_after_write"].seen == "equals the response"
        assert right(outcome.probe.findings.readings())
