"""The life of a target: a first load, changes, a second load, each struck; then a quiet one.

What a tap would send is a list of messages with a STATE after every few records. After each run
everything before the last state that was printed must be in the sandbox, or in the file of
refusals: what is not was acknowledged early. The next run gets what comes after that state, as a
tap would send it. What is missing, or old, at the end is lost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Readings, Sandbox
from voucherify_sandbox.torture.cases import Blow
from voucherify_sandbox.torture.reading_out import TRIES, last_words, wrongs
from voucherify_sandbox.torture.score import Score

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Ended, Plugin

Message = dict[str, Any]
Truth = dict[str, dict[str, Any]]
"""What each customer holds in the end, by `source_id`."""

CONTACTS = 60
EVERY = 5
ROWS = 12
"""Contacts of a load, records between two states, and customers in one bulk request at most."""

UNDER_WAY = 5 * ROWS + ROWS + EVERY
"""Rows that a crash may send a second time: jobs on their way, the batch, and up to a state."""

BAD = "crm-17"
"""The one contact that only Voucherify can refuse."""


@dataclass
class Source:
    """A tap that reads a list of contacts: what it sends from a state on."""

    messages: Sequence[Message]
    seen: int = 0

    def text(self) -> bytes:
        """The messages after the last state, behind the SCHEMA."""
        rest = [self.messages[0], *self.messages[1 + self.seen :]]
        return "".join(json.dumps(message) + "\n" for message in rest).encode()

    def covered(self, state: Any) -> list[Message]:
        """Records before a state."""
        end = self._after(state)
        return [m["record"] for m in self.messages[1:end] if m["type"] == "RECORD"]

    def go_on_from(self, state: Any) -> None:
        """Send only what comes after a state from now on."""
        self.seen = self._after(state) - 1

    def _after(self, state: Any) -> int:
        return self.messages.index({"type": "STATE", "value": state}) + 1


@dataclass
class Life:
    """One case as it goes on."""

    sandbox: Sandbox
    target: Plugin
    refused: Path
    key: tuple[str, ...] = ("source_id",)
    score: Score = field(default_factory=lambda: Score(combinations=1))

    def load(self, source: Source, blow: Blow) -> None:
        """Run, and run again from the last state, until a run ends well."""
        before = self._applied()
        for turn in range(TRIES):
            try:
                ended = self.target.run(self.sandbox, blow if turn == 0 else Blow(), source.text())
            except TimeoutError as error:
                self.score.wrong.append(str(error))
                return
            self.sandbox.faults.clear()
            self._count(ended, blow, turn)
            applied = self._applied()
            if turn:
                self.score.sent_again(self._repeated(source, before))
            before = applied
            self._look_at_states(ended, source)
            if ended.exit_code == 0:
                return
        self.score.wrong.append(f"{TRIES} runs in a row failed: {last_words(ended)}")

    def _count(self, ended: Ended, blow: Blow, turn: int) -> None:
        self.score.runs += 1
        self.score.kills += blow.is_signal and turn == 0 and ended.exit_code != 0
        self.score.wrong += wrongs(ended, self.sandbox)
        if ended.exit_code == 0 and ended.summary.get("unconfirmed"):
            self.score.wrong.append("a run that ended well left records unconfirmed")

    def _applied(self) -> set[str]:
        """Who was upserted so far, by anything that marks a customer as of this load."""
        return {
            f"{one['source_id']} {one.get('name')}"
            for one in self.sandbox.project.customers.values()
        }

    def _repeated(self, source: Source, before: set[str]) -> int:
        """Records that the run sent although an earlier run had already brought them there."""
        records = (m["record"] for m in source.messages[1 + source.seen :] if "record" in m)
        return sum(f"{one.get('source_id')} {one.get('name')}" in before for one in records)

    def _look_at_states(self, ended: Ended, source: Source) -> None:
        states = ended.lines
        if not states:
            return
        if [source.covered(s) for s in states] != sorted(map(source.covered, states), key=len):
            self.score.wrong.append("states went back")
        covered = {key_in(record, self.key) for record in source.covered(states[-1])}
        self.score.early += len(covered - self.held().keys() - self.refusals())
        source.go_on_from(states[-1])

    def refusals(self) -> set[str]:
        """Keys of the records in the file of refusals."""
        if not self.refused.exists():
            return set()
        found = (json.loads(line) for line in self.refused.read_text().splitlines())
        return {key_in(m["record"], self.key) for m in found if m["type"] == "RECORD"}

    def held(self) -> Truth:
        """The sandbox's customers by key."""
        return {
            one["source_id"]: one
            for one in self.sandbox.project.customers.values()
            if one.get("source_id")
        }


