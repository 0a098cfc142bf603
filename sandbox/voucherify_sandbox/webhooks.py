"""Webhooks: subscriptions, envelopes, signatures and retries."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from voucherify_sandbox.delivery import Courier
from voucherify_sandbox.serialization import serialize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import RLock

    from voucherify_sandbox.activity import Event
    from voucherify_sandbox.customers import Customer
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator
    from voucherify_sandbox.readings import Readings

PROJECT_ID = "proj_5a9db0c50000"
SIGNATURE = "x-voucherify-signature"

RETRY_SECONDS = (*(60.0 * 2**n for n in range(11)), 24 * 3_600.0)
"""Seconds from the first attempt to each retry, as Voucherify documents them."""

_KEPT = frozenset(
    (
        "customer.rewarded",
        "customer.rewarded.loyalty_points",
        "customer.reward_redemptions.created",
        "customer.reward_redemptions.pending",
        "customer.created",
        "customer.updated",
        "customer.deleted",
    )
)
_SHORTENED = ("customer.redemption.", "customer.publication.succeeded", "customer.voucher.")


@dataclass(kw_only=True)
class Webhook:
    """One URL that receives events.

    Attributes:
        url: to POST to.
        secret: for the signature.
        kind: `project` sends the types of Project settings, most without the prefix `customer.`;
            `distribution` sends the types of the activity list under one free-text name; `raw`
            sends the payload without an envelope, as a distribution with its own template does.
        types: these types only, as the activity list names them; `None` for all of the kind.
        name: the free-text event name of a distribution.
        spaced: whether bodies contain whitespace, although the signature is made without it.
        duplicates: probability that an accepted delivery is sent once more.
        disorder_seconds: random delay of a delivery at most.
        timeout_seconds: for a response.
        retry_seconds: from the first attempt to each retry.
        seed: makes the randomness repeatable.
    """

    url: str
    secret: str
    kind: Literal["project", "distribution", "raw"] = "project"
    types: Sequence[str] | None = None
    name: str = "reward given"
    spaced: bool = False
    duplicates: float = 0
    disorder_seconds: float = 0
    timeout_seconds: float = 10
    retry_seconds: Sequence[float] = RETRY_SECONDS
    seed: int = 0

    def type_of(self, kind: str) -> str | None:
        """The envelope's type for an activity type; `None` if this webhook does not send it."""
        if self.types is not None and kind not in self.types:
            return None
        if self.kind == "distribution":
            return self.name
        if self.kind == "raw" or kind in _KEPT:
            return kind
        return kind.removeprefix("customer.") if kind.startswith(_SHORTENED) else None


@dataclass(slots=True)
class Book:
    """Counts of the deliveries of one webhook.

    Attributes:
        acknowledged: the event id of each delivery that was answered with 2xx.
    """

    queued: int = 0
    attempts: int = 0
    failed: int = 0
    disabled: bool = False
    acknowledged: list[str] = field(default_factory=list)


@dataclass
class _Registered:
    webhook: Webhook
    book: Book
    random: Random


