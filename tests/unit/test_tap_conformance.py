"""A record that does not fit its schema is made to, and what is lost on the way is counted."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import jsonschema_rs
import pytest

from tap_voucherify.records.conformance import Conformance, whole_number
from tap_voucherify.records.encoder import RecordEncoder
from tap_voucherify.voucherify_client.errors import VoucherifyError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "name": {"type": ["string", "null"]},
        "count": {"type": ["integer", "null"]},
        "rate": {"type": ["number", "null"]},
        "active": {"type": ["boolean", "null"]},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "codes": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
        "order": {
            "type": ["object", "null"],
            "properties": {
                "amount": {"type": ["integer", "null"]},
                "items": {
                    "type": ["array", "null"],
                    "items": {
                        "type": ["object", "null"],
                        "properties": {"price": {"type": ["integer", "null"]}},
                    },
                },
            },
        },
        "campaigns": {
            "type": ["object", "null"],
            "properties": {},
            "additionalProperties": {
                "type": ["object", "null"],
                "properties": {"points": {"type": ["integer", "null"]}},
            },
        },
        "metadata": {
            "type": ["object", "null"],
            "properties": {
                "age": {"type": ["number", "string", "null"]},
                "vip": {"type": ["boolean", "string", "null"]},
                "city": {"type": ["string", "null"]},
                "tags": {"type": ["array", "string", "null"], "items": {"type": ["string"]}},
            },
            "additionalProperties": True,
        },
    },
}
PROPERTIES = SCHEMA["properties"]
STRICT = jsonschema_rs.validator_for(SCHEMA, validate_formats=True)
BIG = 2**63
NESTED: Any = reduce(lambda inner, _: {"a": inner}, range(900), "\0")


def fitted(**values: Any) -> tuple[Any, dict[str, int]]:
    """A record by the encoder, and by the conformance of each of its columns."""
    encoder, conformance = RecordEncoder(SCHEMA, "things", PROPERTIES), Conformance(SCHEMA)
    row = {"id": "x", **values}
    made = {key: conformance.column(key, value) for key, value in row.items() if key in PROPERTIES}
    assert STRICT.is_valid(made)
    assert json.loads(bytes(encoder.record(row))) == made
    assert dict(encoder.nulled) == dict(conformance.nulled)
    return made, dict(conformance.nulled)


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        pytest.param("count", "12", 12, id="a number sent as text"),
        pytest.param("count", "-12", -12, id="a negative number sent as text"),
        pytest.param("count", "12.0", 12, id="a whole decimal sent as text"),
        pytest.param("rate", "12.5", 12.5, id="a decimal sent as text"),
        pytest.param("rate", 12, 12, id="an integer where a number is declared"),
        pytest.param("name", 12, "12", id="a number where text is declared"),
        pytest.param("name", 12.5, "12.5", id="a decimal where text is declared"),
        pytest.param("name", True, "true", id="a truth where text is declared"),
        pytest.param("name", {"first": "Zoë"}, '{"first": "Zoë"}', id="an object as text"),
        pytest.param("name", "a\0b", "ab", id="a NUL"),
        pytest.param("at", "2026-03-02 10:15:30", "2026-03-02T10:15:30.000000Z", id="an instant"),
        pytest.param("at", "2026-03-02", "2026-03-02T00:00:00.000000Z", id="a day"),
        pytest.param("codes", [1, "b", None], ["1", "b", None], id="inside an array"),
        pytest.param("order", {"amount": "5"}, {"amount": 5}, id="inside an object"),
        pytest.param("order", {"new": "\0"}, {"new": ""}, id="a NUL in an unknown member"),
        pytest.param("order", {"n\0ew": 1}, {"new": 1}, id="a NUL in a name"),
        pytest.param(
            "campaigns", {"A b": {"points": "7"}}, {"A b": {"points": 7}}, id="an open object"
        ),
        pytest.param("metadata", {"age": "old"}, {"age": "old"}, id="typed later, text before"),
        pytest.param("metadata", {"age": True}, {"age": "true"}, id="typed later, truth before"),
        pytest.param("metadata", {"vip": 1}, {"vip": "1"}, id="typed later, number before"),
        pytest.param("metadata", {"tags": "a"}, {"tags": "a"}, id="one tag that is no list"),
        pytest.param("metadata", {"x": {"y": ["\0"]}}, {"x": {"y": [""]}}, id="a NUL deep inside"),
    ],
)
def test_another_form_is_kept(field: str, sent: Any, kept: Any) -> None:
    record, nulled = fitted(**{field: sent})

    assert record[field] == kept
    assert type(record[field]) is type(kept)
    assert nulled == {}


@pytest.mark.parametrize(
    ("field", "sent", "path"),
    [
        pytest.param("count", "many", "count", id="a word"),
        pytest.param("count", 1.5, "count", id="a fraction"),
        pytest.param("count", BIG, "count", id="more than 64 bits"),
        pytest.param("count", str(BIG), "count", id="more than 64 bits as text"),
        pytest.param("count", "9" * 5_000, "count", id="a number no one can read"),
        pytest.param("count", True, "count", id="a truth"),
        pytest.param("rate", "NaN", "rate", id="no number"),
        pytest.param("active", "yes", "active", id="a word for a truth"),
        pytest.param("at", "yesterday", "at", id="no instant"),
        pytest.param("at", 1738945086, "at", id="a number of seconds"),
        pytest.param("codes", "a", "codes", id="one value for a list"),
        pytest.param("order", [1], "order", id="a list for an object"),
        pytest.param("order", {"items": [{"price": "x"}]}, "order.items[].price", id="deep inside"),
        pytest.param("campaigns", {"A b": {"points": "x"}}, "campaigns.*.points", id="open object"),
        pytest.param("metadata", {"x": NESTED}, "metadata", id="a NUL deeper than can be reached"),
    ],
)
def test_what_has_no_place_becomes_null_and_is_counted(field: str, sent: Any, path: str) -> None:
    _, nulled = fitted(**{field: sent})

    assert nulled == {path: 1}


def test_unknown_columns_are_left_out_and_nothing_else_changes() -> None:
    sent = {"name": "a", "at": "2026-03-02T10:15:30.861Z", "metadata": {"x": {"y": None}}}
    record, nulled = fitted(**sent, added_later={"since": "2027"})

    assert record == {"id": "x", **sent}
    assert nulled == {}


def test_a_record_that_fits_is_given_back_as_it_is() -> None:
    order = {"amount": 1, "unheard_of": [1]}

    assert fitted(order=order) == ({"id": "x", "order": order}, {})


def test_half_a_surrogate_pair_does_not_end_the_run() -> None:
    record, _ = fitted(name="a\ud800b")

    assert record["name"] == "a?b"


@pytest.mark.parametrize("sent", [None, ["x"]], ids=["null", "no text"])
def test_a_key_that_is_missing_is_an_error_without_the_value(sent: object) -> None:
    record = {**SCHEMA, "properties": {"id": {"type": "integer"}}}

    with pytest.raises(VoucherifyError, match="A row has no `id`"):
        RecordEncoder(record, "things", ["id"]).record({"id": sent})


def test_values_that_are_no_whole_number_are_none() -> None:
    assert [whole_number(value) for value in (True, None, [], "x", 1.5, BIG)] == [None] * 6