def live(case: Case, target: Plugin) -> Score:
    """Live through one case with the bench's own contacts."""
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        definition = {"photo": {"type": "image_url", "optional": True}}
        sandbox.project.define_metadata("customer", definition, allow_defined_only=False)
        life = Life(sandbox, target, target.folder / "refused.singer")
        for version, blow in enumerate((*case.blows, Blow())):
            life.refused.unlink(missing_ok=True)
            life.load(Source(contacts(version)), blow)
            _judge(life, version, may_refuse=blow.kind == "job_refuses")
        life.score.faults = sandbox.faults.injected
    life.score.rows = CONTACTS * 3
    return life.score


def live_with(case: Case, target: Plugin, messages: Sequence[Message]) -> Score:
    """Live through one case with a user's messages and settings.

    What must arrive is what a quiet run brings to an empty project of the same readings.
    """
    path, key = target.folder / "refused.singer", key_path(messages[0], target.config)
    with Sandbox(readings=Readings(**case.readings)) as quiet:
        undisturbed = Life(quiet, target, path, key)
        undisturbed.load(Source(messages), Blow())
        truth, refused_there = undisturbed.held(), undisturbed.refusals()
    for left in (path, *target.folder.glob("ledger*")):
        left.unlink(missing_ok=True)
    with Sandbox(readings=Readings(**case.readings)) as sandbox:
        life = Life(sandbox, target, path, key, undisturbed.score)
        life.load(Source(messages), case.blows[0])
        held, refused = life.held(), life.refusals()
        missing = [
            k for k, one in truth.items() if not _alike(one, held.get(k)) and k not in refused
        ]
        life.score.lost += len(missing) + len(refused_there - refused - held.keys())
        life.score.faults = sandbox.faults.injected
    life.score.rows = sum(message["type"] == "RECORD" for message in messages)
    return life.score


def contacts(version: int) -> list[Message]:
    """What a CRM says at one moment: every contact, some twice, and states between."""
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
        if number % 11 == 3:  # noqa: PLR2004 - now and then the CRM sends an older form first
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
    """The `source_id` that a record becomes; "" for one without."""
    value: Any = record
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else str(value).rstrip(" ")


def key_path(schema: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Where a record of a stream has its `source_id`, as the target finds it."""
    if config.get("source_id"):
        return tuple(str(config["source_id"]).split("."))
    has_one = "source_id" in schema["schema"]["properties"]
    return ("source_id",) if has_one else (str(schema["key_properties"][0]),)


def _judge(life: Life, version: int, *, may_refuse: bool) -> None:
    """Hold what arrived against what was sent."""
    held, refused = life.held(), life.refusals()
    lost = [
        number
        for number in range(CONTACTS)
        if not _is_there(held.get(f"crm-{number}"), number, version)
        and f"crm-{number}" not in refused
    ]
    life.score.lost += len(lost)
    if lost:
        life.score.wrong.append(f"{len(lost)} lost in load {version}, such as crm-{lost[0]}")
    if refused - {BAD} and not may_refuse:
        life.score.wrong.append(f"{len(refused - {BAD})} good contacts were refused")
    if BAD not in refused:
        life.score.wrong.append("the contact that Voucherify refuses is not in the file")
    if life.score.most_again > UNDER_WAY:
        life.score.wrong.append(f"{life.score.most_again} rows were sent again after one run")


def _is_there(customer: Mapping[str, Any] | None, number: int, version: int) -> bool:
    if customer is None:
        return False
    metadata = customer.get("metadata") or {}
    named = f"Contact {number}, version {version}"
    return customer.get("name") == named and metadata.get("number") == number


def _alike(truth: Mapping[str, Any], customer: Mapping[str, Any] | None) -> bool:
    """Whether two projects hold the same of a customer, apart from what each gives of itself."""
    own = {"id", "created_at", "updated_at", "assets"}
    return customer is not None and {k: v for k, v in truth.items() if k not in own} == {
        k: v for k, v in customer.items() if k not in own
    }
