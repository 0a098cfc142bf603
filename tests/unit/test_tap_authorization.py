"""OAuth: one token for all threads, replaced before its end and once when it is refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from singer import run
from tap_voucherify.authorization import BearerToken, KeyPair
from tap_voucherify.errors import VoucherifyError
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

TOKENS = "/v1/oauth/token"


@dataclass
class Office:
    """Gives out numbered tokens, and a clock to be moved by hand."""

    answer: dict[str, Any] = field(default_factory=lambda: {"expires_in": 900})
    now: float = 0.0
    given: int = 0

    def ask(self) -> dict[str, Any]:
        self.given += 1
        return {"access_token": f"t{self.given}", **self.answer}

    def token(self) -> BearerToken:
        return BearerToken(self.ask, lambda: self.now)


def test_a_token_is_used_until_a_minute_before_its_end() -> None:
    office = Office()
    token = office.token()
    seen = []
    for office.now in (0.0, 100.0, 839.0, 840.0, 1679.0):
        seen.append(token.headers()["Authorization"])

    assert seen == ["Bearer t1", "Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]


@pytest.mark.parametrize("answer", [{}, {"expires_in": "soon"}], ids=["not said", "a word"])
def test_a_lifetime_that_is_not_said_is_fifteen_minutes(answer: dict[str, Any]) -> None:
    office = Office(answer=answer)
    token = office.token()
    token.headers()
    office.now = 839.0
    token.headers()

    assert office.given == 1


def test_all_threads_together_ask_once() -> None:
    office = Office()
    token = office.token()
    barrier = threading.Barrier(16)

    def use() -> str:
        barrier.wait()
        return token.headers()["Authorization"]

    with ThreadPoolExecutor(16) as pool:
        used = {future.result() for future in [pool.submit(use) for _ in range(16)]}

    assert used == {"Bearer t1"}


def test_a_refused_token_is_replaced_once_however_many_saw_it_refused() -> None:
    office = Office()
    token = office.token()
    refused = token.headers()

    for _ in range(8):
        assert token.renew(refused)
        token.headers()

    assert office.given == 2


def test_a_key_pair_is_never_renewed() -> None:
    pair = KeyPair("id", "key")

    assert not pair.renew(pair.headers())
    assert pair.headers() == {"X-App-Id": "id", "X-App-Token": "key"}


@pytest.mark.parametrize("token", [None, "", 5], ids=["none", "empty", "a number"])
def test_an_answer_without_a_token_is_an_error(token: object) -> None:
    with pytest.raises(VoucherifyError, match="gave no OAuth token"):
        BearerToken(lambda: {"access_token": token}).headers()


@pytest.fixture
def oauth(connection: dict[str, Any]) -> dict[str, Any]:
    return {**connection, "auth_method": "oauth"}


def referrals(sandbox: Sandbox, count: int) -> None:
    project = sandbox.project
    project.create_referral_campaign("Friends", referee_reward={"gift_credit": 5})
    code = project.referral_code("Friends", "adam")
    for number in range(count):
        project.redeem(code, f"friend-{number}", {"amount": 100})


def test_a_run_asks_for_one_token_and_sends_the_keys_with_it_alone(
    sandbox: Sandbox, oauth: dict[str, Any]
) -> None:
    referrals(sandbox, 20)

    done = run("tap_voucherify", oauth)

    assert done.exit_code == 0, done.log
    assert len(done.records("customers")) == 21
    asked = [served.path == TOKENS for served in sandbox.requests]
    assert asked == [True] + [False] * (len(asked) - 1)
    assert [("x-app-token" in served.headers) for served in sandbox.requests] == asked
    assert all(token not in done.log for token in sandbox.project.access.tokens)
    assert oauth["secret_key"] not in done.log


def test_a_token_that_ends_early_is_replaced_and_no_row_is_lost(
    sandbox: Sandbox, oauth: dict[str, Any]
) -> None:
    referrals(sandbox, 20)
    sandbox.faults.add(Fault(kind="expired_token", numbers=[3, 16], times=2))

    done = run("tap_voucherify", oauth)

    assert done.exit_code == 0, done.log
    assert len(done.records("customers")) == 21
    assert {row["customer_id"] for row in done.records("reward_events")} == {
        row["id"] for row in done.records("customers") if row["source_id"] != "adam"
    }
    assert sum(served.path == TOKENS for served in sandbox.requests) == 3


def test_an_export_is_ordered_and_downloaded_with_a_token(
    sandbox: Sandbox, oauth: dict[str, Any]
) -> None:
    referrals(sandbox, 20)

    done = run("tap_voucherify", {**oauth, "customers_backfill": "export"})

    assert done.exit_code == 0, done.log
    assert len(done.records("customers")) == 21
    assert any(served.path == "/v1/exports" for served in sandbox.requests)
    assert sum("x-app-token" in served.headers for served in sandbox.requests) == 1


def test_a_key_that_was_blocked_is_one_sentence(sandbox: Sandbox, oauth: dict[str, Any]) -> None:
    sandbox.faults.add(Fault(kind="revoked_key", numbers=[2]))

    done = run("tap_voucherify", oauth)

    assert done.exit_code == 1
    assert "check application_id and secret_key" in done.log
    assert "Traceback" not in done.log


def test_a_token_is_waited_for_as_everything_else(sandbox: Sandbox, oauth: dict[str, Any]) -> None:
    sandbox.faults.add(Fault(kind="limit_retry_after", path=TOKENS, seconds=0))

    done = run("tap_voucherify", oauth)

    assert done.exit_code == 0, done.log
    assert f"POST {TOKENS} answered 429" in done.log
