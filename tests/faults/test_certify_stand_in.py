"""`certify` against a second stand-in: what it says about what it left behind is true."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from typing import TYPE_CHECKING

import pytest

from bare_project import APPLICATION_ID, SECRET_KEY, STRANGER, BareProject, Behaviour
from voucherify_sandbox.certify import command
from voucherify_sandbox.certify.caller import MAX_CALLS, Caller
from voucherify_sandbox.certify.exchange import Connection
from voucherify_sandbox.certify.notes import Notes
from voucherify_sandbox.certify.run import run

if TYPE_CHECKING:
    from pathlib import Path

    from voucherify_sandbox.certify.exchange import Call, Exchange
    from voucherify_sandbox.certify.run import Outcome


TORTURE = bool(os.environ.get("TORTURE"))
NUMBERS = range(3, 85) if TORTURE else (3, 26, 41)
"""Of the requests at which something happens: a creation, a bulk write, a deletion."""

BLOCKS = [tuple(NUMBERS[at : at + 14]) for at in range(0, len(NUMBERS), 14)]
"""So many in a test: each waits for the disk at every request."""


class Killed(BaseException):
    """The end of the process, at once."""


class Mortal(Connection):
    """A connection at which the process ends, before or after a request."""

    def __init__(self, url: str, number: int, *, after: bool) -> None:
        super().__init__(url, APPLICATION_ID, SECRET_KEY)
        self._left, self._after = number, after

    def send(self, call: Call, at: float) -> Exchange:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        exchange = super().send(call, at)
        if self._left == 0:
            raise Killed
        return exchange


def probed(
    project: BareProject, folder: Path, connection: Connection | None = None, *, only: bool = False
) -> Outcome:
    """A probe whose notes stay in `folder`."""
    notes = Notes.for_project(folder / "notes.jsonl", project.url, APPLICATION_ID)
    connection = connection or Connection(project.url, APPLICATION_ID, SECRET_KEY)
    try:
        caller = Caller(connection, notes, project, lambda _: None)
        return run(caller, lambda _: None, lambda _: True, only_clean_up=only)
    finally:
        notes.close()


def is_true(project: BareProject, outcome: Outcome) -> None:
    """What is said to be gone is gone, and nobody else is."""
    left = project.left
    assert STRANGER["id"] in project.customers
    assert outcome.clean is not bool(left) or outcome.reason
    if outcome.clean:
        assert left == []


BEHAVIOURS = {
    "plain": Behaviour(),
    "no key": Behaviour(odd_key="none"),
    "taken keys": Behaviour(again=409),
    "taken keys and a late list": Behaviour(again=409, list_lag=25),
    "late list": Behaviour(list_lag=9),
    "slow jobs": Behaviour(job_seconds=100),
    "small pages": Behaviour(page_cap=10),
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_what_is_said_to_be_gone_is_gone(name: str, tmp_path: Path) -> None:
    with BareProject(BEHAVIOURS[name]) as project:
        outcome = probed(project, tmp_path)
        assert len(project.requests) <= MAX_CALLS
        is_true(project, outcome)


def test_a_job_that_has_not_ended_is_named_and_its_rows_deleted_later(tmp_path: Path) -> None:
    with BareProject(Behaviour(job_seconds=400)) as project:
        outcome = probed(project, tmp_path)
        assert (outcome.clean, "task" in outcome.reason) == (False, True)
        project.sleep(500)
        assert probed(project, tmp_path, only=True).clean
        assert project.left == []


@pytest.mark.parametrize("status", [0, 429, 500, 503])
@pytest.mark.parametrize("name", BEHAVIOURS)
@pytest.mark.parametrize("numbers", BLOCKS)
def test_lost_responses_and_refusals(
    name: str, status: int, numbers: tuple[int, ...], tmp_path: Path
) -> None:
    for number in numbers:
        with BareProject(BEHAVIOURS[name]) as project:
            if status:
                project.refused = {number: status, number + 1: status}
            else:
                project.lost = {number}
            folder = tmp_path / str(number)
            is_true(project, probed(project, folder))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", BEHAVIOURS)
@pytest.mark.parametrize("numbers", BLOCKS)
def test_a_killed_run(
    name: str,
    after: bool,  # noqa: FBT001 - a parameter
    numbers: tuple[int, ...],
    tmp_path: Path,
) -> None:
    for number in numbers:
        with BareProject(BEHAVIOURS[name]) as project:
            folder = tmp_path / str(number)
            with contextlib.suppress(Killed):
                probed(project, folder, Mortal(project.url, number, after=after))
            is_true(project, probed(project, folder, only=bool(number % 2)))


@pytest.mark.parametrize("number", NUMBERS if TORTURE else (3, 4, 15))
def test_an_answer_about_somebody_else_deletes_nobody(number: int, tmp_path: Path) -> None:
    with BareProject(Behaviour(wrong_body=number)) as project:
        is_true(project, probed(project, tmp_path))


def test_a_project_that_shows_only_part_of_its_customers_is_left_alone(tmp_path: Path) -> None:
    with BareProject(Behaviour(total=False, page_cap=10)) as project:
        for number in range(500):
            project.customers[f"cust_{number}"] = {**STRANGER, "id": f"cust_{number}"}
        outcome = probed(project, tmp_path)
        assert "more than" in outcome.reason
        assert {method for method, _ in project.requests} == {"GET"}


def cut(project: BareProject, folder: Path) -> None:
    """A run that is killed while it creates customers."""
    with pytest.raises(Killed):
        probed(project, folder, Mortal(project.url, 4, after=True))


def test_a_cut_run_is_only_cleaned_up_without_leave_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOUCHERIFY_APPLICATION_ID", APPLICATION_ID)
    monkeypatch.setenv("VOUCHERIFY_SECRET_KEY", SECRET_KEY)
    with BareProject() as project:
        cut(project, tmp_path)
        before = len(project.requests)
        command.main(["--api-url", project.url, "--out", str(tmp_path)], project)
        assert project.left == []
        writes = {path for method, path in project.requests[before:] if method != "GET"}
        assert {path.rsplit("/", 1)[-1] for path in writes} == {"permanent-deletion"}


def test_a_run_that_was_cut_long_ago_is_only_cleaned_up(tmp_path: Path) -> None:
    with BareProject() as project:
        cut(project, tmp_path)
        before = len(project.requests)
        project.sleep(7 * 86_400)
        outcome = probed(project, tmp_path)
        assert (outcome.clean, "day" in outcome.reason) == (True, True)
        assert len(project.requests) < before + 6
        assert project.left == []


@pytest.mark.parametrize("where", ["stdout", "stderr"])
def test_cleaning_up_goes_on_when_nobody_reads(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOUCHERIFY_APPLICATION_ID", APPLICATION_ID)
    monkeypatch.setenv("VOUCHERIFY_SECRET_KEY", SECRET_KEY)
    with BareProject() as project, pathlib.Path("/dev/full").open("w", 1) as full:
        monkeypatch.setattr(sys, where, full)
        given = ["--api-url", project.url, "--out", str(tmp_path), "--throw-away"]
        command.main([*given, "--customers", "1"], project)
        assert project.left == []
        assert not (tmp_path / "notes.jsonl").exists()
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()


PEOPLE = ("Jane", "jane", "corp.io", "Acme", SECRET_KEY, APPLICATION_ID)
OTHER_JOB = {
    "id": "aa_0123456789abcdef",
    "type": "CUSTOMERS.BULK_UPDATE",
    "status": "DONE",
    "result": {"errors": [{"source_id": "jane", "message": "Jane Roe has no birthdate"}]},
}


def test_no_person_and_no_key_is_shown_or_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    says = f"\x1b[2J{SECRET_KEY} of {APPLICATION_ID}, cust_0123456789abcdef, jane.roe@corp.io"
    behaviour = Behaviour(
        says=says, loyalty={"campaigns": {"Acme Club": {"points": 1}}}, other_job=OTHER_JOB
    )
    monkeypatch.setenv("VOUCHERIFY_APPLICATION_ID", APPLICATION_ID)
    monkeypatch.setenv("VOUCHERIFY_SECRET_KEY", SECRET_KEY)
    with BareProject(behaviour) as project:
        project.lost = {45, 46, 47, 48}
        given = ["--api-url", project.url, "--out", str(tmp_path)]
        command.main([*given, "--throw-away", "--customers", "1"], project)
    shown = "".join(capsys.readouterr())
    text = (tmp_path / "recording.jsonl").read_text()
    for where in (shown, text):
        assert [word for word in PEOPLE if word in where] == []
        assert "cust_0123456789abcdef" not in where
    assert "\x1b" not in shown
