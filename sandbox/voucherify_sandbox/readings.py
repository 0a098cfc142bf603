"""Readings: possible answers to questions that Voucherify's published description leaves open."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(kw_only=True)
class Readings:
    """One answer to each open question; the defaults are the likely ones."""

    # Lists of customers
    filters: Literal["exclusive", "inclusive"] = "exclusive"
    cursor: Literal["exclusive", "inclusive"] = "exclusive"
    updated_cursor: Literal["updated_at", "created_at"] = "updated_at"
    never_updated: Literal["excluded", "first", "last", "mixed"] = "excluded"
    never_updated_in_filters: bool = False
    ties: Literal["stable", "reversed", "random"] = "stable"
    total: Literal["filtered", "all", "remaining", "absent"] = "filtered"
    has_more_in_page_mode: bool = False
    has_more_in_cursor_mode: bool = True
    page_limit: Literal["page_over_limit", "invalid_query_params", "empty", "last"] = (
        "page_over_limit"
    )
    deleted_listed: bool = False
    list_lag_seconds: float = 0

    # Lists whose cursor is the id of a row
    gone_cursor: Literal["empty", "next", "start", "not_found"] = "empty"

    # What a write changes
    missing_updated_at: Literal["absent", "null"] = "absent"
    unchanged_write_updates: bool = True
    bulk_write_updates: bool = True
    recalculation_updates: bool = True
    upsert: Literal["partial", "full"] = "partial"
    metadata: Literal["merge", "replace"] = "merge"
    address: Literal["merge", "replace"] = "merge"
    nulls: Literal["clear", "store", "ignore", "refuse"] = "clear"
    metadata_nulls: Literal["store", "remove"] = "store"
    phones: Literal["as_sent", "normalized"] = "as_sent"
    source_id_case: Literal["sensitive", "insensitive"] = "sensitive"
    settle_seconds: float = 0

    # Bulk jobs
    job_polls: int = 2
    job_seconds: float = 0
    bulk_max_records: int = 0
    bulk_invalid_rows: Literal["row", "request"] = "row"
    duplicates: Literal["in_order", "last", "first", "refuse"] = "in_order"
    errors_listed: int = -1
    running_result: Literal["absent", "null", "partial"] = "absent"

    # Imports of orders
    known_order_imported: Literal["doubled", "changed", "refused"] = "doubled"
    import_failures: Literal["named", "nameless"] = "named"
    second_import: Literal["queued", "refused"] = "queued"

    # Activity
    activity_order: Literal["-created_at", "created_at"] = "-created_at"
    activity_dates: Literal["inclusive", "exclusive"] = "inclusive"
    redemption_instant: Literal["created_at", "date"] = "created_at"
    reward_redemptions: Literal["activity", "webhook"] = "activity"
    unknown_event_types: bool = False

    # Webhooks
    webhook_events: Literal["activity", "own"] = "activity"

    # Products
    skus_in_products: Literal["all", "first"] = "all"

    # The form of responses
    timestamps: Literal[
        "milliseconds", "seconds", "microseconds", "short_offset", "long_offset", "mixed"
    ] = "milliseconds"
    unknown_fields: bool = False
    null_fields: Literal["none", "missing", "everywhere"] = "none"

    # Exports
    export_polls: int = 2
    export_headers: Literal["display", "fields"] = "display"
    export_bom: bool = False
    export_line_ends: Literal["lf", "crlf"] = "lf"
    export_quotes: Literal["minimal", "all"] = "minimal"
    export_metadata: Literal["columns", "json"] = "columns"

    def change(self, **values: object) -> None:
        """Set several readings, all or none.

        Raises:
            ValueError: a name is unknown or a value is not one of its answers.
        """
        checked = {name: checked_value(name, value) for name, value in values.items()}
        for name, value in checked.items():
            setattr(self, name, value)


_TYPES = get_type_hints(Readings)
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def answers(name: str) -> tuple[str, ...]:
    """The values of one reading as text."""
    kind = _TYPES[name]
    if get_origin(kind) is Literal:
        return tuple(str(answer) for answer in get_args(kind))
    return ("true", "false") if kind is bool else ("a number",)


def names() -> tuple[str, ...]:
    """The names of all readings, in the order of the class."""
    return tuple(field.name for field in fields(Readings))


def checked_value(name: str, value: object) -> Any:
    """`value`, as text or typed, converted to the type of its reading.

    Raises:
        ValueError: the name is unknown or the value is not one of its answers.
    """
    if name not in _TYPES:
        raise ValueError(f"no reading is called {name!r}; there are: {', '.join(names())}")
    kind = _TYPES[name]
    if get_origin(kind) is Literal:
        good = value in get_args(kind)
    elif kind is bool:
        value = _WORDS.get(str(value).lower())
        good = value is not None
    else:
        value, good = _number(kind, value)
    if not good:
        raise ValueError(f"reading {name} takes {', '.join(answers(name))}")
    return value


def from_file(path: Path) -> dict[str, Any]:
    """The readings of a file that `certify` wrote, checked.

    Raises:
        ValueError: the file is not one, or holds an unknown name or answer.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: checked_value(name, value) for name, value in dict(found).items()}
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a file of readings: {error}") from error


def _number(kind: type, value: object) -> tuple[object, bool]:
    try:
        return kind(value), True
    except (TypeError, ValueError):
        return None, False
