"""The customers of the sandbox: writes and lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox import Sandbox

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def wire(sandbox: Sandbox) -> Iterator[Wire]:
    connected = Wire(sandbox)
    yield connected
    connected.close()


def test_the_first_write_creates_and_the_second_updates(wire: Wire) -> None:
    created = wire("POST", "/v1/customers", {"source_id": "a", "name": "A", "email": "a@x.io"})
    updated = wire("POST", "/v1/customers", {"source_id": "a", "name": "B"})
    assert (created.status, updated.status) == (200, 200)
    assert created.body["id"] == updated.body["id"]
    assert "updated_at" not in created.body
    assert "updated_at" in updated.body
    assert (updated.body["name"], updated.body["email"]) == ("B", "a@x.io")


def test_the_id_wins_over_the_source_id(wire: Wire) -> None:
    first = wire("POST", "/v1/customers", {"source_id": "a"}).body
    wire("POST", "/v1/customers", {"source_id": "b"})
    both = wire("POST", "/v1/customers", {"id": first["id"], "source_id": "b", "name": "X"}).body
    assert (both["id"], both["source_id"]) == (first["id"], "a")


def test_without_a_key_every_write_creates(wire: Wire) -> None:
    ids = {wire("POST", "/v1/customers", {"name": "X"}).body["id"] for _ in range(2)}
    assert len(ids) == 2


def test_put_changes_but_neither_creates_nor_renames(wire: Wire) -> None:
    wire("POST", "/v1/customers", {"source_id": "a"})
    changed = wire("PUT", "/v1/customers/a", {"name": "A", "source_id": "b"}).body
    assert (changed["name"], changed["source_id"]) == ("A", "a")
    assert wire("PUT", "/v1/customers/b", {"name": "B"}).status == 404


def test_a_deleted_customer_frees_its_source_id(sandbox: Sandbox, wire: Wire) -> None:
    first = wire("POST", "/v1/customers", {"source_id": "a"}).body["id"]
    assert wire("DELETE", "/v1/customers/a").status == 204
    assert wire("DELETE", "/v1/customers/a").status == 404
    assert wire("GET", f"/v1/customers/{first}").status == 404
    (gone,) = sandbox.project.people.deleted.values()
    assert gone.source_id is not None
    assert gone.source_id.startswith("a_deleted20")
    assert gone.updated_at is not None
    assert wire("POST", "/v1/customers", {"source_id": "a"}).body["id"] != first


def test_a_permanent_deletion_says_what_went(wire: Wire) -> None:
    wire("POST", "/v1/customers", {"source_id": "a"})
    body = wire("POST", "/v1/customers/a/permanent-deletion").body
    assert (body["status"], body["data_json"]["customer"]) == ("DONE", 1)
    assert wire.get("customers")["total"] == 0


@pytest.mark.parametrize("key", ["a/b", "a@b.c", "a b", "ż?#%", "../..", "cust_x", "a%2Fb"])
def test_any_source_id_can_be_a_path(wire: Wire, key: str) -> None:
    wire("POST", "/v1/customers", {"source_id": key})
    assert wire.get(f"customers/{quote(key, safe='')}")["source_id"] == key


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        pytest.param({"name": 1}, "invalid_payload", id="a name that is a number"),
        pytest.param({"source_id": 1}, "invalid_payload", id="a source_id that is a number"),
        pytest.param({"source_id": ""}, "invalid_payload", id="an empty source_id"),
        pytest.param({"address": "here"}, "invalid_payload", id="an address that is text"),
        pytest.param({"address": {"city": 1}}, "invalid_payload", id="a city that is a number"),
        pytest.param({"metadata": []}, "invalid_payload", id="metadata that is a list"),
        pytest.param({"birthdate": "2026-02-30"}, "invalid_customer", id="a day that is none"),
        pytest.param({"birthdate": "1.2.1990"}, "invalid_customer", id="another form of date"),
        pytest.param({"metadata": {"tier": "tin"}}, "metadata_validation_failed", id="metadata"),
    ],
)
def test_a_customer_of_the_wrong_form_is_refused(
    sandbox: Sandbox, wire: Wire, fields: dict[str, Any], key: str
) -> None:
    sandbox.project.define_metadata("customer", {"tier": {"eq": ["gold"]}})
    reply = wire("POST", "/v1/customers", {"source_id": "a", **fields})
    assert (reply.status, reply.body["key"]) == (400, key)
    assert len(sandbox.project.customers) == 0


RULES = {
    "text": {"type": "string", "maxLength": 3},
    "count": {"type": "number", "gte": 0, "lt": 10},
    "flag": {"type": "boolean"},
    "day": {"type": "date"},
    "instant": {"type": "datetime"},
    "place": {"type": "geopoint"},
    "picture": {"type": "image_url"},
    "thing": {"type": "object"},
    "tags": {"type": "string", "array": True},
    "needed": {"type": "string", "optional": False},
}


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"text": "abc", "count": 9.5, "flag": False, "day": "2026-01-31"}, ""),
        ({"instant": "2026-01-31T10:00:00Z", "place": "52.2,21.0", "tags": ["a"]}, ""),
        ({"picture": "https://x.io/a.png", "thing": {"a": 1}, "count": None, "extra": 1}, ""),
        ({"text": "abcd"}, "text: must have at most 3 characters (actual value is 'abcd')"),
        ({"count": True}, "count: must be a number"),
        ({"count": -1}, "count: must be greater than or equal to 0"),
        ({"flag": "true"}, "flag: must be a boolean"),
        ({"day": "2026-01-31T10:00:00Z"}, "day: must be a date"),
        ({"instant": "2026-01-31"}, "instant: must be a date in ISO 8601 format"),
        ({"tags": "a"}, "tags: must be an array"),
        ({"text": ["a"]}, "text: must not be an array"),
        ({"tags": ["a", 1]}, "tags: must be a string"),
        ({"needed": None}, "needed: property is required"),
    ],
)
def test_metadata_is_held_against_its_schema(
    sandbox: Sandbox, wire: Wire, metadata: dict[str, Any], says: str
) -> None:
    sandbox.project.define_metadata("customer", RULES)
    body = {"source_id": "a", "metadata": {"needed": "x", **metadata}}
    reply = wire("POST", "/v1/customers", body)
    assert reply.status == (400 if says else 200)
    assert says in reply.body.get("details", "")


def test_undefined_metadata_is_refused_only_where_the_schema_says_so(
    sandbox: Sandbox, wire: Wire
) -> None:
    body = {"source_id": "a", "metadata": {"extra": 1}}
    sandbox.project.define_metadata("customer", {})
    assert wire("POST", "/v1/customers", body).status == 200
    sandbox.project.define_metadata("customer", {}, allow_defined_only=True)
    assert wire("POST", "/v1/customers", body).status == 400


def test_a_list_is_ten_newest_first(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.add_customers(12, prefix="c", spread=timedelta(seconds=11), created_at=NOON)
    page = wire.get("customers")
    assert [row["source_id"] for row in page["customers"]] == [f"c-{n}" for n in range(11, 1, -1)]
    assert (page["total"], page["data_ref"], page["has_more"]) == (12, "customers", True)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({"limit": 2, "page": 2}, "21", id="page 2 of the newest"),
        pytest.param({"order": "created_at"}, "01234", id="oldest first"),
        pytest.param({"order": "source_id"}, "01234", id="by source_id"),
        pytest.param({"order": "-source_id"}, "43210", id="by source_id, descending"),
        pytest.param({"order": "updated_at"}, "43", id="by update, oldest first"),
        pytest.param({"order": "-updated_at"}, "34", id="by update, newest first"),
        pytest.param({"page": 9}, "", id="past the last page"),
        pytest.param({"created_at[after]": "2026-03-02T12:00:02Z"}, "43", id="created after"),
        pytest.param({"created_at[before]": "2026-03-02T12:00:02Z"}, "10", id="created before"),
        pytest.param({"[created_at][before]": "2026-03-02T12:00:02Z"}, "10", id="other brackets"),
        pytest.param({"created_at[before]": "2026-03-02"}, "", id="before a plain date"),
        pytest.param(
            {"order": "created_at", "created_at[after]": "2026-03-02T12:00:01.5+00:00"},
            "234",
            id="created after, oldest first, with an offset",
        ),
        pytest.param(
            {"created_at[after]": "2026-03-02T12:00:02.000000+0000"}, "43", id="the SDK's form"
        ),
        pytest.param({"updated_at[after]": "2026-03-02T13:00:00Z"}, "3", id="updated after"),
        pytest.param({"updated_at[before]": "2026-03-02T14:00:00Z"}, "4", id="updated before"),
        pytest.param(
            {"order": "source_id", "created_at[after]": "2026-03-02T12:00:02Z"},
            "34",
            id="a window in another order",
        ),
        pytest.param(
            {"starting_after": "2026-03-02T12:00:03Z"}, "210", id="the cursor, newest first"
        ),
        pytest.param(
            {"starting_after": "2026-03-02T12:00:03Z", "order": "created_at"},
            "4",
            id="the cursor, oldest first",
        ),
        pytest.param(
            {"starting_after": "2026-03-02T13:00:00Z", "order": "updated_at"},
            "3",
            id="the cursor by update",
        ),
        pytest.param({"email": "2@x.io"}, "2", id="by e-mail"),
        pytest.param({"name": "Name 3"}, "3", id="by name"),
        pytest.param({"city": "Kraków"}, "1", id="by city"),
        pytest.param({"email": "none"}, "", id="by an e-mail nobody has"),
    ],
)
def test_lists_filter_and_order(
    sandbox: Sandbox, wire: Wire, query: dict[str, Any], expected: str
) -> None:
    for number in range(5):
        sandbox.clock.set(NOON + timedelta(seconds=number))
        city = {"city": "Kraków"} if number == 1 else None
        sandbox.project.upsert_customer(
            {
                "source_id": str(number),
                "email": f"{number}@x.io",
                "name": f"Name {number}",
                "address": city,
            }
        )
    for hours, number in ((1, 4), (2, 3)):
        sandbox.clock.set(NOON + timedelta(hours=hours))
        sandbox.project.update_customer(str(number), {"description": "changed"})
    assert "".join(wire.ids(**query)) == expected


def test_a_segment_holds_its_members(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.add_customers(3, prefix="c")
    segment = sandbox.project.create_segment("Some", ["c-0", "c-2"])["id"]
    assert sorted(wire.ids(segment_id=segment)) == ["c-0", "c-2"]
    assert wire.get("customers/c-0/segments")["data"][0]["name"] == "Some"
    assert wire.get("customers/c-1/segments")["data"] == []


def test_a_cursor_answer_says_whether_there_is_more(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.add_customers(3, spread=timedelta(seconds=2), created_at=NOON)
    query = {"order": "created_at", "starting_after": "1970-01-01T00:00:00Z"}
    assert wire.get("customers", limit=2, **query)["has_more"] is True
    assert wire.get("customers", limit=3, **query)["has_more"] is False


def test_instants_are_finer_than_they_print(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.add_customers(1, prefix="c", created_at=NOON + timedelta(microseconds=1500))
    assert wire.get("customers/c-0")["created_at"] == "2026-03-02T12:00:00.001Z"
    printed = {"created_at[after]": "2026-03-02T12:00:00.001Z"}
    assert wire.ids(**printed) == ["c-0"]


def test_a_hundred_thousand_customers_are_read_whole(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.add_customers(
        100_000, prefix="c", spread=timedelta(hours=3), created_at=NOON, updated_at=NOON
    )
    cursor, seen = "1970-01-01T00:00:00Z", set()
    for _ in range(50):
        query = {"order": "created_at", "limit": 100, "starting_after": cursor}
        rows = wire.get("customers", **query)["customers"]
        seen.update(row["id"] for row in rows)
        cursor = rows[-1]["created_at"]
    assert 4_950 <= len(seen) <= 5_000


def test_events_tell_what_happened_to_a_customer(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.upsert_customer({"source_id": "a"})
    sandbox.project.update_customer("a", {"name": "A"})
    sandbox.project.track_event("seen", "a")
    events = wire.get("customers/a/activity", order="created_at")["data"]
    assert [event["type"] for event in events] == [
        "customer.created",
        "customer.updated",
        "customer.custom_event",
    ]
    assert events[0]["data"]["data"]["customer"]["source_id"] == "a"
    assert events[0]["data"]["event_source"] == {"channel": "API"}


def test_activity_pages_by_the_last_event(sandbox: Sandbox, wire: Wire) -> None:
    sandbox.project.upsert_customer({"source_id": "a"})
    for number in range(4):
        sandbox.project.track_event(f"event-{number}", "a")
    page = wire.get("customers/a/activity", order="created_at", limit=2)
    ids = [event["id"] for event in page["data"]]
    assert page["more_starting_after"] == ids[-1]
    while page["has_more"]:
        query = {"order": "created_at", "limit": 2, "starting_after_id": ids[-1]}
        page = wire.get("customers/a/activity", **query)
        ids += [event["id"] for event in page["data"]]
    assert len(ids) == len(set(ids)) == 5
    assert "more_starting_after" not in page


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"type": "customer.created"}, 1),
        ({"category": "ACTION"}, 2),
        ({"category": "EFFECT"}, 0),
        ({"campaign_id": "none"}, 0),
        ({"start_date": "2026-03-02T12:30:00Z"}, 1),
        ({"end_date": "2026-03-02T12:30:00Z"}, 1),
    ],
)
def test_activity_filters(sandbox: Sandbox, wire: Wire, query: dict[str, str], count: int) -> None:
    for hour, act in enumerate((sandbox.project.upsert_customer, sandbox.project.upsert_customer)):
        sandbox.clock.set(NOON + timedelta(hours=hour))
        act({"source_id": "a", "name": str(hour)})
    assert len(wire.get("customers/a/activity", **query)["data"]) == count
