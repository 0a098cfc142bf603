"""Positions that the state keeps."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from tap_voucherify.voucherify_client.timestamps import parse, to_iso

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTANTS = frozenset(("started", "reached"))
"""Members of positions that are instants."""


@dataclass
class Position:
    """How far a read has come; its members stand in the state as JSON values.

    Attributes:
        started: when the read began, at its first response or before; the bookmark it leaves.
    """

    started: datetime | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The position that an earlier run left, or a new one."""
        names = [field.name for field in fields(cls) if state.get(field.name) is not None]
        return cls(**{name: _value(name, state[name]) for name in names})

    def to_state(self) -> dict[str, Any]:
        """The position as JSON values, of constant size."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: to_iso(value) if isinstance(value, datetime) else value
            for name, value in values.items()
            if value is not None
        }


def _value(name: str, value: Any) -> Any:
    return parse(value, what=f"`{name}` in the state") if name in INSTANTS else value
