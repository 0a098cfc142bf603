"""`python -m demo.report`: write the HTML report of a warehouse and the logs of its runs."""

from __future__ import annotations

import argparse
import sys
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
        figures = Figures.of(arguments.warehouse)
    except WarehouseError as error:
        sys.exit(str(error))
    text = page(figures, runs(arguments.logs), refusals(arguments.refused))
    arguments.out.write_text(text, encoding="utf-8")
    print(f"{arguments.out.resolve()}: {len(text) // 1024} kB")


if __name__ == "__main__":
    main()
