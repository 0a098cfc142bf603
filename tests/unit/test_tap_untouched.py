"""A row passes untouched only where taking it apart would have given the same record."""

from __future__ import annotations

import itertools
import json
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_voucherify import schemas
from tap_voucherify.records.conformance import Conformance
from tap_voucherify.records.metadata_types import with_metadata_types
from tap_voucherify.records.untouched import SchemaNotUnderstoodError, UntouchedRow, UntouchedRows
from tap_voucherify.voucherify_client.errors import VoucherifyError

NAMES = ("customers", "vouchers", "campaigns")
AT = "2026-03-02T10:15:30.861Z"
LATER = "2026-03-02T10:15:30.861000Z"
DEFINED = {
    "related_object": "customer",
    "properties": {
        "tier": {"type": "string"},
        "age": {"type": "number"},
        "is new": {"type": "boolean"},
        "tags": {"type": "string", "array": True},
        "home": {"type": "object"},
    },
}


def schema_of(name: str) -> dict[str, Any]:
    schema = json.loads((files(schemas) / f"{name}.json").read_text())
    return with_metadata_types(schema, name, [DEFINED])


SCHEMAS = {name: schema_of(name) for name in NAMES}
DECODERS = {name: UntouchedRows(SCHEMAS[name], name, "modified_at") for name in NAMES}


def answer(*rows: Any, name: str = "customers") -> bytes:
    body = {"object": "list", "data_ref": name, name: rows, "total": 7, "has_more": True}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def row(**values: Any) -> dict[str, Any]:
    return {"id": "cust_1", "created_at": AT, **values}


def read(content: bytes, name: str = "customers") -> tuple[bool, list[dict[str, Any]]]:
    """Whether the rows of an answer are untouched, and their records, each as the tap emits it."""
    body = DECODERS[name].page(content)
    assert (body["total"], body["has_more"], body["data_ref"]) == (7, True, name)
    rows = body[name]
    if all(isinstance(one, UntouchedRow) for one in rows):
        return True, [json.loads(bytes(one.record(LATER))) for one in rows]
    assert not any(isinstance(one, UntouchedRow) for one in rows)
    return False, rows


def fits(record: dict[str, Any], name: str) -> bool:
    """Whether the ordinary way leaves a record as it is."""
    conformance = Conformance(SCHEMAS[name])
    whole = {**record, "modified_at": LATER}
    try:
        return conformance.conform(whole) is whole
    except VoucherifyError:
        return False


PASSING = {
    "the least": row(),
    "null everywhere": row(updated_at=None, name=None, address=None, summary=None, metadata=None),
    "letters beyond ASCII": row(name="Zoë Łódź 💶", metadata={"ключ": "значение"}),
    "members that the schema does not name": row(address={"district": {"of": ["any", 1.5]}}),
    "numbers of 64 bits": row(loyalty={"points": -(2**63), "referred_customers": 2**63 - 1}),
    "an open object": row(loyalty={"campaigns": {"A b": {"points": 1}}}),
    "defined metadata": row(
        metadata={"tier": "a", "age": 1.5, "is new": True, "tags": ["x"], "home": {"a": [None]}}
    ),
    "text before it was defined": row(metadata={"age": "old", "is new": "yes", "home": "here"}),
    "a quote and a backslash": row(name='a "b" \\ c', description="line\nbreak\ttab"),
}


@pytest.mark.parametrize("sent", PASSING.values(), ids=PASSING)
def test_a_row_that_fits_passes_untouched(sent: dict[str, Any]) -> None:
    untouched, records = read(answer(sent, sent))

    assert fits(sent, "customers")
    assert untouched
    assert records == [{**sent, "modified_at": LATER}] * 2


TOUCHED = {
    "a number where text is declared": row(name=12),
    "text where a number is declared": row(loyalty={"points": "12"}),
    "a fraction where an integer is declared": row(loyalty={"points": 1.5}),
    "more than 64 bits": row(loyalty={"points": 2**63}),
    "an unknown column": row(added_later=1),
    "the added column itself": row(modified_at=AT),
    "a NUL": row(name="a\0b"),
    "a NUL in metadata": row(metadata={"a\0": 1}),
    "a NUL in an unknown member": row(address={"district": ["\0"]}),
    "no instant": row(updated_at="yesterday"),
    "an instant without a T": row(updated_at="2026-03-02 10:15:30Z"),
    "an instant deep inside": row(summary={"orders": {"last_order_date": "2026-03-02"}}),
    "a list for an object": row(address=[]),
    "a truth where text is declared": row(source_id=True),
    "metadata of another type": row(metadata={"age": True}),
    "no id": {"created_at": AT},
    "an id that is no text": row(id=1),
}


@pytest.mark.parametrize("sent", TOUCHED.values(), ids=TOUCHED)
def test_one_row_that_does_not_fit_lets_its_page_be_taken_apart(sent: dict[str, Any]) -> None:
    untouched, rows = read(answer(row(), sent))

    assert not untouched
    assert rows == [row(), sent]


