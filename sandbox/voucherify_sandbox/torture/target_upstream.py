"""The tap before the target is not well: it dies, repeats, mixes streams and versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.torture.cases import by_pairs
from voucherify_sandbox.torture.target_books import (
    Crm,
    Message,
    TargetRuns,
    configured,
    encoded,
    rest_after,
    schema,
    with_states,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin
    from voucherify_sandbox.torture.score import Score

PART, SAMPLE = "target upstream", 3
MOST = 48

CONTACTS = 30

CONDITIONS: dict[str, tuple[Any, ...]] = {
    # A share of the lines after which the tap dies; with a half line where it is negative.
    "dies_at": (None, 0.1, 0.4, 0.7, 0.95, 0.99, -0.6, -0.99),
    "activate": ("last", "first", "both", "absent"),
    "versions": ("own", "another stream's", "mixed", "none", "the same"),
    "repeats": ("nothing", "records", "stream"),
    "beside": ("nothing", "after", "between"),
    "schema": ("once", "changes", "repeated"),
    "leave": ("missing", "marked", "both"),
    "goes_on": ("anew", "with the rest"),
}
"""What the tap does: `beside` is another stream that a stream map removes, `goes_on` is what it
sends after it died."""

SETTINGS: dict[str, tuple[Any, ...]] = {
    "on_delete": ("delete", "permanent_delete", "ignore"),
    "ledger_path": ("ledger.db", None),
    "write_path": ("bulk", "single", "auto"),
}


def cases(rng: Random) -> list[Case]:
    """The cases of this part."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=MOST)


def run_case(case: Case, plugin: Plugin) -> Score:
    """A whole stream, changes, a stream of a tap that is not well, then two whole streams."""
    target = configured(plugin, stream_maps={"orders": None}, max_delete_percent=100)
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        crm = Crm(CONTACTS)
        runs = TargetRuns(sandbox, target, crm)
        runs.until_well(_Tap(crm).messages(1))
        _change(crm, case.conditions["leave"])

        messages = _Tap(crm, **_of_tap(case)).messages(2)
        died, tail = _cut(messages, case.conditions["dies_at"])
        ended = runs.once(died, tail=tail)
        if case.conditions["goes_on"] == "with the rest" and ended.lines:
            runs.until_well(rest_after(messages, ended.lines[-1]))

        for version in (3, 4):
            runs.until_well(_Tap(crm).messages(version))
        return runs.judge_end(gone=_gone(runs, knows_missing="ledger_path" in target.config))


def _gone(runs: TargetRuns, *, knows_missing: bool) -> set[str]:
    """Who must be deleted after a complete stream."""
    if runs.ignores_deletions:
        return set()
    return set(runs.crm.left if knows_missing else runs.crm.marked)


def _change(crm: Crm, leave: str) -> None:
    crm.change([f"crm-{number}" for number in (0, 1, 7, 20, CONTACTS, CONTACTS + 1)])
    if leave != "marked":
        crm.leave(["crm-3", "crm-12"])
    if leave != "missing":
        crm.leave(["crm-5", "crm-25"], marked=True)


def _of_tap(case: Case) -> dict[str, Any]:
    names = ("activate", "versions", "repeats", "beside", "schema")
    return {name: case.conditions[name] for name in names}


def _cut(messages: list[Message], share: float | None) -> tuple[list[Message], bytes]:
    """The messages before the tap dies, and what it wrote of the next line."""
    if share is None:
        return messages, b""
    count = max(1, int(abs(share) * len(messages)))
    line = encoded(messages[count : count + 1])
    return messages[:count], line[: len(line) // 2] if share < 0 else b""


@dataclass(frozen=True)
class _Tap:
    """How a tap sends a full table; well by default."""

    crm: Crm
    activate: str = "last"
    versions: str = "own"
    repeats: str = "nothing"
    beside: str = "nothing"
    schema: str = "once"

    def messages(self, version: int) -> list[Message]:
        """All messages of one run, with the version of its full table."""
        sent = 1 if self.versions == "the same" else version
        records = list(self._with_versions(self._repeated(), sent))
        stream = [schema(), *with_states(records, version)]
        first, last = self.activate in {"first", "both"}, self.activate in {"last", "both"}
        stream[1:1] = [self._activation(sent)] * first
        stream += [self._activation(sent)] * last
        stream.append({"type": "STATE", "value": {"run": str(version), "seen": "all"}})
        if self.schema != "once":
            again = {"nickname": {"type": "string"}} if self.schema == "changes" else {}
            stream.insert(len(stream) // 2, schema(more=again))
        return list(self._with_orders(stream, sent))

    def _repeated(self) -> Iterator[Message]:
        records = self.crm.records()
        for number, one in enumerate(records):
            yield one
            if self.repeats == "records" and number % 3 == 0:
                yield one
        if self.repeats == "stream":
            yield from records

    def _with_versions(self, records: Iterator[Message], version: int) -> Iterator[Message]:
        for number, one in enumerate(records):
            if self.versions == "none":
                yield one
            else:
                is_other = self.versions == "mixed" and number % 2
                yield {**one, "version": version - 1 if is_other else version}

    def _activation(self, version: int) -> Message:
        stream = "orders" if self.versions == "another stream's" else "customers"
        return {"type": "ACTIVATE_VERSION", "stream": stream, "version": version}

    def _with_orders(self, stream: list[Message], version: int) -> Iterator[Message]:
        """The same messages with another stream beside them, with a version of its own."""
        needs_schema = self.versions == "another stream's" or self.beside != "nothing"
        yield from [schema("orders")] * needs_schema
        order = {"type": "RECORD", "stream": "orders", "record": {"source_id": "order-1"}}
        ends = {"type": "ACTIVATE_VERSION", "stream": "orders", "version": version}
        for number, one in enumerate(stream):
            yield one
            if self.beside == "between" and number % 4 == 1:
                yield {**order, "version": version}
        if self.beside != "nothing":
            yield {**order, "version": version}
            yield ends
