"""Keys go to one host only, and responses of any size, depth or slowness do no harm."""

from __future__ import annotations

import gzip
import json
import logging
import resource
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3.util import parse_url

from singer import Process, command, run, selecting
from singer_input import contacts, lines, record, schema, state
from stranger import ELSEWHERE, Stranger
from tap_voucherify.voucherify_client.client import Client, Connection
from tap_voucherify.voucherify_client.responses import read
from tap_voucherify.voucherify_client.shutdown import Shutdown
from tap_voucherify.voucherify_client.urls import may_hold_downloads
from target_run import load
from voucherify_sandbox import Fault, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

TAP, TARGET = "tap_voucherify", "target_voucherify"
MEBIBYTE = 1024 * 1024
LIMIT = 64 * MEBIBYTE
ON_THE_WAY = 16 * MEBIBYTE
"""Bytes that sockets buffer between a server and a client that no longer reads."""

MOST_MEMORY = 1024 * MEBIBYTE
"""Limit of the address space, half of the largest responses."""

both = pytest.mark.parametrize("plugin", [TAP, TARGET])


@pytest.fixture
def trap() -> Iterator[Stranger]:
    with Stranger() as stranger:
        yield stranger


def synced(plugin: str, config: dict[str, Any], **env: str) -> Any:
    return run(plugin, config, stdin=lines(*contacts(2)) if plugin == TARGET else b"", env=env)


@both
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_leads_elsewhere(
    sandbox: Sandbox, connection: dict[str, Any], trap: Stranger, plugin: str, status: int
) -> None:
    """With OAuth the first request sends the key pair to make a token."""
    sandbox.faults.add(Fault(kind="redirect", status=status, location=trap.url, times=None))

    for auth_method in ("api_key", "oauth"):
        with pytest.raises(Exception, match="a redirect, which is never followed"):
            asked(plugin, {**connection, "auth_method": auth_method})

    assert trap.received == []
    assert sandbox.calls == 2


@both
def test_no_run_follows_a_redirect(
    sandbox: Sandbox, connection: dict[str, Any], trap: Stranger, plugin: str
) -> None:
    sandbox.faults.add(Fault(kind="redirect", location=trap.url, times=None))

    done = synced(plugin, connection)

    assert done.exit_code == 1
    assert trap.received == []


def test_no_export_is_fetched_from_elsewhere(
    sandbox: Sandbox, connection: dict[str, Any], trap: Stranger, tmp_path: Path
) -> None:
    sandbox.project.add_customers(3)
    sandbox.faults.add(Fault(kind="export_elsewhere", path="/v1/exports", location=trap.url))

    done = run(
        TAP, {**connection, "customers_backfill": "export"}, *selecting(tmp_path, "customers")
    )

    assert done.exit_code == 1
    assert "a host that is not Voucherify's" in done.log
    assert trap.received == []


@both
def test_no_proxy_reads_the_keys_on_their_way_to_this_machine(
    sandbox: Sandbox, connection: dict[str, Any], trap: Stranger, plugin: str
) -> None:
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), trap.url)

    done = synced(plugin, connection, **proxies, no_proxy="", NO_PROXY="")

    assert trap.received == []
    assert done.exit_code == 0, done.log
    assert sandbox.calls > 0


@both
def test_a_proxy_is_asked_for_a_tunnel_only(trap: Stranger, plugin: str) -> None:
    """A tunnel is encrypted, so the proxy sees only the host."""
    config = {
        "application_id": "app-id-canary",
        "secret_key": "secret-canary",
        "api_url": "https://voucherify.invalid",
    }

    done = synced(plugin, config, https_proxy=trap.url, HTTPS_PROXY=trap.url, no_proxy="")

    assert done.exit_code == 1
    assert {line.split(b" HTTP/")[0] for line in trap.received} == {
        b"CONNECT voucherify.invalid:443"
    }
    assert b"canary" not in b"".join(trap.received)


