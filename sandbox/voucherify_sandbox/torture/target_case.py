"""A case of the target: a load, changes, a second load, each with an injection; then one without.

The input has a STATE after every few records. After each run all records before the last emitted
state must be in the sandbox, as they are or newer, or in the refused file; one that is in neither
was acknowledged early. A run that says it is complete must have brought all of them.
The next run gets the messages after that state. A record that is missing or outdated at the end is
lost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.torture.cases import Injection
from voucherify_sandbox.torture.score import Score
from voucherify_sandbox.torture.tap_case import TRIES, fatal_message, violations
from voucherify_sandbox.torture.target_books import Results, absent, encoded, miscounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin, Run

Message = dict[str, Any]
Truth = dict[str, dict[str, Any]]
"""Customers by `source_id`."""

CONTACTS = 60
EVERY = 5
ROWS = 12
"""Contacts of a load, contacts between two states, customers in a bulk request at most."""

MOST_REPEATED = 5 * ROWS + ROWS + EVERY
"""Rows that may be repeated after a crash: jobs in flight, the batch, records up to a state."""

BAD = "crm-17"
"""The contact that only Voucherify can refuse."""


@dataclass
class Source:
    """The messages of a tap, and how many of them the last state covers."""

    messages: Sequence[Message]
    seen: int = 0

    def rest(self) -> list[Message]:
        """The SCHEMA and the messages after the last state."""
        return [self.messages[0], *self.messages[1 + self.seen :]]

    def covered(self, state: Any) -> list[Message]:
        """Records before a state."""
        end = self._after(state)
        return [m["record"] for m in self.messages[1:end] if m["type"] == "RECORD"]

    def resume_from(self, state: Any) -> None:
        """Send only messages after a state from now on."""
        self.seen = self._after(state) - 1

    def _after(self, state: Any) -> int:
        return self.messages.index({"type": "STATE", "value": state}) + 1


@dataclass
class Load:
    """The sandbox and target of one case, with its score.

    `is_ours` says whether records and settings are the bench's own.
    """

    sandbox: Sandbox
    target: Plugin
    refused: Path
    key: tuple[str, ...] = ("source_id",)
    score: Score = field(default_factory=lambda: Score(combinations=1))
    is_ours: bool = True

    def __post_init__(self) -> None:
        self._results = Results.of(self.target)

    def run(self, source: Source, injection: Injection) -> None:
        """Run from the last state until a run succeeds."""
        before = self._applied()
        for turn in range(TRIES):
            sent, names = source.rest(), self.names()
            try:
                ended = self.target.run(
                    self.sandbox, injection if turn == 0 else Injection(), encoded(sent)
                )
            except TimeoutError as error:
                self.score.stuck += 1
                self.score.violations.append(str(error))
                return
            self.sandbox.faults.clear()
            self._count(ended, injection, turn)
            applied = self._applied()
            if turn:
                self.score.sent_again(self._repeated(source, before))
            before = applied
            self._judge(ended, sent, names)
            self._look_at_states(ended, source)
            if ended.exit_code == 0:
                return
        self.score.stuck += 1
        self.score.violations.append(f"{TRIES} runs in a row failed: {fatal_message(ended)}")

    def _judge(self, ended: Run, sent: Sequence[Message], before: Mapping[str, Any]) -> None:
        """Hold one run against what it was sent, and the customers against those before it."""
        score, names, refused = self.score, self.names(), self.refusals()
        score.violations += miscounts(ended, sent)
        score.violations += self._results.errors(ended)
        if not self.is_ours:
            return
        score.deleted += len(before.keys() - names.keys())
        is_complete = ended.exit_code == 0 and ended.summary.get("complete")
        if is_complete and (lacking := absent(sent, len(sent), names, refused)):
            score.untrue += 1
            score.violations.append(f"a complete run lacks {len(lacking)}, such as {lacking[0]}")
        if ended.lines:
            place = sent.index({"type": "STATE", "value": ended.lines[-1]})
            score.early += len(absent(sent, place, names, refused))

    def _count(self, ended: Run, injection: Injection, turn: int) -> None:
        self.score.runs += 1
        self.score.kills += injection.is_signal and turn == 0 and ended.exit_code != 0
        self.score.violations += violations(ended, self.sandbox)
        if ended.exit_code == 0 and ended.summary.get("unconfirmed"):
            self.score.violations.append("a run that ended well left records unconfirmed")

    def _applied(self) -> set[str]:
        """Key and name of each customer; the name contains the version of the load."""
        return {
            f"{one['source_id']} {one.get('name')}"
            for one in self.sandbox.project.customers.values()
        }

    def _repeated(self, source: Source, before: set[str]) -> int:
        """Records that the run sent although an earlier run had written them."""
        records = (m["record"] for m in source.messages[1 + source.seen :] if "record" in m)
        return sum(f"{one.get('source_id')} {one.get('name')}" in before for one in records)

    def _look_at_states(self, ended: Run, source: Source) -> None:
        states = ended.lines
        if not states:
            return
        if [source.covered(s) for s in states] != sorted(map(source.covered, states), key=len):
            self.score.violations.append("states went back")
        if not self.is_ours:
            covered = {key_in(record, self.key) for record in source.covered(states[-1])}
            self.score.early += len(covered - self.held().keys() - self.refusals())
        source.resume_from(states[-1])

    def refusals(self) -> set[str]:
        """Keys of the records in the refused file."""
        if not self.refused.exists():
            return set()
        found = (json.loads(line) for line in self.refused.read_text().splitlines())
        return {key_in(m["record"], self.key) for m in found if m["type"] == "RECORD"}

    def names(self) -> dict[str, Any]:
        """The names of the customers by key."""
        return {key: one.get("name") for key, one in self.held().items()}

    def held(self) -> Truth:
        """The customers of the sandbox by key."""
        return {
            one["source_id"]: one
            for one in self.sandbox.project.customers.values()
            if one.get("source_id")
        }


def run_case(case: Case, target: Plugin) -> Score:
    """Run one case with the bench's own contacts."""
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        definition = {"photo": {"type": "image_url", "optional": True}}
        sandbox.project.define_metadata("customer", definition, allow_defined_only=False)
        load = Load(sandbox, target, target.folder / "refused.singer")
        for version, injection in enumerate((*case.injections, Injection())):
            load.refused.unlink(missing_ok=True)
            load.run(Source(contacts(version)), injection)
            _judge(load, version, may_refuse=injection.kind == "job_refuses")
        load.score.faults = sandbox.faults.injected
    load.score.rows = CONTACTS * 3
    return load.score


