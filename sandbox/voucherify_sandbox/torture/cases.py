"""Cases: combinations of faults, places in a run, readings and settings, repeatable by a seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import readings as switches
from voucherify_sandbox.faults import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

TAP, TARGET, ROUND_TRIP = "tap", "target", "round trip"
PARTS = (TAP, TARGET, ROUND_TRIP)

ANSWERS_TRIED: dict[str, tuple[Any, ...]] = {
    # A response of nothing but nulls has no rows that could be lost.
    "null_fields": ("none", "missing"),
    "list_lag_seconds": (0, 2),
    "settle_seconds": (0, 1),
    # More polls would go to jobs of a killed run, which no later run polls.
    "job_polls": (0, 1),
    "job_seconds": (0, 0.3),
    "bulk_max_records": (0, 7),
    "errors_listed": (-1, 0, 1),
    "export_polls": (0, 1, 3),
}
"""Answers of readings that are numbers, or of which not all answers are tried."""

SIGNALS = ("SIGKILL", "SIGTERM")
PLACES = {TAP: 8, TARGET: 8, ROUND_TRIP: 1}
"""Requests of a run at which each fault is injected, spread from the first to the last."""

SETTINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    TAP: {
        "max_concurrency": (8, 1),
        "customers_backfill": ("list", "export"),
        "reward_events_scan": ("changed", "all"),
        "auth_method": ("api_key", "oauth"),
    },
    TARGET: {
        "write_path": ("bulk", "single", "auto"),
        "nulls": ("drop", "send"),
        "auth_method": ("api_key", "oauth"),
        "ledger_path": (None, "ledger.db"),
    },
    ROUND_TRIP: {},
}
"""Settings of the plugins that are combined with the readings."""

OF_IMPORTS = ("known_order_imported", "import_failures", "second_import")
"""Readings that only a part with orders meets."""

READINGS_LEFT_OUT: dict[str, frozenset[str]] = {
    TAP: frozenset(OF_IMPORTS),
    # No two keys of these contacts differ by case alone.
    TARGET: frozenset((*OF_IMPORTS, "source_id_case")),
    # Where a bulk write leaves `updated_at` alone, no filter finds the change.
    ROUND_TRIP: frozenset((*OF_IMPORTS, "bulk_write_updates", "source_id_case")),
}
"""Readings that are not tried with a part."""

FAULTS_LEFT_OUT: dict[str, tuple[str, ...]] = {
    # No run gets past an export that hangs or lies on a foreign host.
    TAP: ("job_", "export_elsewhere", "export_hangs"),
    # `act` changes the customers that the result is compared with. A job whose counts add up
    # although it wrote nothing could only be found by reading every customer back. A job that
    # hangs holds up all later jobs.
    TARGET: ("export_", "act", "job_lies", "job_hangs"),
    ROUND_TRIP: ("act", "export_", "job_lies", "job_hangs"),
}
"""Prefixes of the kinds of fault that are not tried with a part."""


@dataclass(frozen=True)
class Injection:
    """A fault of the sandbox or a signal, and the request of a run at which it happens."""

    kind: str = "nothing"
    number: int = 1
    after: bool = False

    def __str__(self) -> str:
        """A description such as `SIGKILL after at 3`."""
        moment = f" {'after' if self.after else 'before'}" if self.is_signal else ""
        return f"{self.kind}{moment} at {self.number}"

    @property
    def is_signal(self) -> bool:
        """Whether the process gets a signal instead of a faulty response."""
        return self.kind in SIGNALS


@dataclass(frozen=True)
class Case:
    """Runs of a plugin and their injections, under some readings, settings and conditions.

    `conditions` are what the bench itself does around the runs, such as changes of the project.
    """

    part: str
    number: int
    injections: tuple[Injection, Injection] = (Injection(), Injection())
    readings: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The value of `--case`."""
        return f"{self.part.replace(' ', '-')}-{self.number}"

    def __str__(self) -> str:
        """The whole case."""
        switched = {**self.conditions, **self.settings, **self.readings}
        values = ", ".join(f"{name}={value}" for name, value in switched.items())
        return f"{self.name}: {self.injections[0]}, then {self.injections[1]}; {values}"