@both
def test_no_password_of_a_netrc_file_is_sent(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, plugin: str
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password netrc-canary\n")
    netrc.chmod(0o600)

    done = synced(plugin, connection, NETRC=str(netrc), HOME=str(tmp_path))

    assert done.exit_code == 0, done.log
    assert [request.headers.get("authorization") for request in sandbox.requests] == (
        [None] * sandbox.calls
    )


DOWNLOADS = {
    "https://download.voucherify.io/v1/exports/e?token=t": True,
    "https://us1.download.voucherify.io/e": True,
    "https://acme.download.voucherify.io/e": True,
    "https://acme.api.voucherify.io/e": True,
    "http://acme.api.voucherify.io/e": False,
    "http://download.voucherify.io/e": False,
    "https://download.voucherify.io:8443/e": False,
    "https://download.voucherify.io.evil.example/e": False,
    "https://download.voucherify.io@evil.example/e": False,
    "https://me@download.voucherify.io/e": False,
    "https://evil.example\\@download.voucherify.io/e": False,
    "https://download.voucherify.io\\@evil.example/e": False,
    "https://evil.example#@download.voucherify.io/e": False,
    "https://evil.example/https://download.voucherify.io/e": False,
    "https://evil.example\n.download.voucherify.io/e": False,
    "//download.voucherify.io/e": False,
    "file:///etc/passwd": False,
    "https://[": False,
    "": False,
}


@pytest.mark.parametrize(("url", "allowed"), DOWNLOADS.items(), ids=map(repr, DOWNLOADS))
def test_which_hosts_may_hold_a_download(url: str, *, allowed: bool) -> None:
    assert may_hold_downloads(url, "https://acme.api.voucherify.io") is allowed


@pytest.mark.parametrize("api", ["https://acmeapi.example", "https://my-api.example"])
def test_a_host_that_only_ends_in_api_has_no_download_host(api: str) -> None:
    """The owner of acmeapi.example need not own acmedownload.example."""
    assert not may_hold_downloads(api.replace("api", "download") + "/e", api)


@given(
    st.text(alphabet="hts:/\\@#?.%[] \t\n\0:8443evil.exampledownload.voucherify.io", max_size=80)
)
@example("https://download.voucherify.io\t/e")
def test_what_is_allowed_is_read_the_same_way_where_it_is_sent(tail: str) -> None:
    for url in (tail, f"https://download.voucherify.io{tail}"):
        if may_hold_downloads(url, "https://acme.api.voucherify.io"):
            sent_to = parse_url(url)
            assert (sent_to.scheme, sent_to.auth, sent_to.port) == ("https", None, None)
            assert sent_to.host in {
                "acme.api.voucherify.io",
                "acme.download.voucherify.io",
                "download.voucherify.io",
            }


def asked(plugin: str, config: dict[str, Any], segment: str = "x") -> Any:
    """The result of one request of a plugin's client."""
    connection = Connection(**{"auth_method": "api_key", **config})
    client = Client(
        connection,
        shutdown=Shutdown(),
        log=logging.getLogger(plugin.replace("_", "-")),
        max_concurrency=1,
        max_calls=None,
    )
    return client.get("/v1/customers/{id}", {"id": segment})


def head(status: int = 200, *more: str) -> bytes:
    return "\r\n".join(
        [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", *more, "\r\n"]
    ).encode()


BLANKS = b" " * MEBIBYTE
CHUNK = b"%x\r\n%s\r\n" % (MEBIBYTE, BLANKS)
TWO_GIGABYTES = 2048


def bomb(times: int = 1) -> bytes:
    """Two gigabytes of spaces, compressed once and twice."""
    squeezed = gzip.compress(BLANKS * 64) * (TWO_GIGABYTES // 64)
    for _ in range(times - 1):
        squeezed = gzip.compress(squeezed)
    return squeezed


def packed(times: int) -> Iterable[bytes]:
    body, how = bomb(times), ", ".join(["gzip"] * times)
    return [head(200, f"Content-Length: {len(body)}", f"Content-Encoding: {how}"), body]


def endless(status: int) -> Callable[[], Iterable[bytes]]:
    return lambda: chain([head(status, "Transfer-Encoding: chunked")], repeat(CHUNK))


MONSTERS: dict[str, Callable[[], Iterable[bytes]]] = {
    "two gigabytes": lambda: chain(
        [head(200, f"Content-Length: {TWO_GIGABYTES * MEBIBYTE}")], repeat(BLANKS, TWO_GIGABYTES)
    ),
    "a body without end": endless(200),
    "a body without length or end": lambda: chain([head()], repeat(BLANKS)),
    "one huge chunk": lambda: chain(
        [head(200, "Transfer-Encoding: chunked"), b"7fffffff\r\n"], repeat(BLANKS)
    ),
    "a redirect without end": lambda: chain(
        [head(302, "Location: /", "Transfer-Encoding: chunked")], repeat(CHUNK)
    ),
    "a refusal without end": endless(403),
    "a failure without end": endless(500),
    "two packed gigabytes": lambda: packed(1),
    "two gigabytes packed twice": lambda: packed(2),
}


@both
@pytest.mark.parametrize("answer", MONSTERS.values(), ids=MONSTERS.keys())
def test_reading_stops_at_64_mib(plugin: str, answer: Callable[[], Iterable[bytes]]) -> None:
    with Stranger(answer, "127.0.0.1") as stranger:
        config = {"application_id": "a", "secret_key": "s", "api_url": stranger.url}
        with pytest.raises(Exception, match="answered with more than 64 MiB, where reading stops"):
            asked(plugin, config)

    assert len(stranger.received) == 1
    assert stranger.sent < LIMIT + ON_THE_WAY


@both
@pytest.mark.parametrize("monster", ["two gigabytes", "two packed gigabytes"])
def test_a_monster_does_not_take_the_machine_down(
    tmp_path: Path, plugin: str, monster: str
) -> None:
    with Stranger(MONSTERS[monster], "127.0.0.1") as stranger:
        config = {"application_id": "a", "secret_key": "s", "api_url": stranger.url}
        line = [*command(plugin, config, tmp_path), *(["--test"] if plugin == TAP else [])]
        with Process(line) as process:
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
            _, logged = process.communicate(lines(*contacts(2)).encode())

    assert process.returncode == 1
    assert b"more than 64 MiB, where reading stops" in logged


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_depth_bomb_is_an_answer_of_no_use(opening: bytes) -> None:
    for content in (opening * 1_000_000, opening * 100_000 + b"1" + b"]}"[:1] * 100_000):
        assert read(200, {}, content).body is None
        assert "not JSON" in str(read(200, {}, content))


HOSTILE = [
    "../customers/victim",
    "..%2Fvictim",
    "%2e%2e/victim",
    "victim?x=1",
    "victim#x",
    "victim/permanent-deletion",
    "victim%00",
    "victim%2F",
    "100%",
    "%",
    "a b+c&d=e;f",
    "\\..\\victim",
    "//evil.example/x",
    "http://evil.example/",
    "@evil.example",
    "ünïcødé 東京 🎟",
    "e\u0301",  # two code points that look like one
    "...",
    "~!*'()$,:",
    "a" * 2_000,
]
NEVER_SENT = ["", " ", "new\nline", "carriage\rreturn", "nul\0", "\ud800", "\x7f"]
TRAVERSING = [
    "../customers/victim",
    "..%2Fvictim",
    "%2e%2e/victim",
    "\\..\\victim",
    "victim%2F",
    "a b+c&d=e;f",
    "//evil.example/x",
    "http://evil.example/",
]
"""Keys that a gateway between here and there might resolve, so nobody is deleted by them."""
NOT_IN_A_PATH = [".", "..", "cust_0000"]


def gone(key: str) -> dict[str, Any]:
    return record(0, source_id=key, _sdc_deleted_at="2026-01-01T00:00:00Z")


DELETES: dict[str, tuple[str, str]] = {
    "delete": ("DELETE", "/v1/customers/{customerId}"),
    "permanent_delete": ("POST", "/v1/customers/{customerId}/permanent-deletion"),
}


@pytest.mark.parametrize("mode", DELETES)
def test_a_hostile_source_id_names_its_own_customer_and_no_other(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path, mode: str
) -> None:
    for key in ("victim", *HOSTILE):
        sandbox.project.upsert_customer({"source_id": key})
    config = {
        **connection,
        "on_delete": mode,
        "max_delete_percent": 100,
        "max_refused_percent": 100,
        "refused_records_path": str(tmp_path / "refused.singer"),
    }

    doomed = [gone(key) for key in (*HOSTILE, *NEVER_SENT, *NOT_IN_A_PATH)]
    done = load(config, lines(schema(), *doomed, state({"seen": 1})))

    assert done.error is None
    assert done.states == [{"seen": 1}]
    method, template = DELETES[mode]
    look_for_jobs, *deletions = sandbox.requests
    assert look_for_jobs.template == "/v1/async-actions"
    assert {(request.method, request.template) for request in deletions} == {(method, template)}
    assert sorted(request.path for request in deletions) == sorted(
        template.replace("{customerId}", key) for key in HOSTILE if key not in TRAVERSING
    )
    assert [request.status for request in sandbox.requests].count(404) == 0
    left = [
        customer["source_id"]
        for customer in sandbox.project.customers.values()
        if not customer.get("deleted_at")
    ]
    assert sorted(left) == sorted(["victim", *TRAVERSING])


@both
@pytest.mark.parametrize("key", HOSTILE, ids=ascii)
def test_a_hostile_segment_arrives_as_one_segment(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str, key: str
) -> None:
    sandbox.project.upsert_customer({"source_id": key})

    assert asked(plugin, connection, key)["source_id"] == key
    assert [(r.template, r.path) for r in sandbox.requests] == [
        ("/v1/customers/{customerId}", f"/v1/customers/{key}")
    ]


@both
@pytest.mark.parametrize("segment", [".", "..", ""])
def test_a_segment_that_would_change_the_path_is_never_sent(
    sandbox: Sandbox, connection: dict[str, Any], plugin: str, segment: str
) -> None:
    with pytest.raises(Exception, match="cannot stand in a path"):
        asked(plugin, connection, segment)

    assert sandbox.calls == 0


@pytest.mark.parametrize("path", ["bulk", "single"])
def test_hostile_source_ids_are_written_as_they_are(
    sandbox: Sandbox, connection: dict[str, Any], path: str, tmp_path: Path
) -> None:
    keys = [*HOSTILE, *NOT_IN_A_PATH]
    config = {
        **connection,
        "write_path": path,
        "max_refused_percent": 100,
        "refused_records_path": str(tmp_path / "refused.singer"),
    }

    done = load(
        config, lines(schema(), *(record(0, source_id=key) for key in (*keys, *NEVER_SENT)))
    )

    assert done.error is None
    assert done.summary["refused"] == len(NEVER_SENT)
    held = [customer["source_id"] for customer in sandbox.project.customers.values()]
    assert sorted(held) == sorted(keys)
    assert urlsplit(sandbox.url).hostname != ELSEWHERE
    assert json.dumps(done.states) == "[]"
