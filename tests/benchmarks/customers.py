"""Generated rows, customers above all: their JSON in one file for each size and kind of data.

They have the fields of Voucherify's published samples: about a kilobyte, a third of them updated,
some with points, referrals and metadata. No two have the same creation time, so that every
contestant can paginate in the simplest way.

The kinds differ in what the tap's schema does not expect, and in how the JSON is written.
"""

from __future__ import annotations

import json
from array import array
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Customer = dict[str, Any]

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=200)
"""The customers are created evenly in this time."""

UPDATED_EVERY = 3
REWARDED_EVERY = 5
TIERS = ("bronze", "silver", "gold")
CITIES = ("Katowice", "Łódź", "Berlin", "New York", "São Paulo")


PLAIN = "as published"


def _unknown_members(made: Customer, number: int) -> None:
    made["added_later"] = {"since": "2027-01-01", "values": [number, None, {"a": "b"}]}
    made["address"]["district"] = "Nowy Świat"
    made["summary"]["orders"]["returned_amount"] = number


def _characters(made: Customer, number: int) -> None:
    made["name"] = f'Zoë "Ada" Łódź \\ 💶 {number}'
    made["description"] = "one line\nand another\twith a tab"
    made["metadata"]["note"] = "über 💶"


def _nested(made: Customer, number: int) -> None:
    made["metadata"]["deep"] = {"a": {"b": [1, None, {"c": f"d{number}"}]}, "none": None}
    made["birthday"] = made["address"]["state"] = made["system_metadata"] = None


def _misfit(made: Customer, number: int) -> None:
    made["phone"] = number


def _nothing(made: Customer, number: int) -> None:
    del made, number


CHANGES: Mapping[str, Callable[[Customer, int], None]] = {
    "members that the schema does not name": _unknown_members,
    "escapes and letters beyond ASCII": _characters,
    "nested metadata and nulls": _nested,
    "one in a hundred does not fit": lambda made, number: (
        _misfit(made, number) if number % 100 == MISFIT else None
    ),
    "none fits": _misfit,
}
"""What a kind of data changes in a customer; a number is no phone."""

SPELLINGS: Mapping[str, Mapping[str, Any]] = {
    "escapes and letters beyond ASCII": {"ensure_ascii": True, "separators": (",", ":")},
    "indented": {"ensure_ascii": False, "indent": 2},
}
COMPACT = {"ensure_ascii": False, "separators": (",", ":")}
MISFIT = 50

KINDS = (PLAIN, *CHANGES, "indented")


def step(count: int) -> timedelta:
    """The time between two customers, in whole milliseconds."""
    return timedelta(milliseconds=SPAN // timedelta(milliseconds=1) // count)


def instant(at: datetime) -> str:
    """A timestamp in the format of most published samples."""
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def customer(number: int, created_at: datetime, kind: str = PLAIN) -> Customer:
    """One customer; the same number is the same customer."""
    rewarded = number % REWARDED_EVERY == 0
    points = number % 900 if rewarded else 0
    made = {
        "id": f"cust_{number:024}",
        "source_id": f"crm-{number:09}",
        "name": f"Customer {number}",
        "description": "A frequent customer",
        "email": f"customer.{number}@example.com",
        "phone": f"+1 933 {number % 1000:03} {number % 10000:04}",
        "birthdate": f"19{number % 40 + 50}-0{number % 9 + 1}-1{number % 9}",
        "address": {
            "city": CITIES[number % len(CITIES)],
            "state": "NY",
            "line_1": f"{number % 300} Main St.",
            "line_2": None,
            "country": "United States",
            "postal_code": f"{number % 100_000:05}",
        },
        "summary": {
            "redemptions": {
                "total_redeemed": points,
                "total_failed": 0,
                "total_succeeded": points,
                "total_rolled_back": 0,
                "total_rollback_failed": 0,
                "total_rollback_succeeded": 0,
                "gift": {"redeemed_amount": 0, "amount_to_go": 0},
                "loyalty_card": {"redeemed_points": 0, "points_to_go": points},
            },
            "orders": {
                "total_amount": 100 * points,
                "total_count": points,
                "average_amount": 100,
                "last_order_amount": 100,
            },
        },
        "loyalty": {
            "points": points,
            "referred_customers": 0,
            "campaigns": {"Points for all": {"points": points}} if rewarded else {},
        },
        "referrals": {"total": 0, "campaigns": []},
        "metadata": {"tier": TIERS[number % 3], "newsletter": number % 2 == 0, "visits": number},
        "system_metadata": {},
        "created_at": instant(created_at),
        "object": "customer",
    }
    if number % UPDATED_EVERY == 0:
        made["updated_at"] = instant(created_at + timedelta(days=30))
    CHANGES.get(kind, _nothing)(made, number)
    return made


SCHEMAS = ROOT / "tap-voucherify/tap_voucherify/schemas"

OTHER_LISTS = ("vouchers", "redemptions", "orders", "publications")
"""Lists whose rows are made from the tap's schema of them."""


def row_maker(kind: str) -> Callable[[int, datetime], Customer]:
    """Makes the rows of another list, or customers of a kind of data."""
    if kind not in OTHER_LISTS:
        return lambda number, at: customer(number, at, kind)
    schema = json.loads((SCHEMAS / f"{kind}.json").read_text())
    schema["properties"].pop("modified_at", None)  # the tap's own
    return lambda number, at: _sample(schema, number, instant(at))


def _sample(schema: Mapping[str, Any], number: int, at: str) -> Any:
    """A value of a schema, the richest that it allows."""
    types, known = schema.get("type", "string"), schema.get("properties", {})
    if "object" in types:
        made = {name: _sample(part, number, at) for name, part in known.items()}
        return made | ({"id": f"row_{number:012}"} if "id" in known else {})
    if "array" in types:
        return [_sample(schema.get("items", {}), number, at)]
    if "string" in types:
        return at if "format" in schema else f"Text {number % 100}"
    return number % 2 == 0 if "boolean" in types else number


def ready_made(folder: Path, count: int, kind: str = PLAIN) -> tuple[Path, array[int]]:
    """The file with all rows, a comma between two, and where each begins in it.

    The last offset is one past the comma that the last row does not have.
    """
    name = f"customers-{count}-{kind.replace(' ', '-')}"
    rows, offsets = folder / f"{name}.json", folder / f"{name}.offsets"
    if not offsets.exists():
        _make(rows, offsets, count, kind)
    places = array("Q")
    with offsets.open("rb") as file:
        places.frombytes(file.read())
    return rows, places


def _make(rows: Path, offsets: Path, count: int, kind: str) -> None:
    spelling, make = SPELLINGS.get(kind, COMPACT), row_maker(kind)
    places, at, position = array("Q", [0]), FIRST, 0
    with rows.open("wb") as file:
        for number in range(count):
            text = json.dumps(make(number, at), **spelling).encode()
            position += file.write(text + b",")
            places.append(position)
            at += step(count)
    offsets.write_bytes(places.tobytes())
