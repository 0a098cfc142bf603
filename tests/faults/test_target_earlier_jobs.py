"""Jobs of an earlier run that are still queued when a later run writes single customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from singer_input import PROPERTIES, TEXT, lines, record, schema, state
from target_run import held, load, settings
from voucherify_sandbox import Fault, Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

LATE = 1.5
"""Seconds of a job, more than `async_timeout` of the run that begins it."""

LOOK = "/v1/async-actions"


@pytest.fixture
def slow() -> Iterator[Sandbox]:
    with Sandbox(readings=Readings(job_polls=0, job_seconds=LATE)) as sandbox:
        yield sandbox


def load_version(sandbox: Sandbox, name: str, count: int = 3, **more: Any) -> Any:
    records = [record(number, name=name) for number in range(count)]
    return load(settings(sandbox, **more), lines(schema(), *records, state({"name": name})))


def queue_late_job(sandbox: Sandbox, count: int = 3) -> None:
    left = load_version(sandbox, "old", count, async_timeout=0.2)
    assert "async_timeout" in str(left.error)
    assert (left.states, len(sandbox.project.jobs.waiting)) == ([], 1)
    sandbox.forget_requests()


@pytest.mark.parametrize("write_path", ["auto", "single"])
def test_a_late_job_does_not_replace_newer_customers(slow: Sandbox, write_path: str) -> None:
    queue_late_job(slow)

    done = load_version(slow, "new", write_path=write_path)

    assert (done.error, done.states) == (None, [{"name": "new"}])
    slow.project.jobs.finish()
    assert {one["name"] for one in slow.project.customers.values()} == {"new"}
    assert [one.path for one in slow.requests].count(LOOK) == 1


def test_a_late_job_does_not_bring_deleted_customers_back(slow: Sandbox) -> None:
    queue_late_job(slow, count=2)
    gone = record(0, _sdc_deleted_at="2026-01-01T00:00:00Z")
    config = settings(slow, on_delete="delete", max_delete_percent=100)

    done = load(config, lines(schema({**PROPERTIES, "_sdc_deleted_at": TEXT}), gone))

    assert done.error is None
    slow.project.jobs.finish()
    assert held(slow) == {"crm-1"}


@pytest.mark.parametrize("write_path", ["auto", "single"])
def test_a_job_that_does_not_end_stops_the_run(project: Sandbox, write_path: str) -> None:
    project.faults.add(Fault(kind="job_hangs", method="POST"))
    queue_late_job(project)

    done = load_version(project, "new", write_path=write_path, async_timeout=0.5)

    assert "did not end within async_timeout (0.5 s)" in str(done.error)
    assert (done.states, held(project)) == ([], set())


def test_bulk_writing_does_not_look_for_jobs(slow: Sandbox) -> None:
    queue_late_job(slow)

    done = load_version(slow, "new", write_path="bulk")

    assert done.error is None
    assert {one["name"] for one in slow.project.customers.values()} == {"new"}
    assert LOOK not in {one.path for one in slow.requests}


def test_only_jobs_that_write_customers_are_awaited(project: Sandbox) -> None:
    project.faults.add(Fault(kind="job_hangs", method="POST"))
    queue_late_job(project)
    (job,) = project.project.jobs.waiting
    job.type = "CAMPAIGN.VOUCHERS_GENERATE"

    done = load_version(project, "new", write_path="single")

    assert (done.error, done.states) == (None, [{"name": "new"}])


@pytest.mark.parametrize("body", [{"async_actions": None}, {"object": "list"}, {}], ids=str)
def test_a_list_that_is_none_stops_the_run(project: Sandbox, body: dict[str, Any]) -> None:
    project.faults.add(Fault(kind="status", status=200, path=LOOK, body=body))

    done = load_version(project, "new", write_path="single")

    assert "without a list of async actions" in str(done.error)
    assert (done.states, held(project)) == ([], set())
