"""Writes tables into a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def put(document: Path, name: str, table: str) -> None:
    """Replace the table between the comments that carry its name."""
    begin, end = f"<!-- {name} table -->\n", f"<!-- end of the {name} table -->\n"
    before, _, rest = document.read_text().partition(begin)
    _, _, after = rest.partition(end)
    document.write_text(f"{before}{begin}\n{table}\n{end}{after}")
