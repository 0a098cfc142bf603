"""The tap reads while the project moves: rows come, change and go before or after each request.

When the movement stops, one undisturbed run after another brings everything: two at most.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Movement, Readings, Sandbox
from voucherify_sandbox.torture.books import LONG_AGO, Facts
from voucherify_sandbox.torture.cases import SIGNALS, Case, Injection, by_pairs
from voucherify_sandbox.torture.tap_case import (
    CAMPAIGN,
    DAY,
    PAIRS,
    TapRuns,
    fatal_message,
    fill,
    finished,
)

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from voucherify_sandbox.torture.plugins import Plugin, Run
    from voucherify_sandbox.torture.score import Score

PART = "tap movement"
SAMPLE = 2

Action = Mapping[str, Any]


PROGRAM = f"{CAMPAIGN} points"
"""The loyalty campaign of the rewards."""


def _change(kind: str, position: int) -> Action:
    fields = {"metadata": {"moved": "{n}"}}
    return {"action": "change", "kind": kind, "position": position, "fields": fields}


def _remove(kind: str, position: int) -> Action:
    return {"action": "remove", "kind": kind, "position": position}


CREATE: Sequence[Action] = (
    {"action": "upsert_customer", "fields": {"source_id": "new-{n}", "name": "New {n}"}},
    {"action": "redeem", "code": "", "customer": "buyer-{n}", "order": {"amount": 100}},
    {"action": "referral_code", "campaign": CAMPAIGN, "referrer": "new-{n}"},
    {"action": "create_product", "fields": {"name": "New {n}"}, "skus": [{"sku": "New {n}"}]},
    {"action": "create_promotion", "name": "Sale", "percents": [7], "least_amount": 100},
    {"action": "add_pending_points", "campaign": PROGRAM, "holder": "new-{n}", "points": 7},
)
UPDATE: Sequence[Action] = (
    {"action": "update_customer", "key": "tie-{n}", "fields": {"name": "Moved {n}"}},
    _change("customers", 5),
    *(
        _change(kind, position)
        for kind in ("orders", "vouchers", "products", "skus", "promotion_tiers", "loyalty_tiers")
        for position in (0, 3)
    ),
    _change("campaigns", 0),
)
DELETE: Sequence[Action] = (
    {"action": "delete_customer", "key": "crm-1{n}"},
    {"action": "delete_customer", "key": "tie-{n}9"},
    _remove("customers", -2),
    _remove("customers", 150),
    # The cursors of a list by ids.
    *(_remove("pending_points", position) for position in (2, 40, 99)),
    # A redemption is rolled back and never deleted.
    *(_remove(kind, 2) for kind in ("orders", "vouchers", "products", "promotion_stacks")),
)
IMPORT: Sequence[Action] = (
    {"action": "add_customers", "count": 130, "prefix": "import-{n}-"},
    {"action": "redeem", "code": "", "customer": "import-{n}-7", "order": {"amount": 100}},
)
MOVES: Mapping[str, Sequence[Action]] = {
    "create": CREATE,
    "update": UPDATE,
    "delete": DELETE,
    "import": IMPORT,
    "all": (*CREATE, *UPDATE, *DELETE, IMPORT[0]),
}
"""What happens to the project; the code that is redeemed is filled in."""

REQUESTS, IMPORTS = 60, 4
"""Requests at most at which each action happens. Without an end a run with a call for each
customer would bring more customers with each run."""

STREAMS: Mapping[str, tuple[str, ...]] = {
    "default": ("customers", "reward_events"),
    "lists": ("customers", "orders", "redemptions", "publications", "campaigns", "vouchers"),
    "goods": ("products", "skus"),
    "offers": (
        "promotion_tiers",
        "promotion_stacks",
        "validation_rules",
        "validation_rule_assignments",
        "loyalty_tiers",
        "pending_points",
    ),
    "children": ("reward_events", "referral_holders", "campaign_transactions"),
}

READ_WHOLE = frozenset(("skus", "loyalty_tiers", "pending_points"))
"""Streams that cannot be sliced."""

CONDITIONS: Mapping[str, Sequence[Any]] = {
    "moves": tuple(MOVES),
    "rate": ("once", 0.3, 1, 4),
    "after": (False, True),
    "mode": ("first", "later", "slices"),
    "streams": tuple(STREAMS),
    "cut": ("nothing", "max_calls", *SIGNALS),
    "pause": (5, 3600),
}
SETTINGS: Mapping[str, Sequence[Any]] = {
    "max_concurrency": (8, 1),
    "reward_events_scan": ("changed", "all"),
    "customers_backfill": ("list", "export"),
}

RUNS_WHILE_MOVING = 3
FAILURES_IN_A_ROW = 2
"""A run may fail because of rows that went while it read; the next one may meet the same once."""

QUIET_RUNS = 2
CALLS = 9
"""Calls of a run under `max_calls`, until the tap names a larger number."""

ADVICE = re.compile(r"ends every run before .* at least (\d+)")
"""What a run says that `max_calls` keeps from moving forward."""

LARGE = 10_200
"""Customers that are read in parallel windows."""


def cases(rng: Random) -> list[Case]:
    """Cases by pairs, and some with enough customers for parallel windows."""
    found = by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=44)
    large = {"rate": 1, "after": False, "mode": "first", "streams": "default", "pause": 5}
    for number, moves in enumerate(("create", "all")):
        case = found[number]
        conditions = {**large, "moves": moves, "cut": ("nothing", "SIGTERM")[number], "large": True}
        settings = {**case.settings, "max_concurrency": 8, "customers_backfill": "list"}
        found.append(replace(case, number=len(found), conditions=conditions, settings=settings))
    return [replace(case, injections=_injections(case, rng)) for case in found]


def _injections(case: Case, rng: Random) -> tuple[Injection, Injection]:
    cut = case.conditions["cut"]
    if cut not in SIGNALS:
        return Injection(), Injection()
    last = 60 if case.conditions.get("large") else 16
    first, second = (
        Injection(cut, rng.randint(2, last), rng.choice((False, True))) for _ in range(2)
    )
    return first, second


def run_case(case: Case, plugin: Plugin) -> Score:
    """Run one case."""
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        sandbox.clock.advance(-6 * 3600)
        fill(sandbox)
        if case.conditions["streams"] in FILLED:
            FILLED[case.conditions["streams"]](sandbox)
            sandbox.clock.advance(-6 * 3600)
        if case.conditions.get("large"):
            sandbox.project.add_customers(
                LARGE, prefix="many", created_at=LONG_AGO, spread=20 * DAY
            )
        sandbox.clock.advance(600)
        streams = STREAMS[case.conditions["streams"]]
        if case.conditions["mode"] == "slices":
            streams = tuple(stream for stream in streams if stream not in READ_WHOLE)
        arguments = catalog(plugin, streams)
        history = History(case, TapRuns(sandbox, plugin, streams, arguments))
        try:
            history.run()
        except TimeoutError as error:
            history.runs.is_stuck(str(error))
        return finished(history.runs)


def _stock(sandbox: Sandbox) -> None:
    """Add more products than a page holds, and one with more SKUs than may come inside."""
    for number in range(130):
        sandbox.clock.set(LONG_AGO + number * DAY / 60)
        skus = [{"sku": f"{number}/{one}"} for one in range(number % 3 if number else 12)]
        sandbox.project.create_product({"source_id": f"product-{number}"}, skus)
    sandbox.clock.set(None)


def _promote(sandbox: Sandbox) -> None:
    """Add more promotions, rules, assignments and pending points than a page holds."""
    for number in range(130):
        sandbox.clock.set(LONG_AGO + number * DAY / 60)
        sandbox.project.create_promotion("Sale", [number % 90], least_amount=number)
        sandbox.project.add_pending_points(PROGRAM, f"crm-{number % 9}", number)
    for number in range(9):
        sandbox.project.add_loyalty_tier(PROGRAM, f"Tier {number}", (number, number + 1))
    sandbox.clock.set(None)


FILLED = {"goods": _stock, "offers": _promote}


def catalog(tap: Plugin, streams: Sequence[str]) -> tuple[str, ...]:
    """The arguments that select only these streams."""
    made = json.loads(_discovered(tap.command))
    for stream in made["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in streams
    path = tap.folder / "catalog.json"
    path.write_text(json.dumps(made))
    return "--catalog", str(path)


@cache
def _discovered(command: str) -> bytes:
    return subprocess.run(
        [command, "--discover"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=120,
    ).stdout


@dataclass
class History:
    """The runs of one case."""

    case: Case
    runs: TapRuns
    calls: int = CALLS

    def run(self) -> None:
        """Run while the project moves, then undisturbed, then compare."""
        if self.case.conditions["mode"] == "slices":
            self._slices()
            return
        if self.case.conditions["mode"] == "later":
            self.runs.until_well()
            self._pause()
        self._move_and_stop()

    def _move_and_stop(self, **settings: Any) -> None:
        """Read while the project moves, then without, and compare."""
        self._move()
        self._disturbed(**settings)
        self.runs.sandbox.movements.clear()
        self.runs.sandbox.project.settle()
        self._pause()
        self._undisturbed(**settings)
        self.runs.judge(self.runs.facts())

    def _pause(self) -> None:
        self.runs.sandbox.clock.advance(self.case.conditions["pause"])

    def _move(self) -> None:
        """Set the movements."""
        conditions, sandbox = self.case.conditions, self.runs.sandbox
        code = sandbox.project.referral_code(CAMPAIGN, f"crm-{PAIRS + 1}")
        actions = MOVES[conditions["moves"]]
        # The rate is that of the case, not of each of its actions.
        rate = 1 if conditions["rate"] == "once" else conditions["rate"] / len(actions)
        once: dict[str, Any] = {"nth": [3]} if conditions["rate"] == "once" else {}
        for action in actions:
            filled = {**action, "code": code} if "code" in action else action
            times = IMPORTS if action["action"] == "add_customers" else REQUESTS
            sandbox.movements.add(
                Movement(action=filled, rate=rate, after=conditions["after"], times=times, **once)
            )

    def _disturbed(self, **settings: Any) -> None:
        """Some runs from the last state, while the project moves."""
        failures = 0
        for injection in (*self.case.injections, *[Injection()] * (RUNS_WHILE_MOVING - 2)):
            ended = self._once(injection, **settings)
            has_failed = ended.exit_code == 1 and not ADVICE.search(ended.log)
            failures = failures + 1 if has_failed else 0
            if failures > FAILURES_IN_A_ROW:
                self.runs.is_stuck(f"{failures} runs in a row failed: {fatal_message(ended)}")

    def _undisturbed(self, **settings: Any) -> None:
        """The runs that bring the rest: one may only end the read that a cut run began."""
        for _ in range(QUIET_RUNS):
            goes_on = self.runs.goes_on
            ended = self.runs.once(**settings)
            if ended.exit_code == 0 and not goes_on:
                return
        if ended.exit_code:
            self.runs.is_stuck(f"undisturbed runs fail: {fatal_message(ended)}")

    def _once(self, injection: Injection, **settings: Any) -> Run:
        if self.case.conditions["cut"] == "max_calls":
            settings["max_calls"] = self.calls
        ended = self.runs.once(injection, **settings)
        advice = ADVICE.search(ended.log)
        if advice:
            self.calls = int(advice[1])
        return ended

    def _slices(self) -> None:
        """Two slices, each read while the project moves, and read again without."""
        middle, end = LONG_AGO + DAY, self.runs.sandbox.clock.now()
        for since, until in ((LONG_AGO - DAY, middle), (middle, end)):
            self.runs.wanted = partial(_created, since, until)
            self._move_and_stop(start_date=since.isoformat(), end_date=until.isoformat())


def _created(since: datetime, until: datetime, found: Facts) -> Facts:
    return {key: fact for key, fact in found.items() if since <= fact.created < until}
