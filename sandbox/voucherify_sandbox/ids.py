"""Ids in Voucherify's style, repeatable by a seed."""

from __future__ import annotations

from random import Random


class IdGenerator:
    """Generates ids that are unique within one project."""

    def __init__(self, seed: str) -> None:
        """Seed the random numbers."""
        self._random = Random(seed)
        self._events = self._random.getrandbits(40) << 32

    def new(self, prefix: str) -> str:
        """An id such as `cust_…`; ids do not sort by age."""
        return f"{prefix}_{self._random.getrandbits(96):024x}"

    def event(self) -> str:
        """An id of an activity event; these sort by age."""
        self._events += 1
        return f"evcus_{self._events:020x}"

    def request(self) -> str:
        """A request id, which the events of the request share as `group_id`."""
        return f"v-{self._random.getrandbits(72):018x}"

    def code(self, name: str) -> str:
        """A voucher code that begins with a readable name."""
        return f"{name}-{self._random.getrandbits(32):08X}"
