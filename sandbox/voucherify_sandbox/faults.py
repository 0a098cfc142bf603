"""What to break, and when."""

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
    """At which requests something happens.

    Attributes:
        method: only requests of this method.
        path: only these decoded paths; `*` stands for anything.
        numbers: only these request numbers, counted as in `Sandbox.requests`.
        nth: only these among the requests that match method, path and number; 1 is the first.
        probability: how likely a matching request is hit.
        seed: makes the probability repeatable.
        times: how often at most; None is without end.
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
        """Draw from the seed."""
        self._random = Random(self.seed)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """One as a person writes it.

        Raises:
            ValueError: a member is unknown, or one that is needed is missing.
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
        """What was set, with how often it was met and injected."""
        return asdict(self)

    def strikes(self, method: str, path: str, number: int) -> bool:
        """Whether this request is hit; a request that matches counts either way."""
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
        kind: what goes wrong; `KINDS` has them all.
        status: of the answer, for `status` and `redirect`.
        headers: added to the answer of `status`.
        body: of the answer of `status`; text as it is, anything else as JSON.
        seconds: how long to wait, to be told to wait, or to be away.
        delay: seconds before the answer, whatever is wrong with it.
        size: bytes of `huge_body`, depth of `deep_json`.
        location: the host `redirect` and `export_elsewhere` point to, such as `http://…`.
        action: what `act` does to the project before the request is served (see the control path).
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
        """Refuse a kind nobody knows."""
        super().__post_init__()
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are: {', '.join(KINDS)}")


class Faults:
    """The faults that are set. At most one hits a request: the first that matches."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        """Start with some, or none."""
        self._lock = Lock()
        self._faults = list(faults)
        self._before = 0

    def add(self, *faults: Fault) -> None:
        """Set more; all or none."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """Set none; what was injected stays counted."""
        with self._lock:
            self._before += sum(fault.injected for fault in self._faults)
            self._faults = []

    @property
    def injected(self) -> int:
        """How many requests were hit since the start."""
        with self._lock:
            return self._before + sum(fault.injected for fault in self._faults)

    @property
    def all(self) -> list[Fault]:
        """The faults that are set."""
        with self._lock:
            return list(self._faults)

    def strike(self, method: str, path: str, number: int) -> Fault | None:
        """The fault that hits this request, if one does."""
        with self._lock:
            hits = (fault for fault in self._faults if fault.strikes(method, path, number))
            return next(hits, None)
