"""Responses that say nothing about a record, jobs that are late or malformed, odd terminals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from singer import run
from singer_input import contacts, lines, record, schema, state
from target_run import held, load, settings
from target_voucherify.entities.converters import instant
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

JOB = "/v1/async-actions/*"
LOCKED = {"code": 409, "key": "resource_locked", "message": "busy"}
both = pytest.mark.parametrize("write_path", ["bulk", "single"])


@pytest.fixture
def config(project: Sandbox, tmp_path: Path) -> dict[str, Any]:
    return settings(project, refused_records_path=str(tmp_path / "refused.singer"))


@both
@pytest.mark.parametrize(
    ("status", "body"), [(408, "<html>"), (423, "locked"), (425, ""), (409, LOCKED)]
)
def test_a_request_that_came_too_soon_is_repeated(
    project: Sandbox, config: dict[str, Any], write_path: str, status: int, body: Any
) -> None:
    fault = Fault(kind="status", status=status, body=body, method="POST", path="/v1/customers*")
    project.faults.add(fault)
    done = load({**config, "write_path": write_path}, lines(*contacts(3), state(1)))
    assert (done.error, done.states, done.summary["refused"]) == (None, [1], 0)
    assert len(held(project)) == 3


@both
@pytest.mark.parametrize(("status", "body"), [(400, "<html>Bad Request"), (451, "blocked")])
def test_what_a_proxy_answers_refuses_no_record(
    project: Sandbox, config: dict[str, Any], write_path: str, status: int, body: str
) -> None:
    fault = Fault(
        kind="status", status=status, body=body, method="POST", path="/v1/customers*", times=None
    )
    project.faults.add(fault)
    done = load({**config, "write_path": write_path}, lines(*contacts(3), state(1)))
    assert "without an error of Voucherify" in str(done.error)
    assert (done.states, done.summary["refused"]) == ([], 0)


def test_a_request_that_is_too_large_for_a_proxy_is_halved(
    project: Sandbox, config: dict[str, Any]
) -> None:
    path = "/v1/customers/bulk/async"
    project.faults.add(Fault(kind="status", status=413, body="<html>", method="POST", path=path))
    done = load(config, lines(*contacts(4), state(1)))
    assert (done.error, done.states, done.summary["bulk_jobs"]) == (None, [1], 2)


def test_a_poll_that_is_refused_refuses_no_batch(
    project: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    body = {"code": 409, "key": "conflict", "message": "archived"}
    project.faults.add(Fault(kind="status", status=409, body=body, path=JOB, times=None))
    config |= {"batch_size_rows": 1}
    done = load(config, lines(schema(), record(1), state(1), record(2), state(2)))
    assert "cannot be polled" in str(done.error)
    assert done.states == []
    assert "RECORD" not in (tmp_path / "refused.singer").read_text()


def test_a_job_that_is_not_visible_yet_is_polled_again(
    project: Sandbox, config: dict[str, Any]
) -> None:
    body = {"code": 404, "key": "not_found", "message": "Resource not found"}
    project.faults.add(Fault(kind="status", status=404, body=body, path=JOB, times=2))
    done = load(config, lines(*contacts(2), state(1)))
    assert (done.error, done.states, done.summary["bulk_jobs"]) == (None, [1], 1)


@pytest.mark.parametrize(
    "odd", [{"status": ["DONE"]}, {"status": {}}, {"processing_time": 10**30}, {"request_id": []}]
)
def test_a_malformed_job_ends_in_a_sentence(
    project: Sandbox, config: dict[str, Any], odd: dict[str, Any]
) -> None:
    result = {"done_count": 1, "failed_count": 0, "errors": []}
    job = {"id": "aa_1", "status": "DONE", "operation_status": "SUCCESS", "result": result}
    project.faults.add(Fault(kind="status", status=200, body={**job, **odd}, path=JOB, times=None))
    done = load({**config, "async_timeout": 1}, lines(*contacts(1), state(1)))
    if "status" in odd:
        assert "did not end within async_timeout" in str(done.error)
    else:
        assert (done.error, done.states) == (None, [1])


def test_a_state_is_emitted_whatever_the_encoding_of_the_terminal(
    connection: dict[str, Any],
) -> None:
    text = '{"type":"STATE","value":{"town":"Zürich €"}}\n'
    done = run(
        "target_voucherify",
        connection,
        stdin=(lines(*contacts(1)) + text).encode(),
        env={"PYTHONIOENCODING": "ascii"},
    )
    assert done.exit_code == 0, done.log
    assert done.states == [json.loads(text)["value"]]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("20240131T101010Z", "2024-01-31T10:10:10Z"),
        ("20240131", "2024-01-31T00:00:00Z"),
        ("2024-W05", "2024-01-29T00:00:00Z"),
        ("20240131T101010+0200", "2024-01-31T10:10:10+02:00"),
        ("2024-01-31 10:10:10", "2024-01-31T10:10:10"),
        ("2024-01-31", "2024-01-31T00:00:00Z"),
        ("2024-01-31T10:10:10.123Z", "2024-01-31T10:10:10.123Z"),
    ],
)
def test_a_compact_timestamp_is_sent_in_the_extended_form(given: str, sent: str) -> None:
    assert instant(given) == sent
