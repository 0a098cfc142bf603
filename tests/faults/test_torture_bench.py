"""A sample of the torture bench, and the list of defences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

import leaks
from singer_input import lines, schema, state
from voucherify_sandbox import readings
from voucherify_sandbox.torture.__main__ import arguments, cases
from voucherify_sandbox.torture.cases import (
    ANSWERS_TRIED,
    PARTS,
    ROUND_TRIP,
    TARGET,
    combinations,
    coverage,
)
from voucherify_sandbox.torture.defences import DEFENCES, Defence, caught_by, switched_off

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = sorted((ROOT / "tests" / "data" / "readings").glob("*.json"))


def bench(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "voucherify_sandbox", "torture", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    leaks.saw(done.stderr)
    return done


@pytest.mark.timeout(900)  # a minute on an idle machine
def test_a_sample_of_every_kind_loses_nothing() -> None:
    done = bench("--sample", "--workers", "4")

    assert done.returncode == 0, done.stdout
    assert ", 0 failed" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("project", "part"),
    [*((path, "tap kills") for path in PROJECTS), (PROJECTS[-1], "target kills")],
    ids=lambda one: one if isinstance(one, str) else one.stem,
)
def test_a_sample_under_the_readings_of_a_project_loses_nothing(project: Path, part: str) -> None:
    done = bench("--sample", "--only", part, "--readings", str(project), "--workers", "2")

    assert done.returncode == 0, done.stdout
    assert ", 0 failed" in done.stdout.splitlines()[-1]


def test_round_trips_outside_a_checkout_start_nothing(tmp_path: Path) -> None:
    done = bench("--only", "round trip", folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("Round trips use the demo: start them in the root of a checkout")


SPOILER = """#!{python}
import json, subprocess, sys
given = sys.stdin.read()
ahead = [line for line in given.splitlines() if '"STATE"' in line][-1:]
for line in ahead:
    print(json.dumps(json.loads(line)["value"]), flush=True)
done = subprocess.run([{plugin!r}, *sys.argv[1:]], input=given, stdout=subprocess.PIPE, text=True)
for line in [] if ahead else done.stdout.splitlines(keepends=True):
    sys.stdout.write("" if '"crm-7"' in line else line)
sys.exit(done.returncode)
"""


@pytest.mark.parametrize(
    ("part", "case"),
    [("tap", "tap-36"), ("target", "target-kills-5")],
    ids=["a row that is swallowed", "a state that is ahead"],
)
def test_the_bench_notices(tmp_path: Path, part: str, case: str) -> None:
    plugin = str(Path(sys.executable).with_name(f"{part}-voucherify"))
    spoiler = tmp_path / part
    spoiler.write_text(SPOILER.format(python=sys.executable, plugin=plugin))
    spoiler.chmod(0o700)

    done = bench(f"--{part}", str(spoiler), "--case", case)  # its first run fails

    assert done.returncode == 1, done.stdout
    assert f"again: voucherify-sandbox torture --seed 1 --case {case}" in done.stdout


LIAR = """#!{python}
import json, subprocess, sys
done = subprocess.run([{plugin!r}, *sys.argv[1:]], capture_output=True, text=True)
lines, log = done.stdout.split("\\n")[:-1], done.stderr
records = [line for line in lines if '"tie-5"' in line]
{lie}
sys.stderr.write(log)
sys.stdout.write("".join(line + "\\n" for line in lines))
sys.exit(done.returncode)
"""

SWALLOW = "lines = [line for line in lines if line not in records]"
IDLE = """lines, log = [], log.replace('"complete": true', '"complete": false')"""
WITH_STORE = next(
    case.name
    for case in cases(arguments().parse_args(["--only", "tap"]))
    if "event=store" in str(case)
)
"""A case whose tap reads deletions from a store; its number changes with the readings."""

DELETE = """lines += [
    json.dumps(dict(json.loads(line), stream="customer_deletions")) for line in records[:1]
]"""
REPEAT = "lines += records[:1]"


@pytest.mark.parametrize(
    ("lie", "case", "column"),
    [
        pytest.param(SWALLOW, "tap-36", "green but not true", id="green but not true"),
        pytest.param(SWALLOW, "tap-movement-1", "lost", id="lost while the project moves"),
        pytest.param(IDLE, "tap-36", "stuck", id="stuck"),
        pytest.param(DELETE, WITH_STORE, "deleted by mistake", id="deleted by mistake"),
        pytest.param(REPEAT, "tap-strangers-1", "", id="counts that differ"),
    ],
)
def test_the_bench_notices_a_tap_that_lies(
    tmp_path: Path, lie: str, case: str, column: str
) -> None:
    plugin = str(Path(sys.executable).with_name("tap-voucherify"))
    liar = tmp_path / "tap"
    liar.write_text(LIAR.format(python=sys.executable, plugin=plugin, lie=lie))
    liar.chmod(0o700)

    done = bench("--tap", str(liar), "--case", case)

    assert done.returncode == 1, done.stdout
    if column:
        assert column_of(done.stdout, column) > 0
    else:
        assert "rows written" in done.stdout


TARGET_LIAR = """#!{python}
import json, subprocess, sys
from contextlib import suppress
from urllib.error import HTTPError
from urllib.request import Request, urlopen
given = sys.stdin.read()
{before}
done = subprocess.run([{plugin!r}, *sys.argv[1:]], input=given, capture_output=True, text=True)
states, log = done.stdout, done.stderr
{after}
sys.stderr.write(log)
sys.stdout.write(states)
sys.exit(done.returncode)
"""

FORGET = "given = ''.join(line for line in given.splitlines(True) if 'crm-7' not in line)"
STAND = """states, log = "", log.replace('"complete": true', '"complete": false')"""
MISCOUNT = """log = log.replace('"accepted": ', '"accepted": 1')"""
IMPORT_AGAIN = """
config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
keys = {"X-App-Id": config["application_id"], "X-App-Token": config["secret_key"]}
keys["Content-Type"] = "application/json"
order = {"source_id": "order-1", "customer": {"source_id": "crm-1"}}
with suppress(OSError):
    urlopen(Request(config["api_url"] + "/v1/orders/import", json.dumps([order]).encode(), keys))
    urlopen(Request(config["api_url"] + "/v1/async-actions", headers=keys))
