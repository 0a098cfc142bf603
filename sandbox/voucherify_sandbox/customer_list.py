"""`GET /v1/customers`: which customers a page holds, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.readings import Readings

Window = tuple["datetime | None", "datetime | None"]
_ANY: Window = (None, None)
_CREATED, _UPDATED = attrgetter("created_at"), attrgetter("updated_at")


def _changed(customer: Customer) -> datetime:
    """The last change of a customer, or the creation of one that was never updated."""
    return customer.updated_at or customer.created_at


_VALUES: dict[str, Callable[[Any], Any]] = {
    "created_at": _CREATED,
    "updated_at": _UPDATED,
    "source_id": lambda customer: customer.source_id or "",
}


@dataclass(frozen=True, kw_only=True)
class ListQuery:
    """The parameters of one list request. A window is (after, before); either may be `None`."""

    limit: int = 10
    page: int | None = None
    order: str = "-created_at"
    starting_after: datetime | None = None
    created_at: Window = _ANY
    updated_at: Window = _ANY
    email: str | None = None
    city: str | None = None
    name: str | None = None
    members: frozenset[str] | None = None

    @property
    def field(self) -> str:
        """The field that `order` names."""
        return self.order.lstrip("-")

    @property
    def descending(self) -> bool:
        """Whether `order` is descending."""
        return self.order.startswith("-")

    @property
    def cache_key(self) -> tuple[object, ...]:
        """The parameters that all pages of one list share."""
        texts = (self.email, self.city, self.name, self.members)
        return (self.order, self.created_at, self.updated_at, *texts)

    def matches(self, customer: Customer) -> bool:
        """Whether a customer matches the filters other than the windows."""
        city = (customer.profile.get("address") or {}).get("city")
        return (
            self.email in {None, customer.profile.get("email")}
            and self.name in {None, customer.profile.get("name")}
            and self.city in {None, city}
            and (self.members is None or customer.id in self.members)
        )


@dataclass(frozen=True)
class Page:
    """One page: its customers, `total`, and whether more follow."""

    customers: list[Customer]
    total: int | None
    has_more: bool


@dataclass(frozen=True)
class Rows:
    """Sorted customers: those that have the field of the order, and those never updated."""

    dated: list[Customer]
    never: list[Customer]


class CustomerList:
    """Serves pages of the list of customers, and sorts each order only once."""

    def __init__(self, readings: Readings) -> None:
        """Start with empty caches."""
        self._readings = readings
        self._state: tuple[object, ...] = ()
        self._orders: dict[str, Rows] = {}
        self._matches: dict[tuple[object, ...], Rows] = {}
        self._random = Random("ties")
        self.hidden: set[str] = set()
        """Ids of customers that `total` counts but no page holds."""

    def page(self, customers: Sequence[Customer], version: object, query: ListQuery) -> Page:
        """The page for one request.

        Args:
            customers: all that may be listed, in order of creation.
            version: changes with `customers` or any of their fields.
            query: the parameters.
        """
        self._forget_if_changed(version)
        rows = self._matching(customers, query)
        count = len(rows.dated) + len(rows.never)
        rows, start = self._from_cursor(self._shown(rows), query), 0
        if query.page is not None:
            start = (query.page - 1) * query.limit
        ordered = _joined(rows, never_first=self._readings.never_updated == "first")
        rest = max(0, len(ordered) - start)
        totals = {"filtered": count, "all": len(customers), "remaining": rest, "absent": None}
        chosen = self._tied(ordered, start, start + query.limit, self._value(query.field))
        return Page(chosen, totals[self._readings.total], rest > query.limit)

    def _value(self, name: str) -> Callable[[Any], Any]:
        """What a list is sorted by."""
        is_mixed = name == "updated_at" and self._readings.never_updated == "mixed"
        return _changed if is_mixed else _VALUES[name]

    def _shown(self, rows: Rows) -> Rows:
        if not self.hidden:
            return rows
        dated, never = (
            [one for one in part if one.id not in self.hidden] for part in (rows.dated, rows.never)
        )
        return Rows(dated, never)

    def _forget_if_changed(self, version: object) -> None:
        readings = self._readings
        state = (
            version,
            readings.filters,
            readings.never_updated,
            readings.never_updated_in_filters,
            readings.ties,
        )
        if state != self._state or len(self._matches) > 8:  # noqa: PLR2004 - a few walks at once
            self._matches = {}
        if state != self._state:
            self._orders = {}
        self._state = state

    def _arranged(self, customers: Iterable[Customer], order: str) -> Rows:
        """All customers in one order; ties stay in order of creation, as the sort is stable."""
        if order not in self._orders:
            name, value = order.lstrip("-"), self._value(order.lstrip("-"))
            everyone = list(customers)
            if self._readings.ties == "reversed":
                everyone.reverse()
            dated = [one for one in everyone if value(one) is not None]
            dated.sort(key=value, reverse=order.startswith("-"))
            listed = name == "updated_at" and self._readings.never_updated in {"first", "last"}
            never = [one for one in everyone if one.updated_at is None] if listed else []
            self._orders[order] = Rows(dated, never)
        return self._orders[order]

    def _matching(self, customers: Iterable[Customer], query: ListQuery) -> Rows:
        if query.cache_key not in self._matches:
            rows = self._arranged(customers, query.order)
            dated, never = rows.dated, rows.never
            for name in ("created_at", "updated_at"):
                window = getattr(query, name)
                if window != _ANY:
                    test = self._inside(name, window)
                    bisect = name == query.field and not self._passes_unsorted
                    dated = (
                        _cut(dated, test, descending=query.descending)
                        if bisect
                        else [one for one in dated if test(one) == 0]
                    )
                    never = [one for one in never if test(one) == 0]
            if query.cache_key[3:] != (None,) * 4:
                dated = [one for one in dated if query.matches(one)]
                never = [one for one in never if query.matches(one)]
            self._matches[query.cache_key] = Rows(dated, never)
        return self._matches[query.cache_key]

    @property
    def _passes_unsorted(self) -> bool:
        """Whether a filter lets rows through that stand anywhere in the order."""
        readings = self._readings
        return readings.never_updated == "mixed" and readings.never_updated_in_filters

    def _inside(self, name: str, window: Window) -> Callable[[Customer], int]:
        """A function: 0 inside the window, -1 before it or without the field, 1 after it."""
        value, (after, before) = self._value(name), window
        if self._passes_unsorted:
            value = _VALUES[name]
        inclusive = self._readings.filters == "inclusive"
        missing = 0 if self._readings.never_updated_in_filters else -1

        def test(customer: Customer) -> int:
            moment = value(customer)
            if moment is None:
                return missing
            if after is not None and (moment < after or (moment == after and not inclusive)):
                return -1
            late = before is not None and (moment > before or (moment == before and not inclusive))
            return int(late)

        return test

    def _from_cursor(self, rows: Rows, query: ListQuery) -> Rows:
        """The rows after `starting_after`, as published: later if ascending, else earlier ones."""
        cursor = query.starting_after
        if cursor is None:
            return rows
        by_update = query.field == "updated_at" and self._readings.updated_cursor == "updated_at"
        value = self._value("updated_at") if by_update else _CREATED
        inclusive = self._readings.cursor == "inclusive"

        def passed(customer: Customer) -> bool:
            moment = value(customer)
            if moment == cursor:
                return not inclusive
            return bool(moment > cursor if query.descending else moment < cursor)

        if by_update or query.field == "created_at":
            return Rows(rows.dated[_first(rows.dated, passed) :], [])
        keep = [[one for one in part if not passed(one)] for part in (rows.dated, rows.never)]
        return Rows(*keep)

    def _tied(
        self, rows: list[Customer], start: int, end: int, value: Callable[[Any], Any]
    ) -> list[Customer]:
        """Rows `start` to `end`; under `ties=random` those of one timestamp are shuffled."""
        if self._readings.ties != "random":
            return rows[start:end]
        low, high = min(start, len(rows)), min(end, len(rows))
        while 0 < low < len(rows) and value(rows[low - 1]) == value(rows[low]):
            low -= 1
        while 0 < high < len(rows) and value(rows[high - 1]) == value(rows[high]):
            high += 1
        groups: dict[object, list[Customer]] = {}
        for customer in rows[low:high]:
            groups.setdefault(value(customer), []).append(customer)
        for group in groups.values():
            self._random.shuffle(group)
        shuffled = [customer for group in groups.values() for customer in group]
        return shuffled[start - low : end - low]


def _joined(rows: Rows, *, never_first: bool) -> list[Customer]:
    if not rows.never:
        return rows.dated
    return [*rows.never, *rows.dated] if never_first else [*rows.dated, *rows.never]


def _first(rows: Sequence[Customer], passed: Callable[[Customer], bool]) -> int:
    """The number of leading rows for which `passed` is true, by bisection."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if passed(rows[middle]) else (low, middle)
    return low


def _cut(
    rows: list[Customer],
    test: Callable[[Customer], int],
    *,
    descending: bool,
) -> list[Customer]:
    """The rows inside a window on the field they are sorted by."""
    sign = -1 if descending else 1
    start = _first(rows, lambda one: test(one) * sign < 0)
    end = _first(rows, lambda one: test(one) * sign <= 0)
    return rows[start:end]
