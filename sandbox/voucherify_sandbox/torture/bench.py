"""Runs cases, each with the plugin and the settings that it needs, in parallel."""

from __future__ import annotations

import importlib
import multiprocessing
import sys
import tempfile
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.torture import tap_case, target_case
from voucherify_sandbox.torture.cases import ROUND_TRIP, TAP
from voucherify_sandbox.torture.dimensions import DIMENSIONS
from voucherify_sandbox.torture.plugins import Plugin
from voucherify_sandbox.torture.score import Score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from voucherify_sandbox.torture.cases import Case

BATCHES = {"batch_size_rows": target_case.ROWS, "max_refused_percent": 50}
"""Small batches, so that a load makes many requests."""

TRIPS_AT_ONCE = 2


@dataclass(frozen=True)
class Bench:
    """Commands, settings and input of the plugins."""

    tap: str
    target: str
    tap_config: Mapping[str, Any] = field(default_factory=dict)
    target_config: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[dict[str, Any]] = ()

    @property
    def is_ours(self) -> bool:
        """Whether the tap has the bench's settings, so that the sandbox's state must arrive."""
        return not self.tap_config

    def run_case(self, case: Case) -> Score:
        """Run one case in a temporary folder."""
        if case.part.startswith(ROUND_TRIP):
            score: Score = _round_trips().run_case(case)
            return score
        with tempfile.TemporaryDirectory(prefix="torture") as folder:
            return self._run_in(Path(folder), case)

    def _run_in(self, folder: Path, case: Case) -> Score:
        dimension = next((one for one in DIMENSIONS if case.part == one.PART), None)
        if dimension is not None:
            command = self.tap if case.part.startswith(TAP) else self.target
            return dimension.run_case(case, Plugin(command, case.settings, folder))
        if case.part.startswith(TAP):
            config = {**case.settings, **self.tap_config}
            return tap_case.run_case(case, Plugin(self.tap, config, folder), ours=self.is_ours)
        config = {**BATCHES, **case.settings, **self.target_config}
        config["refused_records_path"] = str(folder / "refused.singer")
        if not (self.messages or self.target_config):
            config["results_path"] = str(folder / "results.singer")
        if config.get("ledger_path"):
            config["ledger_path"] = str(folder / "ledger.db")
        config = {name: value for name, value in config.items() if value is not None}
        target = Plugin(self.target, config, folder)
        if self.messages:
            return target_case.run_case_with(case, target, self.messages)
        return target_case.run_case(case, target)


def run(bench: Bench, chosen: Sequence[Case], workers: int) -> list[tuple[Case, Score]]:
    """Run cases in parallel; round trips have workers of their own, as each keeps a core busy."""
    trips = [case for case in chosen if case.part.startswith(ROUND_TRIP)]
    others = [case for case in chosen if not case.part.startswith(ROUND_TRIP)]
    # A process with threads must not be forked, so workers are spawned.
    fresh = multiprocessing.get_context("spawn")
    found: list[tuple[Case, Score]] = []
    travels = _round_trips() if trips else None
    with (
        ProcessPoolExecutor(workers, mp_context=fresh) as pool,
        ProcessPoolExecutor(TRIPS_AT_ONCE, mp_context=fresh) as travellers,
    ):
        futures = {pool.submit(run_in_worker, bench, case): case for case in others}
        if travels:
            travels.install()
        futures |= {travellers.submit(run_in_worker, bench, case): case for case in trips}
        for future in as_completed(futures):
            case, score = futures[future], future.result()
            found.append((case, score))
            if not score.passed:
                print(f"{case}\n    {'; '.join(score.violations) or score}", flush=True)
            elif not len(found) % 50:
                print(f"{len(found)} of {len(chosen)} cases", flush=True)
    return found


def run_in_worker(bench: Bench, case: Case) -> Score:
    """Run a case in a worker; an exception fails the case, not the bench."""
    try:
        return bench.run_case(case)
    except Exception:  # noqa: BLE001 - reported with the case
        return Score(combinations=1, violations=[traceback.format_exc(limit=-4)])


def _round_trips() -> ModuleType:
    """The module of the round trips, which needs a checkout, PostgreSQL and DuckDB.

    Run as a command, Python does not look for modules in the folder where it is started.
    """
    if not Path("demo", "services.py").is_file():
        sys.exit("Round trips use the demo: start them in the root of a checkout.")
    if (checkout := str(Path.cwd())) not in sys.path:
        sys.path.append(checkout)
    return importlib.import_module("voucherify_sandbox.torture.round_trip")
