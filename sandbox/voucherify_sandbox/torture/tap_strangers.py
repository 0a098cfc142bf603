"""The tap on data and responses that nobody here wrote: odd texts, unknown members, odd headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Dialect, Readings, Sandbox
from voucherify_sandbox.torture.cases import Case, by_pairs
from voucherify_sandbox.torture.tap_case import CAMPAIGN, TapRuns, change, fill, finished
from voucherify_sandbox.torture.tap_movement import STREAMS, catalog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from voucherify_sandbox.torture.plugins import Plugin
    from voucherify_sandbox.torture.score import Score

PART = "tap strangers"
SAMPLE = 1

TEXTS: Mapping[str, str] = {
    "plain": "Zoe",
    "half a pair": "Zo\udcff",
    "NUL": "Zo\0e \\u0000",
    "separators": 'Zo\u2028e, "Zoe";\r\n\t\x7f\x1f\\',
    "other scripts": "Zoë 宋 זואי 👩‍👩‍👧 " + "e\u0301" * 40,
    "long": "Zoe " * 2_000,
    "10 kB": "Zoë" * 3_000,
}
"""Names and values of metadata; half a pair is a byte that is not UTF-8 in an export."""

CONDITIONS: Mapping[str, Sequence[Any]] = {
    "text": tuple(TEXTS),
    "spaces": ("none", "some", "lines"),
    "unknown_members": (False, True),
    "headers": ("plain", "doubled", "broken", "missing", "slow"),
    "streams": tuple(STREAMS),
}
SETTINGS: Mapping[str, Sequence[Any]] = {
    "max_concurrency": (8, 1),
    "customers_backfill": ("list", "export"),
    "auth_method": ("api_key", "oauth"),
}

ODD = 60
"""Customers with the text."""


def cases(rng: Random) -> list[Case]:
    """Cases by pairs."""
    return by_pairs(PART, CONDITIONS, rng, settings=SETTINGS, most=36)


def run_case(case: Case, plugin: Plugin) -> Score:
    """Run one case: a first run, changes, a later run."""
    conditions = case.conditions
    dialect = Dialect(
        spaces=conditions["spaces"],
        unknown_members=conditions["unknown_members"],
        headers=conditions["headers"],
    )
    with Sandbox(readings=Readings(**case.readings), dialect=dialect) as sandbox:
        sandbox.clock.advance(-6 * 3600)
        fill(sandbox)
        _fill_oddly(sandbox, TEXTS[conditions["text"]])
        sandbox.clock.advance(600)
        streams = STREAMS[conditions["streams"]]
        runs = TapRuns(sandbox, plugin, streams, catalog(plugin, streams))
        for _ in range(2):
            runs.until_well()
            runs.judge(runs.facts())
            change(sandbox)
            _change_oddly(sandbox, TEXTS[conditions["text"]])
            sandbox.clock.advance(3600)
        return finished(runs)


def _fill_oddly(sandbox: Sandbox, text: str) -> None:
    """Add customers, an order and a segment with the text."""
    project = sandbox.project
    defined = {name: {"type": "string", "optional": True} for name in ("note", "tier")}
    project.define_metadata("customer", defined)
    for number in range(ODD):
        project.upsert_customer(
            {"source_id": f"odd-{number}", "name": text, "metadata": {"note": text}}
        )
    code = project.referral_code(CAMPAIGN, "odd-1")
    project.redeem(code, "odd-2", {"source_id": text, "amount": 700, "metadata": {text: [text]}})
    project.settle()


def _change_oddly(sandbox: Sandbox, text: str) -> None:
    for number in range(5):
        fields = {"name": f"{text}, again", "metadata": {"note": f"{number} {text}"}}
        sandbox.project.update_customer(f"odd-{number}", fields)
    sandbox.project.change("vouchers", 1, {"metadata": {"note": text}})