"""
WHERE_IT_DOUBLES = next(
    case.name
    for case in cases(arguments().parse_args(["--only", "target entities"]))
    if "known_order_imported=doubled" in str(case) and "ends=job" in str(case)
)
KILL_ONE = """
config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
keys = {"X-App-Id": config["application_id"], "X-App-Token": config["secret_key"]}
url = config["api_url"] + "/v1/customers/crm-2"
with suppress(HTTPError):  # it is not there before the first run
    urlopen(Request(url, headers=keys, method="DELETE"))
"""


@pytest.mark.parametrize(
    ("before", "after", "case", "column"),
    [
        pytest.param(FORGET, "", "target-kills-5", "green but not true", id="green but not true"),
        pytest.param(FORGET, "", "target-strangers-3", "lost", id="lost between strangers"),
        pytest.param("", STAND, "target-scarce-calls-8", "stuck", id="stuck"),
        pytest.param(KILL_ONE, "", "target-restored-1", "deleted by mistake", id="deleted"),
        pytest.param("", IMPORT_AGAIN, WHERE_IT_DOUBLES, "doubled orders", id="doubled orders"),
        pytest.param("", MISCOUNT, "target-scarce-calls-3", "", id="counts that differ"),
    ],
)
def test_the_bench_notices_a_target_that_lies(
    tmp_path: Path, before: str, after: str, case: str, column: str
) -> None:
    plugin = str(Path(sys.executable).with_name("target-voucherify"))
    liar = tmp_path / "target"
    given = {"plugin": plugin, "before": before, "after": after}
    liar.write_text(TARGET_LIAR.format(python=sys.executable, **given))
    liar.chmod(0o700)

    done = bench("--target", str(liar), "--case", case)

    assert done.returncode == 1, done.stdout
    if column:
        assert column_of(done.stdout, column) > 0
    else:
        assert "do not add up" in done.stdout


def column_of(printed: str, title: str) -> int:
    """The figure of all parts in one column of the table."""
    rows = [line.split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    titles = [name.strip(" |") for name in rows[0]]
    return int(rows[-1][titles.index(title)].strip(" |").replace(",", ""))


def test_a_user_brings_settings_and_contacts(tmp_path: Path) -> None:
    """A user's keys are not used; the key property is found by the rules of the target."""
    keys = {"application_id": "theirs", "secret_key": "do-not-show-me"}
    tap, target = tmp_path / "tap.json", tmp_path / "target.json"
    tap.write_text(json.dumps({**keys, "lookback_window": 120, "max_concurrency": 2}))
    target.write_text(
        json.dumps({**keys, "customers_stream": "contacts", "mapping": {"name": "full_name"}})
    )
    contacts = tmp_path / "contacts.singer"
    columns = {"number": {"type": "integer"}, "full_name": {"type": "string"}}
    contacts.write_text(
        lines(
            schema(columns, stream="contacts", keys=("number",)),
            *(
                {"type": "RECORD", "stream": "contacts", "record": {"number": n, "full_name": "Z"}}
                for n in range(40)
            ),
            state({"seen": 40}),
        )
    )
    given = ("--tap-config", str(tap), "--target-config", str(target))

    for case in ("tap-kills-20", "target-kills-9"):
        done = bench(*given, "--target-input", str(contacts), "--case", case)

        assert done.returncode == 0, done.stdout
        assert "do-not-show-me" not in done.stdout + done.stderr


@pytest.mark.parametrize("part", PARTS)
def test_every_fault_meets_every_answer(part: str) -> None:
    tried, pairs = coverage(combinations(part, (30, 10), Random(3)))

    assert tried == pairs or part == ROUND_TRIP


def test_the_same_seed_gives_the_same_cases() -> None:
    first, again = (combinations(TARGET, (9, 9), Random(5)) for _ in range(2))
    assert first == again


def test_every_reading_that_is_a_number_has_answers_to_try() -> None:
    numbers = {name for name in readings.names() if readings.answers(name) == ("a number",)}
    assert numbers <= ANSWERS_TRIED.keys()


@pytest.mark.parametrize("defence", DEFENCES, ids=[defence.name for defence in DEFENCES])
def test_the_list_of_defences_follows_the_code(defence: Defence) -> None:
    assert switched_off(defence)
    assert all((ROOT / one).exists() for one in defence.tests if one.startswith("tests/"))


def test_a_defence_that_is_switched_off_is_missed() -> None:
    """Check one defence; `make defences` checks all in a quarter of an hour."""
    fence = next(one for one in DEFENCES if "a state waits" in one.name)
    assert caught_by(fence)
