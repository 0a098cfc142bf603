"""Writes the results into `docs/benchmarks.md`."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.calls import CHANGED, INSTANTS, REWARDED
from benchmarks.measurement import ROOT
from benchmarks.plans import million_customers
from benchmarks.scarce import CALLS_A_MINUTE
from benchmarks.speed import COPY, DECODE, NOOP, PLAIN_TAP, SCRIPT, TAP, TARGET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Row = tuple[object, ...]

PARTS = ("speed", "data", "quota", "scarce", "calls", "growth", "lag")
VERSIONS = ("singer-sdk", "msgspec", "requests", "jsonschema-rs")
TIMES_THE_SCRIPT, TIMES_PLAIN, TIMES_FOR_LISTS, WORST_MB = 0.35, 0.5, 0.6, 100
TIMES_NOOP = 0.75
LIST_CALLS, INSTANT_CALLS, EXPORT_CALLS, QUIET_CALLS, WRITE_CALLS = 1_030, 1_100, 20, 3, 45
FIRST_RECORD_SECONDS, LOST_SHARE = 3, 0.05
NIGHT = (
    f"calls, reward events of a night: {CHANGED:,} customers changed, {REWARDED} with something new, "
    f"{REWARDED - 1} redemptions"
)
PAGE_ROWS = 100
LEAST_SHARE, MOST_MB, LEDGER_SECONDS, LEDGER_MB = 0.9, 120, 10, 100
COMPARE_CALLS, COMPARE_SECONDS, COMPARE_MB = 12, 60, 150


def about() -> dict[str, str]:
    """Machine, load, versions, commit and time."""
    cpu = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "machine": f"{os.cpu_count()} cores of {cpu[0].partition(': ')[2] if cpu else '?'}, "
        f"{int(memory[0].split()[1]) // 2**20 if memory else '?'} GB, {platform.system()}",
        "load": f"{os.getloadavg()[0]:.1f}",
        "versions": ", ".join(
            [f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in VERSIONS)]
        ),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "day": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def written(results: Mapping[str, Any]) -> str:
    """The whole document."""
    goals = _goals(results)
    return "\n".join(
        (
            *_head(results),
            *_figures(goals),
            *_beside(results),
            *_data(results),
            *_calls(results["calls"]),
            *_quota(results["quota"]),
            *_scarce(results["scarce"]),
            *_growth(results),
            *million_customers(results),
            *_lag(results["lag"]),
            *_missed(goals),
            *TIME_GOES,
            "",
        )
    )


def _head(results: Mapping[str, Any]) -> Iterable[str]:
    facts = results["about speed"]
    return (
        "# Benchmarks",
        "",
        "`make bench` writes this file. It installs the yardsticks from PyPI, each in an environment of",
        "its own. Only ratios within one run are comparable. Where more processes wanted a core than",
        "there are cores, wall time is long for all of them, and CPU time says more.",
        "",
        f"Machine: {facts['machine']}. Versions: {facts['versions']}.",
        f"{results['rows']:,} customers, {results['rounds']} rounds, contestants in turn, medians.",
        "",
        *_table(
            ("part", "commit", "ended", "processes that wanted a core then"),
            [(part, *_when(results[f"about {part}"])) for part in PARTS],
        ),
        "",
    )


def _when(facts: Mapping[str, str]) -> Row:
    return (facts["commit"], facts["day"], facts["load"])


def _goals(results: Mapping[str, Any]) -> list[Row]:
    """Rows of name, goal, measurement, and whether the goal was met."""
    calls, quota = results["calls"], results["quota"]
    read, write = results["speed"]["read"], results["speed"]["written"]
    growth, ledger, compared = results["growth"], results["ledger"], results["compared"]
    peaks = {name: max(line["peak_mb"] for line in lines) for name, lines in growth.items()}
    # One for each customer with something new, and one per hundred changed ones and redemptions.
    most_asked = REWARDED + CHANGED // PAGE_ROWS + 1
    asking = calls["night"] - calls["night_customers"]
    by_list = [quota[0], quota[2], quota[3]]
    first = results["scarce"]["first_record"]
    lost = max(one["lost"] for one in results["scarce"]["stops"]) / CALLS_A_MINUTE
    sized_mb = max(one["peak_mb"] for one in results["sizes"].values())
    most_mb = max(costs[TAP]["peak_mb"] for costs in results["kinds"].values())
    reading, writing = _ratio(read, TAP, SCRIPT), _ratio(write, TARGET, NOOP)
    rows: list[Row] = [
        ("tap, time of the 15-line script", f"≤ {TIMES_THE_SCRIPT}", f"{reading:.2f} (CPU {_ratio(read, TAP, SCRIPT, 'cpu'):.2f})", reading <= TIMES_THE_SCRIPT),
        _worst(results["kinds"], "tap, CPU of the script, worst kind of data", SCRIPT, TIMES_THE_SCRIPT),
        _worst(results["reshaped"], "tap, CPU of a plain SDK tap, reshaped records", PLAIN_TAP, TIMES_PLAIN),
        _worst(results["lists"], "tap, CPU of the script, other lists", SCRIPT, TIMES_FOR_LISTS),
        ("peak memory, tap, worst kind of data", f"≤ {WORST_MB} MB", f"{most_mb:.0f} MB", most_mb <= WORST_MB),
        ("target, time of the unvalidated no-op target", f"≤ {TIMES_NOOP}", f"{writing:.2f} (CPU {_ratio(write, TARGET, NOOP, 'cpu'):.2f})", writing <= TIMES_NOOP),
        ("peak memory, target, records of 0.1 to 10 kB", f"≤ {MOST_MB} MB", f"{sized_mb:.0f} MB", sized_mb <= MOST_MB),
        ("calls, first run by list", f"≤ {LIST_CALLS:,}", f"{calls['list']:,}", calls["list"] <= LIST_CALLS),
        (f"the same, {INSTANTS} instants of 5,000 customers", f"≤ {INSTANT_CALLS:,}", f"{calls['instants']:,}", calls["instants"] <= INSTANT_CALLS),
        ("calls, first run by export", f"≤ {EXPORT_CALLS}", calls["export"], calls["export"] <= EXPORT_CALLS),
        ("calls, nothing new", f"≤ {QUIET_CALLS}", calls["nothing_new"], calls["nothing_new"] <= QUIET_CALLS),
        (NIGHT, f"≤ {most_asked}", f"{asking} ({calls['night_reward_events']} without customers)", asking <= most_asked),
        ("calls, customers written", f"≤ {WRITE_CALLS}", calls["written"], calls["written"] <= WRITE_CALLS),
        ("share of the quota used, 200 ms an answer, 2,000 calls a minute, from 50,000 customers on", f"≥ {LEAST_SHARE:.0%}", ", ".join(f"{one['share']:.0%}" for one in by_list), all(one["share"] >= LEAST_SHARE for one in by_list)),
        ("the same for the reward events of 3,030 customers", f"≥ {LEAST_SHARE:.0%}", f"{quota[1]['share']:.0%}", quota[1]["share"] >= LEAST_SHARE),
        ("first RECORD at 100 calls a minute", f"≤ {FIRST_RECORD_SECONDS} s", f"{first:.1f} s", first <= FIRST_RECORD_SECONDS),
        ("calls lost by a stop there, of those of a minute", f"≤ {LOST_SHARE:.0%}", f"{lost:.0%}", lost <= LOST_SHARE),
        ("refusals in a row at the end of a period", "≤ 1", max(one["refused_at_once"] for one in quota), all(one["refused_at_once"] <= 1 for one in quota)),
        ("peak memory, tap", f"≤ {MOST_MB} MB", f"{peaks['tap']:.0f} MB", peaks["tap"] <= MOST_MB),
        ("peak memory, target", f"≤ {MOST_MB} MB", f"{peaks['target']:.0f} MB", peaks["target"] <= MOST_MB),
        (f"{ledger['size']:,} unchanged with a ledger, time", f"≤ {LEDGER_SECONDS} s", f"{ledger['wall']:.1f} s ({ledger['cpu']:.1f} s CPU)", ledger["wall"] <= LEDGER_SECONDS),
        ("the same, memory", f"≤ {LEDGER_MB} MB", f"{ledger['peak_mb']:.0f} MB", ledger["peak_mb"] <= LEDGER_MB),
        (f"{compared['size']:,} unchanged, compared with an export, calls", f"≤ {COMPARE_CALLS}", compared["calls"], compared["calls"] <= COMPARE_CALLS),
        ("the same, time", f"≤ {COMPARE_SECONDS} s", f"{compared['wall']:.1f} s ({compared['cpu']:.1f} s CPU)", compared["wall"] <= COMPARE_SECONDS),
        ("the same, memory", f"≤ {COMPARE_MB} MB", f"{compared['peak_mb']:.0f} MB", compared["peak_mb"] <= COMPARE_MB),
    ]  # fmt: skip
    return rows


def _worst(found: Mapping[str, Any], what: str, unit: str, most: float) -> Row:
    """The row of a goal for the worst of several measurements."""
    name = max(found, key=lambda each: _ratio(found[each], TAP, unit, "cpu"))
    ratio = _ratio(found[name], TAP, unit, "cpu")
    return (what, f"≤ {most}", f"{ratio:.2f} ({name})", ratio <= most)


def _figures(goals: Iterable[Row]) -> Iterable[str]:
    met = [(*row[:3], "yes" if row[3] else "**no**") for row in goals]
    return ("## Goals", "", *_table(("what", "goal", "measured", "met"), met), "")


def _missed(goals: Iterable[Row]) -> Iterable[str]:
    missed = [row for row in goals if not row[3]]
    if not missed:
        return ()
    return (
        "## Goals that were missed",
        "",
        *(f"- {what}: {WHY_MISSED.get(str(what), NOT_EXPLAINED)}" for what, *_ in missed),
        "",
    )


def _ratio(costs: Mapping[str, Any], one: str, other: str, figure: str = "wall") -> float:
    return float(costs[one][figure] / costs[other][figure])


def _beside(results: Mapping[str, Any]) -> Iterable[str]:
    speed, rows = results["speed"], results["rows"]
    return (
        f"## {rows:,} customers out, compared with alternatives",
        "",
        "Each program reads the same customers, a kilobyte each, from a server with prepared responses",
        "in a separate process, and writes to a pipe. The raw client shows how little of the time is the",
        "server's.",
        "",
        *_costs(speed["read"], SCRIPT),
        "",
        f"## {rows:,} records in",
        "",
        "Records of 0.4 kB from a file. The no-op targets drop them; `target-voucherify` checks and",
        "maps them, makes bulk requests of 5,000, and awaits each job.",
        "",
        *_costs(speed["written"], NOOP),
        "",
    )


def _data(results: Mapping[str, Any]) -> Iterable[str]:
    return (
        "## The same with other data",
        "",
        "What the API may send beyond the schema, and in other spellings, in CPU time and peak memory.",
        "Beside it what decoding the same bytes (`msgspec`) and copying them costs.",
        "",
        *_beside_in_cpu(results["kinds"], "customers", (SCRIPT, TAP, DECODE, COPY)),
        "",
        f"With less or other columns, {results['rows'] // 10:,} customers, beside a plain tap on the SDK:",
        "",
        *_beside_in_cpu(results["reshaped"], "what is changed", (PLAIN_TAP, TAP)),
        "",
        "Other lists, with rows made from the tap's schemas:",
        "",
        *_beside_in_cpu(results["lists"], "list", (SCRIPT, TAP)),
        "",
    )


def _beside_in_cpu(
    found: Mapping[str, Any], what: str, contestants: tuple[str, ...]
) -> Iterable[str]:
    unit = contestants[0]
    rows = [
        (
            kind,
            f"**{_ratio(costs, TAP, unit, 'cpu'):.2f}**",
            *(
                f"{costs[name]['cpu']:.2f} s, {costs[name]['peak_mb']:.0f} MB"
                for name in contestants
            ),
        )
        for kind, costs in found.items()
    ]
    return _table((what, f"tap, times the {unit}", *contestants), rows)


def _costs(costs: Mapping[str, Any], unit: str) -> Iterable[str]:
    rows = [
        (
            f"**{name}**" if name in {TAP, TARGET} else name,
            f"{_ratio(costs, name, unit):.2f}",
            f"{_ratio(costs, name, unit, 'cpu'):.2f}",
            f"{cost['wall']:.2f} s",
            f"{min(cost['walls']):.2f} to {max(cost['walls']):.2f} s",
            f"{cost['cpu']:.2f} s",
            f"{cost['peak_mb']:.0f} MB",
        )
        for name, cost in costs.items()
    ]
    return _table(
        ("", f"times the {unit}", "the same in CPU", "time", "from, to", "CPU", "peak memory"), rows
    )


def _calls(calls: Mapping[str, int]) -> Iterable[str]:
    rows: list[Row] = [
        ("100,000 customers out, first run, list", "1,000 (pages)", f"{calls['list']:,}"),
        ("the same through an export", "1,000 (pages)", calls["export"]),
        ("20,000 customers and candidates for reward events, first run", "400 (pages for each stream)", calls["first_of_both"]),
        ("customers and reward events, nothing new", "200 a stream (pages of 20,000)", calls["nothing_new"]),
        (f"a night: {CHANGED:,} of 20,000 customers changed, {REWARDED - 1} redemptions", "20,000 (a call for each customer)", f"{calls['night']} ({calls['night_asked']} of them for a customer's events)"),
        ("100,000 customers in", "100,000 singly, 1,000 in hundreds", calls["written"]),
    ]  # fmt: skip
    return (
        "## API calls, from the server's log",
        "",
        *_table(("what", "without this pair", "calls"), rows),
        "",
        "A list costs a call for 99 new customers: each request starts before the last row of the one",
        "before, so that row comes twice and none is lost.",
        "",
    )


def _quota(quota: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    rows = [
        (
            one["stream"],
            one["at_once"],
            f"{one['calls_a_minute']:,}",
            f"{one['calls']:,}",
            f"{one['seconds']:.0f} s",
            f"{one['share']:.0%}",
            one["refused"],
            one["refused_at_once"],
        )
        for one in quota
    ]
    head = (
        "stream",
        "calls at once",
        "calls a minute",
        "calls",
        "time",
        "quota used",
        "refused",
        "in a row",
    )
    return (
        "## What is used of a quota",
        "",
        "First runs at 200 ms a response, in real time. A period is a tenth of a minute with a tenth of",
        "its calls, so that a run meets more ends of periods; for events it is half a minute, because the",
        "sandbox's `Retry-After` has whole seconds. All customers came in the first fifth of the time that",
        "the windows cover, which is the hard case for reading in parallel. At the end of a run some threads",
        "are idle for seconds, which matters less the longer it is.",
        "",
        *_table(head, rows),
        "",
    )


def _scarce(scarce: Mapping[str, Any]) -> Iterable[str]:
    rows = [
        (f"{one['after']:g} s", f"{one['first_record']:.1f} s", one["calls"], one["lost"])
        for one in scarce["stops"]
    ]
    return (
        "## A first run with 100 calls a minute",
        "",
        "50,000 customers at 200 ms a response; SIGTERM stops the run. Lost are calls whose rows the last",
        "STATE does not cover, so that the next run makes them again.",
        "",
        *_table(("stopped after", "first RECORD after", "calls", "lost"), rows),
        "",
    )


def _lag(lag: Mapping[str, Any]) -> Iterable[str]:
    runs, steps = lag["runs"], ("there", "back")
    names = (
        "commit in the CRM to Voucherify",
        "redemption in Voucherify to the CRM's table of rewards",
    )
    rows = [
        (name, lag[step]["count"], f"{lag[step]['median']:.0f} s", f"{lag[step]['most']:.0f} s")
        for name, step in zip(names, steps, strict=True)
    ]
    return (
        "## From the CRM and back, with jobs each minute",
        "",
        f"The three jobs in one `meltano run` each minute: {runs['count']} runs, mostly {runs['median']:.0f} s each.",
        "`write_path: auto`, rewards from the webhook store. Contacts change at random times; as soon as",
        "Voucherify has the change, a friend orders with the contact's code, and nearly always the same run",
        "still brings the reward back; a later order waits for the next minute, as a change does. Rewards",
        "settle three seconds after the order.",
        "",
        *_table(("from, to", "contacts", "median", "longest"), rows),
        "",
    )


def _growth(results: Mapping[str, Any]) -> Iterable[str]:
    rows = [
        (
            f"{plugin}-voucherify",
            f"{line['size']:,}",
            f"{line['wall']:.1f} s",
            f"{line['cpu']:.1f} s",
            f"{line['calls']:,}",
            f"{line['peak_mb']:.0f} MB",
        )
        for plugin, lines in results["growth"].items()
        for line in lines
    ]
    head = ("plugin", "customers", "time", "CPU", "calls", "peak memory")
    return (
        "## How it grows",
        "",
        *_table(head, rows),
        "",
        "100,000 records in, by the size of a message:",
        "",
        *_table(
            ("size", "time", "CPU", "calls", "peak memory"),
            [
                (
                    size,
                    f"{one['wall']:.1f} s",
                    f"{one['cpu']:.1f} s",
                    one["calls"],
                    f"{one['peak_mb']:.0f} MB",
                )
                for size, one in results["sizes"].items()
            ],
        ),
        "",
        "![Time](benchmarks/growth-wall.svg)",
        "![Calls](benchmarks/growth-calls.svg)",
        "![Memory](benchmarks/growth-peak.svg)",
        "",
    )


NOT_EXPLAINED = "missed in this run; measure again on an idle machine before anything is concluded."
WHY_MISSED = {
    "tap, time of the 15-line script": "see *Where the time goes*: importing the SDK and decoding the "
    "bytes twice, once to check them, are two thirds of the goal already.",
    "tap, CPU of the script, worst kind of data": "see *Where the time goes*. Columns with members that "
    "the schema does not name are decoded into objects.",
    "tap, CPU of the script, other lists": "of 10,000 rows, the most that a list by page number "
    "has, importing the SDK takes longer than all the script does.",
    "tap, CPU of a plain SDK tap, reshaped records": "the SDK's own `flatten_record` takes 58 % of the "
    "tap's time (`py-spy --gil`), and the plain tap takes it too; without flattening the figure is met.",
    "target, time of the unvalidated no-op target": "of the CPU time a fifth is importing the SDK, a "
    "third building customers from mapped properties, a fifth batching and counting them, a seventh "
    "decoding and encoding (`py-spy --gil`); the last job is polled a quarter of a second after it was "
    "sent, and not sooner, because that would cost calls. What would come next is a builder compiled "
    "from the mapping.",
    "peak memory, target, records of 0.1 to 10 kB": "of 10 kB each, two batches of 10 MB are in flight "
    "and a third is collected, whose body is as large again while it is sent: 40 MB above the 60 MB of "
    "a target that does nothing. Fewer bytes in flight would cost calls.",
    "calls, customers written": "jobs of a second are polled once each, the first ones more often, "
    "until their length is known; jobs of 0.3 s take 41 calls and of 3 s 44.",
    "1,000,000 unchanged with a ledger, time": "of a record's time more than a half is building the "
    "customer, a sixth looking it up in the ledger, a tenth reading and decoding (`cProfile`). It "
    "takes less for a record than the unvalidated no-op target does, so the figure goes up and down "
    "with the machine; what would come next is a builder compiled from the mapping.",
}
"""Known causes and possible next steps, by goal."""

TIME_GOES = (
    "## Where the time goes",
    "",
    "Of the tap's own time for 100,000 customers, by a sampling profiler (`py-spy --gil`): a fifth is",
    "importing the SDK and what it needs, a fifth the client and `urllib3`, a sixth the decoding that",
    "checks a page and finds its rows, and writing them; a third is paging, row by row: the times of",
    "rows (a tenth), those seen before, the check against `total`. In 0.1 s each, `msgspec` could copy",
    "the rows, and the importing alone takes 0.4 s, so the goal is near the floor for so few customers.",
    "Every row takes the same path ([decision 305](decisions/0305-one-record-path.md)). What would come",
    "next is to do for a page what paging does for each row.",
    "",
    "Of the target's CPU time a fifth is importing the SDK, a third building customers, a fifth batching",
    "and counting them, a seventh decoding and encoding (`msgspec`). It also waits for a server, which",
    "the no-op target does not.",
)


def _table(head: Row, rows: Iterable[Row]) -> Iterable[str]:
    yield _line(head)
    yield _line(["---"] * len(head))
    yield from (_line(row) for row in rows)


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


def _git(*words: str) -> str:
    line = ["git", *words]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
