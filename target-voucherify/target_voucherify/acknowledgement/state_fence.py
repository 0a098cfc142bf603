"""The state fence: a STATE may be emitted only when every record received before it is settled.

Work that is not settled yet *holds* the fence and gets a numbered ticket. A STATE notes the number
of the newest ticket when it arrives, and is ready once no ticket up to that number is held any
more. Tickets issued later do not concern it.

Nothing here grows with the number of records: of states that wait for the same tickets only the
newest is kept, because it covers everything that the older ones cover.
"""

from __future__ import annotations


class StateFence:
    """Decides which STATE may be emitted; knows nothing of records, requests or output."""

    def __init__(self) -> None:
        self._issued = 0
        self._holders: dict[int, int] = {}
        """Number of holders by ticket, oldest ticket first."""
        self._waiting: list[tuple[int, str]] = []
        """Newest ticket at arrival, and the state."""

    @property
    def has_waiting(self) -> bool:
        """Whether a STATE waits for something to be settled."""
        return bool(self._waiting)

    def hold(self) -> int:
        """Issue a ticket: states added from now on wait until it is released."""
        self._issued += 1
        self._holders[self._issued] = 1
        return self._issued

    def retain(self, ticket: int) -> None:
        """Add a holder to a ticket: work that is split is settled when all its parts are."""
        self._holders[ticket] += 1

    def release(self, ticket: int) -> None:
        """Remove a holder from a ticket; the last one lifts it."""
        self._holders[ticket] -= 1
        if not self._holders[ticket]:
            del self._holders[ticket]
            self._drop_superseded()

    def add_state(self, state: str) -> None:
        """Add a STATE, as the text that will be emitted."""
        self._waiting.append((self._issued, state))
        self._drop_superseded()

    def take_ready(self) -> str | None:
        """Remove the states that may be emitted now, and return the newest of them, if any."""
        oldest = next(iter(self._holders), None)
        ready = None
        while self._waiting and (oldest is None or self._waiting[0][0] < oldest):
            ready = self._waiting.pop(0)[1]
        return ready

    def _drop_superseded(self) -> None:
        """Of neighbours that no held ticket separates, keep the newer: both get ready at once."""
        kept: list[tuple[int, str]] = []
        for ticket, state in self._waiting:
            if kept and not any(kept[-1][0] < held <= ticket for held in self._holders):
                kept.pop()
            kept.append((ticket, state))
        self._waiting = kept
