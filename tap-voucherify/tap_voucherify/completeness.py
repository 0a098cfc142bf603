"""Whether a full read saw everything the API says there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tap_voucherify.errors import VoucherifyError
from tap_voucherify.instants import parse, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


@dataclass(slots=True)
class FirstRun:
    """How far a stream's first walk, over all its rows by the time of creation, has come.

    Attributes:
        started: when the walk began; the bookmark that it leaves.
        reached: time of creation of the last record written.
        total: how many rows the API counted at the first answer.
        rows: records written whose time of creation lies before `reached`.
    """

    started: datetime | None = None
    reached: datetime | None = None
    total: int | None = None
    rows: int = 0

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The progress an earlier run left, or a beginning."""
        if not state.get("reached"):
            return cls()
        return cls(
            parse(state["started"], what="`started` in the state of a first run"),
            parse(state["reached"], what="`reached` in the state of a first run"),
            state.get("total"),
            int(state.get("rows", 0)),
        )

    def to_state(self) -> dict[str, Any]:
        """The progress as JSON values, of constant size."""
        return {
            "started": self.started and written(self.started),
            "reached": self.reached and written(self.reached),
            "total": self.total,
            "rows": self.rows,
        }


def is_complete(
    total: int | None, seen: int, newer: int, recount: Callable[[], int | None]
) -> bool:
    """Whether the rows of a full read account for the API's own count at its beginning.

    The count moves with rows created or deleted meanwhile: those created were seen, and a second
    count tells how many were deleted.

    Args:
        total: rows the API counted at the first answer; nothing can be held against none.
        seen: distinct rows that the read gave.
        newer: how many of them were created after the read began.
        recount: asks the API for its count again.
    """
    if total is None or seen - newer >= total:
        return True
    now = recount()
    deleted = total + newer - (total if now is None else now)
    return total - (seen - newer) <= deleted


def incomplete(stream: str, total: int | None, seen: int) -> VoucherifyError:
    """The error of a stream that was given fewer rows than the API says there are."""
    return VoucherifyError(
        f"{stream}: the API counted {total or 0:,} {stream} but gave {seen:,}: run again, which "
        "starts over; if the figures stay, ask Voucherify's support what `total` counts in this "
        "project."
    )
