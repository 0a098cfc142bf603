"""Whether an exported customer holds what was sent; pure functions of both.

An export prints values in its own way: a missing value as nothing, numbers and booleans of
undescribed metadata as text, dates perhaps with a time, phone numbers perhaps without spaces.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from target_voucherify.voucherify_client.errors import VoucherifyError
from target_voucherify.voucherify_client.exported_customers import METADATA
from target_voucherify.voucherify_client.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Json = Any
Customer = dict[str, Any]

EMPTY: tuple[Json, ...] = ("", [], {}, None)
"""Values that a CSV file shows as nothing."""

DATE = re.compile(r"\d{4}-\d\d-\d\d")
NOT_DIALED = re.compile(r"[^\d+]")


class Difference(NamedTuple):
    """A field whose printed value is not the one that was sent; dotted inside an object."""

    field: str
    sent: Json
    printed: Json


def differences(
    sent: Mapping[str, Json], printed: Mapping[str, Json], metadata_keys: Collection[str] | None
) -> list[Difference]:
    """The fields of a payload that an exported customer does not hold.

    Args:
        sent: the payload.
        printed: the exported customer.
        metadata_keys: the keys that the export shows; `None` if it shows all.
    """
    return [
        Difference(field, value, there)
        for field, value, there in _pairs(sent, printed, metadata_keys)
        if not _is_same(field, value, there)
    ]


def not_comparable(sent: Mapping[str, Json], metadata_keys: Collection[str] | None) -> list[str]:
    """The metadata keys of a payload that an export does not show."""
    metadata = sent.get(METADATA)
    if metadata_keys is None or not isinstance(metadata, dict):
        return []
    return [key for key, value in metadata.items() if key not in metadata_keys and value]


def _pairs(
    sent: Mapping[str, Json], printed: Mapping[str, Json], metadata_keys: Collection[str] | None
) -> Iterator[tuple[str, Json, Json]]:
    for name, value in sent.items():
        there = printed.get(name)
        if not isinstance(value, dict):
            yield name, value, there
            continue
        members = there if isinstance(there, dict) else {}
        for member, inner in value.items():
            if name != METADATA or metadata_keys is None or member in metadata_keys:
                yield f"{name}.{member}", inner, members.get(member)


def _is_same(field: str, sent: Json, printed: Json) -> bool:
    if sent == printed and type(sent) is type(printed):
        return True
    if field == "phone" and isinstance(sent, str) and isinstance(printed, str):
        return NOT_DIALED.sub("", sent) == NOT_DIALED.sub("", printed)
    return same_value(sent, printed)


def same_value(sent: Json, printed: Json) -> bool:
    """Whether a printed value stands for the one that was sent."""
    if sent in EMPTY or printed in EMPTY:
        return sent in EMPTY and printed in EMPTY
    if isinstance(printed, str):
        return _is_text_of(sent, printed)
    if isinstance(sent, dict) and isinstance(printed, dict):
        return all(same_value(sent.get(n), printed.get(n)) for n in {*sent, *printed})
    if isinstance(sent, list) and isinstance(printed, list):
        return len(sent) == len(printed) and all(map(same_value, sent, printed))
    return isinstance(sent, bool) == isinstance(printed, bool) and bool(sent == printed)


def _is_text_of(sent: Json, printed: str) -> bool:
    """Whether a text is the value, or its JSON."""
    if isinstance(sent, str):
        return sent == printed or _same_instant(sent, printed)
    with suppress(ValueError, RecursionError):
        value = json.loads(printed)
        return not isinstance(value, str) and same_value(sent, value)
    return False


def _same_instant(sent: str, printed: str) -> bool:
    """Whether two texts are one date or one instant: a date may be printed with midnight."""
    if not (DATE.match(sent) and DATE.match(printed)):
        return False
    with suppress(VoucherifyError):
        return parse(sent) == parse(printed)
    return False
