"""Peak memory of the tap's first run over customers, for growing numbers of them.

`make bench-memory` prints, for each size, rows a second, API calls and the peak resident memory of
the tap's process in MB. The sandbox is the server, so the speed is the sandbox's and not the tap's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from voucherify_sandbox import Sandbox

SIZES = (10_000, 100_000, 1_000_000)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def measure(size: int) -> str:
    """One line of the table."""
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        sandbox.project.add_customers(
            size, prefix="crm-", created_at=LONG_AGO, spread=timedelta(days=200)
        )
        config = Path(folder) / "config.json"
        config.write_text(
            json.dumps(
                {
                    "application_id": sandbox.application_id,
                    "secret_key": sandbox.secret_key,
                    "api_url": sandbox.url,
                    "start_date": LONG_AGO.isoformat(),
                    "end_date": datetime.now(UTC).isoformat(),
                }
            )
        )
        catalog = Path(folder) / "catalog.json"
        tap = [sys.executable, "-m", "tap_voucherify"]
        discovered = json.loads(subprocess.check_output([*tap, "--discover"]))
        for stream in discovered["streams"]:
            for entry in stream["metadata"]:
                if entry["breadcrumb"] == []:
                    entry["metadata"]["selected"] = stream["tap_stream_id"] == "customers"
        catalog.write_text(json.dumps(discovered))
        began = time.monotonic()
        process = subprocess.Popen(
            [*tap, "--config", str(config), "--catalog", str(catalog)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        peak = peak_while_running(process)
        rate = size / (time.monotonic() - began)
        return (
            f"{size:>9,} customers: exit {process.returncode}, {rate:>7,.0f} rows/s, "
            f"{sandbox.calls:>6,} calls, peak {peak:>4.0f} MB"
        )


def peak_while_running(process: subprocess.Popen[bytes]) -> float:
    """The most resident memory the process ever had, in MB, as the kernel keeps it."""
    peak = 0.0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        marks = [line for line in status.splitlines() if line.startswith("VmHWM")]
        if marks:
            peak = float(marks[0].split()[1]) / 1024
        time.sleep(0.05)
    return peak


def main() -> None:
    """Print a line per size; sizes may be given as arguments."""
    for size in [int(word) for word in sys.argv[1:]] or SIZES:
        print(measure(size), flush=True)


if __name__ == "__main__":
    main()
