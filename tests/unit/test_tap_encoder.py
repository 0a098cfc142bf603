"""A row gives the record that its general conformance gives, however its page is written."""

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
from tap_voucherify.records.encoder import RecordEncoder, TextRow
from tap_voucherify.records.metadata_types import with_metadata_types
from tap_voucherify.voucherify_client import lenient_json
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
CUSTOMERS = SCHEMAS["customers"]["properties"]


def encoder_of(schema: Any, name: str = "customers") -> RecordEncoder:
    return RecordEncoder(schema, name, schema["properties"], "modified_at")


ENCODERS = {name: encoder_of(SCHEMAS[name], name) for name in NAMES}


def page(*rows: Any, name: str = "customers") -> bytes:
    body = {"object": "list", "data_ref": name, name: rows, "total": 7, "has_more": True}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def row(**values: Any) -> dict[str, Any]:
    return {"id": "cust_1", "created_at": AT, **values}


def read(
    content: bytes, name: str = "customers", encoder: RecordEncoder | None = None
) -> tuple[bool, list[dict[str, Any]]]:
    """Whether the rows of a page are text, and their records."""
    encoder = encoder or ENCODERS[name]
    body = encoder.page(content)
    assert (body["total"], body["has_more"], body["data_ref"]) == (7, True, name)
    rows = body[name]
    made = [bytes(encoder.record(one, LATER)) for one in rows]
    assert not any(b"\n" in one or b"\r" in one for one in made)
    assert len({isinstance(one, TextRow) for one in rows}) <= 1
    return all(isinstance(one, TextRow) for one in rows), [json.loads(one) for one in made]


def conformed(sent: dict[str, Any], name: str = "customers") -> dict[str, Any]:
    """The record by the general conformance of each column."""
    conformance, known = Conformance(SCHEMAS[name]), SCHEMAS[name]["properties"]
    whole = {**sent, "modified_at": LATER}
    return {key: conformance.column(key, value) for key, value in whole.items() if key in known}


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
    "an unknown column": row(added_later={"since": 2027}),
    "the added column itself": row(modified_at=AT),
}


@pytest.mark.parametrize("sent", PASSING.values(), ids=PASSING)
def test_a_row_that_conforms_stays_text(sent: dict[str, Any]) -> None:
    is_text, records = read(page(sent, sent))

    known = {key: value for key, value in sent.items() if key != "added_later"}
    assert is_text
    assert records == [{**known, "modified_at": LATER}] * 2
    assert records == [conformed(sent)] * 2


OTHERS = {
    "a number where text is declared": row(name=12),
    "text where a number is declared": row(loyalty={"points": "12"}),
    "a fraction where an integer is declared": row(loyalty={"points": 1.5}),
    "more than 64 bits": row(loyalty={"points": 2**63}),
    "a NUL": row(name="a\0b"),
    "a NUL in metadata": row(metadata={"a\0": 1}),
    "a NUL in an unknown member": row(address={"district": ["\0"]}),
    "no instant": row(updated_at="yesterday"),
    "an instant without a T": row(updated_at="2026-03-02 10:15:30Z"),
    "an instant deep inside": row(summary={"orders": {"last_order_date": "2026-03-02"}}),
    "a list for an object": row(address=[]),
    "a truth where text is declared": row(source_id=True),
    "metadata of another type": row(metadata={"age": True}),
    "an id that is no text": row(id=1),
}


@pytest.mark.parametrize("sent", OTHERS.values(), ids=OTHERS)
def test_a_row_that_does_not_conform_is_made_to(sent: dict[str, Any]) -> None:
    encoder = encoder_of(SCHEMAS["customers"])
    for rows in ((row(), sent), (sent, row()), (row(), row())):
        _, records = read(page(*rows), encoder=encoder)

        assert records == [conformed(one) for one in rows]


def test_columns_that_do_not_conform_are_found_one_after_the_other() -> None:
    encoder = encoder_of(SCHEMAS["customers"])
    pages = [(row(name=1),), (row(), row(address=[])), (row(name=2, phone=3), row(loyalty=4))]
    for rows in pages:
        is_text, records = read(page(*rows), encoder=encoder)

        assert is_text
        assert records == [conformed(one) for one in rows]


def test_a_row_without_an_id_stays_without() -> None:
    _, records = read(page({"created_at": AT}))

    assert records == [{"created_at": AT, "modified_at": LATER}]


