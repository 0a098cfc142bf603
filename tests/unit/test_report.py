"""The HTML report: what it reads from logs, and what it must not show."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import leaks
from demo.report.figures import Figures
from demo.report.page import page
from demo.report.runs import refusals, runs

ROOT = Path(__file__).parents[2]
SUMMARY = (
    '{"complete": true, "received": 3, "accepted": 2, "refused": 1, "calls": 4, '
    '"retries": 0, "seconds_waited": 1.5, "quota_left": 99}'
)
PLAIN = f"2026-03-01T10:00:00.5Z [info     ] target-voucherify run summary {SUMMARY}\n"
AS_JSON = json.dumps(
    {
        "timestamp": "2026-03-01T10:00:00.5Z",
        "string_id": "target-voucherify",
        "event": f"run summary {SUMMARY}",
    }
)
FIGURES = Figures(
    customers=5,
    with_source_id=4,
    taken_part=2,
    totals=(1, 2, 1_500, 0, 5_000),
    by_day=[("2026-03-01", "A <b>bold</b> campaign", "referee", 1)],
    top=[("<script>alert(1)</script>", 1, 5_000, 1_000, 0)],
)


@pytest.mark.parametrize("line", [PLAIN, AS_JSON], ids=["a plain log", "a JSON log"])
def test_a_run_is_read_from_meltanos_log(line: str, tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text(f"something else\n{line}")

    (run,) = runs([tmp_path])

    assert (run.plugin, run.at) == ("target-voucherify", "2026-03-01T10:00:00")
    assert (run.done, run.refused, run.calls, run.quota_left) == (2, 1, 4, 99)
    assert (run.waited, run.complete) == (1.5, True)


def test_the_newest_run_comes_first(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text(PLAIN + PLAIN.replace("10:00", "11:00"))

    assert [run.at[11:13] for run in runs([log])] == ["11", "10"]


def test_of_refused_records_only_the_reasons_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "refused.singer"
    record = {"email": "a@example.com", "_refused_reason": "no date"}
    messages = [{"type": "SCHEMA"}, {"type": "RECORD", "record": record}]
    file.write_text("".join(json.dumps(message) + "\n" for message in messages))

    assert refusals(file) == Counter({"no date": 1})
    assert refusals(tmp_path / "none") == Counter()


def test_what_the_data_says_cannot_become_part_of_the_page() -> None:
    written = page(FIGURES, [], Counter({"<i>odd</i>": 1}))

    assert "<script" not in written
    assert "<b>bold" not in written
    assert "<i>odd" not in written
    assert "&lt;script&gt;alert(1)" in written


def test_the_page_needs_nothing_else() -> None:
    written = page(FIGURES, [], Counter())

    addresses = set(re.findall(r"https?://[^\s\"'<]+", written))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"<(?:link|img|iframe|script)\b", written)


def test_an_empty_warehouse_is_said_in_words() -> None:
    nothing = Figures(0, 0, 0, (0, 0, 0, 0, 0), [], [])

    written = page(nothing, [], Counter())

    assert "No rewards yet." in written
    assert "No referrals yet." in written
    assert "No logs were given." in written


def test_a_warehouse_without_marts_says_what_to_run_first(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo.report", "--warehouse", str(tmp_path / "none.duckdb")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    leaks.saw(done.stderr)
    assert done.returncode == 1
    assert "meltano run voucherify-to-warehouse transform" in done.stderr
    assert "Traceback" not in done.stderr
