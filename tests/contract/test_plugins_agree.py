"""Both plugins behave the same with settings, waits and errors."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from singer import Run, closed_port, run
from singer_input import contacts, lines
from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from voucherify_sandbox import Sandbox

TAP, TARGET = "tap_voucherify", "target_voucherify"
CONNECTION = ("application_id", "secret_key", "api_url", "auth_method", "max_calls", "metrics_path")
"""Properties of settings that must be the same in both."""

LAST_WORDS = re.compile(r"\| (?:ERROR|CRITICAL) +\| (?:tap|target)-voucherify +\| (.*)")
NAMES = re.compile(r"(?:GET|POST) /v1/(?!oauth)\S+|request_id v-\w+")
"""Parts of an error that name the request."""

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)
AT_NOON = int(NOON.timestamp())

both = pytest.mark.parametrize("plugin", [TAP, TARGET])


def synced(plugin: str, config: dict[str, Any]) -> Run:
    """A run of a plugin with something to do."""
    return run(plugin, config, stdin=lines(*contacts(1)) if plugin == TARGET else b"")


def sentence(done: Run) -> str:
    """The error of a run without the parts that name the request."""
    assert done.exit_code == 1, done.log
    assert "Traceback" not in done.log
    said = LAST_WORDS.findall(done.log)
    assert len(said) == 1, done.log
    return NAMES.sub("…", said[0])


@cache
def about(plugin: str) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(run(plugin, {}, "--about", "--format=json").stdout)
    return dict(settings["settings"])


def setting(plugin: str, name: str) -> dict[str, Any]:
    schema = about(plugin)
    return {**schema["properties"][name], "required": name in schema["required"]}


@pytest.mark.parametrize("name", CONNECTION)
def test_the_connection_has_the_same_settings(name: str) -> None:
    assert setting(TAP, name) == setting(TARGET, name)


UNSAFE = (
    "The setting api_url must be an https address, or http on a loopback address: the keys would "
    "travel unprotected."
)
UNSAFE_ADDRESSES = ("http://api.voucherify.io", "ftp://127.0.0.1", "https://", "a.b", "http://[:")
TOO_LONG = "The setting api_url must be scheme and host only, such as https://api.voucherify.io."
TOO_LONG_ADDRESSES = ("https://127.0.0.1/v1", "https://me:word@127.0.0.1", "http://[::1]?a")


@both
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("auth_method", "basic", "The setting auth_method must be api_key or oauth."),
        ("secret_key", "", "The setting secret_key does not fit: minLength must be 1."),
        ("max_calls", 0, "The setting max_calls does not fit: minimum must be 1."),
        *(("api_url", url, UNSAFE) for url in UNSAFE_ADDRESSES),
        *(("api_url", url, TOO_LONG) for url in TOO_LONG_ADDRESSES),
    ],
)
def test_a_wrong_setting_is_refused_in_the_same_words(
    connection: dict[str, Any], plugin: str, name: str, value: object, said: str
) -> None:
    assert sentence(synced(plugin, {**connection, name: value})) == said


@both
def test_a_missing_setting_is_named_in_the_same_words(
    connection: dict[str, Any], plugin: str
) -> None:
    del connection["secret_key"]

    assert sentence(synced(plugin, connection)) == "Missing settings: secret_key."


@both
@pytest.mark.parametrize(
    ("fault", "complete"), [(None, "true"), ("status", "false")], ids=["well", "in failure"]
)
def test_the_summary_is_the_last_line_however_a_run_ends(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str, fault: str | None, complete: str
) -> None:
    if fault:
        sandbox.faults.add(Fault(kind=fault, status=403, times=None))  # type: ignore[arg-type]

    last = synced(plugin, connection).log.splitlines()[-1]

    assert "run summary {" in last
    assert f'"complete": {complete}' in last


WAITS: dict[str, tuple[dict[str, str], float, str]] = {
    "seconds": ({"Retry-After": "1"}, 1.0, "Retry-After"),
    "a fraction of a second": ({"Retry-After": "0.8"}, 0.8, "Retry-After"),
    "a date": ({"Retry-After": "Wed, 01 May 2030 12:00:01 GMT"}, 1.0, "Retry-After"),
    "a date without a zone": (
        {"Retry-After": "Wed, 01 May 2030 12:00:01 -0000"},
        1.0,
        "Retry-After",
    ),
    "an instant": ({"X-Rate-Limit-Retry": f"{AT_NOON + 1}"}, 1.0, "X-Rate-Limit-Retry"),
    "seconds before an instant": (
        {"Retry-After": "0.9", "X-Rate-Limit-Retry": f"{AT_NOON + 60}"},
        0.9,
        "Retry-After",
    ),
    "no seconds, but an instant": (
        {"Retry-After": "soon", "X-Rate-Limit-Retry": f"{AT_NOON + 1}"},
        1.0,
        "X-Rate-Limit-Retry",
    ),
}


@both
@pytest.mark.parametrize("told", WAITS.values(), ids=WAITS.keys())
def test_the_same_429_is_waited_for_as_long(
    sandbox: Sandbox,
    connection: dict[str, Any],
    plugin: str,
    told: tuple[dict[str, str], float, str],
) -> None:
    """The server's clock is years ahead; waits follow it."""
    headers, seconds, why = told
    sandbox.clock.set(NOON)
    limited = {"X-Rate-Limit-Type": "api_calls", **headers}
    sandbox.faults.add(Fault(kind="status", status=429, headers=limited, nth=[1]))

    done = synced(plugin, connection)

    assert done.exit_code == 0, done.log
    said = rf"answered 429: waiting {seconds:.1f} s, until \d\d:\d\d:\d\d UTC \({re.escape(why)}"
    assert re.search(rf"{said}, limit api_calls\), try 2 of", done.log)
    summary = json.loads(done.log.rpartition("run summary ")[2].splitlines()[0])
    assert summary["retries"] >= 1
    assert summary["seconds_waited"] == pytest.approx(seconds, abs=0.4)


