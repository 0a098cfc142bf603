"""Filters: `filters[field][conditions][$operator][0]=value`, and the same as JSON in exports."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import timestamps
from voucherify_sandbox.errors import invalid_query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from voucherify_sandbox.errors import Json

Conditions = dict[str, dict[str, list[Any]]]
_PARAMETER = re.compile(r"filters\[([\w.]+)\]\[conditions\]\[(\$\w+)\](?:\[\d*\])?")
_DAY = timedelta(days=1)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _after(value: Any, wanted: list[Any]) -> bool:
    return value is not None and value > _like(value, wanted[0])


def _before(value: Any, wanted: list[Any]) -> bool:
    return value is not None and value < _like(value, wanted[0])


def _is(value: Any, wanted: list[Any]) -> bool:
    if isinstance(value, datetime):
        return any(start <= value < start + _DAY for start in (_like(value, w) for w in wanted))
    return _text(value) in {_text(one) for one in wanted}


_OPERATORS: dict[str, Callable[[Any, list[Any]], bool]] = {
    "$after": _after,
    "$before": _before,
    "$is": _is,
    "$in": _is,
    "$is_not": lambda value, wanted: not _is(value, wanted),
    "$not_in": lambda value, wanted: not _is(value, wanted),
    "$has_value": lambda value, _: value is not None,
    "$is_unknown": lambda value, _: value is None,
    "$contains": lambda value, wanted: any(_text(one) in _text(value) for one in wanted),
    "$not_contain": lambda value, wanted: all(_text(one) not in _text(value) for one in wanted),
    "$starts_with": lambda value, wanted: _text(value).startswith(tuple(map(_text, wanted))),
    "$ends_with": lambda value, wanted: _text(value).endswith(tuple(map(_text, wanted))),
    "$more_than": _after,
    "$less_than": _before,
    "$more_than_equal": lambda value, wanted: _after(value, wanted) or _is(value, wanted),
    "$less_than_equal": lambda value, wanted: _before(value, wanted) or _is(value, wanted),
}


def _like(value: object, wanted: object) -> Any:
    """The value of a condition, converted to the type of the field it is compared with."""
    if isinstance(value, datetime):
        moment = timestamps.parse(_text(wanted))
        if moment is None:
            raise invalid_query(f"{wanted} cannot be recognized as a ISO-8601 compliant date")
        return moment
    if isinstance(value, int):
        try:
            return float(_text(wanted))
        except ValueError:
            raise invalid_query(f"{wanted} should be a number") from None
    return _text(wanted)


def _listed(values: Any) -> list[Any]:
    """The values of an operator; a single one may stand for a list of it."""
    return values if isinstance(values, list) else [values]


def from_query(query: Mapping[str, str]) -> tuple[str, Conditions]:
    """The junction and the conditions in the parameters of a request."""
    conditions: Conditions = {}
    for name, value in query.items():
        found = _PARAMETER.fullmatch(name)
        if found:
            conditions.setdefault(found[1], {}).setdefault(found[2], []).append(value)
    return query.get("filters[junction]", "and"), conditions


def from_json(filters: Json) -> tuple[str, Conditions]:
    """The junction and the conditions in the body of an export request."""
    conditions = {
        name: {operator: _listed(values) for operator, values in part["conditions"].items()}
        for name, part in filters.items()
        if isinstance(part, dict) and isinstance(part.get("conditions"), dict)
    }
    return str(filters.get("junction", "and")), conditions


def tester(
    junction: str, conditions: Conditions, aliases: Mapping[str, str]
) -> Callable[[Json], bool]:
    """A test for one row; `aliases` maps names of filters to fields."""
    checks = [
        (aliases.get(name, name), _operator(operator), values)
        for name, operators in conditions.items()
        for operator, values in operators.items()
    ]
    join = any if junction.lower() == "or" and checks else all

    def test(row: Json) -> bool:
        return join(holds(row.get(name), values) for name, holds, values in checks)

    return test


def _operator(name: str) -> Callable[[Any, list[Any]], bool]:
    if name not in _OPERATORS:
        raise invalid_query(f"Operator {name} is not supported")
    return _OPERATORS[name]
