"""Exports as CSV files (reference §9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.project import Project


class Exports:
    """All exports of a project."""

    def __init__(self, project: Project) -> None:
        """None yet."""
        self.project = project
        self.all: dict[str, Json] = {}
