"""Movements: changes to the project between the requests of a client."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.faults import Occasion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NUMBER = "{n}"


@dataclass(kw_only=True)
class Movement(Occasion):
    """A repeated action, and the requests at which it happens.

    Attributes:
        action: as for the control path; `{n}` in its texts counts from 0.
        rate: repetitions at each request that is hit, on average: 0.1 is one in ten requests.
        after: whether it happens after the response is made instead of before.
        times: requests at most; `None` is no limit.
    """

    action: Mapping[str, Any]
    rate: float = 1
    after: bool = False
    times: int | None = None

    def __post_init__(self) -> None:
        """Start the counts."""
        super().__post_init__()
        self._due = 0.0
        self._done = 0

    def actions(self, method: str, path: str, number: int) -> Iterator[Mapping[str, Any]]:
        """The actions at one request."""
        if not self.strikes(method, path, number):
            return
        self._due += self.rate
        while self._done + 1 <= self._due:
            yield _numbered(self.action, self._done)
            self._done += 1


class Movements:
    """The movements that are set; several can act at one request, in their order."""

    def __init__(self) -> None:
        """Create an empty list."""
        self._lock = Lock()
        self._movements: list[Movement] = []

    def add(self, *movements: Movement) -> None:
        """Add movements."""
        with self._lock:
            self._movements += movements

    def clear(self) -> None:
        """Remove all movements."""
        with self._lock:
            self._movements = []

    @property
    def all(self) -> list[Movement]:
        """The movements that are set."""
        with self._lock:
            return list(self._movements)

    def actions(
        self, method: str, path: str, number: int
    ) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
        """The actions before and after one request."""
        before: list[Mapping[str, Any]] = []
        after: list[Mapping[str, Any]] = []
        for movement in self.all:
            (after if movement.after else before).extend(movement.actions(method, path, number))
        return before, after


def _numbered(value: Any, number: int) -> Any:
    if isinstance(value, str):
        return value.replace(NUMBER, str(number))
    if isinstance(value, dict):
        return {name: _numbered(member, number) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_numbered(member, number) for member in value]
    return value
