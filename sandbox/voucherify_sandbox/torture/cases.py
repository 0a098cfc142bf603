"""Which combinations are tried: each pair of a fault, a reading and an instant, seeded."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import readings as switches
from voucherify_sandbox.faults import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from random import Random

TAP, TARGET, ROUND_TRIP = "tap", "target", "round trip"
PARTS = (TAP, TARGET, ROUND_TRIP)

TRIED: dict[str, tuple[Any, ...]] = {
    # An answer that holds nothing but nulls carries no row that could be lost.
    "null_fields": ("none", "missing"),
    "list_lag_seconds": (0, 2),
    "settle_seconds": (0, 1),
    # More would be spent on the jobs that a killed run leaves behind, which nobody asks for.
    "job_polls": (0, 1),
    "job_seconds": (0, 0.3),
    "bulk_max_records": (0, 7),
    "errors_listed": (-1, 0, 1),
    "export_polls": (0, 1, 3),
}
"""The answers tried where a reading is a number, or not all are; all others name theirs."""

SIGNALS = ("SIGKILL", "SIGTERM")
INSTANTS = {TAP: 8, TARGET: 8, ROUND_TRIP: 1}
"""Requests of a run at which a fault strikes in turn, spread from the first to the last."""

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
"""Settings of the plugins that are tried with the readings, as further switches."""

LEFT_OUT: dict[str, frozenset[str]] = {
    # A reading under which what is asked of a part cannot be had from any API call.
    TAP: frozenset(),
    # Keys are told apart by case alone nowhere in these contacts.
    TARGET: frozenset(("source_id_case",)),
    # A bulk write that leaves `updated_at` alone is seen by no filter (reference §14).
    ROUND_TRIP: frozenset(("bulk_write_updates", "source_id_case")),
}


STRANGE: dict[str, tuple[str, ...]] = {
    # An export that hangs is waited for, and one on a strange host refused, for good.
    TAP: ("job_", "export_elsewhere", "export_hangs"),
    # Nobody but the target may change what the target is judged by; and a job whose counts add up
    # while it wrote nothing is found out by reading every customer back only.
    # A job that hangs holds up all that come after it, whoever asks.
    TARGET: ("export_", "act", "job_lies", "job_hangs"),
    ROUND_TRIP: ("act", "export_", "job_lies", "job_hangs"),
}
"""How the kinds of fault begin that a part never meets."""


@dataclass(frozen=True)
class Blow:
    """What strikes, and at which request of a run; a fault of the sandbox, or a signal."""

    kind: str = "nothing"
    number: int = 1
    after: bool = False

    def __str__(self) -> str:
        """As the name of a case says it."""
        moment = f" {'after' if self.after else 'before'}" if self.is_signal else ""
        return f"{self.kind}{moment} at {self.number}"

    @property
    def is_signal(self) -> bool:
        """Whether the process is killed, rather than an answer spoilt."""
        return self.kind in SIGNALS


@dataclass(frozen=True)
class Case:
    """One life of a plugin: readings, settings, and what strikes its first and second run."""

    part: str
    number: int
    blows: tuple[Blow, Blow]
    readings: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What `--case` takes."""
        return f"{self.part.replace(' ', '-')}-{self.number}"

    def __str__(self) -> str:
        """The whole case, for whoever has to understand a failure."""
        said = ", ".join(f"{k}={v}" for k, v in {**self.readings, **self.settings}.items())
        return f"{self.name}: {self.blows[0]}, then {self.blows[1]}; {said}"


def answers(name: str) -> tuple[Any, ...]:
    """Every answer of a reading that is tried."""
    if name in TRIED:
        return TRIED[name]
    return tuple(switches.checked_value(name, answer) for answer in switches.answers(name))


def faults_of(part: str) -> list[str]:
    """The kinds of fault that can meet a part."""
    return [kind for kind in KINDS if not kind.startswith(STRANGE[part])]


