"""The CRM of a case of the target, and what every run of the target is held against."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from voucherify_sandbox.torture.cases import Injection
from voucherify_sandbox.torture.score import Score
from voucherify_sandbox.torture.tap_case import KILLED, fatal_message, violations

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from voucherify_sandbox import Sandbox
    from voucherify_sandbox.torture.plugins import Plugin, Run

Message = dict[str, Any]

TRIES = 6
"""Runs until one succeeds."""

EVERY = 5
"""Contacts between two states."""

DELETED_AT = "_sdc_deleted_at"

STREAMS = frozenset(("customers", "goods", "purchases"))
"""Streams whose records have a key and a name that must arrive."""

COUNTS = (
    "accepted",
    "unchanged",
    "duplicates",
    "refused",
    "deleted",
    "deletes_ignored",
    "removed_by_stream_map",
    "superseded",
    "unconfirmed",
)
"""Members of the summary of which each record has exactly one."""


OUTCOMES = {
    "accepted": "accepted",
    "unchanged": "unchanged",
    "duplicates": "duplicate",
    "refused": "refused",
    "superseded": "superseded",
    "deletes_ignored": "not_deleted",
}
"""Members of the summary, and the outcomes in the results file that they count."""


@dataclass
class Results:
    """The results file of a target, read run by run."""

    path: Path | None
    read: int = 0

    @classmethod
    def of(cls, target: Plugin) -> Self:
        """The file that a target has in its settings, if any."""
        path = target.config.get("results_path")
        return cls(Path(path) if path else None)

    def errors(self, ended: Run) -> list[str]:
        """How the outcomes of a run differ from its own counts."""
        if self.path is None:
            return []
        raw = self.path.read_bytes()[self.read :] if self.path.exists() else b""
        whole = raw[: raw.rfind(b"\n") + 1]  # the next run cuts off what a kill left of a line
        self.read += len(whole)
        messages = [json.loads(line) for line in whole.splitlines()]
        found = Counter(one["record"]["outcome"] for one in messages if one["type"] == "RECORD")
        summary = ended.summary
        if ended.exit_code == KILLED or "received" not in summary or summary.get("dry_run"):
            return []
        counted = {name: summary[member] for member, name in OUTCOMES.items()}
        counted["deleted"] = summary["deleted"] + summary.get("deleted_unseen", 0)
        return [
            f"{count} records {name} by count, {found[name]} in the results file"
            for name, count in counted.items()
            if count != found[name]
        ]


class Crm:
    """Contacts, each with a number that counts its changes."""

    def __init__(self, contacts: int) -> None:
        """Create contacts that never changed."""
        self.live = {f"crm-{number}": 0 for number in range(contacts)}
        self.left: set[str] = set()
        """Keys of contacts that are gone."""
        self.marked: dict[str, int] = {}
        """Contacts that are gone and whose records say so."""
        self.bad: set[str] = set()
        """Contacts that only Voucherify can refuse, where `photo` is an image."""

    def change(self, keys: Iterable[str]) -> None:
        """Change contacts, or add them."""
        for key in keys:
            self.live[key] = self.live.get(key, -1) + 1

    def leave(self, keys: Iterable[str], *, marked: bool = False) -> None:
        """Remove contacts."""
        for key in keys:
            number = self.live.pop(key)
            self.left.add(key)
            if marked:
                self.marked[key] = number

    def records(self) -> list[Message]:
        """The messages of all contacts, and of those that are marked as gone."""
        gone = {DELETED_AT: "2026-03-01T00:00:00Z"}
        return [
            *(self._record(key, number) for key, number in self.live.items()),
            *(record(key, number, **gone) for key, number in self.marked.items()),
        ]

    def _record(self, key: str, number: int) -> Message:
        photo = {"photo": "https://example.com/none"} if key in self.bad else {}
        return record(key, number, metadata={"number": number, **photo})


def schema(stream: str = "customers", more: Mapping[str, Any] | None = None) -> Message:
    """A SCHEMA message."""
    text = {"type": ["null", "string"]}
    properties = {
        "source_id": {"type": "string"},
        **dict.fromkeys(("name", "email", DELETED_AT), text),
        "metadata": {"type": ["null", "object"]},
        **(more or {}),
    }
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {"type": "object", "properties": properties},
        "key_properties": ["source_id"],
    }


def record(key: str, number: int, **more: Any) -> Message:
    """The RECORD message of a contact after so many changes."""
    contact = {
        "source_id": key,
        "name": name_of(key, number),
        "email": f"{key}@example.com",
        "metadata": {"number": number},
        **more,
    }
    return {"type": "RECORD", "stream": "customers", "record": contact}


def name_of(key: str, number: int) -> str:
    """The name of a contact after so many changes."""
    return f"Contact {key}, change {number}"


def key_of(contact: Mapping[str, Any]) -> str:
    """The `source_id` that a contact gets."""
    return str(contact.get("source_id")).rstrip(" ")


def with_states(records: Iterable[Message], run: object) -> Iterator[Message]:
    """Records with a STATE after every few."""
    for count, message in enumerate(records, 1):
        yield message
        if not count % EVERY:
            yield state(run, count)


def state(run: object, count: int) -> Message:
    """A STATE message; no two runs have the same."""
    return {"type": "STATE", "value": {"run": str(run), "seen": count}}


def encoded(messages: Iterable[Message]) -> bytes:
    """Messages as the lines of an input."""
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def rest_after(messages: Sequence[Message], last: Any) -> list[Message]:
    """Messages after a state, behind the SCHEMA messages that came before it."""
    begin = 0
    for place, one in enumerate(messages):
        if one["type"] == "STATE" and one["value"] == last:
            begin = place + 1
    schemas = [one for one in messages[:begin] if one["type"] == "SCHEMA"]
    return [*schemas, *messages[begin:]]


def configured(target: Plugin, **more: Any) -> Plugin:
    """The target with the settings of the bench and those of a case, files in its folder."""
    config = {"batch_size_rows": 12, "max_refused_percent": 100, **target.config, **more}
    config["refused_records_path"] = str(target.folder / "refused.singer")
    config["results_path"] = str(target.folder / "results.singer")
    if config.get("ledger_path"):
        config["ledger_path"] = str(target.folder / "ledger.db")
    return replace(target, config={k: value for k, value in config.items() if value is not None})


@dataclass
class TargetRuns:
    """The sandbox, the target and the CRM of one case, with its score.

    Attributes:
        sandbox: the project.
        target: the command with its settings.
        crm: what the records come from.
        foreign: customers of another program that must stay.
        raw: bytes that replace others in the input.
    """

    sandbox: Sandbox
    target: Plugin
    crm: Crm
    foreign: set[str] = field(default_factory=set)
    raw: Mapping[bytes, bytes] = field(default_factory=dict)
    score: Score = field(default_factory=lambda: Score(combinations=1))
    state: Any = None
    _was_idle: bool = False

    def __post_init__(self) -> None:
        self._results = Results.of(self.target)

    @property
    def refused(self) -> Path:
        """The refused-records file."""
        return self.target.folder / "refused.singer"

    @property
    def ignores_deletions(self) -> bool:
        """Whether customers that are marked as deleted stay."""
        return bool(self.target.config.get("on_delete", "ignore") == "ignore")

    def once(
        self,
        messages: Sequence[Message],
        injection: Injection | None = None,
        tail: bytes = b"",
        **settings: Any,
    ) -> Run:
        """Run once, and judge the run.

        Args:
            messages: the input.
            injection: a fault or a signal.
            tail: bytes after the messages, such as half a line.
            settings: for this run alone.

        Raises:
            TimeoutError: the run takes too long.
        """
        injection = injection or Injection()
        target = replace(self.target, config={**self.target.config, **settings})
        before = self.position()
        was_refused = len(self.refusals())
        text = encoded(messages) + tail
        for stands, raw in self.raw.items():
            text = text.replace(stands, raw)
        ended = target.run(self.sandbox, injection, text)
        self.sandbox.faults.clear()
        self.score.kills += injection.is_signal and ended.exit_code != 0
        self.judge(ended, messages, before)
        new = len(self.refusals()) - was_refused
        if ended.exit_code != KILLED and ended.summary.get("refused", new) != new:
            self.score.violations.append(f"{new} records in the refused file, but not by count")
        return ended

    def replay(self, injection: Injection | None = None) -> Run:
        """Replay the refused file; a record that leaves it must be in the project.

        Raises:
            TimeoutError: the run takes too long.
        """
        injection, before = injection or Injection(), self.refusals()
        ended = self.target.run(self.sandbox, injection, self.refused)
        self.sandbox.faults.clear()
        self.score.kills += injection.is_signal and ended.exit_code != 0
        messages = [{"type": "RECORD", "stream": "customers", "record": one} for one in before]
        self.judge(ended, messages, self.position())
        held, refused = self.held(), self.refused_keys()
        newest = {key_of(one): one["name"] for one in before}
        lost = [key for key, name in newest.items() if held.get(key) != name and key not in refused]
        self.score.lost += len(lost)
        if lost:
            self.score.violations.append(f"{len(lost)} left the refused file, such as {lost[0]}")
        return ended

    def until_well(
        self,
        messages: Sequence[Message],
        injection: Injection | None = None,
        tries: int = TRIES,
        **settings: Any,
    ) -> Run | None:
        """Run from the last state until a run is complete; `None` if none is."""
        rest = list(messages)
        for turn in range(tries):
            try:
                ended = self.once(rest, injection if turn == 0 else None, **settings)
            except TimeoutError as error:
                self.score.stuck += 1
                self.score.violations.append(str(error))
                return None
            if ended.exit_code == 0 and ended.summary.get("complete"):
                return ended
            if self.score.stuck:
                return None
            if ended.lines:
                rest = rest_after(rest, ended.lines[-1])
        self.score.stuck += 1
        self.score.violations.append(f"{tries} runs in a row: {fatal_message(ended)}")
        return None

    def judge(self, ended: Run, messages: Sequence[Message], before: Position) -> None:
        """Hold one run against its input, the CRM and the project."""
        score, held = self.score, self.held()
        score.runs += 1
        score.rows += sum(one["type"] == "RECORD" for one in messages)
        score.violations += violations(ended, self.sandbox) + miscounts(ended, messages)
        score.violations += self._results.errors(ended)
        gone = (self.crm.live.keys() | self.foreign) & before.names.keys() - held.keys()
        score.deleted += len(gone)
        if gone:
            score.violations.append(f"{len(gone)} deleted by mistake, such as {min(gone)}")
        if ended.lines:
            self.state = ended.lines[-1]
            early = self._absent(messages, _place_of(messages, self.state))
            score.early += len(early)
            if early:
                score.violations.append(f"{len(early)} early, such as {min(early)}")
        is_complete = ended.exit_code == 0 and ended.summary.get("complete")
        if is_complete and (absent := self._absent(messages, len(messages))):
            score.untrue += 1
            score.violations.append(f"a complete run lacks {len(absent)}, such as {min(absent)}")
        is_idle = ended.exit_code == 0 and not is_complete and before == self.position()
        if is_idle and self._was_idle:
            score.stuck += 1
            score.violations.append("two runs in a row exit 0, incomplete, without progress")
        self._was_idle = is_idle

    def judge_end(self, *, gone: Iterable[str]) -> Score:
        """Compare the project with the CRM at the end of a case.

        Args:
            gone: customers that must be deleted by now.
        """
        held, refused = self.held(), self.refused_keys()
        lost = {
            key
            for key, number in self.crm.live.items()
            if held.get(key) != name_of(key, number) and key not in refused
        }
        self.score.lost += len(lost)
        if lost:
            self.score.violations.append(f"{len(lost)} lost, such as {min(lost)}")
        left = sorted(set(gone) & held.keys())
        self.score.lost += len(left)
        if left:
            self.score.violations.append(f"{len(left)} that left are never deleted: {left[:3]}")
        self.score.faults = self.sandbox.faults.injected
        return self.score

    def held(self) -> dict[str, Any]:
        """Names of the customers of the project by key."""
        with self.sandbox.project.lock:
            self.sandbox.project.catch_up()
            return {
                one["source_id"]: one.get("name")
                for one in self.sandbox.project.customers.values()
                if one.get("source_id")
            }

    def position(self) -> Position:
        """How far the case is: the last state, and the customers of the project."""
        return Position(self.state, self.held())

    def refusals(self) -> list[dict[str, Any]]:
        """The records in the refused file."""
        return [one["record"] for one in self._refused_messages() if one["type"] == "RECORD"]

    def refused_keys(self) -> set[str]:
        """Their keys."""
        return {key_of(one) for one in self.refusals()}

    def _refused_messages(self) -> Iterator[Message]:
        if self.refused.exists():
            for line in self.refused.read_text(errors="replace").splitlines():
                yield _decoded(line)

    def _absent(self, messages: Sequence[Message], covered: int) -> list[str]:
        found = absent(messages, covered, self.held(), self.refused_keys())
        if self.ignores_deletions:
            marked = {key for key, name in _names(messages[:covered]).items() if name is None}
            return [key for key in found if key not in marked]
        return found


@dataclass(frozen=True)
class Position:
    """How far a case is."""

    state: Any
    names: Mapping[str, Any]


def absent(
    messages: Sequence[Message], covered: int, held: Mapping[str, Any], refused: Container[str]
) -> list[str]:
    """Keys of records that are neither refused nor in the project, in their form or a later one.

    Args:
        messages: the input.
        covered: how many of them.
        held: names of the customers in the project.
        refused: keys of refused records.
    """
    later: dict[str, set[Any]] = defaultdict(set)
    for one in messages[covered:]:
        for key, name in _names([one]).items():
            later[key].add(name)
    return [
        key
        for key, name in _names(messages[:covered]).items()
        if held.get(key) not in {name, *later[key]} and key not in refused
    ]


def _names(messages: Iterable[Message]) -> dict[str, Any]:
    """The last name of each customer in some messages; `None` for one that is marked as gone."""
    return {
        key_of(one["record"]): None if one["record"].get(DELETED_AT) else one["record"].get("name")
        for one in messages
        if one["type"] == "RECORD" and one["stream"] in STREAMS
    }


def _decoded(line: str) -> Message:
    """A line of the refused file; of one that is nested too deeply, only the key."""
    try:
        message: Message = json.loads(line, parse_int=str)
    except RecursionError:
        key = json.loads(line.partition('"source_id": ')[2].partition(",")[0])
        return {"type": "RECORD", "record": {"source_id": key, "name": None}}
    return message


def _place_of(messages: Sequence[Message], value: Any) -> int:
    return messages.index({"type": "STATE", "value": value})


def miscounts(ended: Run, messages: Sequence[Message]) -> list[str]:
    """Counts of a run that do not agree with each other or with its input."""
    summary = ended.summary
    if ended.exit_code == KILLED or "received" not in summary:
        return []
    given = sum(one["type"] == "RECORD" for one in messages)
    found = []
    if sum(summary[name] for name in COUNTS) != summary["received"] or summary["unconfirmed"] < 0:
        found.append("the counts of the summary do not add up")
    if summary["received"] > given or (summary["complete"] and summary["received"] != given):
        found.append(f"{given} records sent, {summary['received']} received")
    if ended.exit_code == 0 and summary["complete"] and summary["unconfirmed"]:
        found.append("a complete run left records unconfirmed")
    return found
