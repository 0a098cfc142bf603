"""`python -m demo.report`: write the HTML report of a warehouse and the logs of its runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from demo.report.figures import Figures, WarehouseError
from demo.report.page import page
from demo.report.runs import refusals, runs


def main() -> None:
    """Write the report and print its path.

    Raises:
        SystemExit: the warehouse cannot be read, or has no marts yet.
    """
    parser = argparse.ArgumentParser(prog="report", description=__doc__)
    parser.add_argument(
        "--warehouse",
        default=".demo/warehouse.duckdb",
        help="a DuckDB file, or the address of a PostgreSQL database: postgresql://…",
    )
    parser.add_argument(
        "--logs", type=Path, nargs="*", default=[], help="logs of runs, or folders of *.log"
    )
    parser.add_argument("--refused", type=Path, help="the file of refused records")
    parser.add_argument("--out", type=Path, default=Path("report.html"))
    arguments = parser.parse_args()
    try:
        figures, torn = Figures.of(arguments.warehouse), Counter[str]()
        last_runs, refused = runs(arguments.logs, torn), refusals(arguments.refused, torn)
        text = page(figures, last_runs, refused, torn)
    except WarehouseError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"Cannot read {error.filename}: check --logs and --refused.")
    write_private(arguments.out, text)
    print(f"{arguments.out.resolve()}: {len(text) // 1024} kB")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
