"""The Airbyte destination over pipes, with messages as the platform sends them."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from airbyte import COMPLETE, CONTACTS, Connector, contact, contacts, finished, lines, state
from target_run import held
from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from airbyte import Message

REFUSING: dict[str, Any] = {"kind": "status", "status": 401, "times": None}


@pytest.fixture
def destination(sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path) -> Connector:
    return to(sandbox, tmp_path, **connection)


def to(sandbox: Sandbox, folder: Path, **settings: Any) -> Connector:
    keys = {"application_id": sandbox.application_id, "secret_key": sandbox.secret_key}
    mapping = json.dumps({"name": "name"})
    config = {**keys, "api_url": sandbox.url, "mapping": mapping, **settings}
    return Connector("destination", folder, config)


def reached(states: list[Message]) -> list[int]:
    return [each["stream"]["stream_state"]["reached"] for each in states]


def test_the_form_takes_the_mapping_as_text(destination: Connector) -> None:
    (message,) = destination.run("spec").messages
    specification = message["spec"]

    assert specification["supported_destination_sync_modes"] == ["append_dedup", "append"]
    fields = specification["connectionSpecification"]["properties"]
    assert fields["mapping"]["type"] == "string"
    assert fields["secret_key"]["airbyte_secret"]
    assert '"null"' not in json.dumps(fields)


def test_a_check_sends_one_get_and_says_what_is_wrong(
    sandbox: Sandbox, destination: Connector
) -> None:
    good = destination.run("check")
    assert [(request.method, request.path) for request in sandbox.requests] == [
        ("GET", "/v1/customers")
    ]
    assert good.messages[0]["connectionStatus"] == {"status": "SUCCEEDED"}
    for wrong, words in (
        ({"secret_key": "wrong-key"}, "401"),
        ({"mapping": "name"}, "mapping is not a JSON object"),
        ({"write_pat": "bulk"}, "nearest is write_path"),
        ({"stream_maps": {}}, "no setting stream_maps"),
    ):
        run = destination.run("check", config={**destination.config, **wrong})
        status = run.messages[0]["connectionStatus"]
        assert (run.exit_code, status["status"]) == (0, "FAILED")
        assert words in status["message"]


def test_records_become_customers_and_every_state_comes_back_as_it_was_with_counts(
    sandbox: Sandbox, destination: Connector
) -> None:
    messages = contacts(1_200, every=100)

    run = destination.write(messages)

    assert run.exit_code == 0
    assert len(held(sandbox)) == 1_200
    assert sandbox.calls <= 5
    counts = {"recordCount": 100.0, "rejectedRecordCount": 0.0}
    sent = [each["state"] for each in messages if each["type"] == "STATE"]
    assert run.states == [{**each, "destinationStats": counts} for each in sent]


@pytest.mark.parametrize("with_file", [False, True], ids=["no file", "a file"])
def test_a_refused_record_withholds_the_states_after_it_unless_a_file_keeps_it(
    sandbox: Sandbox,
    destination: Connector,
    tmp_path: Path,
    with_file: bool,  # noqa: FBT001
) -> None:
    messages = contacts(200, every=20)
    bad = next(each for each in messages if each == contact(130))
    bad["record"]["data"]["contact_id"] = " "
    path = tmp_path / "refused.singer"

    run = destination.write(messages, **({"refused_records_path": str(path)} if with_file else {}))

    assert len(held(sandbox)) == 199
    if with_file:
        assert run.exit_code == 0
        rejected = [each["destinationStats"]["rejectedRecordCount"] for each in run.states]
        accepted = [each["destinationStats"]["recordCount"] for each in run.states]
        assert rejected == [0.0] * 6 + [1.0] + [0.0] * 3
        assert accepted == [20.0 - each for each in rejected]
        assert path.read_text().count('"RECORD"') == 1
    else:
        assert run.exit_code == 1
        assert "records were refused" in run.errors[0]
        assert reached(run.states) == [19, 39, 59, 79, 99, 119]


def test_a_row_that_voucherify_refuses_is_counted_at_its_state(
    project: Sandbox, tmp_path: Path
) -> None:
    mapping = json.dumps({"metadata.photo": "photo"})
    refused = str(tmp_path / "refused.singer")
    destination = to(project, tmp_path, mapping=mapping, refused_records_path=refused)
    messages = contacts(60, every=20)
    for number in (25, 26):
        messages[messages.index(contact(number))]["record"]["data"]["photo"] = "no picture"

    run = destination.write(messages, max_refused_percent=50)

    assert run.exit_code == 0
    rejected = [each["destinationStats"]["rejectedRecordCount"] for each in run.states]
    assert rejected == [0.0, 2.0, 0.0]


def test_orders_come_from_a_stream_that_entities_names(project: Sandbox, tmp_path: Path) -> None:
    fields = {"number": {"type": "string"}, "buyer": {"type": "string"}}
    stream = {"name": "sales", "namespace": "public", "json_schema": {"properties": fields}}
    configured = {**CONTACTS["streams"][0], "stream": stream, "primary_key": [["number"]]}
    sale = contact(1)
    sale["record"] |= {"stream": "sales", "data": {"number": "s-1", "buyer": "k-1"}}
    of_orders = {"stream": "sales", "mapping": {"customer.source_id": "buyer"}}
    destination = to(project, tmp_path, entities=json.dumps({"orders": of_orders}))

    run = destination.run(
        "write",
        lines([contact(1), sale, state(1, 2), COMPLETE]),
        catalog={"streams": [*CONTACTS["streams"], configured]},
    )

    assert run.exit_code == 0, run.log
    [order] = project.project.records.orders.values()
    buyer = project.project.customers[order["customer_id"]]
    assert (order["source_id"], buyer["source_id"]) == ("s-1", "k-1")


@pytest.mark.parametrize("others", [{}, {"stream": None, "data": None}], ids=["none", "null"])
def test_a_state_of_several_streams_covers_all_records_before_it(
    destination: Connector, others: Message
) -> None:
    content = {
        "type": "GLOBAL",
        **others,
        "global": {"shared_state": {"lsn": 12}, "stream_states": []},
        "sourceStats": {"recordCount": 3.0},
    }
    run = destination.write([*map(contact, range(3)), {"type": "STATE", "state": content}])

    counts = {"recordCount": 3.0, "rejectedRecordCount": 0.0}
    assert run.states == [{**content, "destinationStats": counts}]


def test_a_failed_write_acknowledges_what_was_written_and_nothing_after_it(
    sandbox: Sandbox, destination: Connector
) -> None:
    sandbox.faults.add(Fault(method="POST", nth=range(150, 999), **REFUSING))

    run = destination.write(contacts(300, every=20), write_path="single")

    assert run.exit_code == 1
    assert "401" in run.errors[0]
    assert run.states
    assert len(held(sandbox)) >= reached(run.states)[-1] + 1
    assert reached(run.states)[-1] < 150


def test_the_end_of_the_allowed_calls_is_no_success_and_the_next_sync_continues(
    sandbox: Sandbox, destination: Connector
) -> None:
    few = {"max_calls": 8, "batch_size_rows": 10}
    run = destination.write(contacts(200, every=10), **few)

    assert run.exit_code == 1
    assert "max_calls" in run.errors[-1]
    begin = reached(run.states)[-1] + 1
    assert len(held(sandbox)) >= begin > 0

    assert destination.write(contacts(200, every=10, begin=begin)).exit_code == 0
    assert len(held(sandbox)) == 200


def test_a_dry_run_writes_nothing_and_acknowledges_nothing(
    sandbox: Sandbox, destination: Connector
) -> None:
    run = destination.write(contacts(50, every=10), dry_run=True)

    assert (run.exit_code, run.states, held(sandbox)) == (0, [], set())


def test_records_that_a_cdc_source_deleted_are_deleted_where_that_is_allowed(
    sandbox: Sandbox, destination: Connector
) -> None:
    destination.write(contacts(20, every=10, _ab_cdc_deleted_at=None))
    assert len(held(sandbox)) == 20
    gone = contact(7, _ab_cdc_deleted_at="2026-11-26T10:00:00Z")

    destination.write([gone, state(20, 1), COMPLETE])
    assert len(held(sandbox)) == 20
    run = destination.write([gone, state(20, 1)], on_delete="delete", max_delete_percent=100)

    assert run.exit_code == 0
    assert len(held(sandbox)) == 19
    assert reached(run.states) == [20]


def test_a_stream_to_be_overwritten_may_bring_no_record(
    sandbox: Sandbox, destination: Connector
) -> None:
    catalog = json.loads(json.dumps(CONTACTS))
    catalog["streams"][0]["destination_sync_mode"] = "overwrite"

    cleared = destination.run("write", lines([state(0, 0), COMPLETE]), catalog=catalog)
    refused = destination.run("write", lines(contacts(5, every=5)), catalog=catalog)

    assert (cleared.exit_code, len(cleared.states)) == (0, 1)
    assert (refused.exit_code, refused.states, held(sandbox)) == (1, [], set())
    assert "choose append_dedup or append" in refused.errors[0]


def test_two_streams_of_one_name_or_another_stream_are_refused(
    sandbox: Sandbox, destination: Connector
) -> None:
    twice = {"streams": CONTACTS["streams"] * 2}
    other = json.loads(json.dumps(CONTACTS).replace('"customers"', '"invoices"'))
    for catalog, words in ((twice, "two streams customers"), (other, "customers_stream")):
        run = destination.run("write", lines(contacts(5, every=5)), catalog=catalog)
        assert (run.exit_code, run.states) == (1, [])
        assert words in run.errors[0]
    assert held(sandbox) == set()


def test_a_line_that_is_no_message_fails_the_sync(sandbox: Sandbox, destination: Connector) -> None:
    given = lines(contacts(20, every=10)[:11]) + b"Killed\n" + lines([contact(99), state(99, 1)])

    run = destination.run("write", given, catalog=CONTACTS)

    assert run.exit_code == 1
    assert reached(run.states) == [9]
    assert "not a complete JSON message" in run.errors[0]
    assert "k-99" not in held(sandbox)


def test_in_an_image_only_a_volume_keeps_files(
    destination: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOUCHERIFY_IN_IMAGE", "1")
    for name in ("ledger_path", "refused_records_path"):
        for path, status in ((f"/{name}", "FAILED"), (f"/dev/shm/{name}", "SUCCEEDED")):  # noqa: S108
            run = destination.run("check", config={**destination.config, name: path})
            assert run.messages[0]["connectionStatus"]["status"] == status


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_at_any_moment_acknowledges_nothing_that_was_not_written(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    signum = chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    with Sandbox(readings=Readings(job_polls=chance.randrange(2))) as sandbox:
        destination = to(sandbox, tmp_path, batch_size_rows=40)
        files = {"config": destination.config, "catalog": CONTACTS}
        with destination.start("write", **files) as process:
            feed = threading.Thread(target=feed_slowly, args=(process, contacts(400, every=20)))
            feed.start()
            time.sleep(chance.uniform(1.0, 6.0))
            process.send_signal(signum)
            feed.join()
            killed = finished(process)
        acknowledged = reached(killed.states)
        begin = acknowledged[-1] + 1 if acknowledged else 0

        assert killed.exit_code in {1, -signal.SIGKILL, 0}
        if killed.exit_code == 0:
            assert begin == 400
        assert acknowledged == [*range(19, begin, 20)]
        assert {f"k-{number}" for number in range(begin)} <= held(sandbox)
        assert destination.write(contacts(400, every=20, begin=begin)).exit_code == 0
        assert held(sandbox) == {f"k-{number}" for number in range(400)}


def feed_slowly(process: Any, messages: list[Message]) -> None:
    """Write messages in pieces that end anywhere, until the process is gone."""
    text = lines(messages)
    try:
        for begin in range(0, len(text), 1_000):
            process.stdin.write(text[begin : begin + 1_000])
            process.stdin.flush()
            time.sleep(0.04)
        process.stdin.close()
    except BrokenPipeError:
        pass
