"""Identifiers in Voucherify's style. The same seed gives the same ones."""

from __future__ import annotations

from random import Random


class Identities:
    """Makes identifiers that never repeat within one project."""

    def __init__(self, seed: str) -> None:
        """Draw from one seeded source."""
        self._random = Random(seed)
        self._events = self._random.getrandbits(40) << 32

    def new(self, prefix: str) -> str:
        """An identifier such as `cust_…`; its order says nothing about its age."""
        return f"{prefix}_{self._random.getrandbits(96):024x}"

    def event(self) -> str:
        """An activity identifier (reference §10.2)."""
        self._events += 1
        return f"evcus_{self._events:020x}"

    def request(self) -> str:
        """A request identifier, which the events it causes share as `group_id`."""
        return f"v-{self._random.getrandbits(72):018x}"

    def code(self, name: str) -> str:
        """A voucher code that begins with a readable name."""
        return f"{name}-{self._random.getrandbits(32):08X}"
