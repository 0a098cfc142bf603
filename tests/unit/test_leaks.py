"""The search of all logs for private data fails a test."""

from __future__ import annotations

import os
import re
from pathlib import Path
from textwrap import dedent

import pytest

import leaks
from demo import crm
from singer import run
from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY

TESTS = Path(__file__).parents[1]
STARTS_NO_PLUGIN = {
    "test_certify.py",
    "test_sandbox_forked.py",
    "test_sandbox_http.py",
    "test_workflows.py",
}
READS_DATA = {"test_loaders.py", "test_real_crm.py"}
"""They start other people's programs that log data; the logs of ours go through `singer.run`."""

LEAKS = {
    "a key": f"cannot log in with {SECRET_KEY}",
    "the other half of the key": f"project {APPLICATION_ID}",
    "a token": f"Authorization: Bearer token_{'0a' * 12}",
    "the token of a download": f"/v1/exports/e?token=download_{'0a' * 12}",
    "an e-mail address": "cannot find crm.7@example.com",
    "an e-mail address in a path": "GET /v1/customers/ann%40example.com",
    "a phone number": f"bad phone {crm.PHONES[0].format(n=7)}",
    "a phone number of the sandbox": "bad phone +1 555 0000007",
    "a name": "Customer 7 is refused",
    "a name of the demo": f"{crm.FIRST_NAMES[0]} {crm.LAST_NAMES[0]} is refused",
    "a source_id": "POST /v1/customers/crm-7",
}

SAID = """
import logging, sys
import leaks

def test_logged():
    logging.getLogger("target-voucherify").warning({text!r})

def test_in_a_traceback():
    try:
        raise ValueError({text!r})
    except ValueError:
        logging.getLogger("tap-voucherify").exception("failed")

def test_on_standard_error():
    print({text!r}, file=sys.stderr)

def test_by_another_process():
    leaks.saw({text!r}.encode())

def test_by_a_fixture(talkative):
    pass

def test_as_data():
    print({text!r})

def test_nothing():
    logging.getLogger("tap-voucherify").warning("GET /v1/customers answered 401")
"""

FIXTURE = """
import sys
import pytest
pytest_plugins = ["net"]

@pytest.fixture
def talkative():
    yield
    print({text!r}, file=sys.stderr)
"""


def test_a_leak_fails_the_test_that_made_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = LEAKS["an e-mail address"]
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}{os.pathsep}{TESTS.parent}")
    pytester.makepyfile(net=(TESTS / "conftest.py").read_text())
    pytester.makeconftest(dedent(FIXTURE.format(text=text)))
    pytester.makepyfile(SAID.format(text=text))

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")

    # A leak in the teardown of a fixture is an error beside a passed test.
    result.assert_outcomes(failed=4, passed=3, errors=1)
    result.stdout.fnmatch_lines([f"*an e-mail address: {text}*"])


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS.keys())
def test_each_kind_is_known_where_it_is_seen(text: str) -> None:
    assert leaks.lines_that_leak(["nothing here", f"before\n{text}\nafter"]) != []


HARMLESS = (
    "GET /v1/customers answered 404, key not_found, request_id v-0b4c590350857970df",
    "Refused record 0a1b2c3d4e: name is neither text nor null (invalid_record)",
    'run summary {"streams": {"customers": {"rows": 30}}, "calls": 555, "quota_left": 999030}',
    "Running crm-to-voucherify on 2026-11-24 13:30:49 at http://127.0.0.1:5550",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_a_log_is_for_is_no_leak(text: str) -> None:
    assert leaks.lines_that_leak([text]) == []


@pytest.mark.parametrize("plugin", ["tap_voucherify", "target_voucherify"])
@pytest.mark.parametrize("question", ["--about", "--about --format=json", "--help", "--version"])
def test_what_a_plugin_says_of_itself_holds_no_setting(plugin: str, question: str) -> None:
    prefix = plugin.upper()
    env = {f"{prefix}_APPLICATION_ID": APPLICATION_ID, f"{prefix}_SECRET_KEY": SECRET_KEY}

    done = run(plugin, {"secret_key": SECRET_KEY}, "--config=ENV", *question.split(), env=env)

    assert done.exit_code == 0
    assert leaks.lines_that_leak([done.stdout, done.log]) == []


def test_no_plugin_is_started_past_the_net() -> None:
    """Tests that start plugin processes pass their logs to `leaks.saw`."""
    starters = {
        path.name: path.read_text()
        for path in TESTS.rglob("*.py")
        if path.parent.name != "benchmarks"
        and re.search(r"\bimport subprocess\b|meltano\.start\(", path.read_text())
    }
    past = {name for name, text in starters.items() if "leaks.saw(" not in text}
    assert past == STARTS_NO_PLUGIN | READS_DATA, "hand what the process logs to leaks.saw"
