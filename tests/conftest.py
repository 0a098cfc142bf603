"""Fixtures every folder of tests shares: a running sandbox and the settings that reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def connection(sandbox: Sandbox) -> dict[str, Any]:
    """The settings both plugins need to reach the sandbox."""
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
    }
