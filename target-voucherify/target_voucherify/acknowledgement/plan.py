"""The plan of a dry run: what would become of each record, in a file and in a table for people.

It stands where a run has its results, so a record that is unchanged or refused comes here by the
same way.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from target_voucherify.acknowledgement.private_files import (
    open_own,
    storable,
    write_lines,
)
from target_voucherify.acknowledgement.results_file import UNSENT, Outcome, Sent
from target_voucherify.voucherify_client.log_names import column_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Action = Literal["create", "update", "write", "unchanged", "refuse", "delete"]
"""`write`: a customer is created or updated; a dry run without ledger or comparison asks for a
sample only."""

ACTIONS: dict[Outcome, Action] = {"unchanged": "unchanged", "refused": "refuse"}

SAMPLES = 5
"""Payloads that the table shows, of each entity."""

MOST_LINES = 12
"""Fields or reasons that the table names, of each entity."""

BUFFERED = 1_000

BEGIN = b'{"entity":"'
"""How the file begins."""

_encode = msgspec.json.Encoder().encode


class Plan:
    """Collects what a dry run finds; with a path, in a file that only its owner may read.

    Args:
        path: of the file; a former plan is replaced.

    Raises:
        SettingsError: the file cannot be written; also later.
    """

    def __init__(self, path: str | None) -> None:
        self._path = Path(path or os.devnull)
        self._lines: list[bytes] = []
        self._counts: dict[str, Counter[Action]] = {}
        self._fields: dict[str, Counter[str]] = {}
        self._reasons: dict[str, Counter[str]] = {}
        self._samples: dict[str, list[bytes]] = {}
        self._descriptor: int | None = None
        if path:
            self._descriptor = open_own("plan_path", path, os.O_RDWR, BEGIN)
            os.ftruncate(self._descriptor, 0)

    def add(
        self,
        entity: str,
        keys: Iterable[str | None],
        outcome: Outcome,
        *,
        reason: str | None = None,
        sent: Sent = UNSENT,
    ) -> None:
        """Add records that would not be written; as `ResultsFile.add`."""
        del sent
        action = ACTIONS.get(outcome)
        if action is None:
            return  # a duplicate, of which the newer record counts
        for key in keys:
            self._add(entity, key, action, reason=reason)
            if reason:
                self._reasons.setdefault(entity, Counter())[reason] += 1

    def would_write(
        self, entity: str, key: str, action: Action, fields: Collection[str] | None, payload: bytes
    ) -> None:
        """Add a record that would be written.

        Args:
            entity: what it would become.
            key: its `source_id`.
            action: what would happen.
            fields: those that change; `None` where that is not known.
            payload: what would be sent.
        """
        self._add(entity, key, action, fields=fields)
        self._fields.setdefault(entity, Counter()).update(fields or ())
        samples = self._samples.setdefault(entity, [])
        if len(samples) < SAMPLES:
            samples.append(payload)

    def would_delete(self, entity: str, keys: Iterable[str]) -> None:
        """Add customers that would be deleted."""
        for key in keys:
            self._add(entity, key, "delete")

    def table(self, calls: int, minutes: int | None) -> str:
        """The plan for people, with samples that hold personal data: for a terminal only.

        Args:
            calls: that the run would make.
            minutes: that they take at the plan's limit; `None` if that is not known.
        """
        lines = ["", "What a run would do"]
        for entity, counts in self._counts.items():
            lines += ["", entity]
            lines += [f"  {action:<12}{count:>12,}" for action, count in counts.items()]
            lines += _most("changed field", self._fields.get(entity, Counter()))
            lines += _most("refused", self._reasons.get(entity, Counter()))
            lines += ["  for example:"]
            lines += [f"    {payload.decode()}" for payload in self._samples.get(entity, ())]
        time = "" if minutes is None else f", some {minutes} minutes at the limit of this plan"
        return "\n".join([*lines, "", f"about {calls:,} calls{time}", ""])

    def flush(self) -> None:
        """Nothing waits for a plan."""

    def close(self) -> None:
        """Write what is left, and close the file."""
        if self._descriptor is not None:
            try:
                self._write()
            finally:
                os.close(self._descriptor)
                self._descriptor = None

    def _add(
        self,
        entity: str,
        key: str | None,
        action: Action,
        *,
        reason: str | None = None,
        fields: Collection[str] | None = None,
    ) -> None:
        self._counts.setdefault(entity, Counter())[action] += 1
        if self._descriptor is None:
            return
        line: dict[str, Any] = {"entity": entity, "source_id": storable(key), "action": action}
        line |= {"fields": None if fields is None else sorted(fields), "reason": reason}
        self._lines.append(_encode(line))
        if len(self._lines) >= BUFFERED:
            self._write()

    def _write(self) -> None:
        if self._descriptor is not None:
            write_lines("plan_path", self._path, self._descriptor, self._lines)


def _most(what: str, counts: Counter[str]) -> Iterable[str]:
    """A line for each of the most frequent."""
    for name, count in counts.most_common(MOST_LINES):
        yield f"  {what} {column_name(name):<30}{count:>12,}"
