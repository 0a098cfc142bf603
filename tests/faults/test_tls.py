"""TLS through a proxy: both plugins reach an API whose host only the proxy knows."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import pytest
import trustme

from singer import run
from singer_input import contacts, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voucherify_sandbox import Sandbox

HOST = "api.voucherify.example"
TAP, TARGET = "tap_voucherify", "target_voucherify"

both = pytest.mark.parametrize("plugin", [TAP, TARGET])


class TlsProxy:
    """A proxy that opens a tunnel and, at the other end of it, the API with a certificate."""

    def __init__(self, api_url: str, authority: trustme.CA, host: str) -> None:
        self._api = urlsplit(api_url)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(self._context)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.tunnels: list[bytes] = []
        port = self._listening.getsockname()[1]
        self.url = f"http://me:proxy-canary@127.0.0.1:{port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                came, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(came,), daemon=True).start()

    def _serve(self, came: socket.socket) -> None:
        asked = b""
        with suppress(OSError), closing(came):
            while b"\r\n\r\n" not in asked:
                asked += came.recv(4096)
            self.tunnels.append(asked)
            came.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with (
                closing(self._context.wrap_socket(came, server_side=True)) as inner,
                socket.create_connection((self._api.hostname or "", self._api.port or 0)) as api,
            ):
                threading.Thread(target=_copy, args=(api, inner), daemon=True).start()
                _copy(inner, api)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)


@pytest.fixture
def through(
    sandbox: Sandbox, connection: dict[str, Any], tmp_path: Path
) -> Callable[..., tuple[Any, list[bytes]]]:
    """Run a plugin whose API is behind a proxy, with this host in its certificate."""
    authority = trustme.CA()
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))

    def ran(plugin: str, host: str = HOST, *, is_trusted: bool = True) -> tuple[Any, list[bytes]]:
        with TlsProxy(sandbox.url, authority, host) as proxy:
            env = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), proxy.url) | {"no_proxy": ""}
            if is_trusted:
                env["REQUESTS_CA_BUNDLE"] = str(bundle)
            config = {**connection, "api_url": f"https://{HOST}"}
            stdin = lines(*contacts(2)) if plugin == TARGET else b""
            return run(plugin, config, stdin=stdin, env=env), proxy.tunnels

    return ran


@both
def test_a_run_through_a_tunnel(
    sandbox: Sandbox, through: Callable[..., tuple[Any, list[bytes]]], plugin: str
) -> None:
    sandbox.project.add_customers(3)

    done, tunnels = through(plugin)

    assert done.exit_code == 0, done.log
    assert sandbox.calls > 0
    assert all(one.startswith(f"CONNECT {HOST}:443 ".encode()) for one in tunnels)
    login = base64.b64encode(b"me:proxy-canary")
    assert all(b"Proxy-Authorization: Basic " + login in one for one in tunnels)
    assert [one.headers.get("proxy-authorization") for one in sandbox.requests] == (
        [None] * sandbox.calls
    )


@both
@pytest.mark.parametrize("case", ["unknown authority", "another host"])
def test_a_certificate_that_proves_nothing(
    sandbox: Sandbox, through: Callable[..., tuple[Any, list[bytes]]], plugin: str, case: str
) -> None:
    if case == "unknown authority":
        done, _ = through(plugin, is_trusted=False)
    else:
        done, _ = through(plugin, "elsewhere.example")

    assert done.exit_code == 1
    assert f"No secure connection to {HOST}: check api_url and the certificates" in done.log
    assert sandbox.calls == 0
