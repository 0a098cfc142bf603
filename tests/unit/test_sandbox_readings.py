"""Every reading of the sandbox changes a response."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.readings import answers, names
from wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRST, LAST = "2026-03-02T12:00:00Z", "2026-03-02T12:00:03Z"


@dataclass
class World:
    """One sandbox and one connection to it."""

    sandbox: Sandbox
    wire: Wire

    @property
    def project(self) -> Any:
        return self.sandbox.project

    def four(self) -> World:
        """Four customers a second apart from noon on; 0 and 1 were updated an hour later."""
        for number in range(4):
            self.sandbox.clock.set(NOON + timedelta(seconds=number))
            self.project.upsert_customer({"source_id": str(number)})
        for number in range(2):
            self.sandbox.clock.set(NOON + timedelta(hours=1, seconds=number))
            self.project.update_customer(str(number), {"name": "changed"})
        return self

    def seen(self, **query: Any) -> str:
        return "".join(self.wire.ids(**query))

    def one(self, key: str = "0") -> Any:
        return self.wire.get(f"customers/{key}")

    def moved(self, change: Callable[[], object]) -> bool:
        """Whether a change moves `updated_at`."""
        self.sandbox.clock.set(NOON + timedelta(hours=5))
        change()
        return str(self.one().get("updated_at")).startswith("2026-03-02T17")


def write(world: World, fields: Any) -> Any:
    """A customer with name, phone, address and metadata after one more write."""
    first = {"name": "N", "phone": "+1 (2) 3", "address": {"city": "C"}, "metadata": {"a": 1}}
    world.wire("POST", "/v1/customers", {"source_id": "w", **first})
    world.wire("POST", "/v1/customers", {"source_id": "w", **fields})
    return world.one("w")


def bulk(world: World, rows: list[Any]) -> Any:
    reply = world.wire("POST", "/v1/customers/bulk/async", rows)
    if reply.status != 202:
        return reply.body["key"]
    world.project.finish_jobs()
    return world.wire.get(f"async-actions/{reply.body['async_action_id']}")["result"]


def names_after(world: World) -> Any:
    rows = [{"source_id": "d", "name": "first"}, {"source_id": "d", "name": "last"}]
    result = bulk(world, rows)
    return result if isinstance(result, str) else world.one("d")["name"]


def refer(world: World) -> World:
    project = world.project
    project.create_referral_campaign("Friends", referrer_reward={"gift_credit": 5})
    world.sandbox.clock.set(NOON)
    code = project.referral_code("Friends", "adam")
    world.sandbox.clock.set(NOON + timedelta(hours=1))
    project.redeem(code, "rita", {"amount": 1})
    return world


def behind_a_gone_row(world: World) -> Any:
    """The places of the rows behind the second of three, which is gone; `None` for an error."""
    world.project.create_referral_campaign("P", referrer_reward={"loyalty_points": 5})
    rows = world.project.loyalty.pending_points
    for points in range(3):
        world.project.add_pending_points("P points", "adam", points)
    ids = sorted(rows)
    campaign = rows.pop(ids[1])["campaign_id"]
    path = f"loyalties/{campaign}/pending-points"
    listed = world.wire.get(path, starting_after_id=ids[1]).get("data")
    return None if listed is None else [ids.index(row["id"]) for row in listed]


def skus_inside(world: World) -> Any:
    world.project.create_product({"name": "Mug"}, [{"sku": str(n)} for n in range(12)])
    return world.wire.get("products")["products"][0]["skus"]["data"]


def rewarded(world: World, kind: str) -> Any:
    page = refer(world).wire.get("customers/adam/activity", type=kind)
    return page["data"][0]["data"]["data"]


def file(world: World, fields: list[str]) -> bytes:
    world.project.define_metadata("customer", {"tier": {}, "lang": {}})
    world.project.upsert_customer({"source_id": 'a"b', "metadata": {"tier": "gold", "x": 1}})
    body = {"exported_object": "customer", "parameters": {"fields": fields}}
    made = world.wire("POST", "/v1/exports", body).body
    for _ in range(2):
        made = world.wire.get(f"exports/{made['id']}")
    return world.wire("GET", made["result"]["url"].removeprefix(world.sandbox.url)).content


def running(world: World) -> Any:
    job = world.wire("POST", "/v1/customers/bulk/async", [{"source_id": "a"}]).body
    return world.wire.get(f"async-actions/{job['async_action_id']}").get("result", "absent")


def import_of_orders(world: World, *amounts: int | str) -> dict[str, Any]:
    """The result of an import of one order after another, all of one key."""
    rows = [{"source_id": "o", "customer": {"source_id": "c"}, "amount": one} for one in amounts]
    job = world.wire("POST", "/v1/orders/import", rows).body["async_action_id"]
    for _ in range(2):
        action = world.wire.get(f"async-actions/{job}")
    result: dict[str, Any] = action["result"]
    return result


def imported_twice(world: World) -> tuple[int, list[int]]:
    """How many of two imports of one order fail, and the amounts of the orders there."""
    failed = import_of_orders(world, 1, 2)["failed_count"]
    return failed, [row["amount"] for row in world.project.records.orders.values()]


def second_import(world: World) -> int:
    for _ in range(2):
        reply = world.wire("POST", "/v1/orders/import", [{"source_id": "o"}])
    return reply.status


def page_past_the_cap(world: World) -> Any:
    world.project.add_customers(990, prefix="c")
    reply = world.wire.get("customers", limit=10, page=100)
    return reply.get("key") or len(reply["customers"])


def states(world: World) -> list[str]:
    world.wire("POST", "/v1/customers/bulk/async", [])
    page = "async-actions"
    return [world.wire.get(page)["async_actions"][0]["status"] for _ in range(3)]


def export_states(world: World) -> list[str]:
    made = world.wire("POST", "/v1/exports", {"exported_object": "customer"}).body
    return [made["status"], *(world.wire.get(f"exports/{made['id']}")["status"] for _ in range(2))]


def tied(world: World) -> str:
    world.project.add_customers(5, prefix="c", created_at=NOON)
    pages = [world.seen(order="created_at", limit=2, page=page) for page in (1, 2, 3)]
    return "".join(pages).replace("c-", "")


def job_with_time(world: World) -> list[str]:
    world.sandbox.readings.job_polls = 0
    world.sandbox.clock.set(NOON)
    world.wire("POST", "/v1/customers/bulk/async", [])
    seen = []
    for _ in range(2):
        seen.append(world.wire.get("async-actions")["async_actions"][0]["status"])
        world.sandbox.clock.advance(1)
    return seen


def lagging(world: World) -> str:
    world.four()
    world.sandbox.clock.set(NOON + timedelta(hours=1, seconds=0.5))
    shown = world.wire.get("customers", order="created_at")["customers"]
    return "".join(row["source_id"] + row.get("name", "")[:1] for row in shown)


def settled(world: World) -> int:
    refer(world)
    return len(world.wire.get("customers/adam/activity", type="customer.rewarded")["data"])


def total(world: World) -> Any:
    window = {"created_at[after]": "2026-03-02T12:00:01Z", "order": "created_at"}
    return world.wire.get("customers", starting_after="2026-03-02T12:00:02Z", **window).get("total")


def without(world: World, key: str) -> World:
    world.project.delete_customer(key)
    return world


def same_write(world: World) -> bool:
    return world.moved(lambda: world.wire("PUT", "/v1/customers/0", {"name": "changed"}))


def bulk_write(world: World) -> bool:
    return world.moved(lambda: bulk(world, [{"source_id": "0", "name": "bulk"}]))


def spelled(world: World) -> int:
    for key in ("Key", "key"):
        world.wire("POST", "/v1/customers", {"source_id": key})
    return len(world.project.customers)


def first_event(world: World) -> Any:
    return world.four().wire.get("customers/0/activity")["data"][0]["type"]


def events_from(world: World, start: str) -> int:
    return len(world.wire.get("customers/0/activity", start_date=start)["data"])


def head(world: World, fields: list[str], line: int = 0) -> bytes:
    return file(world, fields).splitlines()[line]


UPDATED = {"order": "updated_at"}
THREE_BAD = [{"source_id": str(number), "name": 1} for number in range(3)]

# (reading, answer) → function that observes it, expected result
SHOWN: dict[tuple[str, Any], tuple[Callable[[World], Any], Any]] = {
    ("filters", "exclusive"): (lambda w: w.four().seen(**{"created_at[after]": FIRST}), "321"),
    ("filters", "inclusive"): (lambda w: w.four().seen(**{"created_at[after]": FIRST}), "3210"),
    ("cursor", "exclusive"): (lambda w: w.four().seen(starting_after=LAST), "210"),
    ("cursor", "inclusive"): (lambda w: w.four().seen(starting_after=LAST), "3210"),
    ("updated_cursor", "updated_at"): (
        lambda w: w.four().seen(**UPDATED, starting_after=FIRST),
        "01",
    ),
    ("updated_cursor", "created_at"): (
        lambda w: w.four().seen(**UPDATED, starting_after=FIRST),
        "1",
    ),
    ("never_updated", "excluded"): (lambda w: w.four().seen(**UPDATED), "01"),
    ("never_updated", "first"): (lambda w: w.four().seen(**UPDATED), "2301"),
    ("never_updated", "last"): (lambda w: w.four().seen(**UPDATED), "0123"),
    ("never_updated", "mixed"): (
        lambda w: (
            w.four().seen(**UPDATED),
            w.seen(**UPDATED, **{"updated_at[after]": "2026-03-02T12:00:02Z"}),
        ),
        ("2301", "301"),
    ),
    ("never_updated_in_filters", False): (
        lambda w: w.four().seen(**{"order": "created_at", "updated_at[after]": FIRST}),
        "01",
    ),
    ("never_updated_in_filters", True): (
        lambda w: w.four().seen(**{"order": "created_at", "updated_at[after]": FIRST}),
        "0123",
    ),
    ("ties", "stable"): (tied, "01234"),
    ("ties", "reversed"): (tied, "43210"),
    ("ties", "random"): (lambda w: tied(w) not in {"01234", "43210"}, True),
    ("total", "filtered"): (lambda w: total(w.four()), 2),
    ("total", "all"): (lambda w: total(w.four()), 4),
    ("total", "remaining"): (lambda w: total(w.four()), 1),
    ("total", "absent"): (lambda w: total(w.four()), None),
    ("has_more_in_page_mode", False): (
        lambda w: w.four().wire.get("customers", limit=2, page=1).get("has_more"),
        None,
    ),
    ("has_more_in_page_mode", True): (
        lambda w: w.four().wire.get("customers", limit=2, page=1).get("has_more"),
        True,
    ),
    ("has_more_in_cursor_mode", False): (
        lambda w: w.four().wire.get("customers", limit=2, starting_after=LAST).get("has_more"),
        None,
    ),
    ("has_more_in_cursor_mode", True): (
        lambda w: w.four().wire.get("customers", limit=2, starting_after=LAST).get("has_more"),
        True,
    ),
    ("page_limit", "page_over_limit"): (page_past_the_cap, "page_over_limit"),
    ("page_limit", "invalid_query_params"): (page_past_the_cap, "invalid_query_params"),
    ("page_limit", "empty"): (page_past_the_cap, 0),
    ("page_limit", "last"): (page_past_the_cap, 10),
    ("deleted_listed", False): (lambda w: without(w.four(), "3").seen(), "210"),
    ("deleted_listed", True): (lambda w: "3_deleted" in without(w.four(), "3").seen(), True),
    ("list_lag_seconds", 0): (lagging, "0c1c23"),
    ("list_lag_seconds", 1): (lagging, "0123"),
    ("missing_updated_at", "absent"): (lambda w: "updated_at" in w.four().one("3"), False),
    ("missing_updated_at", "null"): (lambda w: w.four().one("3")["updated_at"], None),
    ("unchanged_write_updates", True): (lambda w: same_write(w.four()), True),
    ("unchanged_write_updates", False): (lambda w: same_write(w.four()), False),
    ("bulk_write_updates", True): (lambda w: bulk_write(w.four()), True),
    ("bulk_write_updates", False): (lambda w: bulk_write(w.four()), False),
    ("recalculation_updates", True): (lambda w: "updated_at" in refer(w).one("rita"), True),
    ("recalculation_updates", False): (lambda w: "updated_at" in refer(w).one("rita"), False),
    ("upsert", "partial"): (lambda w: write(w, {"email": "e"}).get("name"), "N"),
    ("upsert", "full"): (lambda w: write(w, {"email": "e"}).get("name"), None),
    ("metadata", "merge"): (
        lambda w: write(w, {"metadata": {"b": 2}})["metadata"],
        {"a": 1, "b": 2},
    ),
    ("metadata", "replace"): (lambda w: write(w, {"metadata": {"b": 2}})["metadata"], {"b": 2}),
    ("address", "merge"): (
        lambda w: write(w, {"address": {"state": "S"}})["address"],
        {"city": "C", "state": "S"},
    ),
    ("address", "replace"): (
        lambda w: write(w, {"address": {"state": "S"}})["address"],
        {"state": "S"},
    ),
    ("nulls", "clear"): (lambda w: write(w, {"name": None}).get("name", "absent"), "absent"),
    ("nulls", "store"): (lambda w: write(w, {"name": None}).get("name", "absent"), None),
    ("nulls", "ignore"): (lambda w: write(w, {"name": None, "metadata": None})["name"], "N"),
    ("nulls", "refuse"): (
        lambda w: w.wire("POST", "/v1/customers", {"source_id": "w", "name": None}).status,
        400,
    ),
    ("metadata_nulls", "store"): (
        lambda w: write(w, {"metadata": {"a": None}})["metadata"],
        {"a": None},
    ),
    ("metadata_nulls", "remove"): (lambda w: write(w, {"metadata": {"a": None}})["metadata"], {}),
    ("phones", "as_sent"): (lambda w: write(w, {})["phone"], "+1 (2) 3"),
    ("phones", "normalized"): (lambda w: write(w, {})["phone"], "+123"),
    ("source_id_case", "sensitive"): (spelled, 2),
    ("source_id_case", "insensitive"): (spelled, 1),
    ("settle_seconds", 0): (settled, 1),
    ("settle_seconds", 60): (settled, 0),
    ("job_polls", 0): (states, ["DONE", "DONE", "DONE"]),
    ("job_polls", 3): (states, ["ENQUEUED", "IN_PROGRESS", "DONE"]),
    ("job_seconds", 0): (job_with_time, ["DONE", "DONE"]),
    ("job_seconds", 1): (job_with_time, ["IN_PROGRESS", "DONE"]),
    ("bulk_max_records", 0): (lambda w: bulk(w, THREE_BAD)["failed_count"], 3),
    ("bulk_max_records", 2): (lambda w: bulk(w, THREE_BAD), "too_many_customers"),
    ("bulk_invalid_rows", "row"): (lambda w: bulk(w, [{}])["failed_count"], 1),
    ("bulk_invalid_rows", "request"): (lambda w: bulk(w, [{}]), "invalid_payload"),
    ("duplicates", "in_order"): (names_after, "last"),
    ("duplicates", "last"): (names_after, "last"),
    ("duplicates", "first"): (names_after, "first"),
    ("duplicates", "refuse"): (names_after, "invalid_payload"),
    ("errors_listed", -1): (lambda w: len(bulk(w, THREE_BAD)["errors"]), 3),
    ("errors_listed", 1): (lambda w: len(bulk(w, THREE_BAD)["errors"]), 1),
    ("running_result", "absent"): (running, "absent"),
    ("running_result", "null"): (running, None),
    ("running_result", "partial"): (lambda w: running(w)["done_count"], 0),
    ("known_order_imported", "doubled"): (imported_twice, (0, [1, 2])),
    ("known_order_imported", "changed"): (imported_twice, (0, [2])),
    ("known_order_imported", "refused"): (imported_twice, (1, [1])),
    ("import_failures", "named"): (
        lambda w: import_of_orders(w, "a")["failed"][0]["source_id"],
        "o",
    ),
    ("import_failures", "nameless"): (
        lambda w: import_of_orders(w, "a")["failed"][0]["source_id"],
        None,
    ),
    ("second_import", "queued"): (second_import, 200),
    ("second_import", "refused"): (second_import, 409),
    ("activity_order", "-created_at"): (first_event, "customer.updated"),
    ("activity_order", "created_at"): (first_event, "customer.created"),
    ("activity_dates", "inclusive"): (lambda w: events_from(w.four(), FIRST), 2),
    ("activity_dates", "exclusive"): (lambda w: events_from(w.four(), FIRST), 1),
    ("redemption_instant", "created_at"): (
        lambda w: "created_at" in rewarded(w, "customer.rewarded")["redemption"],
        True,
    ),
    ("redemption_instant", "date"): (
        lambda w: "date" in rewarded(w, "customer.rewarded")["redemption"],
        True,
    ),
    ("reward_redemptions", "activity"): (
        lambda w: rewarded(w, "customer.reward_redemptions.completed")["source"],
        "redemption",
    ),
    ("reward_redemptions", "webhook"): (
        lambda w: rewarded(w, "customer.reward_redemptions.completed")["balance"],
        {"amount": 5},
    ),
    ("unknown_event_types", False): (lambda w: events_from(w.four(), "2001-01-01"), 2),
    ("unknown_event_types", True): (lambda w: events_from(w.four(), "2001-01-01"), 3),
    ("gone_cursor", "empty"): (behind_a_gone_row, []),
    ("gone_cursor", "next"): (behind_a_gone_row, [2]),
    ("gone_cursor", "start"): (behind_a_gone_row, [0, 2]),
    ("gone_cursor", "not_found"): (behind_a_gone_row, None),
    ("skus_in_products", "all"): (lambda w: len(skus_inside(w)), 12),
    ("skus_in_products", "first"): (lambda w: len(skus_inside(w)), 10),
    ("unknown_fields", False): (lambda w: "added_later" in w.four().one(), False),
    ("unknown_fields", True): (lambda w: "added_later" in w.four().one(), True),
    ("null_fields", "none"): (lambda w: w.four().one().get("email", "absent"), "absent"),
    ("null_fields", "missing"): (lambda w: w.four().one().get("email", "absent"), None),
    ("null_fields", "everywhere"): (lambda w: w.four().one()["summary"], None),
    ("export_polls", 0): (export_states, ["SCHEDULED", "DONE", "DONE"]),
    ("export_polls", 2): (export_states, ["SCHEDULED", "IN_PROGRESS", "DONE"]),
    ("export_headers", "display"): (lambda w: head(w, ["id", "source_id"]), b"ID,Source ID"),
    ("export_headers", "fields"): (lambda w: head(w, ["id", "source_id"]), b"id,source_id"),
    ("export_bom", False): (lambda w: file(w, ["id"])[:2], b"ID"),
    ("export_bom", True): (lambda w: file(w, ["id"])[:5], b"\xef\xbb\xbfID"),
    ("export_line_ends", "lf"): (lambda w: b"\r\n" in file(w, ["id"]), False),
    ("export_line_ends", "crlf"): (lambda w: b"\r\n" in file(w, ["id"]), True),
    ("export_quotes", "minimal"): (lambda w: file(w, ["name", "source_id"])[-8:], b',"a""b"\n'),
    ("export_quotes", "all"): (lambda w: head(w, ["id"]), b'"ID"'),
    ("export_metadata", "columns"): (
        lambda w: file(w, ["metadata"]),
        b"metadata.tier,metadata.lang\ngold,\n",
    ),
    ("export_metadata", "json"): (
        lambda w: head(w, ["metadata"], line=1),
        b'"{""tier"": ""gold"", ""x"": 1}"',
    ),
}
PRINTED = {
    "milliseconds": r"\.001Z",
    "seconds": r"00Z",
    "microseconds": r"\.001500Z",
    "short_offset": r"\.0015\+00:00",
    "long_offset": r"\.001500\+00:00",
    "mixed": r"(\.001Z|\.001500Z|\.0015\+00:00|\.001500\+00:00)",
}


@pytest.fixture
def world(sandbox: Sandbox) -> Any:
    made = World(sandbox, Wire(sandbox))
    yield made
    made.wire.close()


@pytest.mark.parametrize(
    ("name", "answer"), [pytest.param(*pair, id="{} is {}".format(*pair)) for pair in SHOWN]
)
def test_a_reading_shows(world: World, name: str, answer: Any) -> None:
    look, expected = SHOWN[name, answer]
    world.sandbox.readings.change(**{name: answer})
    assert look(world) == expected


@pytest.mark.parametrize("form", PRINTED)
def test_instants_are_printed_in_each_form(world: World, form: str) -> None:
    world.sandbox.readings.change(timestamps=form)
    instant = NOON + timedelta(microseconds=1500)
    world.project.add_customers(1, prefix="c", created_at=instant)
    printed = world.one("c-0")["created_at"]
    assert re.fullmatch(rf"2026-03-02T12:00:(00)?{PRINTED[form]}", printed)


def test_every_answer_of_every_reading_is_tested() -> None:
    # The names of webhook events are tested in test_sandbox_webhooks.py.
    tested = {"timestamps": set(PRINTED), "webhook_events": {"activity", "own"}}
    for name, answer in SHOWN:
        tested.setdefault(name, set()).add(str(answer).lower())
    assert set(tested) == set(names())
    for name, seen in tested.items():
        assert len(seen) > 1
        assert answers(name) == ("a number",) or seen == set(answers(name))


def test_readings_can_be_written_as_text() -> None:
    readings = Readings()
    readings.change(deleted_listed="yes", settle_seconds="2.5", job_polls="3", ties="random")
    assert (readings.deleted_listed, readings.settle_seconds) == (True, 2.5)
    assert (readings.job_polls, readings.ties) == (3, "random")


@pytest.mark.parametrize(
    "values", [{"ties": "random", "cursor": "x"}, {"ties": "random", "tides": 1}]
)
def test_readings_change_all_or_none(values: dict[str, Any]) -> None:
    readings = Readings()
    with pytest.raises(ValueError, match=r"cursor takes|no reading is called"):
        readings.change(**values)
    assert readings == Readings()


def test_ties_in_random_order_lose_no_row_of_a_page(world: World) -> None:
    world.sandbox.readings.ties = "random"
    world.project.add_customers(7, prefix="a", created_at=NOON)
    world.project.add_customers(7, prefix="b", created_at=NOON + timedelta(seconds=1))
    for order in ("created_at", "-created_at"):
        page = world.wire.ids(order=order, limit=14)
        assert len(set(page)) == 14
        assert {key[0] for key in page[:7]} == ({"a"} if order == "created_at" else {"b"})
    firsts = {tuple(world.wire.ids(order="created_at", limit=3)) for _ in range(20)}
    assert len(firsts) > 1