SPELLINGS = {
    "compact": {"separators": (",", ":")},
    "spaces": {},
    "indented": {"indent": 4},
    "escaped": {"ensure_ascii": True, "separators": (",", ":")},
    "escaped and indented": {"ensure_ascii": True, "indent": 1},
}


@pytest.mark.parametrize("unknown", [{}, {"metadata": {"ключ": [{"a": [None, 1.5]}]}}])
@pytest.mark.parametrize("name", ["customers", "data"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_the_spelling_of_a_page_changes_nothing(
    spelling: dict[str, Any], end: str, name: str, unknown: dict[str, Any]
) -> None:
    sent = row(name='Zoë "Z" \\ 💶\n', address={"city": "Łódź"}, unheard_of=[{}], **unknown)
    body = {name: [sent, sent], "total": None, "data_ref": name, "object": "list"}
    content = json.dumps(body, **{"ensure_ascii": False, **spelling}).replace("\n", end)

    encoder = encoder_of(SCHEMAS["customers"])  # which has learned nothing yet
    rows = encoder.page(content.encode())[name]

    records = [bytes(encoder.record(one, LATER)) for one in rows]
    assert all(isinstance(one, TextRow) for one in rows)
    assert [json.loads(one) for one in records] == [conformed(sent)] * 2
    assert not any(b"\n" in one or b"\r" in one for one in records)


@pytest.mark.parametrize("member", ["name", "address", "metadata"])
@pytest.mark.parametrize(
    ("written", "kept", "count"),
    [
        pytest.param(b"\xff", "\ufffd", 1, id="no UTF-8"),
        pytest.param(rb"\ud83d", "\ufffd", 1, id="half a pair"),
        pytest.param(rb"\ud83d\ude00", "😀", 0, id="a pair"),
    ],
)
def test_what_is_no_character_is_replaced_and_counted(
    member: str, written: bytes, kept: str, count: int
) -> None:
    value = {"name": "X", "address": {"district": "X"}, "metadata": {"X": {"a": ["X"]}}}[member]
    content = page(row(**{member: value})).replace(b"X", written)

    body, replaced = lenient_json.decode(content, ENCODERS["customers"].page)

    records = [
        json.loads(bytes(ENCODERS["customers"].record(one, LATER))) for one in body["customers"]
    ]
    assert replaced == count * content.count(written)
    assert records[0][member] == json.loads(json.dumps(value).replace("X", kept))


@pytest.mark.parametrize("member", ["added_later", "address", "metadata", "loyalty"])
@pytest.mark.parametrize("number", ["1e999", "-1E+999", "9" * 5_000])
def test_a_number_that_no_float_holds_is_in_no_record(member: str, number: str) -> None:
    content = page(row(**{member: {"points": ["X"]}})).replace(b'"X"', number.encode())

    body, _ = lenient_json.decode(content, ENCODERS["customers"].page)

    record = bytes(ENCODERS["customers"].record(body["customers"][0], LATER))
    assert number.encode() not in record
    assert record.startswith(b'{"id":"cust_1"')


def test_a_page_of_another_list_is_decoded_as_it_is() -> None:
    body = ENCODERS["vouchers"].page(page(row()))

    assert body["customers"] == [row()]
    assert not isinstance(body["customers"][0], TextRow)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'"x"', b"{}", b"[1", b"<html>", b'{"data_ref":"other"}']
)
def test_a_response_that_is_no_list_is_decoded_as_it_is(content: bytes) -> None:
    try:
        expected = msgspec.json.decode(content)
    except msgspec.DecodeError:
        with pytest.raises(msgspec.DecodeError):
            ENCODERS["customers"].page(content)
    else:
        assert ENCODERS["customers"].page(content) == expected


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


