"""Singer messages as input of the target."""

from __future__ import annotations

import json
from typing import Any

TEXT = {"type": ["null", "string"]}
PROPERTIES: dict[str, Any] = {
    "source_id": {"type": "string"},
    "name": TEXT,
    "email": TEXT,
    "phone": TEXT,
    "metadata": {"type": ["null", "object"]},
}


def schema(
    properties: dict[str, Any] | None = None,
    stream: str = "customers",
    keys: tuple[str, ...] = ("source_id",),
) -> dict[str, Any]:
    """A SCHEMA message."""
    body = {"type": "object", "properties": properties or PROPERTIES}
    return {"type": "SCHEMA", "stream": stream, "schema": body, "key_properties": list(keys)}


def record(number: int | str, *, stream: str = "customers", **more: Any) -> dict[str, Any]:
    """A RECORD message of one contact."""
    contact = {
        "source_id": f"crm-{number}",
        "name": f"Contact {number}",
        "email": f"contact{number}@example.com",
        "phone": f"+1 555 {number:>07}",
        **more,
    }
    return {"type": "RECORD", "stream": stream, "record": contact}


def state(value: Any) -> dict[str, Any]:
    """A STATE message."""
    return {"type": "STATE", "value": value}


def lines(*messages: dict[str, Any] | str) -> str:
    """Messages as lines; a text is used as it is."""
    return "".join(
        message if isinstance(message, str) else json.dumps(message) + "\n" for message in messages
    )


def contacts(count: int, *, state_every: int = 0, start: int = 0) -> list[dict[str, Any]]:
    """A SCHEMA and `count` contacts, with a STATE after each `state_every` of them."""
    messages = [schema()]
    for number in range(start, start + count):
        messages.append(record(number))
        if state_every and (number - start + 1) % state_every == 0:
            messages.append(state({"seen": number + 1}))
    return messages
