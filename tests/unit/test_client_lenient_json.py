"""JSON that other readers accept is decoded; what is not JSON is refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.voucherify_client import lenient_json

MARK = "\ufffd"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(st.characters()), parts),
    max_leaves=20,
)
"""Values whose texts may hold surrogates."""


@pytest.mark.parametrize(
    ("content", "value", "replaced"),
    [
        pytest.param(b'"Zo\\ud83d"', f"Zo{MARK}", 1, id="the first half at the end"),
        pytest.param(b'"\\ud83d\\u00e9"', f"{MARK}é", 1, id="the first half before a letter"),
        pytest.param(b'"\\uDE00!"', f"{MARK}!", 1, id="the second half alone"),
        pytest.param(b'"\\ud83d\\ud83d\\ude00"', f"{MARK}😀", 1, id="a half before a pair"),
        pytest.param(b'"\\ude00\\ud83d"', MARK * 2, 2, id="halves in the wrong order"),
        pytest.param(b'"\\\\ud83d \\ud83d"', f"\\ud83d {MARK}", 1, id="an escaped backslash"),
        pytest.param(
            b'[{"a\\ud800":[{"b":"\\udfff"}]}]', [{f"a{MARK}": [{"b": MARK}]}], 2, id="keys"
        ),
        pytest.param(b'"a\xff\xfeb\xff"', f"a{MARK}b{MARK}", 2, id="bytes that are not UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', MARK, 1, id="a surrogate as bytes"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', {"a": 1}, 0, id="a byte order mark"),
        pytest.param(
            b"[1e999, -1e99999999999999999999, 1e9]", [None, None, 1e9], 2, id="exponents"
        ),
        pytest.param(b"[%s, -7]" % (b"9" * 5_000), [None, -7], 1, id="5,000 digits"),
        pytest.param(b'["\\ud800", 1e999]', [MARK, None], 2, id="both"),
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, 0, id="a key twice"),
    ],
)
def test_what_other_readers_take(content: bytes, value: object, replaced: int) -> None:
    assert lenient_json.decode(content) == (value, replaced)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>\\ud800</html>",
        b'{"a": "\\ud83d"',
        b'"\\ud83"',
        b'"\\',
        b"NaN",
        b"[-Infinity, 1e999]",
        b"[1e999, NaN]",
        b'"a\x01b"',
        b"{'a': 1}",
        b"\xff{}",
        b"[1,]",
    ],
)
def test_what_is_not_json(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several libraries
        lenient_json.decode(content)


@given(ANY_JSON)
def test_any_value_with_surrogates_is_read_as_others_read_it(value: object) -> None:
    escaped = json.dumps(value)

    read, _ = lenient_json.decode(escaped.encode())

    assert read == marked(json.loads(escaped))


def marked(value: Any) -> Any:
    """The value with U+FFFD for each surrogate that stands alone."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def test_valid_json_is_decoded_once() -> None:
    seen: list[bytes] = []

    def strict(content: bytes) -> Any:
        seen.append(content)
        return msgspec.json.decode(content)

    assert lenient_json.decode(b"{}", strict) == ({}, 0)
    assert seen == [b"{}"]
