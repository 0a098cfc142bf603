"""Input that is not what it should be: one sentence, exit code 1, and no state for what is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from singer import command, run
from singer_input import PROPERTIES, TEXT, lines, record, schema, state
from target_run import held, load, settings

if TYPE_CHECKING:
    from singer import Run
    from voucherify_sandbox import Sandbox

DATA = Path(__file__).parents[1] / "data"

BAD_LINES = {
    "a line that is not JSON": ("hello\n", "not a complete JSON message"),
    "a last line cut short": ('{"type": "RECORD", "stream": "cust', "not a complete JSON message"),
    "JSON that is no message": ("[1, 2]\n", "not a Singer message"),
    "a message without a type": ('{"stream": "customers"}\n', "its type is none of"),
    "a message of an unknown type": ('{"type": "HELLO"}\n', "its type is none of"),
    "a record that is not an object": (
        '{"type": "RECORD", "stream": "customers", "record": [1]}\n',
        "the record of a RECORD is not an object",
    ),
    "a record without a stream": ('{"type": "RECORD", "record": {}}\n', "a RECORD needs a stream"),
    "a record before its schema": (lines(record(9, stream="orders")), "came before its SCHEMA"),
    "a stream that holds no customers": (
        lines(schema(stream="orders")),
        "customers_stream to orders",
    ),
    "a schema without properties": (
        '{"type": "SCHEMA", "stream": "customers", "schema": {"type": "object"}}\n',
        "has no properties",
    ),
    "a schema without a stream": (
        '{"type": "SCHEMA", "schema": {"properties": {}}}\n',
        "needs a stream",
    ),
    "key properties that are no list": (
        json.dumps({**schema(), "key_properties": "id"}) + "\n",
        "key_properties of a SCHEMA is a list",
    ),
    "a schema without a key": (
        lines(schema({"id": TEXT}, keys=())),
        "name it in the setting source_id",
    ),
    "a state without a value": ('{"type": "STATE"}\n', "a STATE needs a value"),
    "a batch message": ('{"type": "BATCH", "stream": "customers"}\n', "take batch_config out"),
    "a state nested deeper than can be read": (
        '{"type": "STATE", "value": ' + "[" * 2_000 + "]" * 2_000 + "}\n",
        "it is nested too deeply",
    ),
    "a record nested deeper than can be read": (
        '{"type": "RECORD", "stream": "customers", "record": ' + "[" * 100_000 + "\n",
        "not a complete JSON message",
    ),
}


def sentence(done: Run) -> str:
    return next(line for line in reversed(done.log.splitlines()) if "CRITICAL" in line)


@pytest.mark.parametrize(("line", "words"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_what_came_before_a_bad_line_is_written_and_acknowledged(
    sandbox: Sandbox, connection: dict[str, Any], line: str, words: str
) -> None:
    good = lines(schema(), record(1), state({"seen": 1}), record(2))
    done = run("target_voucherify", connection, stdin=good + line)
    assert done.exit_code == 1
    assert done.states == [{"seen": 1}]
    assert sandbox.project.customer_by_source_id("crm-2")
    assert words in sentence(done)
    assert "Traceback" not in done.log
    assert "example.com" not in done.log


DEEP = 2_000
EXTREME = {
    "a huge exponent": ("1e99999999999999999999", "not a number that JSON readers can hold"),
    "a tiny exponent": ("-1e-99999999999999999999", "not a number that JSON readers can hold"),
    "an integer of 5,000 digits": ("-" + "9" * 5_000, "not a number that JSON readers can hold"),
    "2,000 lists": ("[" * DEEP + "]" * DEEP, "nested too deeply"),
    "2,000 objects": ('{"a":' * DEEP + '"}]"' + "}" * DEEP, "nested too deeply"),
    "500 lists": ("[" * 500 + "]" * 500, "nested too deeply"),
}
PLACES = {
    "in metadata": '{"source_id":"crm-2","metadata":{"n":%s}}',
    "as the name": '{"source_id":"crm-2","name":%s}',
    "as the key": '{"source_id":%s,"name":"Ann"}',
    "in metadata as text": '{"source_id":"crm-2","metadata":"{\\"n\\":%s}"}',
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize(("value", "reason"), EXTREME.values(), ids=EXTREME.keys())
def test_an_extreme_value_refuses_its_record_alone(
    sandbox: Sandbox, tmp_path: Path, place: str, value: str, reason: str
) -> None:
    path = tmp_path / "refused.singer"
    inner = value.replace('"', '\\"') if "text" in place or "\\" in place else value
    bad = f'{{"type":"RECORD","stream":"customers","record":{place % inner}}}\n'
    given = lines(schema(), record(1), state({"n": 1}), bad, record(3), state({"n": 3}))
    done = load(settings(sandbox, refused_records_path=str(path)), given)

    assert (done.error, done.states[-1]) == (None, {"n": 3})
    assert {"crm-1", "crm-3"} <= held(sandbox)
    assert done.accounted == done.summary["received"] == 3
    refused = path.read_bytes()
    if done.summary["refused"]:
        assert b"_refused_reason" in refused
    if "metadata" in place and "text" not in place and "\\" not in place:
        assert done.summary["refused"] == 1
        assert reason in done.log
    if refused:
        again = load(settings(sandbox), refused.decode())
        assert again.summary["refused"] == 1


def test_a_state_of_extreme_numbers_is_passed_on(sandbox: Sandbox) -> None:
    text = '{"a":1e99999999999999999999,"b":' + "9" * 5_000 + "}"
    done = run("target_voucherify", settings(sandbox), stdin=f'{{"type":"STATE","value":{text}}}\n')
    assert (done.exit_code, done.stdout) == (0, text + "\n")


def test_a_state_with_broken_characters_and_fractions_is_passed_on(sandbox: Sandbox) -> None:
    text = '{"a": "\\ud83d", "b": 1.5}'
    done = run("target_voucherify", settings(sandbox), stdin=f'{{"type":"STATE","value":{text}}}\n')
    assert (done.exit_code, done.stdout) == (0, text + "\n")


def test_empty_input_ends_well_and_asks_nothing(
    sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    done = run("target_voucherify", connection, stdin="")
    assert (done.exit_code, done.stdout) == (0, "")
    assert sandbox.calls == 0


def test_a_schema_and_a_state_without_records_ask_nothing(
    sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    done = run("target_voucherify", connection, stdin=lines(schema(), state({"seen": 0})))
    assert (done.exit_code, done.states) == (0, [{"seen": 0}])
    assert sandbox.calls == 0


def test_a_state_is_passed_on_as_it_was_written(connection: dict[str, Any]) -> None:
    text = '{"b":1.10,  "a": 12345678901234567890123, "ü":"\\u00fc"}'
    done = run("target_voucherify", connection, stdin=f'{{"type":"STATE","value":{text}}}\n')
    assert done.stdout == text + "\n"


@pytest.mark.parametrize("empty", [{}, None], ids=["an empty state", "a null state"])
def test_a_state_that_says_nothing_would_wipe_the_bookmark(
    connection: dict[str, Any], empty: Any
) -> None:
    done = run("target_voucherify", connection, stdin=lines(state({"seen": 1}), state(empty)))
    assert done.states == [{"seen": 1}]


WRONG_SETTINGS = {
    "no secret key": ({"secret_key": None}, "Missing settings: secret_key"),
    "a secret key that is no text": ({"secret_key": 987654}, "setting secret_key"),
    "http to a public host": ({"api_url": "http://api.voucherify.io"}, "must be an https address"),
    "no address at all": ({"api_url": "voucherify"}, "must be an https address"),
    "a word nobody knows": ({"write_path": "fast"}, "must be bulk or single"),
    "a batch of none": ({"batch_size_rows": 0}, "setting batch_size_rows"),
    "a percentage over a hundred": ({"max_refused_percent": 101}, "setting max_refused_percent"),
    "a folder that is not there": (
        {"refused_records_path": "/no/such/file"},
        "refused_records_path",
    ),
    "a ledger in a folder that is not there": ({"ledger_path": "/no/such/file"}, "ledger_path"),
    "a misspelt setting": ({"dryrun": True}, "no setting dryrun; the nearest is dry_run"),
    "a wrong key pair": ({"secret_key": "wrong-key"}, "check application_id and secret_key"),
    "a host that is not there": ({"api_url": "http://localhost:9"}, "Cannot reach localhost:9"),
    "a mapping to no field": ({"mapping": {"nick": "name"}}, "no field of a Voucherify customer"),
    "a mapping from no property": ({"mapping": {"name": "nick"}}, "has no property nick"),
    "a stream map that is wrong": ({"stream_maps": {"customers": 1}}, "stream"),
}


@pytest.mark.parametrize(("settings", "words"), WRONG_SETTINGS.values(), ids=WRONG_SETTINGS.keys())
def test_wrong_settings_end_in_one_sentence(
    connection: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    given = lines(schema(), record(1), state({"seen": 1}))
    done = run("target_voucherify", {**connection, **settings}, stdin=given)
    assert done.exit_code == 1
    assert words in sentence(done)
    assert done.states == []
    assert "Traceback" not in done.log
    for secret in (connection["secret_key"], "wrong-key", "987654", "example.com"):
        assert secret not in done.log


@pytest.mark.parametrize("meltano", [{}, {"MELTANO_PROJECT_ROOT": "/project"}], ids=len)
def test_a_misspelt_variable_writes_nothing(
    sandbox: Sandbox, connection: dict[str, Any], meltano: dict[str, str]
) -> None:
    given = lines(schema(), record(1))
    env = {"TARGET_VOUCHERIFY_DRYRUN": "true", **meltano}
    done = run("target_voucherify", connection, stdin=given, env=env)
    assert done.exit_code == 1
    assert "the nearest is TARGET_VOUCHERIFY_DRY_RUN" in sentence(done)
    assert sandbox.calls == 0


def test_settings_for_other_targets_change_nothing(connection: dict[str, Any]) -> None:
    config = {**connection, "add_record_metadata": True, "load_method": "upsert"}
    done = run("target_voucherify", config, stdin=lines(schema(), record(1)))
    assert done.exit_code == 0
    assert "Setting load_method is for other targets" in done.log


def test_a_refused_file_that_is_something_else_is_left_alone(
    connection: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "precious.json"
    path.write_text('{"precious": true')
    settings = {**connection, "refused_records_path": str(path)}
    done = run("target_voucherify", settings, stdin=lines(schema(), record(1)))
    assert done.exit_code == 1
    assert "is not a refused-records file" in sentence(done)
    assert path.read_text() == '{"precious": true'


def test_the_stream_of_tap_postgres_is_named(sandbox: Sandbox, connection: dict[str, Any]) -> None:
    settings = {**connection, "customers_stream": "public-contacts", "source_id": "id"}
    columns = {"id": {"type": "string"}, "name": TEXT, "_sdc_batched_at": TEXT}
    given = lines(
        schema(columns, stream="public-contacts", keys=("id",)),
        {"type": "RECORD", "stream": "public-contacts", "record": {"id": "u-1", "name": "Ann"}},
    )
    assert run("target_voucherify", settings, stdin=given).exit_code == 0
    assert sandbox.project.customer_by_source_id("u-1")["name"] == "Ann"


def test_stream_maps_rename_drop_and_build(sandbox: Sandbox, connection: dict[str, Any]) -> None:
    settings = {
        **connection,
        "stream_maps": {
            "contacts": {
                "__alias__": "customers",
                "__filter__": "not name.endswith('2')",
                "name": "name + '!'",
                "metadata": "{'tier': 'gold'}",
            },
            "orders": None,
        },
    }
    given = lines(
        schema(stream="orders", keys=("id",)),
        schema(PROPERTIES, stream="contacts"),
        record(1, stream="contacts"),
        record(2, stream="contacts"),
        state({"seen": 2}),
    )
    done = run("target_voucherify", settings, stdin=given)
    assert (done.exit_code, done.states) == (0, [{"seen": 2}])
    assert len(sandbox.project.customers) == 1
    customer = sandbox.project.customer_by_source_id("crm-1")
    assert customer["name"] == "Contact 1!"
    assert customer["metadata"] == {"tier": "gold"}
    assert '"received": 2' in done.log.splitlines()[-1]
    assert '"removed_by_stream_map": 1' in done.log.splitlines()[-1]


def test_a_schema_may_come_again_and_may_change(
    sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    given = lines(
        schema(),
        record(1),
        schema(),
        record(2),
        schema({**PROPERTIES, "phone": TEXT}),
        record(3, phone="+48 1"),
        state({"seen": 3}),
    )
    done = run("target_voucherify", connection, stdin=given)
    assert (done.exit_code, done.states) == (0, [{"seen": 3}])
    assert sandbox.project.customer_by_source_id("crm-3")["phone"] == "+48 1"
    assert sum(request.method == "POST" for request in sandbox.requests) == 1


HOSTILE: dict[str, str] = {
    "NaN in a field": '"name": NaN',
    "infinity in metadata": '"metadata": {"x": -Infinity}',
    "a lone surrogate in a field": '"name": "a\\ud800"',
    "a lone surrogate in the key": '"source_id": "a\\udfff"',
    "bytes that are no UTF-8": '"name": "caf\udce9"',
    "an empty key": '"source_id": ""',
    "a blank key": '"source_id": "  "',
    "no key": '"source_id": null',
    "a control character in the key": '"source_id": "a\\u0000b"',
    "a number too large to hold": '"metadata": {"x": 1e400}',
    "an integer that would be rounded": '"metadata": {"x": 9007199254740993}',
    "nesting deeper than can be sent": '"metadata": {"x": ' + "[" * 900 + "]" * 900 + "}",
    "over ten megabytes": '"metadata": {"x": "' + "x" * 10_485_760 + '"}',
}


@pytest.mark.parametrize("part", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_record_is_refused_alone(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, part: str
) -> None:
    path = tmp_path / "refused.singer"
    settings = {**connection, "refused_records_path": str(path), "max_refused_percent": 50}
    hostile = f'{{"type":"RECORD","stream":"customers","record":{{"source_id":"bad",{part}}}}}\n'
    given = lines(schema(), record(1), hostile, record(2), state({"seen": 3}))
    done = run("target_voucherify", settings, stdin=given.encode("utf-8", "surrogateescape"))
    assert (done.exit_code, done.states) == (0, [{"seen": 3}]), done.log
    assert len(sandbox.project.customers) == 2
    assert "Traceback" not in done.log
    written = path.read_bytes().splitlines()
    assert written[1].startswith(hostile.encode("utf-8", "surrogateescape").rstrip(b"}\n"))
    refused = [json.loads(line.decode(errors="replace")) for line in written]
    assert [message["type"] for message in refused] == ["SCHEMA", "RECORD"]
    assert refused[1]["record"]["_refused_reason"]
    again = run("target_voucherify", {**connection}, stdin=path.read_bytes())
    assert again.exit_code in {0, 1}
    assert "Traceback" not in again.log


def test_keys_that_differ_in_case_are_two_customers_and_said_once(
    sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    given = lines(schema(), record("Ann"), record("ann"), record("ANN"))
    done = run("target_voucherify", connection, stdin=given)
    assert len(sandbox.project.customers) == 3
    assert done.log.count("differ only in case, spaces or the form of letters") == 1


def test_padded_and_numeric_keys_are_said_once(
    sandbox: Sandbox, connection: dict[str, Any]
) -> None:
    columns = {"id": {"type": ["integer", "string"]}, "name": TEXT}
    numbers = [
        {"type": "RECORD", "stream": "customers", "record": {"id": number}}
        for number in (1, 2, 3, "x  ", "y  ")
    ]
    done = run(
        "target_voucherify", connection, stdin=lines(schema(columns, keys=("id",)), *numbers)
    )
    assert {c["source_id"] for c in sandbox.project.customers.values()} == {"1", "2", "3", "x", "y"}
    assert done.log.count("sent as its decimal text") == 1
    assert done.log.count("padded with spaces") == 1


def test_nine_megabytes_travel_alone(sandbox: Sandbox, connection: dict[str, Any]) -> None:
    big = record("big", metadata={"blob": "x" * 9_000_000})
    given = lines(schema(), record(1, metadata={"blob": "y" * 2_000_000}), big, record(2))
    done = run("target_voucherify", connection, stdin=given)
    assert done.exit_code == 0
    assert len(sandbox.project.customers) == 3
    assert [r.status for r in sandbox.requests if r.method == "POST"] == [202, 202]


@pytest.mark.parametrize(
    ("config", "words"),
    [(None, "no-such-file.json"), ("{", "configuration, catalog or state is not JSON"), ("[]", "")],
    ids=["no configuration", "half a configuration", "a list"],
)
def test_a_configuration_that_cannot_be_read_is_said(
    tmp_path: Path, config: str | None, words: str
) -> None:
    path = tmp_path / "no-such-file.json"
    if config is not None:
        path.write_text(config)
    done = subprocess.run(
        [sys.executable, "-m", "target_voucherify", "--config", str(path)],
        input=b"",
        capture_output=True,
        check=False,
    )
    leaks.saw(done.stderr)
    assert done.returncode == 1
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_closed_standard_output_acknowledges_nothing(
    connection: dict[str, Any], tmp_path: Path
) -> None:
    line = command("target_voucherify", connection, tmp_path)
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *line],
        input=lines(schema(), record(1), state({"seen": 1})).encode(),
        capture_output=True,
        check=False,
    )
    leaks.saw(done.stderr)
    assert done.returncode == 1
    *before, summary = done.stderr.splitlines()
    assert b"standard output is closed" in b"\n".join(before)
    assert b"run summary" in summary


def test_contacts_as_tap_postgres_writes_them(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> None:
    """Keys are uuids; jsonb as anything, numeric of full precision, arrays, time stamps."""
    path = tmp_path / "refused.singer"
    settings = {
        **connection,
        "customers_stream": "public-contacts",
        "refused_records_path": str(path),
        "max_refused_percent": 50,
        "mapping": {
            "name": "full_name",
            "birthdate": "born",
            "address.city": "town",
            "metadata.balance": "balance",
            "metadata.tags": "tags",
            "metadata.extra": "extra",
            "metadata.since": "created_at",
        },
    }
    done = run("target_voucherify", settings, stdin=(DATA / "public-contacts.singer").read_bytes())
    assert (done.exit_code, done.states[-1]) == (
        0,
        {"bookmarks": {"public-contacts": {"replication_key_value": "2026-01-03T09:00:00+00:00"}}},
    )
    first = sandbox.project.customer_by_source_id("0b0a2f5e-6f2c-4c1c-9a51-000000000001")
    assert first["birthdate"] == "1990-01-31"
    assert first["metadata"]["balance"] == pytest.approx(1234.5678901234567)
    assert first["metadata"]["tags"] == ["vip", "new"]
    assert first["metadata"]["extra"] == {"utm": {"source": "fair"}, "visits": 3}
    assert len(sandbox.project.customers) == 3
    refused = [json.loads(line) for line in path.read_text().splitlines()][1]
    assert refused["record"]["_refused_reason"].startswith("born is not a date")


def test_the_file_of_refusals_has_the_name_that_a_record_has_in_the_log(
    connection: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "refused.singer"
    settings = {**connection, "max_refused_percent": 100, "refused_records_path": str(path)}
    records = lines(schema(), record(1, email=["x"]), record(2, source_id=None))

    names = []
    for _ in range(2):
        done = load(settings, records)
        refused = [json.loads(line)["record"] for line in path.read_text().splitlines()[-2:]]
        assert f"Refused record {refused[0]['_refused_hash']}: " in done.log
        assert refused[1]["_refused_hash"] is None
        names.append(refused[0]["_refused_hash"])

    assert names[0] != names[1]


def test_even_the_most_talkative_log_holds_no_person_and_no_secret(
    connection: dict[str, Any], tmp_path: Path
) -> None:
    settings = {
        **connection,
        "on_delete": "delete",
        "max_delete_percent": 100,
        "ledger_path": str(tmp_path / "ledger.db"),
        "refused_records_path": str(tmp_path / "refused.singer"),
        "max_refused_percent": 100,
    }
    columns = {**PROPERTIES, "_sdc_deleted_at": TEXT}
    given = lines(
        schema(columns),
        record(1),
        record(2, name=["Ann"]),
        record(3, source_id="ann@example.com", _sdc_deleted_at="2026-01-01T00:00:00Z"),
        state({"seen": 3}),
    )
    done = run("target_voucherify", settings, stdin=given, env={"LOGLEVEL": "DEBUG"})
    assert done.states == [{"seen": 3}]
    for private in ("example.com", "ann%40", "Ann", "Contact", connection["secret_key"]):
        assert private not in done.log
