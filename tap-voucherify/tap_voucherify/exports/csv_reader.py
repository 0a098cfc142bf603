"""Read the CSV file of a customers export as the rows that the list would give.

Columns are taken by position, because Voucherify's documentation and the one published file
disagree on their headings. An export has no per-campaign loyalty, no referrals, no system metadata
and no gift or loyalty-card totals, and like any CSV file it shows no difference between a missing
value and an empty text.
"""

from __future__ import annotations

import csv
import io
from typing import IO, TYPE_CHECKING, Any

from tap_voucherify.voucherify_client import lenient_json
from tap_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tap_voucherify.pagination.time_cursor import Row

ADDRESS = ("city", "state", "line_1", "line_2", "country", "postal_code")
REDEMPTIONS = (
    "total_redeemed",
    "total_failed",
    "total_succeeded",
    "total_rolled_back",
    "total_rollback_failed",
    "total_rollback_succeeded",
)
ORDERS = ("total_amount", "total_count", "average_amount", "last_order_amount")
LOYALTY = ("points", "referred_customers")

TEXTS = (
    *("id", "source_id", "name", "description", "email", "phone", "birthdate", "birthday"),
    *("created_at", "updated_at"),
)

PATHS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in TEXTS},
    **{f"address_{name}": ("address", name) for name in ADDRESS},
    **{f"redemptions_{name}": ("summary", "redemptions", name) for name in REDEMPTIONS},
    **{f"orders_{name}": ("summary", "orders", name) for name in ORDERS},
    "orders_last_order_date": ("summary", "orders", "last_order_date"),
    **{f"loyalty_{name}": ("loyalty", name) for name in LOYALTY},
}
"""Exported field, by the name in Voucherify's documentation, to its place in a customer."""

METADATA = "metadata"
"""Requested last: it may become one column of JSON or a column for each key of the schema."""

FIELDS = (*PATHS, METADATA)

NUMBERS = frozenset(
    name
    for name, path in PATHS.items()
    if path[0] in {"summary", "loyalty"} and path[-1] != "last_order_date"
)

MAX_CELL_CHARACTERS = 10_485_760
"""The default of 131,072 is less than metadata may have."""


def read_customers(
    file: IO[bytes], definitions: Mapping[str, Any], replaced: Callable[[int], None]
) -> Iterator[Row]:
    """The customers in a file, one by one.

    Args:
        file: the download; UTF-8, with or without a byte order mark.
        definitions: the keys of the project's metadata schema, which distinguish numbers from text.
        replaced: called with the number of characters and numbers that could not be kept.

    Raises:
        VoucherifyError: the file has other columns than requested, or is truncated.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    lines = csv.reader(_lines(file, replaced), strict=True)
    try:
        header = next(lines, [])
        metadata = _metadata_reader(header, definitions, replaced)
        for cells in lines:
            if len(cells) != len(header):
                raise _invalid_file()
            yield _row(cells, metadata)
    except csv.Error:
        raise _invalid_file() from None


def _lines(file: IO[bytes], replaced: Callable[[int], None]) -> Iterator[str]:
    """The lines of a file, with U+FFFD for bytes that are not UTF-8."""
    for line in io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline=""):
        if line.isascii():
            yield line
            continue
        text, count = lenient_json.NOT_UTF8.subn("\ufffd", line)
        replaced(count)
        yield text


def _invalid_file() -> VoucherifyError:
    return VoucherifyError(
        "The export file is truncated or not valid CSV: run again, or set customers_backfill to "
        "list."
    )


def _row(cells: list[str], metadata: Callable[[Sequence[str]], dict[str, Any]]) -> Row:
    row: Row = {"object": "customer"}
    for (name, path), cell in zip(PATHS.items(), cells, strict=False):
        parent = row
        for member in path[:-1]:
            parent = parent.setdefault(member, {})
        parent[path[-1]] = _value(name, cell)
    if not any(row["address"].values()):
        row["address"] = None
    row[METADATA] = metadata(cells[len(PATHS) :])
    return row


def _value(name: str, cell: str) -> str | int | float | None:
    if not cell:
        return None
    return _number(cell) if name in NUMBERS else cell


def _number(cell: str) -> int | float | None:
    """A number; in the published sample, sums of money have decimals."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return int(number) if number.is_integer() else number


def _metadata_reader(
    header: list[str], definitions: Mapping[str, Any], replaced: Callable[[int], None]
) -> Callable[[Sequence[str]], dict[str, Any]]:
    """A function that makes metadata of the columns after the fixed ones.

    Raises:
        VoucherifyError: the columns are not those requested.
    """
    named = [heading.strip().lower().replace(" ", "_") for heading in header]
    fixed, rest = named[: len(PATHS)], header[len(PATHS) :]
    keys = [heading.removeprefix("metadata.") for heading in rest]
    expanded = all(heading.startswith("metadata.") for heading in rest)
    reordered = sorted(fixed) == sorted(PATHS) and fixed != list(PATHS)
    if len(fixed) < len(PATHS) or reordered or not (expanded or len(rest) == 1):
        raise VoucherifyError(
            f"The export has {len(header)} columns that are not the {len(FIELDS)} requested: set "
            "customers_backfill to list, and report it to the maintainers with the run's log."
        )
    if expanded:
        return lambda cells: {
            key: _typed(cell, definitions.get(key, {}), replaced)
            for key, cell in zip(keys, cells, strict=True)
            if cell
        }
    return lambda cells: _json(cells[0], replaced) if cells[0] else {}


def _typed(cell: str, definition: Mapping[str, Any], replaced: Callable[[int], None]) -> Any:
    """The value of a metadata key: text is written plain, all else as JSON."""
    if definition.get("array") or definition.get("type") in {"number", "boolean", "object"}:
        return _json(cell, replaced)
    return cell


def _json(cell: str, replaced: Callable[[int], None]) -> Any:
    try:
        value, count = lenient_json.decode(cell.encode())
    except (ValueError, RecursionError):
        return cell
    replaced(count)
    return value
