"""Data and headers that nobody here made up to fit: whatever a CRM and a proxy may send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Dialect, Readings, Sandbox
from voucherify_sandbox.torture.cases import by_pairs
from voucherify_sandbox.torture.target_books import (
    Crm,
    Message,
    TargetRuns,
    configured,
    record,
    schema,
    state,
    with_states,
)

if TYPE_CHECKING:
    from random import Random

    from voucherify_sandbox.torture.cases import Case
    from voucherify_sandbox.torture.plugins import Plugin
    from voucherify_sandbox.torture.score import Score

PART, SAMPLE = "target strangers", 3
MOST = 24

CONTACTS = 20
HALF_A_PAIR = "Zo\ud83d"
LONG = "x" * 10_000
DEPTH = 80

RAW = {
    b'"@exponent"': b"1e400",
    b'"@endless exponent"': b"1e99999999999999999999",
    b'"@digits"': b"9" * 5_000,
    b'"@nan"': b"NaN",
    b'"@minus infinity"': b"-Infinity",
    b'"@too deep"': b"[" * 1_500 + b"]" * 1_500,
    b'"@twice": 1': b'"twice": 1, "twice": 2',
}
"""What Python's JSON cannot print, by the text that stands for it."""


def _nested(depth: int) -> Any:
    value: Any = "the end"
    for number in range(depth):
        value = {"in": value} if number % 2 else [value]
    return value


STRANGE: dict[str, list[dict[str, Any]]] = {
    "unknown members": [{"nobody": {"knows": [1, None, {}]}}, {"metadata": {"a": {"b": {}}}}],
    "characters": [
        {"description": HALF_A_PAIR},
        {"metadata": {HALF_A_PAIR: HALF_A_PAIR}},
        {"description": "a\0b", "metadata": {"a\0b": "\0"}},
        {"address": {"city": "\u202e\ufeff\u2028", HALF_A_PAIR: 1}},
    ],
    "keys": [
        {"source_id": f"crm-{text}"}
        for text in (HALF_A_PAIR, "a\0b", LONG, " ", "../..", "?a=b#c", "%2F", "straße", "\u2028")
    ],
    "long names": [{LONG: 1}, {"metadata": {LONG: LONG}}, {f"{LONG}\n": HALF_A_PAIR}],
    "ten kilobytes": [{"description": LONG}, {"metadata": {str(n): "y" * 90 for n in range(99)}}],
    "nesting": [
        {"metadata": {"a": _nested(DEPTH)}},
        {"": _nested(DEPTH)},
        {"b": "@too deep"},
        {"metadata": {"a": "@too deep"}},
    ],
    "numbers": [
        {"metadata": {"a": f"@{name}"}}
        for name in ("exponent", "endless exponent", "digits", "nan", "minus infinity")
    ],
    "types": [
        {"metadata": "{}"},
        {"email": 5},
        {"metadata": []},
        {"address": True},
        {"description": {}},
    ],
    "doubled members": [{"@twice": 1}, {"metadata": {"@twice": 1}}],
}
"""Members of records by kind."""

CONDITIONS: dict[str, tuple[Any, ...]] = {
    "data": tuple(STRANGE),
    "headers": ("plain", "doubled", "broken", "missing", "slow"),
    "spaces": ("none", "some", "lines"),
    "unknown_members": (False, True),
    "messages": ("plain", "with unknown members"),
    "schema": ("plain", "strange"),
}

DIALECT = ("headers", "spaces", "unknown_members")
"""Conditions that the form of responses has."""

SETTINGS: dict[str, tuple[Any, ...]] = {
    "unmapped": ("ignore", "metadata", "refuse"),
    "write_path": ("bulk", "single"),
    "ledger_path": ("ledger.db", None),
}


def cases(rng: Random) -> list[Case]:
    """The cases of this part."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=MOST)


def run_case(case: Case, plugin: Plugin) -> Score:
    """Ordinary contacts with strangers between them, twice, and a replay of what was refused."""
    crm, conditions = Crm(CONTACTS), case.conditions
    dialect = Dialect(**{name: conditions[name] for name in DIALECT})
    with Sandbox(readings=Readings(**case.readings), dialect=dialect) as sandbox:
        runs = TargetRuns(sandbox, configured(plugin), crm, raw=RAW)
        for number in (1, 2):
            runs.until_well(_messages(crm, case, number))
            good = crm.live.keys() & runs.refused_keys()
            if good and conditions["schema"] == "plain":
                runs.score.violations.append(f"{len(good)} ordinary contacts were refused")
            crm.change(["crm-1", "crm-7"])
        crm.live |= {"crm-1": 1, "crm-7": 1}
        if runs.refusals():
            runs.replay()
        return runs.judge_end(gone=())


def _messages(crm: Crm, case: Case, run: int) -> list[Message]:
    strangers = [
        record(f"stranger-{number}", run, **members)
        for number, members in enumerate(STRANGE[case.conditions["data"]])
    ]
    ordinary = crm.records()
    for place, one in enumerate(strangers):
        ordinary.insert(2 + 2 * place, one)
    messages = [_schema(case), *with_states(ordinary, run)]
    if case.conditions["messages"] != "plain":
        more = {"unknown": {HALF_A_PAIR: [LONG]}, "time_extracted": "soon", "version": None}
        messages = [{**one, **more} if one["type"] == "RECORD" else one for one in messages]
    return [*messages, state(f"{run} {HALF_A_PAIR}", len(ordinary) + 1)]


def _schema(case: Case) -> Message:
    text, members = {"type": ["null", "string"]}, {"type": ["null", "object"]}
    more: dict[str, Any] = {"description": text, "address": members}
    # A property without a place is refused with its SCHEMA where `unmapped` says so.
    if case.conditions["schema"] != "plain" and case.settings["unmapped"] != "refuse":
        more |= {LONG: {}, "a\0b": {"anyOf": []}, HALF_A_PAIR: {"type": "odd"}, "": {"type": []}}
        more["nobody"] = {"$ref": "#/definitions/none"}
    return schema(more=more)