NO_WAIT: dict[str, dict[str, str]] = {
    "no seconds": {"Retry-After": "0"},
    "a date gone by": {"Retry-After": "Wed, 01 May 2030 11:00:00 GMT"},
    "an instant gone by": {"X-Rate-Limit-Retry": "1"},
    "less than none": {"Retry-After": "-5"},
    "a year that is none": {
        "Retry-After": f"Wed, 01 May {'9' * 20} 12:00:00 GMT",
        "X-Rate-Limit-Retry": "1",
    },
    "a zone that is none": {
        "Retry-After": f"Wed, 01 May 2030 12:00:00 +{'9' * 30}",
        "X-Rate-Limit-Retry": "1",
    },
}


@both
@pytest.mark.parametrize("headers", NO_WAIT.values(), ids=NO_WAIT.keys())
def test_a_429_that_names_no_wait_does_not_burn_all_tries_at_once(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str, headers: dict[str, str]
) -> None:
    """A clock that is seconds off must not turn a limit into a failure."""
    sandbox.clock.set(NOON)
    limited = {"X-Rate-Limit-Type": "api_calls", **headers}
    sandbox.faults.add(Fault(kind="status", status=429, headers=limited, nth=[1, 2, 3], times=3))

    done = synced(plugin, connection)

    assert done.exit_code == 0, done.log
    waits = [
        float(seconds)
        for seconds in re.findall(r"waiting (\S+) s, until \S+ UTC \(back-off", done.log)
    ]
    assert len(waits) == 3
    assert waits[0] >= 0.2
    assert waits[2] >= 3.9 * waits[0] / 1.25


@both
@pytest.mark.parametrize("count", ["\xb2", "9" * 5_000, "-1", "1e3", "many"])
def test_a_count_that_is_none_is_left_alone(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str, count: str
) -> None:
    headers = {"X-Rate-Limit-Remaining": count, "X-Rate-Limit-Limit": count}
    sandbox.faults.add(Fault(kind="status", status=503, headers=headers))

    assert synced(plugin, connection).exit_code == 0


