"""Faults: what goes wrong, and at which requests."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal[
    "status",
    "limit_retry_after",
    "limit_rate_limit_retry",
    "limit_silent",
    "limit_cycle",
    "server_error",
    "bad_gateway",
    "unavailable_seconds",
    "unavailable_date",
    "html",
    "empty",
    "redirect",
    "refuse",
    "reset",
    "cut_before",
    "cut_after",
    "cut_body",
    "truncated_json",
    "short_length",
    "gzip",
    "malformed_header",
    "no_date",
    "slow_headers",
    "slow_body",
    "huge_body",
    "deep_json",
    "expired_token",
    "revoked_key",
    "act",
    "job_hangs",
    "job_fails",
    "job_stops",
    "job_miscounts",
    "job_loses",
    "job_lies",
    "job_denies",
    "job_refuses",
    "job_vanishes",
    "export_hangs",
    "export_fails",
    "export_expires",
    "export_vanishes",
    "export_shrinks",
    "export_elsewhere",
]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(kw_only=True)
class Occasion:
    """The requests at which something happens.

    Attributes:
        method: the requests of this method only.
        path: these decoded paths only; `*` matches anything.
        numbers: these request numbers only, counted as in `Sandbox.requests`.
        nth: these only, counted among the requests that match method, path and number, from 1.
        probability: of a matching request to be hit.
        seed: makes the probability repeatable.
        times: hits at most; `None` is no limit.
    """

    method: str | None = None
    path: str | None = None
    numbers: Sequence[int] | None = None
    nth: Sequence[int] | None = None
    probability: float = 1
    seed: int = 0
    times: int | None = 1
    matched: int = field(default=0, init=False)
    injected: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Seed the random numbers."""
        self._random = Random(self.seed)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Create from a JSON object.

        Raises:
            ValueError: a member is unknown, or a required one is missing.
        """
        known = {one.name for one in fields(cls) if one.init}
        needed = {
            one.name
            for one in fields(cls)
            if one.init and one.default is MISSING and one.default_factory is MISSING
        }
        if not isinstance(values, dict) or not needed <= set(values) <= known:
            raise ValueError(
                f"a {cls.__name__.lower()} is an object with {', '.join(needed)} and any of "
                f"{', '.join(sorted(known))}"
            )
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """All attributes, with the numbers of matches and hits."""
        return asdict(self)

    def strikes(self, method: str, path: str, number: int) -> bool:
        """Whether this request is hit; counts the match and the hit."""
        if not self._matches(method, path, number):
            return False
        self.matched += 1
        if self.times is not None and self.injected >= self.times:
            return False
        if self.nth is not None and self.matched not in self.nth:
            return False
        if self.probability < 1 and self._random.random() >= self.probability:
            return False
        self.injected += 1
        return True

    def _matches(self, method: str, path: str, number: int) -> bool:
        return (
            self.method in {None, method}
            and (self.path is None or fnmatchcase(path, self.path))
            and (self.numbers is None or number in self.numbers)
        )


@dataclass(kw_only=True)
class Fault(Occasion):
    """One thing that goes wrong, how, and at which requests.

    Attributes:
        kind: one of `KINDS`.
        status: of the response, for `status` and `redirect`.
        headers: added to the response of `status`.
        body: of the response of `status`; text as it is, anything else as JSON.
        seconds: of a delay, a requested wait, or an outage, by kind.
        delay: seconds before the response, for every kind.
        size: bytes of `huge_body`, depth of `deep_json`.
        location: the host of `redirect` and `export_elsewhere`, such as `http://…`.
        action: what `act` does in the project before the request is served (see the control path).
    """

    kind: Kind
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    seconds: float = 1
    delay: float = 0
    size: int = 1_000_000
    location: str = ""
    action: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an unknown kind."""
        super().__post_init__()
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are: {', '.join(KINDS)}")


class Faults:
    """The faults that are set. The first one that matches hits a request, no other."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        """Start with these faults."""
        self._lock = Lock()
        self._faults = list(faults)
        self._before = 0

    def add(self, *faults: Fault) -> None:
        """Add faults."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """Remove all faults; `injected` keeps its count."""
        with self._lock:
            self._before += sum(fault.injected for fault in self._faults)
            self._faults = []

    @property
    def injected(self) -> int:
        """Requests hit since the start."""
        with self._lock:
            return self._before + sum(fault.injected for fault in self._faults)

    @property
    def all(self) -> list[Fault]:
        """The faults that are set."""
        with self._lock:
            return list(self._faults)

    def strike(self, method: str, path: str, number: int) -> Fault | None:
        """The fault that hits this request, or `None`."""
        with self._lock:
            hits = (fault for fault in self._faults if fault.strikes(method, path, number))
            return next(hits, None)
