"""`certify --rewards`: it finds the answers about referrals and leaves no campaign behind."""

from __future__ import annotations

import json
import os
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from certification import Killed, Mortal, Place, SandboxClock, certify, fault, notes_of
from voucherify_sandbox import Fault, Readings, Sandbox
from voucherify_sandbox.certify import command
from voucherify_sandbox.certify.caller import MAX_CALLS, Caller, Interrupted
from voucherify_sandbox.certify.questions import ELSEWHERE, REWARDS
from voucherify_sandbox.certify.run import run
from voucherify_sandbox.readings import answers, from_file, names

if TYPE_CHECKING:
    from pathlib import Path

TORTURE = bool(os.environ.get("TORTURE"))
READ = sorted(set(names()) & set(ELSEWHERE))
CALLS = 28
"""Of this part of a probe of a sandbox without faults."""


def is_empty(sandbox: Sandbox) -> bool:
    """Whether nothing that was made is left; a second reward or code may be neither."""
    programs = sandbox.project.programs
    rows = (programs.campaigns, programs.rewards, programs.assignments, programs.vouchers)
    return not any((sandbox.project.customers, *rows, sandbox.project.records.redemptions))


@pytest.mark.parametrize("instant", answers("redemption_instant"))
@pytest.mark.parametrize("shape", answers("reward_redemptions"))
def test_an_answer_is_found(instant: Any, shape: Any, tmp_path: Path) -> None:
    readings = Readings(redemption_instant=instant, reward_redemptions=shape, settle_seconds=8)
    with Sandbox(readings=readings) as sandbox:
        outcome = certify(sandbox, tmp_path, part=REWARDS)
        assert (outcome.clean, outcome.reason) == (True, "")
        found = outcome.probe.findings
        assert {name: found.readings()[name] for name in READ} == {
            "redemption_instant": instant,
            "reward_redemptions": shape,
        }
        assert set(ELSEWHERE) <= set(found.answers)
        assert "rewarded" in found.answers["referee_events"].seen
        assert found.answers["referrer_mark"].seen == "referral_tier, holder = customer"
        assert is_empty(sandbox)


