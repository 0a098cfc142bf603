"""The benchmark runs; its results are not checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import leaks

ROOT = Path(__file__).resolve().parents[2]


def test_the_benchmark_runs_at_a_small_size() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "small"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )

    leaks.saw(done.stderr)
    assert done.returncode == 0, done.stderr
    assert "tap-voucherify" in done.stderr
    assert "target-voucherify" in done.stderr