def combinations(
    part: str, requests: tuple[int, int], dice: Random, given: Iterable[str] = ()
) -> list[Case]:
    """Every kind of fault at `INSTANTS` requests, and with each the switches turned.

    Each switch goes through its answers in turn for each kind, from a place drawn by lot, so that
    every kind meets every answer; and pairs of answers that never met get cases of their own. A
    round trip takes so long that each kind has one case there, and pairs are left to chance.

    Args:
        part: of `PARTS`.
        requests: how many requests the first and the second run make undisturbed.
        dice: what is drawn by lot; the same seed gives the same cases.
        given: settings the user gave, which stay as they are.
    """
    turned = _switches(part, given)
    cases: list[Case] = []
    for kind in faults_of(part):
        starts = {name: dice.randrange(len(values)) for name, values in turned.items()}
        for turn, share in enumerate(_shares(INSTANTS[part], dice)):
            chosen = {
                name: values[(starts[name] + turn) % len(values)] for name, values in turned.items()
            }
            cases.append(_case(part, len(cases), _blows(kind, share, requests), chosen))
    while INSTANTS[part] > 1 and (missing := _missing_pairs(turned, cases)):
        chosen = {name: dice.choice(values) for name, values in turned.items()}
        for (first, one), (second, other) in missing[:: max(1, len(missing) // 8)]:
            chosen |= {first: one, second: other}
        blows = _blows(dice.choice(faults_of(part)), dice.random(), requests)
        cases.append(_case(part, len(cases), blows, chosen))
    return cases


def kills(part: str, requests: tuple[int, int], settings: Mapping[str, Any]) -> list[Case]:
    """Each signal before and after each request of the first run, and of the second."""
    blows = itertools.product(SIGNALS, range(1, requests[0] + 1), (False, True))
    return [
        Case(
            f"{part} kills",
            number,
            (
                Blow(kind, request, after),
                Blow(kind, 1 + (request - 1) % max(1, requests[1]), not after),
            ),
            readings={"job_polls": 0},
            settings=settings,
        )
        for number, (kind, request, after) in enumerate(blows)
    ]


def coverage(cases: Sequence[Case]) -> tuple[int, int]:
    """Pairs of a fault and an answer, and of two answers: how many were tried, of how many."""
    tried: set[Any] = set()
    values: dict[str, set[Any]] = {}
    for case in cases:
        switched = {"fault": case.blows[0].kind, **case.readings, **case.settings}
        for name, value in switched.items():
            values.setdefault(name, set()).add(value)
        tried.update(itertools.combinations(sorted(switched.items(), key=lambda i: i[0]), 2))
    pairs = itertools.combinations(values.values(), 2)
    return len(tried), sum(len(one) * len(other) for one, other in pairs)


def _switches(part: str, given: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    readings = {n: answers(n) for n in switches.names() if n not in LEFT_OUT[part]}
    settings = {n: v for n, v in SETTINGS[part].items() if n not in set(given)}
    return {**readings, **settings}


def _shares(count: int, dice: Random) -> Iterator[float]:
    """Places in a run, from its first request (0) to its last (1); a single one is drawn by lot."""
    return (turn / (count - 1) if count > 1 else dice.random() for turn in range(count))


def _blows(kind: str, share: float, requests: tuple[int, int]) -> tuple[Blow, Blow]:
    """The same fault at the same place of the first and of the second run."""
    first, second = (1 + math.floor(share * (count - 1) + 0.5) for count in requests)
    return Blow(kind, first), Blow(kind, second)


def _case(part: str, number: int, blows: tuple[Blow, Blow], chosen: Mapping[str, Any]) -> Case:
    return Case(
        part,
        number,
        blows,
        {name: value for name, value in chosen.items() if name in switches.names()},
        {name: value for name, value in chosen.items() if name not in switches.names()},
    )


def _missing_pairs(
    turned: Mapping[str, tuple[Any, ...]], cases: Sequence[Case]
) -> list[tuple[tuple[str, Any], tuple[str, Any]]]:
    """Pairs of answers that no case has."""
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
