"""The base of streams that ask one parent after the other; how far is part of the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_voucherify.errors import NotFoundError
from tap_voucherify.incremental import IncrementalStream
from tap_voucherify.instants import parse, written

if TYPE_CHECKING:
    from datetime import datetime

Body = dict[str, Any]


@dataclass(slots=True)
class Scan:
    """How far the parents were asked.

    Attributes:
        started: when the scan began; the bookmark that it leaves. A scan that a later run resumes
            keeps it, because parents asked before the cut were asked about that time only.
        position: id of the last parent whose rows were all written; ids are asked ascending.
        asked: parents asked in this run.
        gone: how many of them were deleted meanwhile.
    """

    started: datetime | None = None
    position: str = ""
    asked: int = 0
    gone: int = 0


class ScanningStream(IncrementalStream):
    """Rows listed by parent; one bookmark for all parents together.

    Attributes:
        path: the list of one parent, `{id}` in its place.
    """

    path: ClassVar[str]

    _scan = Scan()

    def resume(self) -> None:
        """Go on where the state says that an earlier scan was cut; from the beginning otherwise.

        A slice looks at no state.
        """
        is_slice = self.instant_setting("end_date") is not None
        state = {} if is_slice else self.stream_state.get("scan", {})
        self._scan = Scan()
        if state.get("position"):
            started = parse(state["started"], what=f"`started` in the state of {self.name}")
            self._scan = Scan(started, str(state["position"]))

    @override
    def mark(self) -> None:
        scan = self._scan
        if self.instant_setting("end_date") is not None or scan.started is None:
            return
        if self.report.complete:
            self.stream_state.pop("scan", None)
            self.move_bookmark(scan.started, scan.started)
        elif scan.position:
            self.stream_state["scan"] = {
                "started": written(scan.started),
                "position": scan.position,
            }

    def answer(self, parent: str, params: dict[str, Any]) -> Body | None:
        """One page of a parent's list; none for a parent deleted meanwhile."""
        try:
            return self.client.get(self.path, {"id": parent}, params)
        except NotFoundError:
            return None
