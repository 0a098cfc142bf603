"""The file of a CSV import of customers, as the fields of writes."""

from __future__ import annotations

import csv
import io
import re
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.customers import ADDRESS, TEXTS
from voucherify_sandbox.errors import invalid_payload

if TYPE_CHECKING:
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.request import Request

_FIELDS = frozenset(("source_id", *TEXTS))
_BOOLEANS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def uploaded(request: Request) -> str:
    """The text of the part `file` of a multipart body; 400 if there is none."""
    kind = request.headers.get("content-type", "")
    message = BytesParser(policy=HTTP).parsebytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + request.body
    )
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            return content.decode("utf-8-sig", "replace") if isinstance(content, bytes) else ""
    raise invalid_payload("Property .file is required")


def rows(text: str, rules: Json | None) -> list[Json]:
    """The customers of a file with a header; every unknown column is metadata.

    Args:
        text: comma-separated, with a header row. An empty cell is a value that is not there.
        rules: the metadata schema of customers, which gives columns their types; other metadata
            is text.
    """
    types = rules["properties"] if rules else {}
    try:
        return [_fields(line, types) for line in csv.DictReader(io.StringIO(text, newline=""))]
    except csv.Error:
        raise invalid_payload("The file is not valid CSV") from None


def _fields(line: dict[Any, Any], types: Json) -> Json:
    found: Json = {"metadata": {}}
    for header, cell in line.items():
        # A line that is longer or shorter than the header has no header or no cell.
        if header is None or not cell:
            continue
        name = header.strip().lower()
        part = name.removeprefix("address_")
        if name in _FIELDS:
            found[name] = cell
        elif part in ADDRESS:
            found.setdefault("address", {})[part] = cell
        elif name != "id":
            found["metadata"][header] = _typed(cell, types.get(header) or {})
    return found


def _typed(cell: str, definition: Json) -> Any:
    if definition.get("array"):
        single = {**definition, "array": False}
        return [_typed(part.strip(), single) for part in cell.split(",")]
    if definition.get("type") == "boolean":
        return _BOOLEANS.get(cell.lower(), cell)
    if definition.get("type") == "number" and re.fullmatch(r"-?\d+(\.\d+)?", cell):
        return float(cell) if "." in cell else int(cell)
    return cell
