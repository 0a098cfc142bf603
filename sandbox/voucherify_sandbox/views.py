"""Looking into a project from outside without holding a copy of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json


class Shown(Mapping[str, Any]):
    """Customers by id, alive: each is printed when it is looked at, not before."""

    def __init__(
        self, lock: RLock, customers: dict[str, Customer], shown: Callable[[Json], Json]
    ) -> None:
        """A view on `customers`, each through `shown`."""
        self._lock = lock
        self._customers = customers
        self._shown = shown

    def __getitem__(self, key: str) -> Json:
        """One customer."""
        with self._lock:
            return self._shown(self._customers[key].shown())

    def __iter__(self) -> Iterator[str]:
        """The ids there are now."""
        with self._lock:
            return iter(list(self._customers))

    def __len__(self) -> int:
        """How many there are now."""
        return len(self._customers)