def test_it_costs_few_calls(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        certify(sandbox, tmp_path, part=REWARDS)
        assert sandbox.calls == CALLS


@pytest.mark.parametrize("seed", range(100 if TORTURE else 4))
def test_no_mixture_gives_a_wrong_answer(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    chosen = {
        name: rng.choice([one for one in answers(name) if one != "a number"] or [None])
        for name in names()
    }
    readings = Readings()
    readings.change(**{name: value for name, value in chosen.items() if value is not None})
    with Sandbox(readings=readings) as sandbox:
        outcome = certify(sandbox, tmp_path, part=REWARDS)
        assert sandbox.calls <= MAX_CALLS
        found = outcome.probe.findings.readings()
        assert {name: getattr(readings, name) for name in READ if name in found} == {
            name: found[name] for name in READ if name in found
        }
        assert is_empty(sandbox) or not outcome.clean


@pytest.mark.parametrize("seed", range(300 if TORTURE else 10))
def test_a_fault_leaves_no_campaign_behind(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    with Sandbox(readings=Readings(job_polls=rng.choice((0, 1)))) as sandbox:
        sandbox.faults.add(fault(rng, CALLS))
        outcome = certify(sandbox, tmp_path, part=REWARDS)
        assert sandbox.calls <= MAX_CALLS
        assert (
            outcome.probe.findings.readings().get("redemption_instant", "created_at")
            == "created_at"
        )
        assert is_empty(sandbox) if outcome.clean else outcome.reason
        sandbox.faults.clear()
        again = certify(sandbox, tmp_path, only_clean_up=True)
        assert again.clean, again.reason
        assert is_empty(sandbox)


PLACES = [Place(number, after) for number in range(1, CALLS + 1) for after in (False, True)]


@pytest.mark.parametrize("place", PLACES if TORTURE else Random(1).sample(PLACES, 8), ids=str)
@pytest.mark.parametrize("again", ["go on", "clean up"])
def test_a_killed_run_goes_on_or_cleans_up(place: Place, again: str, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        notes = notes_of(sandbox, tmp_path)
        caller = Caller(Mortal(sandbox, place), notes, SandboxClock(sandbox), lambda _: None)
        with pytest.raises(Killed):
            run(caller, lambda _: None, lambda _: True, part=REWARDS)
        notes.close()
        # The part is that of the notes, whatever is asked for now.
        outcome = certify(sandbox, tmp_path, only_clean_up=again == "clean up")
        assert outcome.clean, outcome.reason
        assert outcome.probe.notes.part == REWARDS
        assert is_empty(sandbox)


@pytest.mark.parametrize("number", range(1, CALLS) if TORTURE else (6, 9, 12))
def test_a_signal_cleans_up(number: int, tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        notes = notes_of(sandbox, tmp_path)
        connection = Mortal(sandbox, Place(number), Interrupted)
        caller = Caller(connection, notes, SandboxClock(sandbox), lambda _: None)
        outcome = run(caller, lambda _: None, lambda _: True, part=REWARDS)
        notes.close()
        assert is_empty(sandbox) or not outcome.clean
        assert certify(sandbox, tmp_path, only_clean_up=True).clean
        assert is_empty(sandbox)


def test_campaigns_and_rewards_of_others_stay_and_are_not_noted(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        given = {"gift_credit": 300}
        sandbox.project.create_referral_campaign("Jane's", referrer_reward=given)
        outcome = certify(sandbox, tmp_path, part=REWARDS)
        assert outcome.clean
        names_left = [one["name"] for one in sandbox.project.programs.campaigns.values()]
        assert names_left == ["Jane's", "Jane's credit"]
        assert len(sandbox.project.programs.rewards) == 1
        assert "Jane" not in (tmp_path / "notes.jsonl").read_text()


@pytest.mark.parametrize("path", ["/v1/campaigns", "/v1/rewards", "/v1/rewards/*/assignments"])
def test_a_refusal_leaves_questions_open(path: str, tmp_path: Path) -> None:
    body = json.dumps({"code": 400, "key": "plan", "message": "No", "details": "not in the plan"})
    refused = Fault(kind="status", status=400, body=body, method="POST", path=path, times=None)
    with Sandbox() as sandbox:
        sandbox.faults.add(refused)
        outcome = certify(sandbox, tmp_path, part=REWARDS)
        assert (outcome.clean, outcome.reason) == (True, "")
        assert "not in the plan" in outcome.probe.findings.reasons["reward_redemptions"]
        is_asked = path != "/v1/campaigns"
        assert ("redemption_instant" in outcome.probe.findings.answers) is is_asked
        assert is_empty(sandbox)


def test_a_deletion_that_does_not_end_is_not_clean(tmp_path: Path) -> None:
    with Sandbox(readings=Readings(job_polls=0, job_seconds=3600)) as sandbox:
        outcome = certify(sandbox, tmp_path, part=REWARDS)
        assert not outcome.clean
        assert outcome.probe.notes.programs_left == ["/v1/campaigns"]
        sandbox.clock.advance(7200)
        assert certify(sandbox, tmp_path, only_clean_up=True).clean
        assert is_empty(sandbox)


def test_a_nameless_row_is_no_proof(tmp_path: Path) -> None:
    with Sandbox(readings=Readings(null_fields="everywhere")) as sandbox:
        sandbox.faults.add(Fault(kind="cut_after", method="POST", path="/v1/campaigns", times=None))
        outcome = certify(sandbox, tmp_path, part=REWARDS)
        assert not outcome.clean
        assert sandbox.project.programs.campaigns


def test_its_answers_are_added_to_those_of_the_other_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox(readings=Readings(redemption_instant="date")) as sandbox:
        monkeypatch.setenv("VOUCHERIFY_APPLICATION_ID", sandbox.application_id)
        monkeypatch.setenv("VOUCHERIFY_SECRET_KEY", sandbox.secret_key)
        given = ["--api-url", sandbox.url, "--out", str(tmp_path), "--throw-away"]
        given += ["--customers", "0"]
        assert command.main(given, SandboxClock(sandbox)) == 0
        before = from_file(tmp_path / "readings.json")
        assert "certify --rewards" in capsys.readouterr().out
        assert command.main([*given, "--rewards"], SandboxClock(sandbox)) == 0
        after = from_file(tmp_path / "readings.json")
        text = (tmp_path / "recording-rewards.jsonl").read_text()
    assert before.items() <= after.items()
    assert set(after) - set(before) == set(READ)
    assert after["redemption_instant"] == "date"
    assert sandbox.secret_key not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "readings.json",
        "recording-rewards.jsonl",
        "recording.jsonl",
    ]
