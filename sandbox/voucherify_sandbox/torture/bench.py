"""Living through cases: which plugin a case is about, its settings, and many at once."""

from __future__ import annotations

import importlib
import multiprocessing
import tempfile
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.torture import reading_out, writing_in
from voucherify_sandbox.torture.cases import ROUND_TRIP, TAP
from voucherify_sandbox.torture.plugins import Plugin
from voucherify_sandbox.torture.score import Score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from voucherify_sandbox.torture.cases import Case

BATCHES = {"batch_size_rows": writing_in.ROWS, "max_refused_percent": 50}
"""Small batches, so that a load has many requests to strike."""

TRIPS_AT_ONCE = 2


@dataclass(frozen=True)
class Bench:
    """What the user asked for."""

    tap: str
    target: str
    tap_config: Mapping[str, Any] = field(default_factory=dict)
    target_config: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[dict[str, Any]] = ()

    @property
    def is_ours(self) -> bool:
        """Whether the tap's settings are the bench's own, and its books say what must arrive."""
        return not self.tap_config

    def live(self, case: Case) -> Score:
        """Live through one case in a folder of its own."""
        if case.part.startswith(ROUND_TRIP):
            score: Score = _round_trips().live(case)
            return score
        with tempfile.TemporaryDirectory(prefix="torture") as folder:
            return self._live_in(Path(folder), case)

    def _live_in(self, folder: Path, case: Case) -> Score:
        if case.part.startswith(TAP):
            config = {**case.settings, **self.tap_config}
            return reading_out.live(case, Plugin(self.tap, config, folder), ours=self.is_ours)
        config = {**BATCHES, **case.settings, **self.target_config}
        config["refused_records_path"] = str(folder / "refused.singer")
        if config.get("ledger_path"):
            config["ledger_path"] = str(folder / "ledger.db")
        config = {name: value for name, value in config.items() if value is not None}
        target = Plugin(self.target, config, folder)
        if self.messages:
            return writing_in.live_with(case, target, self.messages)
        return writing_in.live(case, target)


def run(bench: Bench, chosen: Sequence[Case], workers: int) -> list[tuple[Case, Score]]:
    """Live through all; the round trips in workers of their own, as they keep a core busy."""
    trips = [case for case in chosen if case.part.startswith(ROUND_TRIP)]
    others = [case for case in chosen if not case.part.startswith(ROUND_TRIP)]
    # Each worker is a fresh interpreter: one that has threads may not be forked.
    fresh = multiprocessing.get_context("spawn")
    found: list[tuple[Case, Score]] = []
    with (
        ProcessPoolExecutor(workers, mp_context=fresh) as pool,
        ProcessPoolExecutor(TRIPS_AT_ONCE, mp_context=fresh) as travellers,
    ):
        futures = {pool.submit(lived, bench, case): case for case in others}
        if trips:
            _round_trips().install()
        futures |= {travellers.submit(lived, bench, case): case for case in trips}
        for future in as_completed(futures):
            case, score = futures[future], future.result()
            found.append((case, score))
            if not score.good:
                print(f"{case}\n    {'; '.join(score.wrong) or score}", flush=True)
            elif not len(found) % 50:
                print(f"{len(found)} of {len(chosen)} cases", flush=True)
    return found


def lived(bench: Bench, case: Case) -> Score:
    """A case in a worker; whatever goes wrong there belongs to the case, and the others go on."""
    try:
        return bench.live(case)
    except Exception:  # noqa: BLE001 - told with the case
        return Score(combinations=1, wrong=[traceback.format_exc(limit=-4)])


def _round_trips() -> ModuleType:
    """The module of the round trips, which alone needs a checkout, PostgreSQL and DuckDB."""
    return importlib.import_module("voucherify_sandbox.torture.round_trip")
