"""Switch off one defence at a time and see a test turn red.

A bench that stays green whatever is broken proves nothing. Each entry takes one line of defence out
of a copy of the plugins and runs the tests that should notice; it must fail, and the table says
which case caught it. An entry whose text is not found any more is an error, so the list follows
the code.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from voucherify_sandbox.torture.document import put

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ("tap_voucherify", "target_voucherify")
LONGEST = 600
"""Seconds that the tests of one entry may take."""


class Defence(NamedTuple):
    """One defence: what it is, the line that makes it, the line without it, and its tests."""

    name: str
    module: str
    line: str
    without: str
    tests: tuple[str, ...]


WALK = ("tests/unit/test_tap_walk.py", "tests/faults/test_tap_customers.py")
READINGS = ("tests/faults/test_tap_readings.py",)
EVENTS = ("tests/standard/test_tap_reward_events.py",)
BULK = ("tests/faults/test_target_bulk.py", "-k", "not nothing_is_lost")
MATRIX = ("tests/faults/test_target_bulk.py", "-k", "nothing_is_lost")
SINGLE = ("tests/faults/test_target_single.py",)
AGREE = ("tests/contract/test_plugins_agree.py",)

DEFENCES = (
    Defence(
        "tap: pages overlap by a millisecond",
        "tap_voucherify/walk.py",
        "following = whole_millisecond(timed[-1][0]) - MILLISECOND if timed else None",
        "following = whole_millisecond(timed[-1][0]) if timed else None",
        WALK,
    ),
    Defence(
        "tap: rows of the overlap are dropped by id",
        "tap_voucherify/walk.py",
        "if known in self._edge:",
        "if known in ():",
        WALK,
    ),
    Defence(
        "tap: an instant that fills pages is paged through",
        "tap_voucherify/walk.py",
        "yield from self._instant(query, following)",
        "yield from ()",
        WALK,
    ),
    Defence(
        "tap: pages of one instant are read again until nothing is new",
        "tap_voucherify/walk.py",
        "while quiet < BOTH_WAYS:",
        "while False:",
        WALK,
    ),
    Defence(
        "tap: reward events take over only a walk that began where theirs would",
        "tap_voucherify/candidates.py",
        "if self._ids is None or self._since != wanted:",
        "if self._ids is None:",
        EVENTS,
    ),
    Defence(
        "tap: customers never updated have a walk of their own",
        "tap_voucherify/modified.py",
        "return heapq.merge(never_updated, updated, key=lambda timed: timed[0])",
        "return heapq.merge(updated, key=lambda timed: timed[0])",
        WALK,
    ),
    Defence(
        "tap: the bookmark stays behind the start of the run",
        "tap_voucherify/incremental.py",
        "capped = min(reached, started - self.lookback)",
        "capped = reached",
        ("tests/faults/test_tap_customers.py", "-k", "bookmark"),
    ),
    Defence(
        "tap: a first run is held against the API's count",
        "tap_voucherify/completeness.py",
        "self.missing = max(0, (self.total or 0) - self.rows) or None",
        "self.missing = None",
        WALK,
    ),
    Defence(
        "tap: customers named by redemptions are asked",
        "tap_voucherify/reward_events.py",
        "to_ask.add(named_by_redemption(row))",
        "named_by_redemption(row)",
        EVENTS,
    ),
    Defence(
        "tap: a counter that is missing counts as one that moved",
        "tap_voucherify/changes.py",
        "return not (present and all(_is_zero(counter) for counter in counters))",
        "return not all(_is_zero(counter or 0) for counter in counters)",
        ("tests/unit/test_tap_changes.py",),
    ),
    Defence(
        "tap: a proxy's 404 is not a deletion",
        "tap_voucherify/answers.py",
        "kind = NotFoundError if answer.says_not_found else VoucherifyError",
        "kind = NotFoundError",
        EVENTS,
    ),
    Defence(
        "tap: waits are as long as told",
        "tap_voucherify/client.py",
        'seconds, why = max(told or (0.0, ""), (backoff(attempt), "back-off"))',
        'seconds, why = (backoff(attempt), "back-off")',
        AGREE,
    ),
    Defence(
        "tap: redirects are not followed",
        "tap_voucherify/client.py",
        "        return None\n\n\ndef _session(",
        "        return super().get_redirect_target(resp)\n\n\ndef _session(",
        ("tests/faults/test_security.py", *AGREE),
    ),
    Defence(
        "tap: downloads come from known hosts only",
        "tap_voucherify/address.py",
        'return asked.scheme == "https" and asked.netloc in {*DOWNLOAD_HOSTS, of_region}',
        "return bool(of_region)",
        ("tests/faults/test_security.py", "tests/faults/test_tap_export.py"),
    ),
    Defence(
        "target: a state waits for the records before it",
        "target_voucherify/acknowledgement/state_fence.py",
        "oldest is None or self._waiting[0][0] < oldest",
        "oldest is None or self._waiting[0][0] < oldest or True",
        ("tests/unit/test_target_fence.py", "tests/faults/test_target_bulk.py"),
    ),
    Defence(
        "target: counts of a job must add up",
        "target_voucherify/writing/job_result.py",
        "        and done + failed == sent\n",
        "",
        ("tests/unit/test_target_parts.py", *BULK),
    ),
    Defence(
        "target: a job whose operation failed has failed",
        "target_voucherify/writing/job_result.py",
        '        and action.get("operation_status") != "FAILED"\n',
        "",
        ("tests/unit/test_target_parts.py", *BULK),
    ),
    Defence(
        "target: refused rows without a name are looked for",
        "target_voucherify/writing/job_result.py",
        "    if named == failed:\n",
        "    if named <= failed:  # not one by one\n",
        BULK,
    ),
    Defence(
        "target: jobs on their way share no key",
        "target_voucherify/writing/bulk.py",
        "return all(batch.rows.keys().isdisjoint(job.batch.rows) for job in self._queue)",
        "return True",
        BULK,
    ),
    Defence(
        "target: a request refused whole is halved",
        "target_voucherify/writing/bulk.py",
        "        if len(batch.rows) == 1:\n",
        "        if batch.rows:\n",
        BULK,
    ),
    Defence(
        "target: no state speaks for a refusal without a file",
        "target_voucherify/acknowledgement/outcomes.py",
        "            self._end_states(ticket)\n",
        "",
        BULK,
    ),
    Defence(
        "target: a fingerprint is forgotten before a change is sent",
        "target_voucherify/writing/bulk.py",
        "            self._services.ledger.forget(batch.rows)\n",
        "            pass\n",
        SINGLE,
    ),
    Defence(
        "target: deletions have a breaker",
        "target_voucherify/writing/deletions.py",
        "if count * 100 > self._percent * received:",
        "if count * 100 > self._percent * received and False:",
        SINGLE,
    ),
    Defence(
        "target: a proxy's 404 is not a deletion",
        "target_voucherify/answers.py",
        "return self.status == NOT_FOUND and known",
        "return self.status == NOT_FOUND",
        SINGLE,
    ),
    Defence(
        "target: what has no source_id is never sent",
        "target_voucherify/entities/source_id.py",
        "    elif not stripped.strip() and not problems:\n",
        "    elif False:\n",
        ("tests/unit/test_target_customer.py",),
    ),
    Defence(
        "target: waits are as long as told",
        "target_voucherify/client.py",
        'wait, why = max(told or (0.0, ""), (waiting.backoff(tries), "back-off"))',
        'wait, why = (waiting.backoff(tries), "back-off")',
        AGREE,
    ),
    Defence(
        "target: redirects are not followed",
        "target_voucherify/client.py",
        "        return None\n\n\ndef _nothing(",
        "        return super().get_redirect_target(resp)\n\n\ndef _nothing(",
        ("tests/faults/test_security.py", *AGREE),
    ),
)


def source(defence: Defence) -> Path:
    """The file of this checkout that holds the defence."""
    package = defence.module.split("/")[0]
    return ROOT / package.replace("_", "-") / defence.module


def copies(defence: Defence, folder: Path) -> list[Path]:
    """The files of both plugins' copies that hold the defence: each plugin has a client inside."""
    if defence.module.startswith("voucherify_client/"):
        return [folder / plugin / defence.module for plugin in PLUGINS]
    return [folder / defence.module]


