"""The form of a customer in which the ledger of target-voucherify knows it.

The tap makes the same form of what Voucherify shows, so that it can tell what the target wrote from
what somebody else did. Both must make it alike, byte by byte; where Voucherify prints a value
otherwise than it was sent, the two differ, and the change counts as somebody else's.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LEDGER_LAYOUT = "4"
"""Version of the tables of a ledger; one with another is refused."""

Fields = dict[str, list[str] | None]
"""The fields that a target writes: those of an object with their members, `None` for a whole."""

encode = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
"""Sorts keys at every level: a database that returns them in another order changes nothing."""


def digest(data: bytes) -> bytes:
    """Sixteen bytes that change with the data."""
    return blake2b(data, digest_size=16).digest()


def fingerprint(payload: bytes, salt: bytes) -> bytes:
    """Sixteen bytes that change with a customer and with the settings that shape it.

    Args:
        payload: the customer as it is sent.
        salt: the digest of the settings.
    """
    return blake2b(payload, digest_size=16, key=salt).digest()


def sent_form(row: Mapping[str, Any], fields: Fields, *, with_nulls: bool) -> bytes:
    """What a target would have sent, if what a row shows came from its CRM.

    Args:
        row: a customer as Voucherify shows it.
        fields: that the target writes.
        with_nulls: whether it sends nulls.
    """
    made: dict[str, Any] = {"source_id": row.get("source_id")}
    for name, members in fields.items():
        value = row.get(name)
        if members is not None:
            value = _of(value, members, with_nulls=with_nulls)
        if value not in (None, {}) or (with_nulls and value is None):
            made[name] = value
    return encode(made)


def rest_of(row: Mapping[str, Any], fields: Fields, besides: Collection[str]) -> bytes:
    """What a row shows that a target does not write.

    Args:
        row: a customer as Voucherify shows it.
        fields: that the target writes.
        besides: members that a write of the target moves, such as the time of update.
    """
    rest: dict[str, Any] = {}
    for name, value in row.items():
        members = fields.get(name, ())
        if members is None or name in besides:
            continue
        rest[name] = _without(value, members) if members else value
    return encode(rest)


def _of(value: Any, members: Collection[str], *, with_nulls: bool) -> dict[str, Any]:
    inside = value if isinstance(value, dict) else {}
    found = {name: inside.get(name) for name in members}
    return {name: value for name, value in found.items() if with_nulls or value is not None}


def _without(value: Any, members: Collection[str]) -> Any:
    if not isinstance(value, dict):
        return None
    return {name: member for name, member in value.items() if name not in members}
