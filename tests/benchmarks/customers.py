"""Generated customers: their JSON in one file for each size.

They have the fields of Voucherify's published samples: about a kilobyte, a third of them updated,
some with points, referrals and metadata. No two have the same creation time, so that every
contestant can paginate in the simplest way.
"""

from __future__ import annotations

import json
from array import array
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=200)
"""The customers are created evenly in this time."""

UPDATED_EVERY = 3
REWARDED_EVERY = 5
TIERS = ("bronze", "silver", "gold")
CITIES = ("Katowice", "Łódź", "Berlin", "New York", "São Paulo")


def step(count: int) -> timedelta:
    """The time between two customers, in whole milliseconds."""
    return timedelta(milliseconds=SPAN // timedelta(milliseconds=1) // count)


def instant(at: datetime) -> str:
    """A timestamp in the format of most published samples."""
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def customer(number: int, created_at: datetime) -> dict[str, Any]:
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
    return made


def ready_made(folder: Path, count: int) -> tuple[Path, array[int]]:
    """The file with all customers, a comma between two, and where each begins in it.

    The last offset is one past the comma that the last customer does not have.
    """
    rows, offsets = folder / f"customers-{count}.json", folder / f"customers-{count}.offsets"
    if not offsets.exists():
        _make(rows, offsets, count)
    places = array("Q")
    with offsets.open("rb") as file:
        places.frombytes(file.read())
    return rows, places


def _make(rows: Path, offsets: Path, count: int) -> None:
    places, at, position = array("Q", [0]), FIRST, 0
    with rows.open("wb") as file:
        for number in range(count):
            row = customer(number, at)
            text = json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()
            position += file.write(text + b",")
            places.append(position)
            at += step(count)
    offsets.write_bytes(places.tobytes())
