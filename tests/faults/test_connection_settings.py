"""Keys and `api_url` are trimmed, or refused by name, and never logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import leaks
from singer import Run, run
from singer_input import contacts, lines
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

TAP, TARGET = "tap_voucherify", "target_voucherify"
TALKATIVE = {"LOGLEVEL": "DEBUG"}
both = pytest.mark.parametrize("plugin", [TAP, TARGET])
names = pytest.mark.parametrize("name", ["application_id", "secret_key"])


def synced(plugin: str, config: dict[str, Any], **env: str) -> Run:
    """A run with something to do, at debug level."""
    return run(
        plugin,
        config,
        *(["--config=ENV"] if env else []),
        stdin=lines(*contacts(1)) if plugin == TARGET else b"",
        env={**TALKATIVE, **env},
    )


@both
@pytest.mark.parametrize("auth_method", ["api_key", "oauth"])
@pytest.mark.parametrize("around", ["{}\n", "\r\n {}\t\r\n", "\xa0{} "])
def test_blanks_around_keys_and_address_are_dropped(
    connection: dict[str, Any], plugin: str, auth_method: str, around: str
) -> None:
    config = {name: around.format(value) for name, value in connection.items()}

    done = synced(plugin, {**config, "auth_method": auth_method})

    assert done.exit_code == 0, done.log
    assert leaks.lines_that_leak([done.log]) == []


@both
def test_blanks_from_the_environment_are_dropped(connection: dict[str, Any], plugin: str) -> None:
    prefix = plugin.upper()
    env = {f"{prefix}_{name.upper()}": f"{value}\n" for name, value in connection.items()}

    done = synced(plugin, {}, **env)

    assert done.exit_code == 0, done.log


@both
@names
@pytest.mark.parametrize(
    "value",
    [
        "secret-canary\nX-Other: 1",
        "secret-canary\rb",
        "secret-\0canary",
        "secret-canary\x7f",
        "secret-canary\x85x",
        "secret-canary-東京",
        "\ufeffsecret-canary",
        "secret-canary\ud83d",
    ],
    ids=ascii,
)
def test_a_key_that_no_header_can_carry_is_named_and_not_shown(
    connection: dict[str, Any], sandbox: Sandbox, plugin: str, name: str, value: str
) -> None:
    done = synced(plugin, {**connection, name: value})

    assert done.exit_code == 1
    assert (
        f"The setting {name} holds a line break or another character that no HTTP header can "
        "carry: copy it again from Voucherify's Project settings."
    ) in done.log
    assert "canary" not in done.log
    assert "X-Other" not in done.log
    assert sandbox.calls == 0


@both
@names
def test_a_key_of_blanks_is_an_empty_one(
    connection: dict[str, Any], plugin: str, name: str
) -> None:
    done = synced(plugin, {**connection, name: " \n"})

    assert done.exit_code == 1
    assert f"The setting {name} does not fit: minLength must be 1." in done.log


@both
@pytest.mark.parametrize("token", ["secret-canary\r\nX-Other: 1", "secret-canary-東京", "a\ud83d"])
def test_a_token_that_no_header_can_carry_ends_the_run_in_a_sentence(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str, token: str
) -> None:
    body = {"access_token": token, "expires_in": 900}
    sandbox.faults.add(
        Fault(kind="status", status=200, body=body, path="/v1/oauth/token", times=None)
    )

    done = synced(plugin, {**connection, "auth_method": "oauth"})

    assert done.exit_code == 1
    assert "Voucherify gave an OAuth token that no HTTP header can carry" in done.log
    assert "canary" not in done.log
    assert sandbox.calls == 1


@both
def test_blanks_around_a_token_are_dropped(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str
) -> None:
    body = {"access_token": " canary\r\n", "expires_in": 900}
    sandbox.faults.add(Fault(kind="status", status=200, body=body, path="/v1/oauth/token"))

    synced(plugin, {**connection, "auth_method": "oauth"})

    assert sandbox.requests[1].headers["authorization"] == "Bearer canary"


@pytest.mark.parametrize(
    ("plugin", "name", "value", "rule"),
    [
        (TARGET, "DRY_RUN", "treu", "true or false"),
        (TARGET, "DRY_RUN", " true", "true or false"),
        (TARGET, "MAX_DELETE_PERCENT", "1%", "a number"),
        (TARGET, "MAX_CALLS", "ten", "a whole number"),
        (TARGET, "MAX_CALLS", "", "a whole number"),
        (TAP, "FLATTENING_ENABLED", "y", "true or false"),
        (TAP, "MAX_CALLS", "1.5", "a whole number"),
    ],
)
def test_a_variable_of_another_type_is_an_error(
    connection: dict[str, Any], plugin: str, name: str, value: str, rule: str
) -> None:
    variable = f"{plugin.upper()}_{name}"

    done = synced(plugin, connection, **{variable: value})

    assert done.exit_code == 1
    assert f"The environment variable {variable} must be {rule}." in done.log
    assert "run summary" not in done.log


def test_a_number_from_the_environment_is_one(connection: dict[str, Any]) -> None:
    env = {"TARGET_VOUCHERIFY_MAX_DELETE_PERCENT": "2.5", "TARGET_VOUCHERIFY_DRY_RUN": "Yes"}
    done = synced(TARGET, connection, **env)
    assert done.exit_code == 0, done.log
    assert "would_create" in done.log
