"""Results of cases, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS = (
    ("combinations", "combinations"),
    ("runs", "runs"),
    ("rows", "rows"),
    ("faults", "faults injected"),
    ("kills", "kills"),
    ("lost", "lost"),
    ("early", "acknowledged early"),
    ("deleted", "deleted by mistake"),
    ("doubled", "doubled orders"),
    ("stuck", "stuck"),
    ("untrue", "green but not true"),
    ("again", "sent again after a crash"),
    ("most_again", "most at once"),
)


@dataclass
class Score:
    """Counts of one case, or of many.

    Attributes:
        combinations: cases.
        runs: of the plugin, or of `meltano run`.
        rows: records that a tap wrote or a target received.
        faults: requests that a fault hit.
        kills: runs that a signal ended.
        lost: rows that are missing or outdated at the destination.
        early: rows that a state covered before they had arrived.
        deleted: customers that were deleted although they live in the source.
        doubled: orders beyond the first one of a key.
        stuck: runs that had work left and got no further, and cases that came to no end.
        untrue: runs that reported success although the books did not agree.
        again: rows repeated by the run after an interrupted one.
        most_again: the most of them after one run.
        violations: other failures, a sentence each.
    """

    combinations: int = 0
    runs: int = 0
    rows: int = 0
    faults: int = 0
    kills: int = 0
    lost: int = 0
    early: int = 0
    deleted: int = 0
    doubled: int = 0
    stuck: int = 0
    untrue: int = 0
    again: int = 0
    most_again: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every count that must be 0 is, and nothing else was violated."""
        bad = (self.lost, self.early, self.deleted, self.doubled, self.stuck, self.untrue)
        return not any(bad) and not self.violations

    def sent_again(self, rows: int) -> None:
        """Count rows that one run sent although an earlier one had sent them."""
        self.again += rows
        self.most_again = max(self.most_again, rows)

    def __add__(self, other: Score) -> Score:
        """The sum of both."""
        total = Score()
        for one in fields(Score):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            both = max(mine, theirs) if one.name == "most_again" else mine + theirs
            setattr(total, one.name, both)
        return total


def total(scores: Iterable[Score]) -> Score:
    """The sum of all."""
    return sum(scores, Score())


def table(scores: Mapping[str, Score]) -> str:
    """A Markdown table with a row for each part and one for all."""
    rows = [
        ["part", *(title for _, title in COLUMNS)],
        ["---", *("---:" for _ in COLUMNS)],
        *(_row(part, score) for part, score in scores.items()),
        _row("**all**", total(scores.values())),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(part: str, score: Score) -> list[str]:
    return [part, *(f"{getattr(score, name):,}" for name, _ in COLUMNS)]
