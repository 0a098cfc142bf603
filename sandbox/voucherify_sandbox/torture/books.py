"""What a warehouse holds, and what the project says it must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox
    from voucherify_sandbox.project import Project
    from voucherify_sandbox.torture.plugins import Run

LONG_AGO = datetime(2026, 1, 10, 12, tzinfo=UTC)
"""When most rows of the bench were created."""

Key = tuple[str, str]
"""Stream and id of a row."""

Row = Mapping[str, Any]
Rows = dict[Key, Row]

REWARDS = frozenset(("customer.rewarded", "customer.rewarded.loyalty_points", "customer.referred"))
"""Types of activity that the sandbox's campaigns cause and the tap reads by default."""


@dataclass(frozen=True)
class Fact:
    """A row that the project holds: its times, and the members that are compared."""

    created: datetime
    changed: datetime
    content: Row


Facts = dict[Key, Fact]


class Warehouses:
    """Two loaders of one output.

    One keeps every row. The other is the least careful that Singer allows: it writes rows when the
    next STATE comes, and forgets the rest when the run dies.
    """

    def __init__(self) -> None:
        """Create empty warehouses."""
        self.kept: Rows = {}
        self.committed: Rows = {}
        self.state: dict[str, Any] | None = None

    def copy(self) -> Warehouses:
        """Both as they are now."""
        made = Warehouses()
        made.kept, made.committed, made.state = dict(self.kept), dict(self.committed), self.state
        return made

    def load(self, ended: Run) -> int:
        """Load the output of a run; returns how many rows are unchanged repetitions."""
        waiting: Rows = {}
        again = 0
        for message in ended.lines:
            if message["type"] == "RECORD":
                key = (message["stream"], message["record"]["id"])
                again += self.kept.get(key) == message["record"]
                waiting[key] = self.kept[key] = message["record"]
            elif message["type"] == "STATE":
                self.committed |= waiting
                waiting = {}
                self.state = message["value"]
        if ended.exit_code == 0:
            self.committed |= waiting
        return again


def facts(sandbox: Sandbox, streams: Iterable[str]) -> Facts:
    """The rows of some streams that the project holds now."""
    with sandbox.project.lock:
        sandbox.project.catch_up()
        return {
            (stream, row_id): fact
            for stream in streams
            for row_id, fact in SOURCES[stream](sandbox.project)
        }


def facts_of(rows: Rows) -> Facts:
    """The rows of an undisturbed run, as another run must bring them."""
    names = ("source_id", "name", "email", "metadata", "customer_id")
    content = {key: {name: row.get(name) for name in names} for key, row in rows.items()}
    return {key: Fact(LONG_AGO, LONG_AGO, content[key]) for key in rows}


def missing(wanted: Facts, held: Rows) -> set[Key]:
    """The keys of rows that are not held, or not as they are in the project."""
    return {key for key, fact in wanted.items() if not _is_held(fact, held.get(key))}


def _is_held(fact: Fact, row: Row | None) -> bool:
    return row is not None and all(
        _has(row.get(name), value) for name, value in fact.content.items()
    )


def _has(held: Any, wanted: Any) -> bool:
    """Whether a value is held; of an object, whether its members are."""
    if isinstance(wanted, dict):
        return wanted == {} or (
            isinstance(held, dict) and all(_has(held.get(key), wanted[key]) for key in wanted)
        )
    return bool(held == wanted)


def storable(value: Any) -> Any:
    """A value as a loader can store it: without NUL, and with U+FFFD for half a surrogate pair."""
    if isinstance(value, dict):
        return {storable(name): storable(part) for name, part in value.items()}
    if isinstance(value, list):
        return [storable(part) for part in value]
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "").encode("utf-16", "surrogatepass")
    return text.decode("utf-16", "replace")


Found = Iterable[tuple[str, Fact]]


def _customers(project: Project) -> Found:
    for one in project.people.by_id.values():
        names = ("name", "email")
        content = {"source_id": one.source_id, "metadata": one.metadata}
        content |= {name: one.profile.get(name) for name in names}
        yield one.id, Fact(one.created_at, one.updated_at or one.created_at, storable(content))


def _reward_events(project: Project) -> Found:
    for person in project.people.by_id.values():
        for event in person.activity:
            if event.type in REWARDS:
                at = event.created_at
                yield event.id, Fact(at, at, {"customer_id": person.id, "type": event.type})


def _listed(rows: Iterable[Row], *compared: str, time: str = "created_at") -> Found:
    for row in rows:
        created = row[time]
        content = storable({name: row[name] for name in compared})
        yield row["id"], Fact(created, row.get("updated_at") or created, content)


def _holders(project: Project) -> Found:
    """Holders of codes that are still there; those of others are in no list."""
    programs = project.programs
    holders = programs.holders.values()
    return _listed(one for one in holders if one["redeemable_id"] in programs.vouchers)


def _skus(project: Project) -> Found:
    """SKUs of products that are still there."""
    products = project.products
    skus = [one for one in products.skus.values() if one["product_id"] in products.all]
    return _listed(skus, "metadata", "sku")


SOURCES: dict[str, Callable[[Project], Found]] = {
    "customers": _customers,
    "reward_events": _reward_events,
    "orders": lambda project: _listed(project.records.orders.values(), "metadata", "amount"),
    # No list shows that a redemption changed, so only its presence is compared.
    "redemptions": lambda project: _listed(project.records.redemptions.values(), time="date"),
    "publications": lambda project: _listed(project.programs.publications.values()),
    "campaigns": lambda project: _listed(project.programs.campaigns.values(), "metadata", "name"),
    "vouchers": lambda project: _listed(
        project.programs.vouchers.values(), "metadata", "code", "gift", "loyalty_card"
    ),
    "products": lambda project: _listed(project.products.all.values(), "metadata", "name"),
    "skus": _skus,
    "loyalty_tiers": lambda project: _listed(project.loyalty.tiers.values(), "metadata", "name"),
    "pending_points": lambda project: _listed(project.loyalty.pending_points.values(), "points"),
    "promotion_tiers": lambda project: _listed(project.promotions.tiers.values(), "metadata"),
    "promotion_stacks": lambda project: _listed(project.promotions.stacks.values(), "name"),
    "validation_rules": lambda project: _listed(project.promotions.rules.values(), "name"),
    "validation_rule_assignments": lambda project: _listed(
        project.promotions.assignments.values(), "rule_id"
    ),
    "segments": lambda project: _listed(project.segments.all.values(), "name"),
    "referral_holders": _holders,
    "campaign_transactions": lambda project: _listed(project.programs.transactions.values()),
}
"""The streams that can be compared, and where their rows come from."""
