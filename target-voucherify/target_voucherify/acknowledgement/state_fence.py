"""The state fence: a STATE passes only when every record received before it is settled.

The whole idea: whoever takes on records that are not settled yet *holds* the fence and gets a
ticket; tickets are numbered. A STATE notes the number of the newest ticket when it arrives. It may
pass once no ticket up to that number is held any more. Tickets given out later do not concern it.

Nothing here grows with the number of records: among states that wait for the same tickets only the
newest is kept, because it says all that the older ones said.
"""

from __future__ import annotations


class Fence:
    """Which STATE may be passed on; knows nothing of records, requests or output."""

    def __init__(self) -> None:
        """Start with nothing held and nothing waiting."""
        self._issued = 0
        self._held: dict[int, int] = {}
        self._waiting: list[tuple[int, str]] = []

    def hold(self) -> int:
        """Give out a ticket: states from now on wait until it is released."""
        self._issued += 1
        self._held[self._issued] = 1
        return self._issued

    def share(self, ticket: int) -> None:
        """Let one more holder have the ticket: work that is split is settled when all parts are."""
        self._held[ticket] += 1

    def release(self, ticket: int) -> None:
        """Give the ticket back; the last holder lifts it."""
        self._held[ticket] -= 1
        if not self._held[ticket]:
            del self._held[ticket]
            self._forget_what_newer_states_say()

    def arrive(self, state: str) -> None:
        """Take a STATE that came in, as the text that will be passed on."""
        self._waiting.append((self._issued, state))
        self._forget_what_newer_states_say()

    def passing(self) -> str | None:
        """The newest state that may pass now, or None; it and all older ones stop waiting.

        The oldest ticket still held decides, and dictionaries keep the order of arrival.
        """
        oldest = next(iter(self._held), None)
        passing = None
        while self._waiting and (oldest is None or self._waiting[0][0] < oldest):
            passing = self._waiting.pop(0)[1]
        return passing

    def _forget_what_newer_states_say(self) -> None:
        """Of neighbours that no held ticket divides, keep the newer: both would pass together."""
        kept: list[tuple[int, str]] = []
        for after, state in self._waiting:
            if kept and not any(kept[-1][0] < ticket <= after for ticket in self._held):
                kept.pop()
            kept.append((after, state))
        self._waiting = kept
