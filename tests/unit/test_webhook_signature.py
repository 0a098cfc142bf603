"""Signatures of webhooks: the published vectors, and invalid ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_voucherify.webhooks.signature import is_signed, minified
from voucherify_sandbox.webhooks import sign

KEY = "secretKey"
OBJECT = "a17d2ac229d1ebbb5f10e839c7985c4818e5986eab297f7e5979196d4d7d3ed2"
ESCAPED = "f7cf97814a03146abedb9793f56e1dec34f618f82d10395310d053f749483ffb"
BLANKS = "53ff92957e1427ce23ad5bda9d0c5f2f4ff384d0806b83eeacb510c842d3a358"


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        pytest.param(b'{"a":1}', OBJECT, id="an object"),
        pytest.param(b'{"a\\"b":1}', ESCAPED, id="an escaped quote"),
        pytest.param(b"  message  ", BLANKS, id="no JSON, blanks count"),
        pytest.param(b'{ "a" :\r\n\t1 }', OBJECT, id="other whitespace"),
        pytest.param(b' {"a\\"b" : 1}\n', ESCAPED, id="whitespace behind an escaped quote"),
        pytest.param(
            '{ "n": "Zoë ☂  x" }'.encode(),
            sign('{"n":"Zoë ☂  x"}'.encode(), KEY),
            id="unicode, and blanks inside a text",
        ),
    ],
)
def test_signed(body: bytes, signature: str) -> None:
    assert is_signed(body, signature, [KEY])
    assert is_signed(body, signature, ["the next one", KEY])


@pytest.mark.parametrize(
    ("body", "signature", "secrets"),
    [
        pytest.param(b'{"a":1}', OBJECT, ["other"], id="another secret"),
        pytest.param(b'{"a":1}', OBJECT, [], id="no secret"),
        pytest.param(b'{"a":2}', OBJECT, [KEY], id="an altered body"),
        pytest.param(b'{"a":"1"}', OBJECT, [KEY], id="a text for a number"),
        pytest.param(b"message", BLANKS, [KEY], id="blanks that are missing"),
        pytest.param(b'{"a":1}', "", [KEY], id="no signature"),
        pytest.param(b'{"a":1}', OBJECT[:-1], [KEY], id="a short signature"),
        pytest.param(b'{"a":1}', "é" * 64, [KEY], id="a signature that is no hex"),
        pytest.param(b'{"n":"a b"}', sign(b'{"n":"ab"}', KEY), [KEY], id="a blank of a text"),
    ],
)
def test_not_signed(body: bytes, signature: str, secrets: list[str]) -> None:
    assert not is_signed(body, signature, secrets)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.sampled_from([None, 1, 4]))
def test_the_minified_form_is_the_compact_one(value: object, indent: int | None) -> None:
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    spaced = json.dumps(value, ensure_ascii=False, indent=indent)

    encoded = spaced.encode("utf-8", "surrogatepass")
    assert minified(encoded) == compact.encode("utf-8", "surrogatepass")


def test_a_text_without_an_end_takes_no_time() -> None:
    body = b'"' + b'\\"' * 2_000_000

    assert minified(body) == body
