"""Generated Singer messages of a CRM: one file for each size."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

TEXT = {"type": ["string", "null"]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "source_id": {"type": "string"},
        **dict.fromkeys(("name", "email", "phone", "description"), TEXT),
        **dict.fromkeys(("city", "line_1", "country"), TEXT),
        "birthdate": {"type": ["string", "null"], "format": "date"},
        "tier": TEXT,
        "visits": {"type": ["integer", "null"]},
        "newsletter": {"type": ["boolean", "null"]},
        "balance": {"type": ["number", "null"]},
        "updated_at": {"type": ["string", "null"], "format": "date-time"},
    },
}
MAPPING = {
    "name": "name",
    "email": "email",
    "phone": "phone",
    "description": "description",
    "birthdate": "birthdate",
    "address.city": "city",
    "address.line_1": "line_1",
    "address.country": "country",
    "metadata.tier": "tier",
    "metadata.visits": "visits",
    "metadata.newsletter": "newsletter",
    "metadata.balance": "balance",
}
STATE_EVERY = 10_000
"""Records between two STATE messages, as in tap-postgres."""


SIZES = {"0.1 kB": 0, "0.4 kB": None, "1 kB": 700, "10 kB": 9_700}
"""Letters of the description of a record by its size as a message; `None`: as it is, 0: no more
than a name."""


def sized(number: int, letters: int | None) -> dict[str, Any]:
    """One customer in a message of another size."""
    if letters == 0:
        return {"source_id": f"crm-{number:09}", "name": f"Customer {number}"}
    made = record(number)
    return made if letters is None else {**made, "description": "x" * letters}


def record(number: int) -> dict[str, Any]:
    """One customer of the CRM, 0.4 kB as a message."""
    return {
        "source_id": f"crm-{number:09}",
        "name": f"Customer {number}",
        "email": f"customer.{number}@example.com",
        "phone": f"+1 933 {number % 1000:03} {number % 10000:04}",
        "description": "A frequent customer" if number % 2 else None,
        "city": "Łódź",
        "line_1": f"{number % 300} Main St.",
        "country": "Poland",
        "birthdate": f"19{number % 40 + 50}-0{number % 9 + 1}-1{number % 9}",
        "tier": "gold",
        "visits": number % 1000,
        "newsletter": number % 2 == 0,
        "balance": number / 4,
        "updated_at": "2026-03-02T10:15:30.861000+00:00",
    }


def ready_made(folder: Path, count: int, size: str = "0.4 kB") -> Path:
    """The file with SCHEMA, RECORD and STATE messages of `count` customers."""
    path = folder / f"records-{count}-{size.replace(' ', '-')}.singer"
    if path.exists():
        return path
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w") as file:
        schema = {"stream": "customers", "schema": SCHEMA, "key_properties": ["source_id"]}
        print(_line("SCHEMA", **schema), file=file)
        for number in range(count):
            print(_line("RECORD", stream="customers", record=sized(number, SIZES[size])), file=file)
            if number % STATE_EVERY == STATE_EVERY - 1:
                print(_line("STATE", value={"position": number}), file=file)
        print(_line("STATE", value={"position": count}), file=file)
    unfinished.rename(path)
    return path


EXPORTED = (
    *("source_id", "name", "description", "email", "phone", "birthdate", "birthday"),
    *(f"address_{name}" for name in ("city", "state", "line_1", "line_2", "country")),
    *("address_postal_code", "metadata"),
)
"""The columns of an export that the target compares with, in the order in which it names them."""

INSIDE = ("tier", "visits", "newsletter", "balance")
"""Properties of a record that are mapped to metadata."""


def exported(folder: Path, count: int) -> Path:
    """The file of an export of a project that holds these customers already."""
    path = folder / f"exported-{count}.csv"
    if path.exists():
        return path
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", newline="") as file:
        lines = csv.DictWriter(file, EXPORTED, restval="")
        lines.writeheader()
        for number in range(count):
            made = record(number)
            inside = {name: made[name] for name in INSIDE}
            address = {f"address_{name}": made[name] for name in ("city", "line_1", "country")}
            row = {**made, **address, "metadata": json.dumps(inside)}
            lines.writerow({name: row[name] for name in EXPORTED if name in row})
    unfinished.rename(path)
    return path


def _line(kind: str, **parts: Any) -> str:
    return json.dumps({"type": kind, **parts}, separators=(",", ":"), ensure_ascii=False)
