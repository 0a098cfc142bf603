"""The pure parts of the target: reading lines, waiting, batching, judging jobs, naming records."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_voucherify.acknowledgement.outcomes import Row
from target_voucherify.acknowledgement.pseudonyms import Pseudonyms
from target_voucherify.acknowledgement.refusal_reasons import Reason, api_reason
from target_voucherify.acknowledgement.refused_file import RefusedFile
from target_voucherify.entities.encoding import MAX_BODY_BYTES
from target_voucherify.json_lines import decode
from target_voucherify.singer.reader import LINE, MessageReader
from target_voucherify.voucherify_client.errors import SettingsError
from target_voucherify.writing.batch import MAX_HELD_BYTES, Batch
from target_voucherify.writing.deletions import is_safe_in_path
from target_voucherify.writing.job_result import Unnamed, job_result
from target_voucherify.writing.poll_schedule import PollSchedule

if TYPE_CHECKING:
    from pathlib import Path

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"
AT_DATE = 1792567680.0


class Dribble(io.BytesIO):
    """A pipe that gives a few bytes at a time."""

    def read1(self, size: int | None = -1, /) -> bytes:
        _ = size
        return super().read1(7)


def read(source: Any) -> tuple[list[dict[str, Any]], MessageReader]:
    found: list[dict[str, Any]] = []
    reader = MessageReader()
    reader.process_lines(source, {"RECORD": found.append})
    for message in found:
        assert decode(message.pop(LINE)) == message
    return found, reader


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=20))
def test_lines_are_read_however_they_arrive(records: list[dict[str, Any]]) -> None:
    messages = [{"type": "RECORD", "record": record} for record in records]
    text = "\r\n\n".join(json.dumps(message, ensure_ascii=False) for message in messages)
    found, reader = read(Dribble(text.encode("utf-8", "surrogatepass")))
    assert (found, reader.error) == (messages, None)


def test_numbers_keep_their_digits() -> None:
    line = b'{"type":"RECORD","a":0.1000000000000000055,"b":12345678901234567890123}\n'
    found, _ = read(io.BytesIO(line))
    assert found[0]["a"] == Decimal("0.1000000000000000055")
    assert found[0]["b"] == 12345678901234567890123


@pytest.mark.parametrize("line", [b"\xef\xbb\xbf{}", b"{", b"nul", b'{"a":1}{"b":2}', b"\x00"])
def test_what_is_no_json_stops_the_reading(line: bytes) -> None:
    found, reader = read(io.BytesIO(b'{"type":"RECORD"}\n' + line + b'\n{"type":"RECORD"}\n'))
    assert len(found) == 1
    assert "Message 2 of the input" in str(reader.error)


keys = st.text(min_size=1, max_size=3)
payloads = st.binary(min_size=2, max_size=30)


@given(st.lists(st.tuples(keys, payloads), min_size=1, max_size=30), st.integers(1, 5))
def test_bytes_are_counted_exactly(rows: list[tuple[str, bytes]], most: int) -> None:
    batch = Batch(1)
    replaced = sum(batch.add(key, Row(payload, b"")) for key, payload in rows)
    assert batch.size == len(batch.body())
    assert len(batch.rows) + replaced == len(rows)
    assert {key: row.payload for key, row in batch.rows.items()} == dict(rows)
    parts = batch.split(most)
    assert all(part.size == len(part.body()) and len(part.rows) <= most for part in parts)
    assert [key for part in parts for key in part.rows] == list(batch.rows)


def row_of(size: int, line: int = 0) -> Row:
    return Row(b"x" * size, b"y" * line)


def test_a_batch_stays_under_the_limit_to_the_byte() -> None:
    batch = Batch(1)
    room = MAX_BODY_BYTES - 1 - 2
    assert batch.fits("a", row_of(room), 10)
    assert not batch.fits("a", row_of(room + 1), 10)
    batch.add("a", row_of(room - 10))
    assert batch.fits("b", row_of(9), 10)
    assert not batch.fits("b", row_of(10), 10)
    assert not batch.fits("b", row_of(1), 1)


def test_a_batch_counts_the_lines_that_it_keeps() -> None:
    batch = Batch(1)
    batch.add("a", row_of(10, MAX_HELD_BYTES - 30))
    assert batch.fits("b", row_of(10, 10), 10)
    assert not batch.fits("b", row_of(10, 11), 10)
    batch.add("a", row_of(10, 10))
    assert batch.held_bytes == 20
    assert batch.fits("b", row_of(10, MAX_HELD_BYTES - 30), 10)
    batch.add("b", row_of(5))
    assert [part.held_bytes for part in batch.split(1)] == [20, 5]


def action(done: Any, failed: Any, errors: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    result = {"done_count": done, "failed_count": failed, "errors": errors or []}
    return {"status": "DONE", "operation_status": "SUCCESS", "result": result, **more}


A, B = {"source_id": "a", "key": "k"}, {"source_id": "b", "key": "k"}
RESULTS = {
    "all done": (action(3, 0), [], Unnamed.ACCEPTED),
    "all done, operation_status missing": (
        action(3, 0, operation_status=None),
        [],
        Unnamed.ACCEPTED,
    ),
    "one refused by name": (action(2, 1, [A]), ["a"], Unnamed.ACCEPTED),
    "one refused, named twice": (action(2, 1, [A, A]), ["a"], Unnamed.ACCEPTED),
    "one refused without a name": (action(2, 1), [], Unnamed.SOME_REFUSED),
    "one of two named": (action(1, 2, [A]), ["a"], Unnamed.SOME_REFUSED),
    "a name nobody knows": (action(2, 1, [{"source_id": "x"}]), [], Unnamed.SOME_REFUSED),
    "errors that are no errors": (
        action(2, 1, [None, "a", {"source_id": 1}]),
        [],
        Unnamed.SOME_REFUSED,
    ),
    "all refused without a name": (action(0, 3), [], Unnamed.REFUSED),
    "more names than failures": (action(2, 1, [A, B]), ["a", "b"], Unnamed.UNKNOWN),
    "a row is missing": (action(2, 0), [], Unnamed.UNKNOWN),
    "a row too many": (action(4, 0), [], Unnamed.UNKNOWN),
    "negative counts": (action(4, -1), [], Unnamed.UNKNOWN),
    "counts that are no numbers": (action("3", None), [], Unnamed.UNKNOWN),
    "no result": ({"status": "DONE"}, [], Unnamed.UNKNOWN),
    "failed": (action(3, 0, status="FAILED"), [], Unnamed.UNKNOWN),
    "failed, one row named": (action(2, 1, [A], operation_status="FAILED"), ["a"], Unnamed.UNKNOWN),
    "unknown to Voucherify": ({}, [], Unnamed.UNKNOWN),
}


@pytest.mark.parametrize(("found", "named", "rest"), RESULTS.values(), ids=RESULTS.keys())
def test_a_job_is_judged(found: dict[str, Any], named: list[str], rest: Unnamed) -> None:
    judged = job_result(found, {"a", "b", "c"})
    assert (list(judged.named), judged.unnamed) == (named, rest)


def looks(durations: list[float], *, moves_when_looked_at: int = 0) -> list[int]:
    """How many looks each job of a queue needs, by a clock that only the table moves."""
    now, counts, free = [0.0], [], 0.0
    table = PollSchedule(lambda: now[0])
    for duration in durations:
        table.begin(0.0)
        ends, count = free + duration, 0
        while True:
            now[0] += table.wait
            count += 1
            if (count >= moves_when_looked_at) if moves_when_looked_at else now[0] >= ends:
                break
            table.still_running()
        free = now[0] if moves_when_looked_at else ends
        table.end(0.0, round(free * 1000))
        counts.append(count)
    return counts


@pytest.mark.parametrize("duration", [0.0, 0.1, 0.7, 3.0, 15.0])
def test_experience_saves_looks(duration: float) -> None:
    assert sum(looks([duration] * 20)) <= 20 + 8


def test_a_queue_that_moves_when_looked_at_does_not_stretch_the_waits() -> None:
    assert looks([0.0] * 50, moves_when_looked_at=2) == [2] * 50


@pytest.mark.parametrize(
    "words",
    [
        "Ann Smith (ann@example.com) has 'x', 600100200",
        "ANN SMITH",
        "Ann  Smith",
        "Aηn Smith",
        "Bo",
        "forged\n2030-01-01 | CRITICAL",
    ],
)
def test_the_log_has_no_word_of_voucherify_about_a_record(words: str) -> None:
    reason = api_reason({"key": words, "message": words, "details": "Ann"}, 17)
    assert words in reason.text
    assert reason.key == "refused"
    assert reason.log_text == api_reason({}, 17).log_text
    assert "number 17 of the input" in reason.log_text


@pytest.mark.parametrize(("key", "shown"), [("invalid_phone", "invalid_phone"), ("400", "400")])
def test_the_kind_of_an_error_is_logged(key: str, shown: str) -> None:
    assert api_reason({"key": key}, 1).key == shown


def test_a_record_has_one_name_per_run() -> None:
    run, another = Pseudonyms(), Pseudonyms()
    assert run.of("a") == run.of("a") != run.of("b")
    assert run.of("a") != another.of("a")
    assert len(run.of("\ud800")) == 10


@pytest.mark.parametrize("key", ["...", "a", "a..b", "a/b", "..a/b", "100%", "a:\\b", "ü"])
def test_a_key_that_names_one_customer_is_safe(key: str) -> None:
    assert is_safe_in_path(key)


@pytest.mark.parametrize(
    "key",
    [
        ".",
        "..",
        "../x",
        "x/../y",
        "x/..",
        "a/./b",
        "..\\z",
        "..;/x",
        "%2e%2e/x",
        "..%2fx",
        "x/",
        "/x",
        "x\\",
        "x%2f",
        "x;y",
        "a;..",
        "cust_1",
    ],
)
def test_a_key_that_a_gateway_may_take_for_another_path_is_not(key: str) -> None:
    assert not is_safe_in_path(key)


MESSAGE = {"type": "SCHEMA", "stream": "s", "schema": {"properties": {"a": {}}}}
REASON = Reason("k", "because", "because")


def test_the_file_of_refusals_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "refused.singer"
    for number in range(2):
        file = RefusedFile(str(path))
        file.declare(MESSAGE)
        line = b'{"type":"RECORD","stream":"s","record":{"a":%d}}' % number
        file.write(line, REASON, "0a", 0.0, "customers")
        file.flush()
    kinds = [json.loads(line)["type"] for line in path.read_text().splitlines()]
    assert kinds == ["SCHEMA", "RECORD"] * 2
    assert path.stat().st_mode & 0o077 == 0


def test_a_line_that_a_crash_cut_is_dropped_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "refused.singer"
    file = RefusedFile(str(path))
    file.declare(MESSAGE)
    file.write(b'{"type":"RECORD","stream":"s","record":{"a":1}}', REASON, "0a", 0.0, "customers")
    whole = path.read_text()
    path.write_text(whole + '{"type":"RECORD","stream":"s","reco')
    RefusedFile(str(path))
    assert path.read_text() == whole


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with pytest.raises(SettingsError, match="is not a refused-records file"):
        RefusedFile(str(path))
    assert path.read_text() == "my notes"


def test_the_schema_of_a_refused_record_is_json(tmp_path: Path) -> None:
    path = tmp_path / "refused.singer"
    file = RefusedFile(str(path))
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    odd = {
        "a": {"default": float("nan")},
        "b\ud800": {},
        "c": {"multipleOf": Decimal("1.50")},
        "d": {"default": deep},
        "e": {"maximum": 10**30},
    }
    file.declare({**MESSAGE, "schema": {"properties": odd}})
    file.write(b'{"type":"RECORD","stream":"s","record":{}}', REASON, None, 0.0, "customers")
    line = path.read_bytes().splitlines()[0]
    written = json.loads(line, parse_constant=pytest.fail)["schema"]["properties"]
    assert written["a"] == {"default": None}
    assert written["e"] == {"maximum": 10**30}
    assert b'"multipleOf":1.50' in line
