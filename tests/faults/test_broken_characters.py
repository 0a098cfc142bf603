"""An invalid character is replaced, counted and logged once; its page, job or event is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hooks import receiving
from singer import Run, run, selecting
from singer_input import contacts, lines
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from pathlib import Path

TAP, TARGET = "tap_voucherify", "target_voucherify"
HALF = "Zo\udcff"
"""A lone surrogate in JSON, a byte that is not UTF-8 elsewhere."""

MARKED = "Zo\ufffd"
SENTENCE = "answered with characters that Unicode does not have, or numbers that are too large"


@pytest.fixture
def broken(sandbox: Sandbox) -> Sandbox:
    """A project with texts that are cut in the middle of a character."""
    project = sandbox.project
    project.add_customers(150)
    for number in range(3):
        project.upsert_customer(
            {"source_id": f"crm-{number}", "name": HALF, "metadata": {HALF: [{HALF: HALF}]}}
        )
    project.create_referral_campaign("Refer", referee_reward={"loyalty_points": 5})
    code = project.referral_code(campaign="Refer", referrer="crm-1")
    project.redeem(code=code, customer="crm-2", order={"source_id": HALF, "amount": 500})
    project.settle()
    return sandbox


def summary(done: Run) -> dict[str, Any]:
    counts: dict[str, Any] = json.loads(done.log.rpartition("run summary ")[2].splitlines()[0])
    return counts


def assert_replaced(done: Run) -> None:
    assert done.exit_code == 0, done.log
    assert done.log.count(SENTENCE) == 1
    assert summary(done)["retries"] == 0
    assert summary(done)["replaced"] >= 1
    assert not any("\ud800" <= letter <= "\udfff" for letter in repr_of(done))


def repr_of(done: Run) -> str:
    return "".join(json.dumps(message, ensure_ascii=False) for message in done.messages)


@pytest.mark.usefixtures("broken")
def test_every_stream_reads_past_a_broken_character(connection: dict[str, Any]) -> None:
    done = run(TAP, connection)

    assert_replaced(done)
    customers = {row["source_id"]: row for row in done.records("customers")}
    assert len(customers) == 150
    assert customers["crm-1"]["name"] == MARKED
    assert customers["crm-1"]["metadata"] == {MARKED: [{MARKED: MARKED}]}
    assert {row["order_source_id"] for row in done.records("reward_events")} >= {MARKED}


@pytest.mark.usefixtures("broken")
def test_an_export_is_read_past_a_broken_character(
    connection: dict[str, Any], tmp_path: Path
) -> None:
    config = {**connection, "customers_backfill": "export"}
    done = run(TAP, config, *selecting(tmp_path, "customers"))

    assert_replaced(done)
    customers = {row["source_id"]: row for row in done.records("customers")}
    assert len(customers) == 150
    assert customers["crm-1"]["name"] == MARKED


ROW = '{"id": "cust_1", "created_at": "2026-01-01T00:00:00.000Z", "name": "Zo%s", "metadata": %s}'
PAGE = '{"object": "list", "data_ref": "customers", "total": 1, "customers": [%s]}'


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        pytest.param(("\\ud83d", "{}"), {}, id="half a pair"),
        pytest.param(("\udcff", "{}"), {}, id="a byte"),
        pytest.param(("\ufffd", '{"n": 1e999}'), {"n": None}, id="an exponent"),
        pytest.param(("\ufffd", f'{{"n": {"9" * 5_000}}}'), {"n": None}, id="5,000 digits"),
    ],
)
def test_a_page_is_read_past_what_no_record_can_hold(
    sandbox: Sandbox,
    connection: dict[str, Any],
    tmp_path: Path,
    texts: tuple[str, str],
    kept: dict[str, Any],
) -> None:
    body = PAGE % (ROW % texts)
    sandbox.faults.add(
        Fault(kind="status", status=200, body=body, path="/v1/customers", times=None)
    )

    done = run(TAP, connection, *selecting(tmp_path, "customers"))

    assert_replaced(done)
    (record,) = done.records("customers")
    assert (record["name"], record["metadata"]) == (MARKED, kept)


@pytest.mark.parametrize("body", ["<html>\\ud83d</html>", '{"customers": [NaN]}', '{"a": "\\ud83d'])
def test_what_is_not_json_is_asked_for_again(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, body: str
) -> None:
    sandbox.faults.add(Fault(kind="status", status=200, body=body, path="/v1/customers", nth=[1]))

    done = run(TAP, connection, *selecting(tmp_path, "customers"))

    assert done.exit_code == 0, done.log
    assert "answered 200, not JSON: waiting" in done.log
    assert summary(done)["retries"] == 1


@pytest.mark.parametrize("text", [b'"Zo\\ud83d"', b'"Zo\xff"', b'{"Zo\\udfff": 1e999}'])
def test_a_signed_event_with_a_broken_character_is_kept_and_read(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, text: bytes
) -> None:
    project, store = sandbox.project, tmp_path / "store.sqlite"
    project.add_customers(2)
    event = (
        b'{"id": "whs_1", "type": "customer.rewarded", "data": {"customer": {"id": "cust_1"}, '
        b'"note": %s}, "event": {"id": "evcus_1", "type": "customer.rewarded", '
        b'"created_at": "2026-03-02T10:15:31.412Z"}}' % text
    )
    with receiving(store) as receiver:
        assert receiver.post(event) == (204, "")
        assert receiver.stored() == ["evcus_1"]
        assert receiver.figure("replaced_total") >= 1

    config = {**connection, "webhook_store": str(store), "reconciliation_interval": 10_000}
    done = run(TAP, config, *selecting(tmp_path, "reward_events"))

    assert done.exit_code == 0, done.log
    assert "evcus_1" in {row["id"] for row in done.records("reward_events")}
    assert "\\ud83d" not in done.stdout


def test_a_job_is_judged_past_a_broken_character(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    error = {"source_id": "crm-1", "key": "invalid", "message": f"{HALF} is no name"}
    action = {
        "id": "aa_1",
        "status": "DONE",
        "operation_status": "DONE",
        "result": {"done_count": 1, "failed_count": 1, "errors": [error]},
    }
    sandbox.faults.add(
        Fault(kind="status", status=200, body=action, path="/v1/async-actions/*", nth=[1])
    )
    path = tmp_path / "refused.singer"
    config = {**connection, "refused_records_path": str(path), "max_refused_percent": 100}

    done = run(TARGET, config, stdin=lines(*contacts(2)))

    assert_replaced(done)
    assert summary(done)["refused"] == 1
    assert MARKED in json.loads(path.read_text().splitlines()[1])["record"]["_refused_reason"]
