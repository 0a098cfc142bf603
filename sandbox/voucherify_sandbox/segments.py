"""Static segments of customers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator


@dataclass
class Segments:
    """The segments of a project, and the ids of their customers."""

    clock: Clock
    ids: IdGenerator
    all: dict[str, Json] = field(default_factory=dict)
    members: dict[str, frozenset[str]] = field(default_factory=dict)

    def add(self, name: str, members: frozenset[str]) -> Json:
        """Add a segment of these customers."""
        segment: Json = {
            "id": self.ids.new("seg"),
            "name": name,
            "created_at": self.clock.now(),
            "updated_at": None,
            "type": "static",
            "filter": None,
            "object": "segment",
        }
        self.all[segment["id"]] = segment
        self.members[segment["id"]] = members
        return segment

    def of(self, customer_id: str) -> list[Json]:
        """The segments a customer is in."""
        return [self.all[key] for key, members in self.members.items() if customer_id in members]