def test_every_form_of_an_instant_is_the_general_one() -> None:
    differing = [
        text
        for text in INSTANTS
        for sent in (row(updated_at=text), row(summary={"orders": {"last_order_date": text}}))
        if read(page(sent))[1] != [conformed(sent)]
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
    if draw(st.integers(0, 9)) == 0:
        made[draw(st.sampled_from(sorted(columns)))] = draw(ANYTHING)
    if draw(st.integers(0, 4)) == 0:
        made[draw(st.text(max_size=3))] = draw(ANYTHING)
    members = list(row(**made).items())
    return dict(draw(st.permutations(members)))


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_every_row_gives_the_record_of_its_general_conformance(
    name: str, data: st.DataObject
) -> None:
    sent = data.draw(st.lists(rows_of(name), min_size=1, max_size=3))
    spelling = data.draw(st.sampled_from(list(SPELLINGS.values())))
    body = {"data_ref": name, name: sent, "total": 7, "has_more": True}
    try:
        content = json.dumps(body, **{"ensure_ascii": False, **spelling}).encode()
        content.decode()
        expected = []
        conformance = Conformance(SCHEMAS[name])
        known = SCHEMAS[name]["properties"]
        for one in sent:
            whole = {**one, "modified_at": LATER}
            expected.append(
                {key: conformance.column(key, whole[key]) for key in known if key in whole}
            )
    except UnicodeEncodeError:
        return  # half of a surrogate pair is in no answer
    encoder = encoder_of(SCHEMAS[name], name)

    read_rows, replaced = lenient_json.decode(content, encoder.page)

    records = [json.loads(bytes(encoder.record(one, LATER))) for one in read_rows[name]]
    if not replaced:
        assert records == expected
        assert dict(encoder.nulled) == dict(conformance.nulled)
        for one, wanted in zip(sent, expected, strict=True):  # pages after another
            text = json.dumps({**body, name: [one]}, ensure_ascii=False).encode()
            (found,) = encoder.page(text)[name]
            assert json.loads(bytes(encoder.record(found, LATER))) == wanted


@settings(deadline=None)
@given(sent=rows_of("customers"), chosen=st.sets(st.sampled_from(sorted(CUSTOMERS)), max_size=6))
def test_columns_that_are_not_chosen_are_left_out_and_paging_still_has_its_members(
    sent: dict[str, Any], chosen: set[str]
) -> None:
    encoder = RecordEncoder(SCHEMAS["customers"], "customers", chosen, "modified_at")
    try:
        content = page(sent)
        expected = conformed(sent)
    except UnicodeEncodeError:
        return
    body, replaced = lenient_json.decode(content, encoder.page)

    kept = {*chosen, "modified_at"}
    [one] = body["customers"]
    assert (one["id"], one["created_at"]) == ("cust_1", AT)
    if not replaced:
        record = json.loads(bytes(encoder.record(one, LATER)))
        assert record == {key: value for key, value in expected.items() if key in kept}


CHANGES = {
    "a limit": {"name": {"type": ["string", "null"], "maxLength": 5}},
    "alternatives": {"name": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    "another format": {"birthdate": {"type": ["string", "null"], "format": "date"}},
    "a time without its format": {"created_at": {"type": ["string", "null"]}},
    "a key that may be null": {"id": {"type": ["string", "null"]}},
    "a time or a number": {"updated_at": {"type": ["string", "integer"], "format": "date-time"}},
    "anything": {"name": {}},
    "an object both open and named": {
        "address": {
            "type": ["object", "null"],
            "properties": {"a": {"type": "integer"}},
            "additionalProperties": {"type": "string"},
        }
    },
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_schema_that_says_more_than_types_is_checked_too(change: Any) -> None:
    schema = {"type": "object", "properties": {**SCHEMAS["customers"]["properties"], **change}}
    encoder = encoder_of(schema)
    sent = [
        row(name="Ada"),
        row(name="a longer name", birthdate="1.1.1990", updated_at=AT),
        row(address={"a": 1, "b": "text"}, name=None),
        row(address={"a": "1", "b": 2}, name={"x": "\0"}, updated_at=12),
    ]
    conformance = Conformance(schema)

    records = [
        json.loads(bytes(encoder.record(one, LATER)))
        for each in sent
        for one in encoder.page(page(each))["customers"]
    ]

    assert records == [
        {
            key: conformance.column(key, value)
            for key, value in {**one, "modified_at": LATER}.items()
        }
        for one in sent
    ]
    assert dict(encoder.nulled) == dict(conformance.nulled)


def test_a_required_column_without_a_value_is_an_error() -> None:
    [one] = ENCODERS["customers"].page(page(row(id=None)))["customers"]

    with pytest.raises(VoucherifyError, match="A row has no `id`"):
        ENCODERS["customers"].record(one, LATER)


@pytest.mark.parametrize("depth", [20, 900, 5_000])
def test_a_row_nested_deeper_than_can_be_written_loses_that_column(depth: int) -> None:
    nested: Any = "end"
    for _ in range(depth):
        nested = {"a": nested}
    encoder = encoder_of(SCHEMAS["customers"])

    record = bytes(encoder.record(row(metadata=nested, name="Ada\ud800"), LATER))

    assert record.startswith(b'{"id":"cust_1"')
    assert b'"name":"Ada?"' in record
