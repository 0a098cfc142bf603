"""Products and orders besides customers: each way to write them, what goes wrong, where a run ends.

An order cannot be deleted, so one that is doubled is as bad as one that is lost.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Fault, Movement, Readings, Sandbox
from voucherify_sandbox.routes import ORDERS as IMPORT
from voucherify_sandbox.torture.cases import OF_IMPORTS, SIGNALS, Injection, answers, by_pairs
from voucherify_sandbox.torture.plugins import FAULT_VALUES
from voucherify_sandbox.torture.target_books import (
    Crm,
    Message,
    TargetRuns,
    configured,
    name_of,
    record,
    rest_after,
    schema,
    state,
    with_states,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin, Run
    from voucherify_sandbox.torture.score import Score
    from voucherify_sandbox.torture.target_books import Position

PART, SAMPLE = "target entities", 3
MOST = 20

EACH = 14
"""Customers and products; of orders twice as many."""

BAD = f"order-{2 * EACH - 1}"
"""An order without a customer, which only Voucherify can refuse; in the last batch, so that faults
hit those before it."""

CONDITIONS: dict[str, tuple[Any, ...]] = {
    "ends": (
        "nothing",
        "SIGKILL",
        "SIGTERM",
        "cut_after",
        "cut_before",
        "truncated_json",
        "job_fails",
        "job_stops",
        "job_miscounts",
        "job_denies",
        "job_vanishes",
        "export_shrinks",
    ),
    "place": (1, 2, 3),
    "orders": ("bulk", "bulk", "single"),
    "products": ("bulk", "single", "auto"),
    "there": ("none", "some"),
    "neighbour": (None, "orders"),
    "goes_on": ("anew", "with the rest"),
    "streams": ("in turn", "mixed"),
    **{name: answers(name) for name in OF_IMPORTS},
    "known_order_imported": ("doubled", "doubled", "changed", "refused"),
}
"""How the first and the second run end and at which of the requests that it is about, how orders
and products are written, whether some of the orders are there before, whether a shop places others
meanwhile, what the tap sends after a run that failed, and in which order. What shows most comes
twice."""

SETTINGS: dict[str, tuple[Any, ...]] = {"ledger_path": ("ledger.db", None)}


def cases(rng: Random) -> list[Case]:
    """The cases of this part."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=MOST)


def run_case(case: Case, plugin: Plugin) -> Score:
    """A load, changes, a second load, and one that is well."""
    conditions = case.conditions
    target = configured(plugin, entities=_entities(conditions))
    of_imports = {name: conditions[name] for name in OF_IMPORTS}
    with Sandbox(readings=Readings(**{**case.readings, **of_imports})) as sandbox:
        shop = _Shop(conditions["streams"])
        if conditions["there"] == "some":
            _place(sandbox, [f"order-{number}" for number in range(0, 2 * EACH, 5)])
        if conditions["neighbour"]:
            order = {"source_id": "web-{n}", "amount": 500}
            action = {"action": "place_order", "customer": "walk-in", "order": order}
            sandbox.movements.add(Movement(action=action, rate=0.5))
        runs = _Runs(sandbox, target, shop)
        for turn in (1, 2):
            messages = shop.messages(turn)
            sandbox.faults.add(*_faults(conditions))
            runs.once(messages, _signal(conditions))
            is_rest = conditions["goes_on"] == "with the rest" and runs.state is not None
            runs.until_well(rest_after(messages, runs.state) if is_rest else messages)
            for kind in ("crm", "thing", "order"):
                shop.change(f"{kind}-{number}" for number in (1, 6, 2 * EACH + turn))
        sandbox.movements.clear()
        runs.until_well(shop.messages(3))
        return runs.judge_end(gone=())