def answers(name: str) -> tuple[Any, ...]:
    """The answers of a reading that are tried."""
    if name in ANSWERS_TRIED:
        return ANSWERS_TRIED[name]
    return tuple(switches.checked_value(name, answer) for answer in switches.answers(name))


def faults_of(part: str) -> list[str]:
    """The kinds of fault that are tried with a part."""
    return [kind for kind in KINDS if not kind.startswith(FAULTS_LEFT_OUT[part])]


def combinations(
    part: str, requests: tuple[int, int], rng: Random, given: Iterable[str] = ()
) -> list[Case]:
    """Cases of each kind of fault at `PLACES` requests, with changing readings and settings.

    For each kind a reading goes through its answers in turn from a random start, so that each kind
    meets each answer. Pairs of answers that are still missing get cases of their own, except in
    round trips, which take too long.

    Args:
        part: of `PARTS`.
        requests: of the first and the second run without an injection.
        rng: the source of randomness.
        given: settings of the user, which are not varied.
    """
    turned = _switches(part, given)
    cases: list[Case] = []
    for kind in faults_of(part):
        starts = {name: rng.randrange(len(values)) for name, values in turned.items()}
        for turn, share in enumerate(_shares(PLACES[part], rng)):
            chosen = {
                name: values[(starts[name] + turn) % len(values)] for name, values in turned.items()
            }
            cases.append(_case(part, len(cases), _injections(kind, share, requests), chosen))
    while PLACES[part] > 1 and (missing := _missing_pairs(turned, cases)):
        chosen = {name: rng.choice(values) for name, values in turned.items()}
        for (first, one), (second, other) in missing[:: max(1, len(missing) // 8)]:
            chosen |= {first: one, second: other}
        injections = _injections(rng.choice(faults_of(part)), rng.random(), requests)
        cases.append(_case(part, len(cases), injections, chosen))
    return cases


def fixed(case: Case, readings: Mapping[str, Any]) -> Case:
    """The case with these readings, as far as the bench tries their answers with its part."""
    left_out = READINGS_LEFT_OUT[next(part for part in PARTS if case.part.startswith(part))]
    known = {
        name: nearest
        for name, value in readings.items()
        if name not in left_out and (nearest := _nearest(name, value)) is not None
    }
    return replace(case, readings={**case.readings, **known})


def _nearest(name: str, value: Any) -> Any:
    """The answer that is tried for one: a number may be between them, and no other is `None`."""
    tried = answers(name)
    if value in tried or not isinstance(value, int | float):
        return value if value in tried else None
    return min((one for one in tried if one >= value), default=max(tried))


def kills(part: str, requests: tuple[int, int], settings: Mapping[str, Any]) -> list[Case]:
    """Cases of each signal before and after each request of the first and the second run."""
    injections = itertools.product(SIGNALS, range(1, requests[0] + 1), (False, True))
    return [
        Case(
            f"{part} kills",
            number,
            (
                Injection(kind, request, after),
                Injection(kind, 1 + (request - 1) % max(1, requests[1]), not after),
            ),
            readings={"job_polls": 0},
            settings=settings,
        )
        for number, (kind, request, after) in enumerate(injections)
    ]


Values = Mapping[str, Sequence[Any]]
"""The values that each switch can have."""


def by_pairs(
    part: str, conditions: Values, rng: Random, *, settings: Values | None = None, most: int = 60
) -> list[Case]:
    """Cases in which each value of a condition or setting meets each value of the others.

    They also meet the answers of readings, as far as `most` cases go.

    Args:
        part: the name of the part; its first word is of `PARTS`.
        conditions: what the bench does around the runs.
        rng: the source of randomness.
        settings: of the plugin.
        most: cases at most.
    """
    plugin = part.partition(" ")[0]
    readings = _switches(plugin, SETTINGS[plugin])
    varied = {**conditions, **(settings or {})}
    switched = {**varied, **readings}
    missing = {
        frozenset(((first, one), (second, other)))
        for first, second in itertools.product(varied, switched)
        if first != second
        for one, other in itertools.product(
            range(len(switched[first])), range(len(switched[second]))
        )
    }
    cases: list[Case] = []
    while missing and len(cases) < most:
        chosen, met = max(
            (_candidate(varied, switched, missing, rng) for _ in range(CANDIDATES)),
            key=lambda candidate: len(candidate[1]),
        )
        missing -= met
        values = {name: switched[name][number] for name, number in chosen.items()}
        case = Case(
            part,
            len(cases),
            readings={name: values[name] for name in readings},
            settings={name: values[name] for name in settings or {}},
            conditions={name: values[name] for name in conditions},
        )
        cases.append(case)
    return cases


CANDIDATES = 40
"""Random cases of which the one with the most new pairs is taken."""

Pair = frozenset[tuple[str, int]]


def _candidate(
    varied: Values, switched: Values, missing: set[Pair], rng: Random
) -> tuple[dict[str, int], set[Pair]]:
    """A random case as numbers of values, and the missing pairs in it."""
    chosen = {name: rng.randrange(len(values)) for name, values in switched.items()}
    pairs = (
        frozenset(((first, chosen[first]), (second, chosen[second])))
        for first, second in itertools.product(varied, switched)
        if first != second
    )
    return chosen, {pair for pair in pairs if pair in missing}


def coverage(cases: Sequence[Case]) -> tuple[int, int]:
    """Pairs of faults, answers and values of settings: how many were tried, of how many."""
    tried: set[Any] = set()
    values: dict[str, set[Any]] = {}
    for case in cases:
        switched = {"fault": case.injections[0].kind, **case.readings, **case.settings}
        for name, value in switched.items():
            values.setdefault(name, set()).add(value)
        tried.update(itertools.combinations(sorted(switched.items(), key=lambda i: i[0]), 2))
    pairs = itertools.combinations(values.values(), 2)
    return len(tried), sum(len(one) * len(other) for one, other in pairs)


def _switches(part: str, given: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    readings = {n: answers(n) for n in switches.names() if n not in READINGS_LEFT_OUT[part]}
    settings = {n: v for n, v in SETTINGS[part].items() if n not in set(given)}
    return {**readings, **settings}


def _shares(count: int, rng: Random) -> Iterator[float]:
    """Places in a run from its first request (0) to its last (1); a single one is random."""
    return (turn / (count - 1) if count > 1 else rng.random() for turn in range(count))


def _injections(kind: str, share: float, requests: tuple[int, int]) -> tuple[Injection, Injection]:
    """The same fault at the same place of the first and the second run."""
    first, second = (1 + math.floor(share * (count - 1) + 0.5) for count in requests)
    return Injection(kind, first), Injection(kind, second)


def _case(
    part: str, number: int, injections: tuple[Injection, Injection], chosen: Mapping[str, Any]
) -> Case:
    return Case(
        part,
        number,
        injections,
        {name: value for name, value in chosen.items() if name in switches.names()},
        {name: value for name, value in chosen.items() if name not in switches.names()},
    )


def _missing_pairs(
    turned: Mapping[str, tuple[Any, ...]], cases: Sequence[Case]
) -> list[tuple[tuple[str, Any], tuple[str, Any]]]:
    """Pairs of answers that no case combines."""
    tried: set[Any] = set()
    for case in cases:
        switched = {**case.readings, **case.settings}
        tried.update(itertools.combinations([(name, switched[name]) for name in turned], 2))
    return [
        pair
        for first, second in itertools.combinations(turned, 2)
        for pair in itertools.product(
            [(first, value) for value in turned[first]],
            [(second, value) for value in turned[second]],
        )
        if pair not in tried
    ]
