"""The sandbox sends webhooks as Voucherify documents: signed, at least once, in any order."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from voucherify_sandbox.webhooks import RETRY_SECONDS, SIGNATURE, sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voucherify_sandbox import Sandbox

SECRET = "webhook-secret"


@dataclass
class Listener:
    """A server that records requests and responds with given statuses, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def envelopes(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]

    @property
    def events(self) -> list[str]:
        return [envelope["event"]["id"] for envelope in self.envelopes]


@contextmanager
def listening(*statuses: int, hangs_up: bool = False) -> Iterator[Listener]:
    listener = Listener(statuses=list(statuses))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            listener.got.append((self.headers[SIGNATURE], body))
            self.send_response(listener.statuses.pop(0) if listener.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.close_connection = hangs_up

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener.url = f"http://127.0.0.1:{server.server_address[1]}/hooks"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield listener
        server.shutdown()
        thread.join()


def refer(sandbox: Sandbox) -> None:
    project = sandbox.project
    project.create_referral_campaign(
        "Friends", referee_reward={"gift_credit": 500}, referrer_reward={"loyalty_points": 100}
    )
    code = project.referral_code("Friends", "crm-1")
    project.redeem(code, "crm-2", {"source_id": "order-77", "amount": 12_000})
    project.settle()


@pytest.mark.parametrize("spaced", [False, True], ids=["compact", "with whitespace"])
def test_a_body_is_signed_without_its_whitespace(sandbox: Sandbox, *, spaced: bool) -> None:
    with listening() as listener:
        sandbox.project.add_webhook(listener.url, SECRET, spaced=spaced)
        sandbox.project.upsert_customer({"source_id": "crm-1", "name": "Zoë"})
        assert sandbox.project.webhooks.wait()

    ((signature, body),) = listener.got
    envelope = json.loads(body)
    compact = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    assert (signature == sign(body, SECRET)) is not spaced
    assert signature == sign(compact, SECRET)
    assert envelope["type"] == envelope["event"]["type"] == "customer.created"
    assert envelope["data"]["customer"]["name"] == "Zoë"


def test_project_webhooks_drop_the_prefix_and_distributions_have_a_name(sandbox: Sandbox) -> None:
    with listening() as project, listening() as distribution, listening() as raw:
        sandbox.project.add_webhook(project.url, SECRET)
        sandbox.project.add_webhook(distribution.url, SECRET, kind="distribution", name="mine")
        sandbox.project.add_webhook(raw.url, SECRET, kind="raw", types=["customer.rewarded"])
        refer(sandbox)
        assert sandbox.project.webhooks.wait()

    types = {envelope["type"] for envelope in project.envelopes}
    assert {"redemption.succeeded", "voucher.gift.balance_added", "customer.rewarded"} <= types
    assert "customer.referred" not in types
    assert {envelope["type"] for envelope in distribution.envelopes} == {"mine"}
    assert {e["source"]["object"] for e in distribution.envelopes} == {"distribution"}
    assert set(project.events) < set(distribution.events)
    assert all("event" not in body for body in raw.envelopes)
    assert len(raw.got) == 2


def test_own_events_have_ids_that_the_activity_list_does_not(sandbox: Sandbox) -> None:
    sandbox.readings.webhook_events = "own"
    with listening() as listener:
        sandbox.project.add_webhook(listener.url, SECRET)
        refer(sandbox)
        assert sandbox.project.webhooks.wait()

    prefixes = {e["type"].split(".")[0]: e["event"]["id"][:3] for e in listener.envelopes}
    assert prefixes["redemption"] == "ev_"
    assert prefixes["customer"] == "evc"


def test_a_refused_event_is_sent_again_and_an_accepted_one_perhaps_twice(sandbox: Sandbox) -> None:
    with listening(500, 503) as listener:
        identity = sandbox.project.add_webhook(
            listener.url, SECRET, retry_seconds=[0, 0], duplicates=0.5, disorder_seconds=0.05
        )
        sandbox.project.add_customers(40)
        assert sandbox.project.webhooks.wait()

    book = sandbox.project.webhooks.book(identity)
    assert len(set(listener.events)) == 40
    assert len(listener.events) == book.attempts == len(book.acknowledged) + 2 > 45
    assert list(dict.fromkeys(listener.events)) != sorted(set(listener.events))


def test_a_connection_that_was_let_go_of_is_no_failed_attempt(sandbox: Sandbox) -> None:
    with listening(hangs_up=True) as listener:
        identity = sandbox.project.add_webhook(listener.url, SECRET, retry_seconds=[])
        sandbox.project.add_customers(30)
        assert sandbox.project.webhooks.wait()

    book = sandbox.project.webhooks.book(identity)
    assert (len(listener.got), book.attempts, book.failed) == (30, 30, 0)


def test_a_webhook_that_always_fails_is_disabled(sandbox: Sandbox) -> None:
    with listening(*[500] * 3) as listener:
        identity = sandbox.project.add_webhook(listener.url, SECRET, retry_seconds=[0, 0])
        sandbox.project.add_customers(1)
        assert sandbox.project.webhooks.wait()
        sandbox.project.add_customers(1, prefix="later")

    book = sandbox.project.webhooks.book(identity)
    assert (book.attempts, book.failed, book.disabled, book.queued) == (3, 1, True, 1)


def test_the_retries_are_the_published_ones() -> None:
    assert [seconds / 60 for seconds in RETRY_SECONDS[:7]] == [1, 2, 4, 8, 16, 32, 64]
    assert (len(RETRY_SECONDS), RETRY_SECONDS[-1]) == (12, 24 * 3_600)
