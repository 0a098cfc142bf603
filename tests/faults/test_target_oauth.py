"""OAuth in the target: one token per run, nothing lost when it ends early, nothing written dry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from singer import run
from singer_input import contacts, lines, record, schema, state
from target_run import held, load
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

TOKENS = "/v1/oauth/token"
PATHS = ("bulk", "single")


@pytest.fixture
def oauth(sandbox: Sandbox, connection: dict[str, Any]) -> dict[str, Any]:
    sandbox.readings.change(job_polls=0)
    return {**connection, "auth_method": "oauth", "batch_size_rows": 10}


def tokens(sandbox: Sandbox) -> int:
    return sum(served.path == TOKENS for served in sandbox.requests)


@pytest.mark.parametrize("path", PATHS)
def test_a_run_asks_for_one_token_and_sends_the_keys_with_it_alone(
    sandbox: Sandbox, oauth: dict[str, Any], path: str
) -> None:
    given = lines(schema(), *(record(n, metadata={"n": n}) for n in range(40)), state({"seen": 40}))

    done = run("target_voucherify", {**oauth, "write_path": path}, stdin=given)

    assert done.exit_code == 0, done.log
    assert done.states[-1] == {"seen": 40}
    assert len(held(sandbox)) == 40
    asked = [served.path == TOKENS for served in sandbox.requests]
    assert asked == [True] + [False] * (len(asked) - 1)
    assert [("x-app-token" in served.headers) for served in sandbox.requests] == asked
    (token,) = sandbox.project.access.tokens
    assert token not in done.log
    assert oauth["secret_key"] not in done.log


def test_the_scope_is_what_the_target_needs(sandbox: Sandbox, oauth: dict[str, Any]) -> None:
    config = {**oauth, "on_delete": "permanent_delete", "max_delete_percent": 100}
    gone = record(1, _sdc_deleted_at="2026-01-01T00:00:00Z")

    done = load(config, lines(*contacts(5), gone, state({"seen": 6})))

    assert done.error is None
    (token,) = sandbox.project.access.tokens.values()
    assert set(token.scope.split()) == {"customers", "async-actions", "metadata-schemas"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("number", range(2, 9))
def test_a_token_that_ends_early_is_replaced_and_nothing_is_lost(
    sandbox: Sandbox, oauth: dict[str, Any], number: int, path: str
) -> None:
    sandbox.faults.add(Fault(kind="expired_token", numbers=[number]))
    config = {**oauth, "write_path": path}

    done = load(config, lines(*contacts(50, state_every=5)))

    assert done.error is None
    assert done.states[-1] == {"seen": 50}
    assert len(held(sandbox)) == done.summary["accepted"] == 50
    assert tokens(sandbox) == 2


def test_a_token_that_is_refused_twice_ends_the_run(
    sandbox: Sandbox, oauth: dict[str, Any]
) -> None:
    sandbox.faults.add(Fault(kind="status", status=401, path="/v1/customers/*", times=None))

    done = load(oauth, lines(*contacts(5)))

    assert "check application_id and secret_key" in str(done.error)
    assert tokens(sandbox) == 2
    assert done.states == []


@pytest.mark.parametrize("path", PATHS)
def test_a_key_that_was_blocked_is_one_sentence(
    sandbox: Sandbox, oauth: dict[str, Any], path: str
) -> None:
    sandbox.faults.add(Fault(kind="revoked_key", numbers=[2]))

    done = run("target_voucherify", {**oauth, "write_path": path}, stdin=lines(*contacts(30)))

    assert done.exit_code == 1
    assert f"POST {TOKENS} answered 401" in done.log
    assert done.log.count("check application_id and secret_key") == 1
    assert "Traceback" not in done.log


@pytest.mark.parametrize(
    "body",
    [{"code": 400, "key": "invalid_scope"}, {"code": 403}, {"code": 404}, {"code": 200}],
    ids=lambda body: str(body["code"]),
)
def test_a_refused_token_is_no_refusal_of_a_record(
    sandbox: Sandbox, oauth: dict[str, Any], body: dict[str, Any]
) -> None:
    fault = Fault(kind="status", status=body["code"], path=TOKENS, body=body, times=None)
    sandbox.faults.add(fault)

    done = load({**oauth, "max_refused_percent": 100}, lines(*contacts(30, state_every=5)))

    assert done.error is not None
    assert (done.summary["refused"], done.states) == (0, [])
    assert all(served.path == TOKENS for served in sandbox.requests)


def test_a_token_is_waited_for_as_everything_else(sandbox: Sandbox, oauth: dict[str, Any]) -> None:
    sandbox.faults.add(Fault(kind="limit_retry_after", path=TOKENS, seconds=0))

    done = load(oauth, lines(*contacts(5, state_every=5)))

    assert (done.error, done.states) == (None, [{"seen": 5}])
    assert f"POST {TOKENS} answered 429" in done.log


def test_a_token_that_waits_for_the_bulk_limit_does_not_wait_for_itself(
    sandbox: Sandbox, oauth: dict[str, Any]
) -> None:
    """During such a wait other jobs are confirmed, which needs a token as well."""
    limited = {"Retry-After": "3", "X-Rate-Limit-Type": "bulk_api_calls"}
    sandbox.faults.add(
        Fault(kind="expired_token", numbers=[3]),
        Fault(kind="status", status=429, headers=limited, path=TOKENS, nth=[2]),
    )

    done = load(oauth, lines(*contacts(30, state_every=5)))

    assert (done.error, done.states[-1]) == (None, {"seen": 30})
    assert tokens(sandbox) == 3


def test_a_dry_run_makes_a_token_and_writes_nothing(
    sandbox: Sandbox, oauth: dict[str, Any]
) -> None:
    done = load({**oauth, "dry_run": True}, lines(*contacts(30, state_every=5)))

    assert (done.error, done.states) == (None, [])
    assert done.summary["would_create"] == 30
    assert held(sandbox) == set()
    asked = [served.path for served in sandbox.requests if served.method != "GET"]
    assert asked == [TOKENS]


@pytest.mark.parametrize("ends_at", [None, 3, 4], ids=["never", "third call", "fourth call"])
@pytest.mark.parametrize("most", [*range(1, 14), 20, 40])
@pytest.mark.parametrize("path", PATHS)
def test_max_calls_counts_tokens_and_still_confirms_what_was_sent(
    sandbox: Sandbox, oauth: dict[str, Any], path: str, most: int, ends_at: int | None
) -> None:
    if ends_at:
        sandbox.faults.add(Fault(kind="expired_token", numbers=[ends_at]))
    config = {**oauth, "batch_size_rows": 5, "max_calls": most, "write_path": path}

    done = load(config, lines(*contacts(40, state_every=5)))

    assert done.error is None or (not done.states and "set max_calls to" in str(done.error))
    assert len(sandbox.requests) == done.summary["calls"] <= most
    assert done.summary["accepted"] == len(held(sandbox))
    assert {f"crm-{n}" for n in range(done.states[-1]["seen"] if done.states else 0)} <= held(
        sandbox
    )
    assert done.summary["complete"] is (len(held(sandbox)) == 40)
