"""Memory stays bounded by bytes, whatever the size of a record."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import leaks
from singer import command
from singer_input import schema, state
from target_run import settings

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox import Sandbox

MOST_MEGABYTES = 120
COUNT = 6_000
MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, flush=True)
sys.exit(code)
"""
"""A small process in between: a child's peak includes that of the process that forked it."""


def large(number: int, mapped: int, other: int) -> bytes:
    contact = {
        "source_id": f"crm-{number}",
        "metadata": {"note": "x" * mapped},
        "extra": "y" * other,
    }
    message = {"type": "RECORD", "stream": "customers", "record": contact}
    return json.dumps(message).encode() + b"\n"


@pytest.mark.parametrize(
    ("mapped", "other"), [(10_000, 0), (100, 9_900)], ids=["all is sent", "little is sent"]
)
@pytest.mark.parametrize("more", [(), ("refused_records_path",), ("ledger_path",)], ids=str)
def test_records_of_ten_kilobytes(
    sandbox: Sandbox, tmp_path: Path, mapped: int, other: int, more: tuple[str, ...]
) -> None:
    config: dict[str, Any] = settings(sandbox, **{name: str(tmp_path / name) for name in more})
    source = tmp_path / "input.singer"
    with source.open("wb") as file:
        file.write(json.dumps(schema()).encode() + b"\n")
        file.writelines(large(number, mapped, other) for number in range(COUNT))
        file.write(json.dumps(state({"seen": COUNT})).encode() + b"\n")

    line = [sys.executable, "-c", MEASURED, *command("target_voucherify", config, tmp_path)]
    with source.open("rb") as file:
        done = subprocess.run(line, stdin=file, capture_output=True, check=False, timeout=280)
    leaks.saw(done.stderr)
    printed, peak = done.stdout.splitlines()

    assert (done.returncode, json.loads(printed)) == (0, {"seen": COUNT})
    assert int(peak) / 1024 <= MOST_MEGABYTES
