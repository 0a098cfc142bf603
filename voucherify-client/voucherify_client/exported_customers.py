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

from . import lenient_json
from .errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Row = dict[str, Any]

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

WITHOUT_EXPORT = (
    "do without an export (customers_backfill: list, compare: ledger, write_path of orders: single)"
)
"""What to do where exports do not work, in the tap and in the target."""

MAX_CELL_CHARACTERS = 10_485_760
"""The default of 131,072 is less than metadata may have."""


class ExportedCustomers:
    """The customers in a file, one by one.

    Args:
        file: the download; UTF-8, with or without a byte order mark. Closed at its end.
        definitions: the keys of the project's metadata schema, which distinguish numbers from text.
        replaced: called with the number of characters and numbers that could not be kept.
        fields: that were requested, in their order.

    Raises:
        VoucherifyError: the file has other columns than requested, or is truncated; also when it
            is read.
    """

    def __init__(
        self,
        file: IO[bytes],
        definitions: Mapping[str, Any],
        replaced: Callable[[int], None],
        fields: Sequence[str] = FIELDS,
    ) -> None:
        csv.field_size_limit(MAX_CELL_CHARACTERS)
        self._lines = csv.reader(_lines(file, replaced), strict=True)
        self._fields = [name for name in fields if name != METADATA]
        self._definitions, self._replaced = definitions, replaced
        try:
            self._header = next(self._lines, [])
        except csv.Error:
            raise invalid_file() from None
        rest = self._header[len(self._fields) :]
        self._keys = [heading.removeprefix("metadata.") for heading in rest]
        self._has_column_by_key = all(heading.startswith("metadata.") for heading in rest)
        self._check_columns(has_metadata=METADATA in fields)

    @property
    def metadata_keys(self) -> frozenset[str] | None:
        """The keys that have a column; `None` where one column holds all."""
        return frozenset(self._keys) if self._has_column_by_key else None

    def __iter__(self) -> Iterator[Row]:
        """The customers that are left in the file."""
        try:
            for cells in self._lines:
                if len(cells) != len(self._header):
                    raise invalid_file()
                yield self._row(cells)
        except csv.Error:
            raise invalid_file() from None

    def _check_columns(self, *, has_metadata: bool) -> None:
        """Compare the headings with what was requested, as far as both use the same names."""
        count, wanted = len(self._fields), sorted(self._fields)
        fixed = [one.strip().lower().replace(" ", "_") for one in self._header[:count]]
        is_reordered = sorted(fixed) == wanted and fixed != self._fields
        is_complete = len(fixed) == count and (has_metadata or not self._keys)
        if not is_complete or is_reordered or not (self._has_column_by_key or len(self._keys) == 1):
            raise VoucherifyError(
                f"The export has {len(self._header)} columns that are not the "
                f"{count + has_metadata} requested: {WITHOUT_EXPORT}, and report it to the "
                "maintainers with the run's log."
            )

    def _row(self, cells: list[str]) -> Row:
        row: Row = {"object": "customer"}
        for name, cell in zip(self._fields, cells, strict=False):
            *parents, member = PATHS[name]
            parent = row
            for one in parents:
                parent = parent.setdefault(one, {})
            parent[member] = _value(name, cell)
        if not any((row.get("address") or {}).values()):
            row["address"] = None
        row[METADATA] = self._metadata(cells[len(self._fields) :])
        return row

    def _metadata(self, cells: list[str]) -> Row:
        if self._has_column_by_key:
            return {
                key: _typed(cell, self._definitions.get(key, {}), self._replaced)
                for key, cell in zip(self._keys, cells, strict=True)
                if cell
            }
        return _json(cells[0], self._replaced) if cells[0] else {}


def _lines(file: IO[bytes], replaced: Callable[[int], None]) -> Iterator[str]:
    """The lines of a file, with U+FFFD for bytes that are not UTF-8; closes it."""
    with io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as lines:
        for line in lines:
            if line.isascii():
                yield line
                continue
            text, count = lenient_json.NOT_UTF8.subn("\ufffd", line)
            replaced(count)
            yield text


def invalid_file() -> VoucherifyError:
    """The file of an export ends early or is no CSV."""
    return VoucherifyError(
        f"The export file is truncated or not valid CSV: run again, or {WITHOUT_EXPORT}."
    )


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
