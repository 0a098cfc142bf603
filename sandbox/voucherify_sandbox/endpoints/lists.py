"""Lists other than that of customers: pages by number, or by the id of the last row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import filters
from voucherify_sandbox.errors import not_found
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.request import Request


UNDATED = "$undated"
"""The member that holds the row itself, where it is sorted by another time than it shows."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The parameters and envelope of one list.

    `orders` are the fields it can sort by; `aliases` maps parameter names to fields; `windows` are
    the fields with `[before]` and `[after]`; `equals` maps parameters to the fields that they must
    equal; `total` and `has_more` say whether the envelope has them.
    """

    data_ref: str = "data"
    orders: tuple[str, ...] = ()
    default: str = "-created_at"
    last_page: int = 100
    aliases: Mapping[str, str] = field(default_factory=dict)
    windows: tuple[str, ...] = ()
    equals: Mapping[str, str] = field(default_factory=dict)
    total: bool = True
    has_more: bool = False


def by_page(project: Project, request: Request, rows: Iterable[Json], rules: Rules) -> Response:
    """One numbered page."""
    limit, page = request.limit(), request.page(rules.last_page) or 1
    matching, total = _counted(project, request, list(rows), rules)
    chosen = matching[(page - 1) * limit : page * limit]
    body = _envelope(project, chosen, rules, total)
    if rules.has_more:
        body["has_more"] = len(matching) > page * limit
    return Response(200, body)


def by_cursor(project: Project, request: Request, rows: Iterable[Json], rules: Rules) -> Response:
    """The rows after `starting_after_id`, with the next such id."""
    limit, after = request.limit(), request.text("starting_after_id")
    matching, total = _counted(project, request, list(rows), rules)
    rest = matching if after is None else _behind(project, matching, after)
    body = _envelope(project, rest[:limit], rules, total)
    body["has_more"] = len(rest) > limit
    if body["has_more"]:
        body["more_starting_after"] = rest[limit - 1]["id"]
    return Response(200, body)


def _behind(project: Project, rows: list[Json], after: str) -> list[Json]:
    """The rows that follow the one with an id, which may be gone."""
    ids = [row["id"] for row in rows]
    if after in ids:
        return rows[ids.index(after) + 1 :]
    reading = project.readings.gone_cursor
    if reading == "not_found":
        raise not_found("resource", after)
    descends = ids != sorted(ids)
    following = [row for row in rows if (row["id"] < after if descends else row["id"] > after)]
    return {"empty": [], "next": following, "start": rows}[reading]


def found(project: Project, rows: Mapping[str, Json], identity: str, kind: str) -> Response:
    """One resource; 404 if there is none."""
    if identity not in rows:
        raise not_found(kind, identity)
    return Response(200, project.show(rows[identity]))


def _counted(
    project: Project, request: Request, rows: list[Json], rules: Rules
) -> tuple[list[Json], int | None]:
    """The matching rows in their order, without hidden ones, and `total`."""
    if project.readings.never_updated == "mixed":
        rows = [_dated(row) for row in rows]
    matching = _matching(request, rows, rules)
    totals = {"all": len(rows), "absent": None}
    total = totals.get(project.readings.total, len(matching))
    shown = [row for row in matching if row["id"] not in project.hidden]
    ordered = _ordered(project, shown, request, rules)
    return [row.get(UNDATED, row) for row in ordered], total


def _dated(row: Json) -> Json:
    """A row that is filtered and sorted by its creation where it was never updated."""
    if row.get("updated_at") is not None or "created_at" not in row:
        return row
    return {**row, "updated_at": row["created_at"], UNDATED: row}


def _envelope(project: Project, rows: list[Json], rules: Rules, total: int | None) -> Json:
    shown = [project.show(row) for row in rows]
    body: Json = {"object": "list", "data_ref": rules.data_ref, rules.data_ref: shown}
    if rules.total and total is not None:
        body["total"] = total
    return body


def _matching(request: Request, rows: Iterable[Json], rules: Rules) -> list[Json]:
    junction, conditions = filters.from_query(request.query)
    tests = [filters.tester(junction, conditions, rules.aliases)]
    windows: filters.Conditions = {}
    for name in rules.windows:
        for side in ("after", "before"):
            if request.timestamp(f"{name}[{side}]"):
                value = request.query[f"{name}[{side}]"]
                windows.setdefault(name, {})[f"${side}"] = [value]
    for parameter, name in rules.equals.items():
        if (text := request.text(parameter)) is not None:
            windows.setdefault(name, {})["$is"] = [text]
    tests.append(filters.tester("and", windows, rules.aliases))
    return [row for row in rows if all(test(row) for test in tests)]


def _ordered(project: Project, rows: list[Json], request: Request, rules: Rules) -> list[Json]:
    allowed = {f"{sign}{name}" for name in rules.orders for sign in ("", "-")}
    order = (request.text("order", allowed) if rules.orders else None) or rules.default
    name = order.lstrip("-")
    name = rules.aliases.get(name, name)

    def key(row: Json) -> tuple[bool, Any]:
        """Sort rows without the field as the lowest."""
        value = row.get(name)
        return (value is not None, "" if value is None else value)

    ordered = sorted(rows, key=key, reverse=order.startswith("-"))
    if project.readings.never_updated in {"first", "last"}:
        first = project.readings.never_updated == "first"
        ordered.sort(key=lambda row: (row.get(name) is None) is not first)
    return ordered
