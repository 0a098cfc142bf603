"""The line of a refused record: the bytes as they came, and its members."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_voucherify.acknowledgement.refused_line import MEMBERS, with_refusal
from target_voucherify.json_lines import decode

REFUSAL: dict[str, str | None] = {
    "_refused_reason": 'a "quoted", {braced} \\ reason é',
    "_refused_key": "invalid_record",
    "_refused_at": "2026-01-01T00:00:00.000000Z",
    "_refused_hash": None,
    "_refused_entity": "customers",
}
OTHER: dict[str, str | None] = {**dict.fromkeys(MEMBERS, "again"), "_refused_hash": "0a1b2c"}

TEXTS = st.text(st.characters()) | st.sampled_from(
    ["record", "{", '"', "\\", '"}', "]", "_refused"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)


def added(line: bytes, new: bytes) -> bytes:
    """What stands in the new line and not in the old one, which is otherwise the same."""
    start = 0
    while start < len(line) and line[start] == new[start]:
        start += 1
    end = len(line) - start
    assert new.endswith(line[start:])
    assert len(new) >= len(line)
    return new[start : len(new) - end]


def assert_added(line: bytes) -> None:
    new = with_refusal(line, REFUSAL)
    assert added(line, new).count(b"_refused_reason") == 1
    wanted = {**decode(line)["record"], **REFUSAL}
    assert repr(decode(new)["record"]) == repr(wanted)
    again = with_refusal(new, OTHER)
    assert with_refusal(again, REFUSAL) == new
    assert len(again) < len(line) + 230


STYLES: list[dict[str, Any]] = [{}, {"ensure_ascii": False}, {"indent": 1}]


@given(OBJECTS, OBJECTS, OBJECTS, st.sampled_from(STYLES))
def test_members_are_added_and_nothing_else_changes(
    before: dict[str, Any], record: dict[str, Any], after: dict[str, Any], style: dict[str, Any]
) -> None:
    others = {"before": before, "stream": "record", "type": "RECORD"}
    message = {**others, "record": record, "after": after, "version": 1}
    text = json.dumps(message, **style).replace("\n", " ")
    assert_added(text.encode("utf-8", "surrogatepass"))


START = b'{"type":"RECORD","stream":"s",'
LINES = {
    "an empty record": START + b'"record":{}}',
    "a blank record": START + b'"record":{ } }',
    "spaces": b' { "type" : "RECORD" , "record" : { "a" : 1 } , "stream" : "s" } \r',
    "NaN": START + b'"record":{"a":NaN,"b":-Infinity}}',
    "a number of many digits": START + b'"record":{"a":1' + b"0" * 400 + b"}}",
    "an exact fraction": START + b'"record":{"a":1.50,"b":1E+2}}',
    "a lone surrogate": START + b'"record":{"a":"\\ud83d","\\ud83d":1}}',
    "bytes that are no text": START + b'"record":{"a":"\xff\xed\xa0\x80"}}',
    "a member twice": START + b'"record":{"a":1,"a":2}}',
    "a record twice": b'{"record":{"a":1},"type":"RECORD","stream":"s","record":{"a":2}}',
    "an escaped name": START + b'"\\u0072ecord":{"a":2}}',
    "a name inside another": START + b'"x":{"record":{"y":1}},"record":{"a":2}}',
    "text like a name": START + b'"x":["record",{}],"y":"record","record":{"a":"}\\""}}',
    "members of its own": START + b'"record":{"_refused_reason":1,"a":2}}',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES.keys())
def test_odd_lines_stay_as_they_came(line: bytes) -> None:
    new = with_refusal(line, REFUSAL)
    assert b'"_refused_key":"invalid_record"' in added(line, new)
    assert decode(new)["record"] == {**decode(line)["record"], **REFUSAL} or b"NaN" in line
    assert with_refusal(with_refusal(new, OTHER), REFUSAL) == new


def test_a_reason_with_a_lone_surrogate_is_text() -> None:
    line = with_refusal(LINES["spaces"], {**REFUSAL, "_refused_reason": "x\ud800"})
    assert json.loads(line)["record"]["_refused_reason"] == "x?"
