"""What happens in the project while it is read: rows come, change and go between requests."""

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
    """One kind of change, and at which requests it happens.

    Attributes:
        action: what happens, as for the control path; `{n}` in its texts counts from 0.
        rate: how often at each request that is hit, on average: 2 is twice, 0.1 at every tenth.
        after: whether it happens once the request was answered, instead of before.
        times: at how many requests at most; None is without end.
    """

    action: Mapping[str, Any]
    rate: float = 1
    after: bool = False
    times: int | None = None

    def __post_init__(self) -> None:
        """Begin to count."""
        super().__post_init__()
        self._due = 0.0
        self._done = 0

    def actions(self, method: str, path: str, number: int) -> Iterator[Mapping[str, Any]]:
        """What happens at one request."""
        if not self.strikes(method, path, number):
            return
        self._due += self.rate
        while self._done + 1 <= self._due:
            yield _numbered(self.action, self._done)
            self._done += 1


class Movements:
    """The movements that are set; several can act on one request, in the order they were set."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = Lock()
        self._movements: list[Movement] = []

    def add(self, *movements: Movement) -> None:
        """Set more."""
        with self._lock:
            self._movements += movements

    def clear(self) -> None:
        """Set none."""
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
        """What happens before one request is served, and what after."""
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