@pytest.mark.parametrize("end", [b"\n", b"\r"], ids=["line ends", "carriage returns"])
def test_a_page_with_line_ends_is_taken_apart(end: bytes) -> None:
    untouched, rows = read(answer(row()).replace(b",", b"," + end))

    assert not untouched
    assert rows == [row()]


@pytest.mark.parametrize("member", ["name", "address"])
def test_bytes_that_are_no_text_are_no_answer(member: str) -> None:
    value = {"name": "X", "address": {"district": "X"}}[member]
    content = answer(row(**{member: value})).replace(b"X", b"\xff")

    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        DECODERS["customers"].page(content)


def test_an_answer_that_names_its_rows_otherwise_is_taken_apart() -> None:
    body = DECODERS["vouchers"].page(answer(row()))

    assert body["customers"] == [row()]
    assert not isinstance(body["customers"][0], UntouchedRow)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'"x"', b"{}", b'{"data_ref":"customers"}', b"[1", b"<html>"]
)
def test_an_answer_that_is_no_list_is_what_it_always_was(content: bytes) -> None:
    try:
        expected = msgspec.json.decode(content)
    except msgspec.DecodeError:
        with pytest.raises(msgspec.DecodeError):
            DECODERS["customers"].page(content)
    else:
        assert DECODERS["customers"].page(content) == expected


INSTANTS = [
    "".join(parts)
    for parts in itertools.product(
        ["2024-01-02", "2024-02-30", "0001-01-01", "2024-1-2", "20240102", "2024-W01-1"],
        ["T", "t", " ", ""],
        ["00:00:00", "23:59:60", "24:00:00", "12:00", "120000"],
        ["", ".123", ".123456", ".1234567", ",123"],
        ["Z", "z", "+00:00", "-23:59", "+24:00", "+0000", ""],
    )
]


def test_every_form_of_an_instant_is_judged_as_the_validator_does() -> None:
    differing = [
        text
        for text in INSTANTS
        for sent in (row(updated_at=text), row(summary={"orders": {"last_order_date": text}}))
        if read(answer(sent))[0] is not fits(sent, "customers")
    ]

    assert differing == []


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Mostly what a schema allows, now and then anything."""
    kinds = schema.get("type", ())
    known = schema.get("properties", {})
    made: dict[str, st.SearchStrategy[Any]] = {
        "null": st.none(),
        "string": st.sampled_from([AT, "2026-03-02T10:15:30+01:00"])
        if "format" in schema
        else st.text(max_size=3),
        "integer": st.integers(-(2**64), 2**64) | st.integers(0, 9),
        "number": st.integers(0, 9) | st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "array": st.lists(st.deferred(lambda: values(schema.get("items", {}))), max_size=2),
        "object": st.fixed_dictionaries(
            {},
            optional={name: st.deferred(lambda p=part: values(p)) for name, part in known.items()},
        )
        | st.dictionaries(st.text(max_size=2), ANYTHING, max_size=1),
    }
    allowed = [made[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    return st.one_of(*allowed) if allowed else ANYTHING


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda parts: (
        st.lists(parts, max_size=2) | st.dictionaries(st.text(max_size=2), parts, max_size=2)
    ),
    max_leaves=4,
).filter(lambda value: "Infinity" not in json.dumps(value))


@st.composite
def rows_of(draw: st.DrawFn, name: str) -> dict[str, Any]:
    columns = {
        column: part
        for column, part in SCHEMAS[name]["properties"].items()
        if column not in {"id", "created_at", "modified_at"}
    }
    chosen = draw(st.lists(st.sampled_from(sorted(columns)), unique=True, max_size=4))
    made = {column: draw(values(columns[column])) for column in chosen}
    if draw(st.integers(0, 19)) == 0:
        made[draw(st.sampled_from(sorted(columns)))] = draw(ANYTHING)
    return row(**made)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_untouched_or_not_the_records_are_the_same(name: str, data: st.DataObject) -> None:
    sent = data.draw(rows_of(name))
    try:
        content = answer(sent, name=name)
    except UnicodeEncodeError:
        return  # half of a surrogate pair is in no answer

    untouched, records = read(content, name)

    assert untouched <= fits(sent, name)
    assert records == [{**sent, "modified_at": LATER} if untouched else sent]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": {"type": ["string", "null"], "maxLength": 5}}, id="a limit"),
        pytest.param({"name": {"anyOf": [{"type": "string"}]}}, id="alternatives"),
        pytest.param({"birthdate": {"type": "string", "format": "date"}}, id="another format"),
        pytest.param({"created_at": {"type": ["string", "null"]}}, id="a time without its format"),
        pytest.param({"id": {"type": ["string", "null"]}}, id="a key that may be null"),
        pytest.param({"modified_at": {"type": "string"}}, id="an added column of another kind"),
        pytest.param(
            {
                "address": {
                    "type": "object",
                    "properties": {"a": {}},
                    "additionalProperties": {"type": "string"},
                }
            },
            id="an object both open and named",
        ),
    ],
)
def test_a_schema_that_says_more_than_types_is_left_to_the_validator(change: Any) -> None:
    properties = {**SCHEMAS["customers"]["properties"], **change}

    with pytest.raises(SchemaNotUnderstoodError):
        UntouchedRows({"type": "object", "properties": properties}, "customers", "modified_at")
