"""OAuth: one token for all threads, replaced before its end and when refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tap_voucherify.voucherify_client.auth import BearerToken, KeyPair
from tap_voucherify.voucherify_client.errors import VoucherifyError


@dataclass
class Office:
    """Issues numbered tokens, with a clock that tests set."""

    answer: dict[str, Any] = field(default_factory=lambda: {"expires_in": 900})
    now: float = 0.0
    given: int = 0

    def ask(self) -> dict[str, Any]:
        self.given += 1
        return {"access_token": f"t{self.given}", **self.answer}

    def token(self) -> BearerToken:
        return BearerToken(self.ask, lambda: self.now)


def test_a_token_is_used_until_a_minute_before_its_end() -> None:
    office = Office()
    token = office.token()
    seen = []
    for office.now in (0.0, 100.0, 839.0, 840.0, 1679.0):
        seen.append(token.headers()["Authorization"])

    assert seen == ["Bearer t1", "Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]


@pytest.mark.parametrize("answer", [{}, {"expires_in": "soon"}], ids=["not said", "a word"])
def test_a_lifetime_that_is_not_said_is_fifteen_minutes(answer: dict[str, Any]) -> None:
    office = Office(answer=answer)
    token = office.token()
    token.headers()
    office.now = 839.0
    token.headers()

    assert office.given == 1


def test_all_threads_together_ask_once() -> None:
    office = Office()
    token = office.token()
    barrier = threading.Barrier(16)

    def use() -> str:
        barrier.wait()
        return token.headers()["Authorization"]

    with ThreadPoolExecutor(16) as pool:
        used = {future.result() for future in [pool.submit(use) for _ in range(16)]}

    assert used == {"Bearer t1"}


def test_a_refused_token_is_replaced_once_however_many_saw_it_refused() -> None:
    office = Office()
    token = office.token()
    refused = token.headers()

    for _ in range(8):
        assert token.renew(refused)
        token.headers()

    assert office.given == 2


def test_a_key_pair_is_never_renewed() -> None:
    pair = KeyPair("id", "key")

    assert not pair.renew(pair.headers())
    assert pair.headers() == {"X-App-Id": "id", "X-App-Token": "key"}


@pytest.mark.parametrize("token", [None, "", 5], ids=["none", "empty", "a number"])
def test_an_answer_without_a_token_is_an_error(token: object) -> None:
    with pytest.raises(VoucherifyError, match="gave no OAuth token"):
        BearerToken(lambda: {"access_token": token}).headers()