KEYS = (
    "check application_id and secret_key, and that api_url is the endpoint that Voucherify's "
    "Project settings show: keys work in their own region only."
)
REDIRECT = (
    "… answered 302, a redirect, which is never followed because it would hand the keys to another "
    "host: set api_url to the endpoint that Voucherify's Project settings show."
)
CYCLE = (
    "Voucherify's calls of this billing cycle are used up: run again when the next cycle begins or "
    "after buying a package; the state says where to go on."
)
REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a redirect": (
        {"kind": "redirect", "status": 302, "location": "http://127.0.0.1:1"},
        REDIRECT,
    ),
    "the cycle is used up": (
        {"kind": "limit_cycle"},
        CYCLE,
    ),
    "a wait of more than a day": (
        {"kind": "limit_retry_after", "seconds": 90_000},
        "… answered 429 and asks to wait 90000 s, longer than a day: run again then.",
    ),
    "an instant that never comes": (
        {"kind": "status", "status": 429, "headers": {"X-Rate-Limit-Retry": f"{AT_NOON + 10**10}"}},
        "… answered 429 and asks to wait 10000000000 s, longer than a day: run again then.",
    ),
    "401 with a page": (
        {"kind": "status", "status": 401, "body": "<html>Please sign in</html>"},
        f"… answered 401: {KEYS}",
    ),
}


@both
@pytest.mark.parametrize(("fault", "said"), REFUSALS.values(), ids=REFUSALS.keys())
def test_the_same_refusal_is_told_in_the_same_words(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str, fault: dict[str, Any], said: str
) -> None:
    sandbox.clock.set(NOON)
    sandbox.faults.add(Fault(**{**fault, "times": None}))

    assert sentence(synced(plugin, connection)) == said


@both
@pytest.mark.parametrize(
    ("auth_method", "request_"), [("api_key", "…"), ("oauth", "POST /v1/oauth/token")]
)
def test_a_wrong_key_is_told_in_the_same_words(
    connection: dict[str, Any], plugin: str, auth_method: str, request_: str
) -> None:
    done = synced(plugin, {**connection, "auth_method": auth_method, "secret_key": "wrong-key"})

    assert sentence(done) == f"{request_} answered 401, key unauthorized, …: {KEYS}"
    assert "wrong-key" not in done.log


@both
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "report it to the maintainers with the run's log"),
        (404, "check that api_url is a Voucherify API endpoint"),
    ],
)
def test_a_token_that_is_not_given_is_told_in_the_same_words(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str, status: int, said: str
) -> None:
    sandbox.faults.add(Fault(kind="status", status=status, path="/v1/oauth/token", times=None))

    done = synced(plugin, {**connection, "auth_method": "oauth"})

    assert sentence(done) == f"POST /v1/oauth/token answered {status}: {said}."


@both
def test_an_api_that_is_not_there_is_told_in_the_same_words(
    connection: dict[str, Any], plugin: str
) -> None:
    with closed_port() as port:
        done = synced(plugin, {**connection, "api_url": f"http://127.0.0.1:{port}"})

    assert sentence(done) == (
        f"Cannot reach 127.0.0.1:{port} (connection refused): check api_url and the network."
    )
    summary = json.loads(done.log.rpartition("run summary ")[2].splitlines()[0])
    assert summary["calls"] == 3


@both
def test_a_host_that_nobody_knows_is_told_in_the_same_words(
    connection: dict[str, Any], plugin: str
) -> None:
    done = synced(plugin, {**connection, "api_url": "https://no.such.host.invalid"})

    assert sentence(done) == (
        "Cannot reach no.such.host.invalid (unknown host): check api_url and the network."
    )


@both
def test_an_api_without_tls_is_told_in_the_same_words(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str
) -> None:
    host = sandbox.url.removeprefix("http://")

    done = synced(plugin, {**connection, "api_url": f"https://{host}"})

    assert sentence(done) == (
        f"No secure connection to {host}: check api_url and the certificates of this machine."
    )
    assert sandbox.calls == 0
