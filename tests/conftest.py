"""Fixtures for all tests: a running sandbox and its connection settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

import leaks
from voucherify_sandbox import Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

pytest_plugins = ["pytester"]

# How long it takes to make an example depends on what else the machine does.
hypothesis_settings.register_profile("any machine", suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a passed test whose logs or errors hold private data."""
    report = yield
    # Sections accumulate over setup, call and teardown.
    mine = {f"Captured {channel} {report.when}" for channel in ("stderr", "log")}
    logged = [words for name, words in report.sections if name in mine]
    leaked = leaks.lines_that_leak([*leaks.taken(), *logged])
    if report.passed and leaked:
        report.outcome = "failed"
        report.longrepr = "\n".join(["A log or an error holds", *leaked])
    return report


@pytest.fixture(autouse=True)
def log_level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every second test log at level DEBUG, where libraries say most; always the same ones.

    `LOGLEVEL=DEBUG` in the environment lets all of them.
    """
    if "LOGLEVEL" not in os.environ and crc32(request.node.nodeid.encode()) % 2:
        monkeypatch.setenv("LOGLEVEL", "DEBUG")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def connection(sandbox: Sandbox) -> dict[str, Any]:
    """The connection settings of the sandbox."""
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
    }


@pytest.fixture
def project() -> Iterator[Sandbox]:
    """A sandbox whose metadata schema refuses an invalid picture URL."""
    with Sandbox(readings=Readings(job_polls=0)) as running:
        definition = {"photo": {"type": "image_url", "optional": True}}
        running.project.define_metadata("customer", definition, allow_defined_only=False)
        yield running


collect_ignore = [] if "PRISM" in os.environ else ["prism"]
"""Prism is started from npm; `make prism` and `make torture` do that."""
