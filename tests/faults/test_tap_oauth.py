"""OAuth over HTTP: one token per run, replaced when it ends early, never in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from singer import run
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

TOKENS = "/v1/oauth/token"


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
