"""`voucherify-sandbox torture`: run the cases, print the results and how to repeat a failure."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.readings import from_file
from voucherify_sandbox.torture.bench import Bench, run
from voucherify_sandbox.torture.cases import (
    PARTS,
    ROUND_TRIP,
    TAP,
    TARGET,
    combinations,
    coverage,
    fixed,
    kills,
)
from voucherify_sandbox.torture.dimensions import DIMENSIONS
from voucherify_sandbox.torture.document import put
from voucherify_sandbox.torture.plugins import beside_python
from voucherify_sandbox.torture.score import Score, table, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from voucherify_sandbox.torture.cases import Case

WORKERS = 12
"""Cases at once; more than cores, because most of a case is waiting."""

SAMPLE = {TAP: 8, f"{TAP} kills": 4, TARGET: 4, f"{TARGET} kills": 4}
"""Cases of each part in a sample; round trips take too long for one."""

REQUESTS = {TAP: (34, 14), TARGET: (14, 14), ROUND_TRIP: (30, 30)}
"""Requests of the first and the second run of a case without an injection."""


def arguments() -> argparse.ArgumentParser:
    """The command-line parser."""
    options = argparse.ArgumentParser(
        prog="voucherify-sandbox torture",
        description="Run both plugins against the sandbox under all readings, faults and kills.",
    )
    options.add_argument("--seed", type=int, default=1, help="of the combinations")
    options.add_argument("--sample", action="store_true", help="a few cases of each part")
    options.add_argument("--only", metavar="PART", help="parts that begin with this, such as tap")
    options.add_argument("--case", help="one case by name, such as tap-17")
    options.add_argument("--workers", type=int, default=WORKERS, help="cases at once")
    options.add_argument("--tap", default="tap-voucherify", help="the tap's command")
    options.add_argument("--target", default="target-voucherify", help="the target's command")
    options.add_argument("--tap-config", type=Path, metavar="FILE", help="settings of the tap")
    options.add_argument("--target-config", type=Path, metavar="FILE", help="settings of it")
    options.add_argument(
        "--target-input",
        type=Path,
        metavar="FILE",
        help="Singer messages of a CRM's tap, instead of the bench's own contacts",
    )
    options.add_argument(
        "--readings",
        type=Path,
        metavar="FILE",
        help="fix those that `voucherify-sandbox certify` found",
    )
    options.add_argument("--document", type=Path, metavar="FILE", help="to write the table into")
    return options


def cases(options: argparse.Namespace) -> list[Case]:
    """The cases that the options select."""
    rng = Random(options.seed)
    found: list[Case] = []
    # One generator makes all of these, so they are made together or not at all.
    for part in PARTS if any(_may_be_of(part, options) for part in PARTS) else ():
        given = _settings(options.tap_config if part == TAP else options.target_config)
        found += combinations(part, REQUESTS[part], rng, given)
        found += _kills(part, rng)
    for one in DIMENSIONS:
        config = options.tap_config if one.PART.startswith(TAP) else options.target_config
        if config is None and _may_be_of(one.PART, options):
            found += one.cases(Random(f"{options.seed} {one.PART}"))
    if options.sample:
        found = [
            case
            for kind, count in {**SAMPLE, **{one.PART: one.SAMPLE for one in DIMENSIONS}}.items()
            for case in _sample([c for c in found if c.part == kind], count, rng)
        ]
    if options.only:
        found = [case for case in found if case.part.startswith(options.only)]
    known = from_file(options.readings) if options.readings else {}
    found = [fixed(case, known) for case in found]
    return [case for case in found if options.case in {None, case.name}]


def _may_be_of(part: str, options: argparse.Namespace) -> bool:
    """Whether the options may select a case of a part, or of one that is called like it."""
    if options.sample:
        return True
    start = (options.case or part.replace(" ", "-")).startswith(part.replace(" ", "-"))
    return start and (part.startswith(options.only or "") or (options.only or "").startswith(part))


def main(given: Sequence[str] | None = None) -> int:
    """Run the selected cases; 0 if all passed."""
    options = arguments().parse_args(given)
    bench = Bench(
        beside_python(options.tap),
        beside_python(options.target),
        _settings(options.tap_config),
        _settings(options.target_config),
        _messages(options.target_input),
    )
    chosen = cases(options)
    if not chosen:
        sys.exit("No case has this name with this seed.")
    began = time.monotonic()
    scores = run(bench, chosen, options.workers)
    parts: dict[str, Score] = {}
    for case, score in scores:
        parts[case.part] = parts.get(case.part, Score()) + score
    text = table({part: parts[part] for part in sorted(parts)})
    text += f"\n{_covered(chosen)}\n"
    print(text)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} seconds")
    bad = [case for case, score in scores if not score.passed]
    more = f" --readings {options.readings}" if options.readings else ""
    for case in bad:
        print(f"again: voucherify-sandbox torture --seed {options.seed} --case {case.name}{more}")
    if options.document:
        put(options.document, "torture", f"{text}\n{_produced(options.seed)}\n")
    good = len(scores) - len(bad)
    print(f"{good} passed, {len(bad)} failed")
    return 1 if bad or not total(parts.values()).runs else 0


def _kills(part: str, rng: Random) -> list[Case]:
    if part == ROUND_TRIP:
        # A round trip takes half a minute, so only one kill in 13 is tried.
        return kills(part, REQUESTS[part], {})[:: 3 * 4 + 1]
    single = kills(part, REQUESTS[part], {"write_path": "single"}) if part == TARGET else []
    return [*kills(part, REQUESTS[part], {}), *_sample(single, len(single) // 2, rng, rename=True)]


def _sample(found: Sequence[Case], count: int, rng: Random, *, rename: bool = False) -> list[Case]:
    chosen = rng.sample(list(found), min(count, len(found)))
    if not rename:
        return chosen
    return [replace(case, part=f"{case.part}, single") for case in chosen]


def _covered(chosen: Iterable[Case]) -> str:
    lines = []
    for part in PARTS:
        of_part = [case for case in chosen if case.part == part]
        if of_part:
            tried, pairs = coverage(of_part)
            lines.append(f"{part}: {tried:,} of {pairs:,} pairs of fault, reading and setting")
    return "; ".join(lines) + "." if lines else ""


def _produced(seed: int) -> str:
    """The command and the commit that made a table."""
    commit = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(commit, capture_output=True, text=True, check=False)
    sha = done.stdout.strip() or "unknown"
    return f"`voucherify-sandbox torture --seed {seed}` at commit {sha}."


def _settings(path: Path | None) -> dict[str, Any]:
    return {} if path is None else dict(json.loads(path.read_text()))


def _messages(path: Path | None) -> list[dict[str, Any]]:
    return [] if path is None else [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    sys.exit(main())
