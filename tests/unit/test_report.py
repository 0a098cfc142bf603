"""The HTML report: what it reads from logs, and what it must not show."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
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
NOTHING_TORN: Counter[str] = Counter()
FIGURES = Figures(
    customers=5,
    with_source_id=4,
    taken_part=2,
    totals=(1, 2, 1_500, 0, 5_000),
    by_day=[("2026-03-01", "A <b>bold</b> campaign", "referee", 1)],
    top=[("<script>alert(1)</script>", 1, 5_000, 1_000, 0)],
    delivery=[("2026-03-01", "customers", "refused: <b>bold</b>", 3)],
)


@pytest.mark.parametrize("line", [PLAIN, AS_JSON], ids=["a plain log", "a JSON log"])
def test_a_run_is_read_from_meltanos_log(line: str, tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text(f"something else\n{line}")

    (run,) = runs([tmp_path], NOTHING_TORN)

    assert (run.plugin, run.at) == ("target-voucherify", "2026-03-01T10:00:00")
    assert (run.done, run.refused, run.calls, run.quota_left) == (2, 1, 4, 99)
    assert (run.waited, run.complete) == (1.5, True)


def test_the_newest_run_comes_first(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text(PLAIN + PLAIN.replace("10:00", "11:00"))

    assert [run.at[11:13] for run in runs([log], NOTHING_TORN)] == ["11", "10"]


REFUSED = [
    {"_refused_key": "invalid_date"},
    {"_refused_key": "invalid_date"},
    {"_refused_key": "jane.roe@example.com"},
    {"_refused_key": None},
    {},
]


def test_of_refused_records_only_the_kinds_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "refused.singer"
    private = {"email": "jane.roe@example.com", "_refused_reason": "Jane Roe is no date"}
    records = [{"type": "RECORD", "record": {**private, **record}} for record in REFUSED]
    lines = [json.dumps(message) + "\n" for message in ({"type": "SCHEMA"}, *records)]
    file.write_text("".join(lines))

    kinds = refusals(file, NOTHING_TORN)

    assert kinds == Counter(invalid_date=2, other=3)
    assert refusals(tmp_path / "none", NOTHING_TORN) == Counter()
    written = page(FIGURES, [], kinds, NOTHING_TORN)
    assert "Roe" not in written
    assert "roe" not in written


@pytest.mark.parametrize("cut", range(len(PLAIN) - 1))
def test_a_torn_line_is_left_out_and_counted(cut: int, tmp_path: Path) -> None:
    log, refused = tmp_path / "run.log", tmp_path / "refused.singer"
    log.write_text(PLAIN + PLAIN[:cut])
    whole = json.dumps({"type": "RECORD", "record": {"_refused_key": "invalid_date"}})
    refused.write_text(f"{whole}\n{whole[: cut % (len(whole) - 1) + 1]}\n")
    torn: Counter[str] = Counter()

    assert len(runs([tmp_path], torn)) == 1
    assert refusals(refused, torn) == Counter(invalid_date=1)

    assert torn["refused.singer"] == 1
    assert torn["run.log"] == ("run summary {" in PLAIN[:cut])
    assert "unreadable lines of refused.singer" in page(FIGURES, [], Counter(), torn)


def test_what_the_data_says_cannot_become_part_of_the_page() -> None:
    written = page(FIGURES, [], Counter({"<i>odd</i>": 1}), Counter({"<i>odd.log": 1}))

    assert "<script" not in written
    assert "<b>bold" not in written
    assert "<i>odd" not in written
    assert "&lt;script&gt;alert(1)" in written


def test_the_page_needs_nothing_else() -> None:
    written = page(FIGURES, [], Counter(), NOTHING_TORN)

    addresses = set(re.findall(r"https?://[^\s\"'<]+", written))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"<(?:link|img|iframe|script)\b", written)


def test_an_empty_warehouse_is_said_in_words() -> None:
    nothing = Figures(0, 0, 0, (0, 0, 0, 0, 0), [], [], [])

    written = page(nothing, [], Counter(), NOTHING_TORN)

    assert "No rewards yet." in written
    assert "No referrals yet." in written
    assert "No logs were given." in written
    assert "Refused and drifted" not in written


def report(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demo.report", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    leaks.saw(done.stderr)
    assert "Traceback" not in done.stderr
    return done


def test_a_warehouse_without_marts_says_what_to_run_first(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "empty.duckdb")).close()
    for name in ("none.duckdb", "empty.duckdb"):
        done = report("--warehouse", tmp_path / name)
        assert done.returncode == 1
        assert "meltano run voucherify-to-warehouse transform" in done.stderr


def test_a_warehouse_that_is_in_use_or_not_there_is_no_warehouse_without_marts(
    tmp_path: Path,
) -> None:
    with duckdb.connect(str(tmp_path / "busy.duckdb")):
        assert "Another process has" in report("--warehouse", tmp_path / "busy.duckdb").stderr
    assert "cannot be opened" in report("--warehouse", "postgresql://127.0.0.1:1/none").stderr


MARTS = """
CREATE SCHEMA analytics;
CREATE TABLE analytics.stg_customers (source_id text);
CREATE TABLE analytics.referral_program_daily (conversions int, rewards int, credit_given int,
    points_given int, order_total_amount int);
CREATE TABLE analytics.referral_rewards (rewarded_at timestamp, campaign_name text,
    campaign_id text, recipient_role text);
CREATE TABLE analytics.customer_referral_summary (customer_source_id text, customer_id text,
    friends_referred int, order_total_amount_brought int, credit_received int, points_received int);
CREATE TABLE analytics.delivery_daily (day date, entity text, outcome text, reason text,
    records int)
"""


def test_the_page_is_for_its_owner_also_where_a_file_was(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "w.duckdb")) as warehouse:
        warehouse.execute(MARTS)
    out = tmp_path / "report.html"
    out.write_text("older")
    out.chmod(0o644)

    done = report("--warehouse", tmp_path / "w.duckdb", "--out", out)
    missing = report("--warehouse", tmp_path / "w.duckdb", "--logs", tmp_path / "none.log")

    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "No rewards yet." in out.read_text()
    assert (missing.returncode, "check --logs" in missing.stderr) == (1, True)