def run_case_with(case: Case, target: Plugin, messages: Sequence[Message]) -> Score:
    """Run one case with a user's messages and settings.

    Expected is the result of an undisturbed run under the same readings.
    """
    path, key = target.folder / "refused.singer", key_path(messages[0], target.config)
    with Sandbox(readings=Readings(**case.readings)) as quiet:
        undisturbed = Load(quiet, target, path, key, is_ours=False)
        undisturbed.run(Source(messages), Injection())
        truth, refused_there = undisturbed.held(), undisturbed.refusals()
    for left in (path, *target.folder.glob("ledger*")):
        left.unlink(missing_ok=True)
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        load = Load(sandbox, target, path, key, undisturbed.score, is_ours=False)
        load.run(Source(messages), case.injections[0])
        held, refused = load.held(), load.refusals()
        missing = [
            k for k, one in truth.items() if not _alike(one, held.get(k)) and k not in refused
        ]
        load.score.lost += len(missing) + len(refused_there - refused - held.keys())
        load.score.faults = sandbox.faults.injected
    load.score.rows = sum(message["type"] == "RECORD" for message in messages)
    return load.score


def contacts(version: int) -> list[Message]:
    """The messages of one version of the CRM: every contact, some twice, and states."""
    return [_schema(), *_records(version)]


def _schema() -> Message:
    text = {"type": ["null", "string"]}
    names = ("name", "email", "description")
    properties = {
        "source_id": {"type": "string"},
        **dict.fromkeys(names, text),
        "metadata": {"type": ["null", "object"]},
    }
    return {
        "type": "SCHEMA",
        "stream": "customers",
        "schema": {"type": "object", "properties": properties},
        "key_properties": ["source_id"],
    }


def _records(version: int) -> Iterator[Message]:
    for number in range(CONTACTS):
        if number % 11 == 3:  # noqa: PLR2004 - some contacts are sent in an older version first
            yield _record(number, version - 1)
        yield _record(number, version)
        if (number + 1) % EVERY == 0:
            yield {"type": "STATE", "value": {"version": version, "seen": number + 1}}


def _record(number: int, version: int) -> Message:
    photo = "https://example.com/none" if f"crm-{number}" == BAD else None
    record = {
        "source_id": f"crm-{number}",
        "name": f"Contact {number}, version {version}",
        "email": f"contact{number}@example.com",
        "metadata": {"number": number, **({"photo": photo} if photo else {})},
    }
    return {"type": "RECORD", "stream": "customers", "record": record}


def key_in(record: Mapping[str, Any], path: Sequence[str]) -> str:
    """The `source_id` of a record; empty if it has none."""
    value: Any = record
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else str(value).rstrip(" ")


def key_path(schema: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    """The path of `source_id` in a record, by the rules of the target."""
    if config.get("source_id"):
        return tuple(str(config["source_id"]).split("."))
    has_one = "source_id" in schema["schema"]["properties"]
    return ("source_id",) if has_one else (str(schema["key_properties"][0]),)


def _judge(load: Load, version: int, *, may_refuse: bool) -> None:
    """Compare the customers of the sandbox with the contacts that were sent."""
    held, refused = load.held(), load.refusals()
    lost = [
        number
        for number in range(CONTACTS)
        if not _is_there(held.get(f"crm-{number}"), number, version)
        and f"crm-{number}" not in refused
    ]
    load.score.lost += len(lost)
    if lost:
        load.score.violations.append(f"{len(lost)} lost in load {version}, such as crm-{lost[0]}")
    if refused - {BAD} and not may_refuse:
        load.score.violations.append(f"{len(refused - {BAD})} good contacts were refused")
    if BAD not in refused:
        load.score.violations.append("the contact that Voucherify refuses is not in the file")
    if load.score.most_again > MOST_REPEATED:
        load.score.violations.append(f"{load.score.most_again} rows were sent again after one run")


def _is_there(customer: Mapping[str, Any] | None, number: int, version: int) -> bool:
    if customer is None:
        return False
    metadata = customer.get("metadata") or {}
    named = f"Contact {number}, version {version}"
    return customer.get("name") == named and metadata.get("number") == number


def _alike(truth: Mapping[str, Any], customer: Mapping[str, Any] | None) -> bool:
    """Whether a customer is the same in two projects, apart from generated fields."""
    own = {"id", "created_at", "updated_at", "assets"}
    return customer is not None and {k: v for k, v in truth.items() if k not in own} == {
        k: v for k, v in customer.items() if k not in own
    }
