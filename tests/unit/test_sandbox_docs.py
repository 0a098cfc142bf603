"""sandbox/README.md documents every reading, fault, action and option."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from voucherify_sandbox import Fault, Readings
from voucherify_sandbox.__main__ import parser
from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY
from voucherify_sandbox.control import ACTIONS
from voucherify_sandbox.faults import KINDS
from voucherify_sandbox.readings import answers, names

README = (Path(__file__).resolve().parents[2] / "sandbox" / "README.md").read_text()
ROWS = {
    cells[1].strip("` "): cells[2:]
    for line in README.splitlines()
    if line.startswith("| `") and len(cells := line.split("|")) > 4
}


@pytest.mark.parametrize("name", names())
def test_a_reading_is_documented_with_its_answers_and_default(name: str) -> None:
    documented = re.findall(r"`([^`]+)`", ROWS[name][0])
    default = str(getattr(Readings(), name)).removesuffix(".0").lower()
    if answers(name) == ("a number",):
        assert default in documented
    else:
        assert (set(documented), documented[0]) == (set(answers(name)), default)
    assert ROWS[name][1].strip()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_documented_with_what_it_takes(kind: str) -> None:
    known = {field.name for field in fields(Fault)}
    assert set(re.findall(r"`([^`]+)`", ROWS[kind][0])) <= known
    assert ROWS[kind][1].strip()


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_documented(action: str) -> None:
    assert f"`{action}`" in README.split("Actions:")[1]


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z-]+", parser().format_help()))))
def test_an_option_is_documented(option: str) -> None:
    assert option == "--help" or f"`{option}" in README


def test_the_keys_in_the_readme_are_the_ones_it_accepts() -> None:
    assert APPLICATION_ID in README
    assert SECRET_KEY in README


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - our own text
    assert "'loyalty_points': {'count': 1, 'sum': 100}" in capsys.readouterr().out
