"""Record → customer, as a table: what comes in, what is sent or why not."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from target_run import of_customers
from target_voucherify.entities.builder import EntityBuilder
from target_voucherify.entities.mapping import resolve
from target_voucherify.entities.metadata_schema import MetadataSchema
from target_voucherify.errors import InputError, NotACustomerError
from target_voucherify.voucherify_client.errors import SettingsError

FREE = {"type": ["null", "string"]}
NAMES = [
    "source_id",
    "name",
    "email",
    "phone",
    "description",
    "birthdate",
    "birthday",
    "address",
    "metadata",
    "city",
    "tier",
    "extra",
    "address.city",
    "metadata.level",
    "details",
]
SCHEMA: dict[str, Any] = {
    "tier": {"type": "string", "optional": True, "array": False},
    "score": {"type": "number", "optional": True, "array": False},
    "vip": {"type": "boolean", "optional": True, "array": False},
    "since": {"type": "date", "optional": True, "array": False},
    "seen": {"type": "datetime", "optional": True, "array": False},
    "home": {"type": "geopoint", "optional": True, "array": False},
    "photo": {"type": "image_url", "optional": True, "array": False},
    "pet": {"type": "object", "optional": True, "array": False},
    "brands": {"type": "string", "optional": True, "array": True},
    "channel": {"type": "string", "optional": True, "array": False, "eq": ["web", "shop"]},
    "short": {"type": "string", "optional": True, "array": False, "maxLength": 3},
    "small": {"type": "number", "optional": True, "array": False, "lte": 10, "gt": 0},
    "gone": {"type": "number", "optional": True, "array": False, "deleted": True},
}
NAN = float("nan")


@dataclass(frozen=True)
class Case:
    """One row: `sent` is the customer without its source_id, or `refused` what a reason says."""

    name: str
    record: dict[str, Any]
    sent: dict[str, Any] | None = None
    refused: str = ""
    key: str = "a"
    said: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=lambda: {"properties": SCHEMA})


def meta(**values: Any) -> dict[str, Any]:
    return {"metadata": values}


MAPPED = {"mapping": {"name": "details", "address.city": "city", "metadata.tier": "tier"}}
INSIDE = {"mapping": {"name": "extra.full.name", "metadata.tier": "extra.tier"}}
REQUIRED = {"properties": {"tier": {"type": "string", "optional": False, "array": False}}}
STRICT = {"properties": SCHEMA, "allow_defined_only": True}
SEND = {"nulls": "send"}

CASES = [
    Case(
        "fields of the same names are sent",
        {"name": "Ann", "phone": "+48 1"},
        {"name": "Ann", "phone": "+48 1"},
    ),
    Case("a property without a place is not sent", {"extra": "x"}, {}),
    Case(
        "text stays as it is, spaces and case included", {"email": " A@B.c "}, {"email": " A@B.c "}
    ),
    Case("unicode names stay", {"name": "Zoë Ⅷ 🦊"}, {"name": "Zoë Ⅷ 🦊"}),
    Case("empty text is sent as it is", {"name": ""}, {"name": ""}),
    Case(
        "an integer in a text field becomes text", {"phone": 48600100200}, {"phone": "48600100200"}
    ),
    Case(
        "a huge integer in a text field keeps its digits", {"phone": 2**70}, {"phone": str(2**70)}
    ),
    Case(
        "a decimal in a text field keeps its digits", {"name": Decimal("12.50")}, {"name": "12.50"}
    ),
    Case("an exponent in a text field is written out", {"name": Decimal("1E+3")}, {"name": "1000"}),
    Case(
        "an absurd exponent does not flood memory",
        {"name": Decimal("1E+999999")},
        {"name": "1E+999999"},
    ),
    Case("a boolean is no text", {"name": True}, refused="name is true or false, not text"),
    Case("a list is no text", {"name": ["a"]}, refused="name is a list, not text"),
    Case("an object is no text", {"name": {}}, refused="name is an object, not text"),
    Case("NaN is no text", {"name": NAN}, refused="name is a number, not text"),
    Case(
        "control characters in a text field are sent", {"name": "a\x00b\tc"}, {"name": "a\x00b\tc"}
    ),
    Case(
        "a lone surrogate in a field is refused",
        {"name": "a\ud800"},
        refused="name holds broken Unicode",
    ),
    Case(
        "all reasons are listed",
        {"name": [], "email": {}, "source_id": ""},
        refused="nothing is sent; name is a list, not text; email is an object, not text",
    ),
    Case("null is left out", {"name": None, "email": "e"}, {"email": "e"}),
    Case("null is sent when asked for", {"name": None}, {"name": None}, config=SEND),
    Case("a missing property is not null", {}, {}, config=SEND),
    Case("a date is sent", {"birthdate": "1990-01-31"}, {"birthdate": "1990-01-31"}),
    Case(
        "a time stamp at midnight is a date",
        {"birthdate": "1990-01-31T00:00:00+00:00"},
        {"birthdate": "1990-01-31"},
    ),
    Case(
        "a time stamp at midnight with decimals is a date",
        {"birthday": "1990-01-31T00:00:00.000000Z"},
        {"birthday": "1990-01-31"},
    ),
    Case(
        "a time stamp with a time of day may be another day",
        {"birthdate": "1990-01-30T23:00:00Z"},
        refused="birthdate is not a date",
    ),
    Case("a blank date is no date", {"birthdate": " "}, {}),
    Case(
        "a blank date clears when nulls are sent",
        {"birthdate": ""},
        {"birthdate": None},
        config=SEND,
    ),
    Case(
        "a day that does not exist is refused",
        {"birthdate": "1990-02-30"},
        refused="birthdate is not a date",
    ),
    Case("a week date is refused", {"birthdate": "1990-W01-1"}, refused="birthdate is not a date"),
    Case(
        "a date in words is refused", {"birthdate": "31.01.1990"}, refused="birthdate is not a date"
    ),
    Case("a number is no date", {"birthdate": 19900131}, refused="birthdate is not a date"),
    Case(
        "an address arrives as an object",
        {"address": {"city": "Łódź", "postal_code": 90001}},
        {"address": {"city": "Łódź", "postal_code": "90001"}},
    ),
    Case(
        "an address loses what has no place in it",
        {"address": {"city": "X", "planet": "Mars"}},
        {"address": {"city": "X"}},
        said="address.planet",
    ),
    Case(
        "nulls inside an address are left out",
        {"address": {"city": None, "state": "NY"}},
        {"address": {"state": "NY"}},
    ),
    Case(
        "nulls inside an address are sent when asked for",
        {"address": {"city": None}},
        {"address": {"city": None}},
        config=SEND,
    ),
    Case("an empty address is not sent", {"address": {}}, {}),
    Case(
        "a null address clears when nulls are sent",
        {"address": None},
        {"address": None},
        config=SEND,
    ),
    Case("a list is no address", {"address": []}, refused="address is a list, not an object"),
    Case(
        "an address as JSON text is read", {"address": '{"city": "X"}'}, {"address": {"city": "X"}}
    ),
    Case(
        "dotted names are fields",
        {"address.city": "X", "metadata.level": 3},
        {"address": {"city": "X"}, "metadata": {"level": 3}},
    ),
    Case(
        "mapping gives fields",
        {"details": "Ann", "city": "X", "tier": "gold"},
        {"name": "Ann", "address": {"city": "X"}, "metadata": {"tier": "gold"}},
        config=MAPPED,
    ),
    Case(
        "mapping replaces the same names",
        {"name": "not this", "details": "this"},
        {"name": "this"},
        config=MAPPED,
    ),
    Case(
        "mapping reaches into objects",
        {"extra": {"full": {"name": "Ann"}, "tier": "x"}},
        {"name": "Ann", "metadata": {"tier": "x"}},
        config=INSIDE,
    ),
    Case("mapping into what is no object finds nothing", {"extra": "text"}, {}, config=INSIDE),
    Case(
        "metadata arrives as an object",
        meta(anything="x", number=1.5),
        meta(anything="x", number=1.5),
    ),
    Case("metadata as JSON text is read", {"metadata": '{"vip": true}'}, meta(vip=True)),
    Case(
        "broken JSON text is no metadata",
        {"metadata": '{"vip": tru'},
        refused="metadata is text, not an object",
    ),
    Case("a list is no metadata", {"metadata": [1]}, refused="metadata is a list, not an object"),
    Case("empty metadata might clear, so it is not sent", {"metadata": {}}, {}),
    Case(
        "nested metadata is sent as it is",
        meta(a={"b": [1, {"c": None}]}),
        meta(a={"b": [1, {"c": None}]}),
    ),
    Case(
        "metadata keys may hold anything",
        meta(**{"a.b c": "x", "ü": "y"}),
        meta(**{"a.b c": "x", "ü": "y"}),
    ),
    Case("a null metadata value is left out", meta(tier=None, vip=True), meta(vip=True)),
    Case(
        "a null metadata value is sent when asked for",
        meta(tier=None),
        meta(tier=None),
        config=SEND,
    ),
    Case(
        "number as text is a number where the schema says so", meta(score="12.5"), meta(score=12.5)
    ),
    Case("a decimal keeps its digits", meta(score=Decimal("0.10")), meta(score=0.10)),
    Case("words are no number", meta(score="many"), refused="metadata.score is text, not a number"),
    Case(
        "a boolean is no number",
        meta(score=True),
        refused="metadata.score is true or false, not a number",
    ),
    Case(
        "NaN is no number",
        meta(score=NAN),
        refused="metadata.score is not a number that JSON readers can hold",
    ),
    Case(
        "infinity is no number",
        meta(other=float("inf")),
        refused="metadata.other is not a number that JSON readers can hold",
    ),
    Case(
        "the word NaN is no number",
        meta(score="NaN"),
        refused="metadata.score is not a number that JSON readers can hold",
    ),
    Case(
        "a number beyond all exponents is refused",
        meta(other=Decimal("1E+400")),
        refused="metadata.other is not a number",
    ),
    Case(
        "an integer beyond 2^53 would be rounded",
        meta(other=2**53 + 1),
        refused="metadata.other is an integer beyond 2^53",
    ),
    Case("2^53 itself is exact", meta(other=2**53), meta(other=2**53)),
    Case(
        "an integer beyond 2^53 deep inside is found",
        meta(a=[{"b": 10**20}]),
        refused="metadata.a is an integer beyond 2^53",
    ),
    Case("an integer beyond 2^53 is fine as text", meta(tier=10**20), meta(tier=str(10**20))),
    Case("a number becomes text where the schema says so", meta(tier=3), meta(tier="3")),
    Case(
        "a boolean does not become text",
        meta(tier=False),
        refused="metadata.tier is true or false, not text",
    ),
    Case("the word true is a boolean where the schema says so", meta(vip="TRUE"), meta(vip=True)),
    Case("blank text is no number", meta(score=" ", tier="gold"), meta(tier="gold")),
    Case("blank text is neither true nor false", meta(vip="", tier="gold"), meta(tier="gold")),
    Case("blank text is no time", meta(since="", seen="", tier="gold"), meta(tier="gold")),
    Case(
        "blank text clears a number when nulls are sent",
        meta(score=""),
        meta(score=None),
        config=SEND,
    ),
    Case("blank text is text where the schema says so", meta(tier=" "), meta(tier=" ")),
    Case("zero is false where the schema says so", meta(vip=0), meta(vip=False)),
    Case(
        "maybe is no boolean", meta(vip="maybe"), refused="metadata.vip is text, not true or false"
    ),
    Case(
        "a date is cut out of midnight",
        meta(since="2020-01-01T00:00:00Z"),
        meta(since="2020-01-01"),
    ),
    Case(
        "a database's date and time gets its T",
        meta(seen="2020-01-01 10:00:00+00:00"),
        meta(seen="2020-01-01T10:00:00+00:00"),
    ),
    Case(
        "a date alone is a date and time at midnight",
        meta(seen="2020-01-01"),
        meta(seen="2020-01-01T00:00:00Z"),
    ),
    Case(
        "words are no date and time",
        meta(seen="yesterday"),
        refused="metadata.seen is not an ISO 8601 date and time",
    ),
    Case("a geopoint loses its spaces", meta(home="52.2, 21.0"), meta(home="52.2,21.0")),
    Case(
        "a geopoint off the globe is refused",
        meta(home="95,0"),
        refused="metadata.home is not a geopoint",
    ),
    Case(
        "an image must have an address",
        meta(photo="me.png"),
        refused="metadata.photo is not the URL",
    ),
    Case("an object is an object", meta(pet={"kind": "cat"}), meta(pet={"kind": "cat"})),
    Case("text is no object", meta(pet="cat"), refused="metadata.pet is text, not an object"),
    Case("a list where the schema says so", meta(brands=["a", 1]), meta(brands=["a", "1"])),
    Case("one value is no list", meta(brands="a"), refused="metadata.brands must be a list"),
    Case("an allowed value passes", meta(channel="web"), meta(channel="web")),
    Case(
        "any other value is refused", meta(channel="fax"), refused="metadata.channel must be one of"
    ),
    Case(
        "a text too long is refused",
        meta(short="four"),
        refused="metadata.short must have at most the length 3",
    ),
    Case(
        "a number out of range is refused",
        meta(small=11),
        refused="metadata.small must be at most 10",
    ),
    Case("a removed definition counts no more", meta(gone="free"), meta(gone="free")),
    Case(
        "an undefined key is refused where only defined ones may be",
        meta(other=1),
        refused="metadata.other is not defined",
        metadata=STRICT,
    ),
    Case(
        "a required key that is missing is refused",
        meta(other=1),
        refused="metadata.tier is missing",
        metadata=REQUIRED,
    ),
    Case(
        "a required key that is mapped and null is refused",
        {"tier": None},
        refused="metadata.tier is missing",
        metadata=REQUIRED,
        config=MAPPED,
    ),
    Case(
        "without any metadata nothing is required of it",
        {"name": "Ann"},
        {"name": "Ann"},
        metadata=REQUIRED,
    ),
    Case(
        "unmapped properties become metadata",
        {"extra": "x", "name": "Ann"},
        {"name": "Ann", **meta(extra="x")},
        config={"unmapped": "metadata"},
    ),
    Case(
        "undeclared properties become metadata too",
        {"new": 1},
        meta(new=1),
        config={"unmapped": "metadata"},
    ),
    Case("undeclared properties are said once", {"new": 1}, {}, said="unmapped new"),
    Case(
        "columns of loaders are never metadata",
        {"_sdc_batched_at": "x", "_refused_key": "y"},
        {},
        config={"unmapped": "metadata"},
    ),
    Case("a key of digits is text", {"source_id": 17}, {}, key="17", said="number"),
    Case(
        "a key beyond 64 bits keeps its digits",
        {"source_id": 10**25},
        {},
        key=str(10**25),
        said="number",
    ),
    Case(
        "a whole decimal key loses its zeros",
        {"source_id": Decimal("17.00")},
        {},
        key="17",
        said="number",
    ),
    Case(
        "a broken number is no key",
        {"source_id": Decimal("17.5")},
        refused="source_id is a number, neither text nor a whole number",
    ),
    Case(
        "NaN is no key",
        {"source_id": NAN},
        refused="source_id is a number, neither text nor a whole number",
    ),
    Case(
        "an endless number is no key",
        {"source_id": Decimal("1E+999999")},
        refused="neither text nor a whole number",
    ),
    Case("a boolean is no key", {"source_id": True}, refused="source_id is true or false, neither"),
    Case("an object is no key", {"source_id": {}}, refused="source_id is an object, neither"),
    Case("null is no key", {"source_id": None}, refused="source_id is missing or blank"),
    Case("an empty key is refused", {"source_id": ""}, refused="source_id is missing or blank"),
    Case("a blank key is refused", {"source_id": "   "}, refused="source_id is missing or blank"),
    Case("a padded key is stripped at its end", {"source_id": " a  "}, {}, key=" a", said="padded"),
    Case(
        "a key of ten thousand letters is sent", {"source_id": "k" * 10_000}, {}, key="k" * 10_000
    ),
    Case(
        "a key with a line feed is refused",
        {"source_id": "a\nb"},
        refused="source_id holds control characters",
    ),
    Case(
        "a key with a lone surrogate is refused",
        {"source_id": "a\udcff"},
        refused="source_id holds control characters or broken Unicode",
    ),
    Case("a key with unusual spaces is sent", {"source_id": "a\u00a0b"}, {}, key="a\u00a0b"),
    Case("a key like a path is sent", {"source_id": "../x?y#z%2F"}, {}, key="../x?y#z%2F"),
    Case(
        "any property may be the key",
        {"email": "A@b.c"},
        {"email": "A@b.c"},
        key="A@b.c",
        config={"source_id": "email"},
    ),
    Case(
        "a key may lie inside an object",
        {"extra": {"id": 5}},
        {},
        key="5",
        config={"source_id": "extra.id"},
        said="number",
    ),
    Case(
        "nine megabytes of metadata fit alone",
        meta(blob="x" * 9_000_000),
        meta(blob="x" * 9_000_000),
    ),
    Case(
        "more than ten megabytes do not",
        meta(blob="x" * 10_485_760),
        refused="the customer alone is over 10 MB",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_record_becomes_customer(case: Case) -> None:
    settings = of_customers(**case.config)
    plan = resolve(settings, "customers", dict.fromkeys(NAMES, FREE), ["source_id"])
    said: list[str] = []
    build = EntityBuilder(
        plan, MetadataSchema(case.metadata), settings, lambda topic, _words: said.append(topic)
    )
    record = {"source_id": "a", **case.record}
    if case.refused:
        with pytest.raises(NotACustomerError) as refused:
            build(record)
        assert case.refused in str(refused.value)
        return
    key, payload = build(record)
    assert key == case.key
    assert msgspec.json.decode(payload) == {"source_id": case.key, **(case.sent or {})}
    assert not case.said or case.said in said


def test_a_decimal_is_sent_with_all_its_digits() -> None:
    settings = of_customers()
    plan = resolve(settings, "customers", {"source_id": FREE, "metadata": FREE}, [])
    build = EntityBuilder(plan, MetadataSchema(), settings, lambda _topic, _words: None)
    payload = build({"source_id": "a", "metadata": {"n": Decimal("0.12345678901234567890")}})[1]
    assert payload == b'{"metadata":{"n":0.12345678901234567890},"source_id":"a"}'


WRONG = [
    ("no key", {}, {"name": FREE}, [], InputError, "no key property"),
    ("several keys", {}, {"a": FREE, "b": FREE}, ["a", "b"], InputError, "several key properties"),
    (
        "a key that is not there",
        {"source_id": "x"},
        {"a": FREE},
        ["a"],
        InputError,
        "no property x",
    ),
    (
        "a property that is not there",
        {"mapping": {"name": "x"}},
        {"a": FREE},
        ["a"],
        InputError,
        "has no property x",
    ),
    ("a field that is none", {"mapping": {"nick": "a"}}, {"a": FREE}, ["a"], SettingsError, "nick"),
    (
        "id, which bulk does not know",
        {"mapping": {"id": "a"}},
        {"a": FREE},
        ["a"],
        SettingsError,
        "no field",
    ),
    (
        "an address member that is none",
        {"mapping": {"address.planet": "a"}},
        {"a": FREE},
        ["a"],
        SettingsError,
        "address.planet",
    ),
    (
        "metadata without a key",
        {"mapping": {"metadata.": "a"}},
        {"a": FREE},
        ["a"],
        SettingsError,
        "no field",
    ),
    (
        "properties without a place",
        {"unmapped": "refuse"},
        {"a": FREE, "b": FREE},
        ["a"],
        InputError,
        "b of stream contacts have no place",
    ),
]


@pytest.mark.parametrize(
    ("config", "properties", "keys", "error", "words"),
    [case[1:] for case in WRONG],
    ids=[case[0] for case in WRONG],
)
def test_mapping_is_refused_at_the_schema(
    config: dict[str, Any],
    properties: dict[str, Any],
    keys: list[str],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        resolve(of_customers(**config), "contacts", properties, keys)


def test_a_source_id_property_wins_over_other_keys() -> None:
    plan = resolve(of_customers(), "c", {"source_id": FREE, "id": FREE}, ["id"])
    assert plan.key.prop == "source_id"
    assert plan.unmapped == ("id",)
