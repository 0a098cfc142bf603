"""A live view of the customers of a project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json


class CustomerView(Mapping[str, Any]):
    """Customers by id; each is serialized when it is looked up."""

    def __init__(
        self, lock: RLock, customers: dict[str, Customer], shown: Callable[[Json], Json]
    ) -> None:
        """View `customers`, each through `shown`."""
        self._lock = lock
        self._customers = customers
        self._shown = shown

    def __getitem__(self, key: str) -> Json:
        """One customer."""
        with self._lock:
            return self._shown(self._customers[key].resource())

    def __iter__(self) -> Iterator[str]:
        """The present ids."""
        with self._lock:
            return iter(list(self._customers))

    def __len__(self) -> int:
        """The present number of customers."""
        return len(self._customers)