def switched_off(defence: Defence) -> str:
    """The text of the file without the defence.

    Raises:
        ValueError: the line is not there exactly once, so the entry has to follow the code.
    """
    text = source(defence).read_text()
    if text.count(defence.line) != 1:
        raise ValueError(f"{defence.name}: its line is not once in {defence.module}")
    return text.replace(defence.line, defence.without)


def caught_by(defence: Defence) -> str | None:
    """The first test that turns red without the defence; none if all stay green."""
    with tempfile.TemporaryDirectory(prefix="defence") as folder:
        for package in PLUGINS:
            shutil.copytree(ROOT / package.replace("_", "-") / package, Path(folder, package))
        for copy in copies(defence, Path(folder)):
            copy.write_text(switched_off(defence))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", *defence.tests],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": folder},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )
    red = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return red[0].split(" ", 1)[1].split(" - ")[0] if red else None


def main() -> int:
    """Switch off each defence that was asked for; 0 when every one of them was missed."""
    options = argparse.ArgumentParser(prog="python -m voucherify_sandbox.torture.defences")
    options.add_argument("--only", default="", help="defences whose name holds this text")
    options.add_argument("--document", type=Path, metavar="FILE", help="where to put the table")
    given = options.parse_args()
    chosen = [defence for defence in DEFENCES if given.only in defence.name]
    table, missed = "| switched off | caught by |\n| --- | --- |\n", 0
    for defence in chosen:
        case = caught_by(defence)
        missed += case is None
        row = f"| {defence.name} | {f'`{case}`' if case else '**nothing**'} |"
        print(row, flush=True)
        table += f"{row}\n"
    if given.document:
        put(given.document, "defences", table)
    print(f"{len(chosen) - missed} passed, {missed} failed")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