class Webhooks:
    """The webhooks of a project."""

    def __init__(
        self,
        lock: RLock,
        readings: Readings,
        ids: IdGenerator,
    ) -> None:
        """Create an empty list; `lock` is the lock of the project."""
        self._lock = lock
        self._readings = readings
        self._ids = ids
        self._courier = Courier()
        self._all: dict[str, _Registered] = {}

    def add(self, webhook: Webhook) -> str:
        """Add a webhook for events from now on; returns its id."""
        identity = self._ids.new("distr" if webhook.kind != "project" else "wh")
        self._all[identity] = _Registered(webhook, Book(), Random(webhook.seed))
        return identity

    def change(self, identity: str, **values: Any) -> None:
        """Change attributes of a webhook for deliveries from now on."""
        registered = self._all[identity]
        registered.webhook = replace(registered.webhook, **values)

    def book(self, identity: str) -> Book:
        """The counts of a webhook."""
        return self._all[identity].book

    def status(self) -> Json:
        """The counts of all webhooks by id."""
        return {
            identity: {
                **asdict(one.book),
                "acknowledged": len(one.book.acknowledged),
                "waiting": self._courier.waiting,
            }
            for identity, one in self._all.items()
        }

    def notify(self, customer: Customer, event: Event) -> None:
        """Send an event of a customer to the webhooks that subscribe to its type."""
        for identity, one in self._all.items():
            kind = one.webhook.type_of(event.type)
            if kind is not None and not one.book.disabled:
                self._send(identity, one, kind, (customer, event))

    def wait(self, seconds: float = 60) -> bool:
        """Wait until all deliveries are done; `False` if that takes longer than `seconds`."""
        return self._courier.wait(seconds)

    def stop(self) -> None:
        """Send nothing more."""
        self._courier.stop()

    def _send(
        self, identity: str, one: _Registered, kind: str, what: tuple[Customer, Event]
    ) -> None:
        send_out = self._ids.new("whs")
        event_id = self._event_id(kind, what[1])
        body = self._body(identity, one.webhook, kind, what, (send_out, event_id))
        one.book.queued += 1
        delay = one.random.uniform(0, one.webhook.disorder_seconds)

        def attempt(content: bytes, number: int) -> float | None:
            """Send once; returns when to retry, in seconds after the first attempt, or `None`."""
            one.book.attempts += 1
            webhook = one.webhook
            signed = sign(_compact(json.loads(content)), webhook.secret)
            headers = {"Content-Type": "application/json", SIGNATURE: signed}
            if self._courier.post(webhook.url, content, headers, webhook.timeout_seconds):
                one.book.acknowledged.append(event_id)
                return 0 if one.random.random() < webhook.duplicates else None
            if number > len(webhook.retry_seconds):
                one.book.failed += 1
                one.book.disabled = True
                return None
            return webhook.retry_seconds[number - 1]

        self._courier.take(body, attempt, delay)

    def _body(
        self,
        identity: str,
        webhook: Webhook,
        kind: str,
        what: tuple[Customer, Event],
        ids: tuple[str, str],
    ) -> Callable[[], bytes]:
        """The function that makes the body when the delivery begins."""

        def made() -> bytes:
            with self._lock:
                payload = serialize(what[1].sent(self._readings), self._readings)
                envelope = self._envelope(identity, webhook, kind, what, ids)
                whole = payload if webhook.kind == "raw" else {**envelope, "data": payload}
            return _spaced(whole) if webhook.spaced else _compact(whole)

        return made

    def _event_id(self, kind: str, event: Event) -> str:
        own = self._readings.webhook_events == "own" and kind == event.type[len("customer.") :]
        return f"ev_{event.id[len('evcus_') :]}" if own else event.id

    def _envelope(
        self,
        identity: str,
        webhook: Webhook,
        kind: str,
        what: tuple[Customer, Event],
        ids: tuple[str, str],
    ) -> Json:
        customer, event = what
        own = ids[1] != event.id
        envelope: Json = serialize(
            {
                "id": ids[0],
                "project_id": PROJECT_ID,
                "created_at": event.created_at,
                "type": kind,
                "source": {
                    "id": identity,
                    "object": webhook.kind if webhook.kind == "distribution" else "webhook",
                    "target_url": webhook.url,
                },
                "event": {
                    "id": ids[1],
                    "type": kind if own else event.type,
                    "created_at": event.created_at,
                    "entity_id": customer.id,
                    "group_id": event.group_id,
                    "event_source": {"channel": event.channel},
                },
            },
            self._readings,
        )
        return envelope


def sign(body: bytes, secret: str) -> str:
    """The HMAC-SHA-256 of a body, which Voucherify computes without insignificant whitespace."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _spaced(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode()
