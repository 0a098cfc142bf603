"""Prism, a judge of others, stands between the plugins and the sandbox, and in the sandbox's place.

It reads the lenient form of the published description and is started with `make prism`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests

import leaks
from api_runs import RUNS, connection_of, project_of
from openapi import FOLDER, description
from recorder import Recorder
from voucherify_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recorder import Exchange

PRISM = os.environ["PRISM"].split()
SANDBOX = Path(sys.executable).with_name("voucherify-sandbox")
START_SECONDS = 120
KEYS = {"VOUCHERIFY_APPLICATION_ID": "certify-application", "VOUCHERIFY_SECRET_KEY": "certify-key"}
STATUS_NOT_DESCRIBED = "Unable to match the returned status code"


@contextmanager
def prism(folder: Path, *arguments: str) -> Iterator[str]:
    """The address of a running Prism."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    log = folder / "prism.log"
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [*PRISM, *arguments, "--port", str(port)],
            stdout=lines,
            stderr=lines,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while "Prism is listening" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # with Node.js, which it starts
        process.wait()


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the description."""
    path = tmp_path_factory.mktemp("description") / "openapi.json"
    path.write_text(json.dumps(description().lenient_document()))
    return path


@pytest.fixture(scope="module")
def judged(document: Path) -> Iterator[tuple[Recorder, Recorder]]:
    """The address for the plugins, and what passes on to a sandbox; Prism stands between."""
    with (
        Recorder("") as behind,
        prism(document.parent, "proxy", str(document), behind.url) as url,
        Recorder(url) as front,
    ):
        behind.host = urlsplit(front.url).netloc  # Prism sends its own
        yield front, behind


@pytest.mark.parametrize("name", RUNS)
def test_prism_finds_no_violation(
    name: str, judged: tuple[Recorder, Recorder], tmp_path: Path
) -> None:
    front, behind = judged
    front.exchanges.clear()
    with project_of(name) as sandbox:
        behind.upstream = sandbox.url
        RUNS[name](connection_of(sandbox, front.url), tmp_path)
    assert front.exchanges
    assert [problem for one in front.exchanges for problem in violations(one)] == []


def violations(exchange: Exchange) -> list[str]:
    """What Prism finds wrong with an exchange; few operations describe the status of an error."""
    if "token=" in exchange.target:
        return []  # the file of an export, described in another place
    found = json.loads(exchange.violations or "[]")
    is_error = exchange.status >= HTTPStatus.BAD_REQUEST
    return [
        f"{exchange.method} {exchange.target}: {one['message']}"
        for one in found
        if not (is_error and one["message"].startswith(STATUS_NOT_DESCRIBED))
    ]


def test_prism_would_notice(judged: tuple[Recorder, Recorder]) -> None:
    front, behind = judged
    front.exchanges.clear()
    with Sandbox() as sandbox:
        behind.upstream = sandbox.url
        keys = {"X-App-Id": sandbox.application_id, "X-App-Token": sandbox.secret_key}
        for query in ("limit=100", "limit=many"):
            requests.get(f"{front.url}/v1/customers?{query}", headers=keys, timeout=30)
    good, bad = front.exchanges
    assert violations(good) == []
    assert violations(bad) != []


@pytest.mark.parametrize("kind", ["examples", "random"])
def test_a_mock_is_certified_or_says_why_not(kind: str, document: Path, tmp_path: Path) -> None:
    published = str(FOLDER / "openapi.json")
    arguments = [published] if kind == "examples" else ["--dynamic", str(document)]
    with prism(tmp_path, "mock", *arguments) as url:
        for customers in (1, 2):
            line = ("--api-url", url, "--out", str(tmp_path / "out"), "--throw-away")
            done = subprocess.run(
                [SANDBOX, "certify", *line, "--customers", str(customers)],
                env={**os.environ, **KEYS},
                capture_output=True,
                text=True,
                check=False,
            )
            leaks.saw(done.stderr)
            # A mock keeps nothing, so it can answer nothing.
            assert done.returncode == 1
            assert "Traceback" not in done.stderr
            assert "It ended early: " in done.stderr
