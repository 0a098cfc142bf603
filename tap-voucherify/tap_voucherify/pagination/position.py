"""Positions that the state keeps."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import parse, to_iso

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTANTS = frozenset(("started", "reached", "since", "until", "changed", "newest"))
"""Members of positions that are instants."""

MAY_COME = frozenset(("until", "newest"))
"""Those that may lie in the future: rows carry any time."""

EARLIEST, LATEST = (datetime(year, 1, 1, tzinfo=UTC) for year in (1900, 2200))
"""Instants beyond these are mistakes, and the ends of the calendar leave no room to reckon."""

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far the clock of this machine may lie behind the one that a state was written by."""

MALFORMED = (
    "is malformed: pass a state as this tap wrote it, or remove the state of that stream to read "
    "the stream again."
)


@dataclass
class Position:
    """How far a read has come; its members stand in the state as JSON values.

    Attributes:
        started: when the read began, at its first response or before; the bookmark it leaves.
    """

    started: datetime | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The position that an earlier run left, or a new one.

        Raises:
            VoucherifyError: no run can have left this.
        """
        if not isinstance(state, dict):
            raise VoucherifyError(f"A position in the state {MALFORMED}")
        kinds = {field.name: str(field.type) for field in fields(cls)}
        values = {name: state[name] for name in kinds if state.get(name) is not None}
        if values and "started" not in values:
            raise VoucherifyError(f"A position in the state lacks `started`, so it {MALFORMED}")
        return cls(**{name: _value(name, kinds[name], value) for name, value in values.items()})

    def to_state(self) -> dict[str, Any]:
        """The position as JSON values, of constant size."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: to_iso(value) if isinstance(value, datetime) else value
            for name, value in values.items()
            if value is not None
        }


def _value(name: str, kind: str, value: Any) -> Any:
    what = f"`{name}` in the state"
    if name in INSTANTS:
        return _plausible(value, what) if name in MAY_COME else past(value, what)
    if "int" in kind:
        return count_of(value, name)
    if not isinstance(value, str):
        raise VoucherifyError(f"{what} {MALFORMED}")
    return value


def count_of(value: Any, name: str) -> int:
    """A count of the state.

    Raises:
        VoucherifyError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise VoucherifyError(f"`{name}` in the state {MALFORMED}")
    return value


def past(text: str, what: str) -> datetime:
    """An instant of the state up to which everything was read, so one that has passed.

    Raises:
        VoucherifyError: it is none; a later one would skip all rows until then.
    """
    instant = _plausible(text, what)
    if instant > datetime.now(UTC) + CLOCK_TOLERANCE:
        raise VoucherifyError(
            f"{what} lies in the future, so rows would be skipped: check this machine's clock; if "
            "it is right, remove the state of that stream to read the stream again."
        )
    return instant


def _plausible(text: str, what: str) -> datetime:
    instant = parse(text, what=what)
    if not EARLIEST <= instant <= LATEST:
        raise VoucherifyError(f"{what} {MALFORMED}")
    return instant
