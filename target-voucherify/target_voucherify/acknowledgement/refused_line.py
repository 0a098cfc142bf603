"""A refused record's line: the bytes as they came, with some members added to the record.

Nothing is decoded and encoded again: that would change numbers, drop one of two members of a name,
and fail on what Python's `json` prints although it is not JSON, such as NaN.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from target_voucherify.json_lines import record_in

if TYPE_CHECKING:
    from collections.abc import Mapping

STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
TOKEN = re.compile(STRING + rb"(?P<colon>\s*:)?|[{}\[\]]", re.DOTALL)

ENTITY = "_refused_entity"
MEMBERS = ("_refused_reason", "_refused_key", "_refused_at", "_refused_hash", ENTITY)
VALUE = rb"(?:null|" + STRING + rb")"
EARLIER = re.compile(
    rb",?" + rb",".join(b'"%s":%s' % (name.encode(), VALUE) for name in MEMBERS) + rb"\Z",
    re.DOTALL,
)
"""The members at the end of a record that was refused before."""


def with_refusal(line: bytes, refusal: Mapping[str, str | None]) -> bytes:
    """The line of a RECORD message with members added to its record, in place of earlier ones.

    Args:
        line: a line that was decoded before, so it is a message with a record.
        refusal: a value for each of `MEMBERS`.
    """
    end = _end_of_record(line)
    earlier = EARLIER.search(line, 0, end)
    before = line[: earlier.start() if earlier else end]
    comma = b"" if before.rstrip().endswith(b"{") else b","
    members = msgspec.json.encode({name: _valid(refusal[name]) for name in MEMBERS})[1:-1]
    return before + comma + members + line[end:]


def refused_at(line: bytes) -> float | None:
    """When the record of a line was read by the run that refused it; `None` for any other."""
    if b'"_refused_at"' not in line:
        return None
    try:
        return datetime.fromisoformat(record_in(line)[1]["_refused_at"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None


def _end_of_record(line: bytes) -> int:
    """Position of the brace that closes the record; the last one counts, as for readers of JSON."""
    depth = end = 0
    is_record = False
    for token in TOKEN.finditer(line):
        text = token[0]
        if text in {b"{", b"["}:
            depth += 1
        elif text in {b"}", b"]"}:
            depth -= 1
            if depth == 1 and is_record:
                end = token.start()
        elif depth == 1 and token["colon"]:
            name = text[: -len(token["colon"])].decode("utf-8", "surrogateescape")
            is_record = json.loads(name) == "record"
    return end


def _valid(text: str | None) -> str | None:
    """Text without lone surrogates, which JSON has not."""
    return text and text.encode("utf-8", "replace").decode()
