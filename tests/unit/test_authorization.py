"""OAuth in both plugins: one token for all threads, replaced before its end and when refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tap_voucherify import authorization as of_the_tap
from tap_voucherify.errors import VoucherifyError as TapError
from target_voucherify import authorization as of_the_target
from target_voucherify.errors import VoucherifyError as TargetError

if TYPE_CHECKING:
    from types import ModuleType


@dataclass
class Office:
    """Gives out numbered tokens, and a clock to be moved by hand."""

    answer: dict[str, Any] = field(default_factory=lambda: {"expires_in": 900})
    now: float = 0.0
    given: int = 0
    plugin: ModuleType = of_the_tap

    def ask(self) -> dict[str, Any]:
        self.given += 1
        return {"access_token": f"t{self.given}", **self.answer}

    def token(self) -> Any:
        return self.plugin.BearerToken(self.ask, lambda: self.now)


@pytest.fixture(params=[of_the_tap, of_the_target], ids=["tap", "target"])
def plugin(request: pytest.FixtureRequest) -> ModuleType:
    module: ModuleType = request.param
    return module


def test_a_token_is_used_until_a_minute_before_its_end(plugin: ModuleType) -> None:
    office = Office(plugin=plugin)
    token = office.token()
    seen = []
    for office.now in (0.0, 100.0, 839.0, 840.0, 1679.0):
        seen.append(token.headers()["Authorization"])

    assert seen == ["Bearer t1", "Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]


@pytest.mark.parametrize("answer", [{}, {"expires_in": "soon"}], ids=["not said", "a word"])
def test_a_lifetime_that_is_not_said_is_fifteen_minutes(
    plugin: ModuleType, answer: dict[str, Any]
) -> None:
    office = Office(answer=answer, plugin=plugin)
    token = office.token()
    token.headers()
    office.now = 839.0
    token.headers()

    assert office.given == 1


def test_all_threads_together_ask_once(plugin: ModuleType) -> None:
    office = Office(plugin=plugin)
    token = office.token()
    barrier = threading.Barrier(16)

    def use() -> str:
        barrier.wait()
        return token.headers()["Authorization"]

    with ThreadPoolExecutor(16) as pool:
        used = {future.result() for future in [pool.submit(use) for _ in range(16)]}

    assert used == {"Bearer t1"}


def test_a_refused_token_is_replaced_once_however_many_saw_it_refused(plugin: ModuleType) -> None:
    office = Office(plugin=plugin)
    token = office.token()
    refused = token.headers()

    for _ in range(8):
        assert token.renew(refused)
        token.headers()

    assert office.given == 2


def test_a_key_pair_is_never_renewed(plugin: ModuleType) -> None:
    pair = plugin.KeyPair("id", "key")

    assert not pair.renew(pair.headers())
    assert pair.headers() == {"X-App-Id": "id", "X-App-Token": "key"}


@pytest.mark.parametrize("token", [None, "", 5], ids=["none", "empty", "a number"])
def test_an_answer_without_a_token_is_an_error(plugin: ModuleType, token: object) -> None:
    with pytest.raises((TapError, TargetError), match="gave no OAuth token"):
        plugin.BearerToken(lambda: {"access_token": token}).headers()