def _faults(conditions: Mapping[str, Any]) -> list[Fault]:
    """A fault of an export, of a job, or of a request that writes orders."""
    kind, place, by_import = conditions["ends"], conditions["place"], conditions["orders"] == "bulk"
    if kind == "nothing" or kind in SIGNALS:
        return []
    jobs = IMPORT if by_import else "/v1/products/bulk/async"
    path = {"job": jobs, "export": "/v1/exports"}.get(kind.partition("_")[0], "/v1/orders*")
    more = FAULT_VALUES.get(kind, {})
    nth = 1 if path == "/v1/exports" else place
    return [Fault(kind=kind, method="POST", path=path, nth=[nth], **more)]


def _signal(conditions: Mapping[str, Any]) -> Injection:
    """A signal at a request near those that write orders."""
    kind, place = conditions["ends"], conditions["place"]
    if kind not in SIGNALS:
        return Injection()
    return Injection(kind, 7 + 4 * place, after=bool(place % 2))


def _entities(conditions: Mapping[str, Any]) -> dict[str, Any]:
    mapping = {"status": "state", "metadata.name": "name", "customer.source_id": "buyer"}
    return {
        "products": {"stream": "goods", "write_path": conditions["products"]},
        "orders": {
            "stream": "purchases",
            "write_path": conditions["orders"],
            "mapping": mapping,
        },
    }


def _place(sandbox: Sandbox, keys: Sequence[str]) -> None:
    for key in keys:
        order = {"source_id": key, "amount": 1, "status": "CREATED", "metadata": {"name": "Before"}}
        sandbox.project.place_order("walk-in", order)


class _Shop(Crm):
    """A CRM that also has products and orders."""

    def __init__(self, streams: str) -> None:
        super().__init__(EACH)
        self.change(f"thing-{number}" for number in range(EACH))
        self.change(f"order-{number}" for number in range(2 * EACH))
        self._is_mixed = streams == "mixed"

    def messages(self, run: int) -> list[Message]:
        """A whole load."""
        records = self.records()
        if self._is_mixed:  # by the number in the key, so that orders come between customers
            records.sort(key=lambda one: int(one["record"]["source_id"].partition("-")[2]))
        number, text = {"type": "integer"}, {"type": ["null", "string"]}
        goods = schema("goods", {"price": number})
        purchases = schema("purchases", {"state": text, "buyer": text})
        states = with_states(records, run)
        return [schema(), goods, purchases, *states, state(run, len(records) + 1)]

    def _record(self, key: str, number: int) -> Message:
        kind, _, serial = key.partition("-")
        name = name_of(key, number)
        if kind == "thing":
            row = {"source_id": key, "name": name, "price": 100 + number}
            return {"type": "RECORD", "stream": "goods", "record": row}
        if kind == "order":
            buyer = None if key == BAD else f"crm-{int(serial) % EACH}"
            row = {"source_id": key, "name": name, "state": "PAID", "buyer": buyer}
            return {"type": "RECORD", "stream": "purchases", "record": row}
        return record(key, number)


class _Runs(TargetRuns):
    """The books with products and orders, of which none may be doubled."""

    def held(self) -> dict[str, Any]:
        """Names of the customers, products and orders of the project by key."""
        held = super().held()
        with self.sandbox.project.lock:
            products = list(self.sandbox.project.products.all.values())
            orders = list(self.sandbox.project.records.orders.values())
        held |= {one["source_id"]: one["name"] for one in products}
        held |= {one["source_id"]: one["metadata"].get("name") for one in orders}
        return held

    def judge(self, ended: Run, messages: Sequence[Message], before: Position) -> None:
        """Hold one run against its input, the shop and the project."""
        super().judge(ended, messages, before)
        with self.sandbox.project.lock:
            orders = list(self.sandbox.project.records.orders.values())
        twice = Counter(one["source_id"] for one in orders)
        self.score.doubled = twice.total() - len(twice)
        if self.score.doubled:
            doubled = [key for key, count in twice.items() if count > 1]
            self.score.violations.append(f"{len(doubled)} doubled, such as {doubled[0]}")
