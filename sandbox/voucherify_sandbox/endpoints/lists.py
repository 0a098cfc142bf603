"""The two ways every other list pages: by number and by the identifier of the last row (§12)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import filters
from voucherify_sandbox.errors import not_found
from voucherify_sandbox.messages import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.messages import Request
    from voucherify_sandbox.project import Project


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What one list takes and says.

    `orders` are the fields it sorts by, either way; `aliases` the field a parameter's name
    stands for; `windows` the fields with `[before]` and `[after]`; `equals` the parameters that
    must equal a field; `total` and `has_more` whether the envelope has them.
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


def by_page(project: Project, request: Request, rows: Iterable[Json], rules: Rules) -> Answer:
    """One numbered page."""
    limit, page = request.limit(), request.page(rules.last_page) or 1
    matching, total = _counted(project, request, list(rows), rules)
    chosen = matching[(page - 1) * limit : page * limit]
    body = _envelope(project, chosen, rules, total)
    if rules.has_more:
        body["has_more"] = len(matching) > page * limit
    return Answer(200, body)


def by_cursor(project: Project, request: Request, rows: Iterable[Json], rules: Rules) -> Answer:
    """The rows after the one named by `starting_after_id`; the next such id comes along."""
    limit, after = request.limit(), request.text("starting_after_id")
    matching, total = _counted(project, request, list(rows), rules)
    rest = matching
    if after is not None:
        ids = [row["id"] for row in matching]
        rest = matching[ids.index(after) + 1 :] if after in ids else []
    body = _envelope(project, rest[:limit], rules, total)
    body["has_more"] = len(rest) > limit
    if body["has_more"]:
        body["more_starting_after"] = rest[limit - 1]["id"]
    return Answer(200, body)


def found(project: Project, rows: Mapping[str, Json], identity: str, kind: str) -> Answer:
    """One resource, or 404."""
    if identity not in rows:
        raise not_found(kind, identity)
    return Answer(200, project.show(rows[identity]))


def _counted(
    project: Project, request: Request, rows: list[Json], rules: Rules
) -> tuple[list[Json], int | None]:
    """The rows that match and may be shown, in their order, and `total`."""
    matching = _matching(request, rows, rules)
    totals = {"all": len(rows), "absent": None}
    total = totals.get(project.readings.total, len(matching))
    shown = [row for row in matching if row["id"] not in project.hidden]
    return _ordered(project, shown, request, rules), total


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
            if request.moment(f"{name}[{side}]"):
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
        """Rows without the field count as the lowest, whatever the type of the others is."""
        value = row.get(name)
        return (value is not None, "" if value is None else value)

    ordered = sorted(rows, key=key, reverse=order.startswith("-"))
    if project.readings.never_updated != "excluded":
        first = project.readings.never_updated == "first"
        ordered.sort(key=lambda row: (row.get(name) is None) is not first)
    return ordered
