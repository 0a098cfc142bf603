"""The receiver's HTTP: a POST is answered once its event is on disk, or told why not."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client import generate_latest as exposition
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.timestamps import parse
from tap_voucherify.webhooks.envelopes import Event, RefusedError, event_of
from tap_voucherify.webhooks.signature import HEADER, is_signed
from tap_voucherify.webhooks.writing import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tap_voucherify.webhooks.store import Store

LOG = logging.getLogger("voucherify-webhooks")

PATH = "/webhooks"

LARGEST_BODY = 5_000_000
"""Bytes. An event carries two orders of 500 items at most (reference §10.4)."""

SECONDS_FOR_A_BODY = 8.0
"""Voucherify gives up after 10 (reference §11)."""

SECONDS_BETWEEN_LINES = 60.0
"""Between two lines of the log about refusals of one kind."""

LAGS = (0.5, 1, 2, 5, 10, 30, 60, 300, 1_800, 7_200, 28_800, 86_400)


class Figures:
    """What the receiver counts, in the form that Prometheus reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix, registry = "voucherify_webhooks", self.registry
        self.received = Counter(f"{prefix}_received", "Requests to the path", registry=registry)
        self.stored = Counter(f"{prefix}_stored", "Events put on disk", registry=registry)
        self.duplicates = Counter(
            f"{prefix}_duplicates", "Events that were on disk already", registry=registry
        )
        self.replaced = Counter(
            f"{prefix}_replaced",
            "Characters and numbers of stored events that become U+FFFD and null",
            registry=registry,
        )
        self.refused = Counter(
            f"{prefix}_refused", "Requests refused", ["reason"], registry=registry
        )
        self.lag = Histogram(
            f"{prefix}_lag_seconds",
            "From the event to its being on disk",
            buckets=LAGS,
            registry=registry,
        )


class Receiver:
    """Takes webhooks for one store.

    Args:
        store: where events go.
        secrets: any of them may have signed; several while one replaces another.
    """

    def __init__(self, store: Store, secrets: Sequence[str]) -> None:
        self._store = store
        self._secrets = secrets
        self._figures = Figures()
        self._told: dict[str, float] = {}
        self.app = Starlette(
            routes=[
                Route(PATH, self._take, methods=["POST"]),
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._writer = Writer(self._store)
        yield
        self._writer.close()
        self._store.close()
        LOG.info("Stopped; what was acknowledged is on disk.")

    async def _take(self, request: Request) -> Response:
        self._figures.received.inc()
        try:
            async with asyncio.timeout(SECONDS_FOR_A_BODY):
                body = await _body(request)
        except TimeoutError:
            return self._refusal(408, "slow", "The body took too long.")
        except ClientDisconnect:
            return self._refusal(400, "cut", "The body ended early.")
        if body is None:
            sentence = f"A body has {LARGEST_BODY:,} bytes at most."
            return self._refusal(413, "size", sentence, {"Connection": "close"})
        if not is_signed(body, request.headers.get(HEADER, ""), self._secrets):
            return self._refusal(401, "signature", "No secret of this receiver signed this body.")
        try:
            event = event_of(body)
        except RefusedError as refused:
            return self._refusal(400, refused.reason, str(refused))
        return await self._keep(event)

    async def _keep(self, event: Event) -> Response:
        try:
            new = await self._writer.add(event)
        except Exception as error:  # noqa: BLE001 - not on disk, so it must not be acknowledged
            return self._refusal(503, "disk", f"Not on disk ({type(error).__name__}): send again.")
        if not new:
            self._figures.duplicates.inc()
            return Response(status_code=204)
        self._figures.stored.inc()
        self._figures.replaced.inc(event.replaced)
        seconds = _age(event)
        if seconds is not None:
            self._figures.lag.observe(seconds)
        return Response(status_code=204)

    def _refusal(
        self, status: int, reason: str, sentence: str, headers: dict[str, str] | None = None
    ) -> Response:
        self._figures.refused.labels(reason).inc()
        now = time.monotonic()
        if now - self._told.get(reason, -SECONDS_BETWEEN_LINES) >= SECONDS_BETWEEN_LINES:
            self._told[reason] = now
            LOG.warning("Refused with %d: %s /metrics counts these.", status, sentence)
        return PlainTextResponse(f"{sentence}\n", status, headers)

    async def _health(self, _: Request) -> Response:
        if self._writer.works:
            return PlainTextResponse("ok\n")
        return PlainTextResponse("The last event could not be put on disk.\n", 503)

    async def _metrics(self, _: Request) -> Response:
        text = exposition(self._figures.registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _body(request: Request) -> bytes | None:
    """The body, read no further than a body may be long; None for one that is longer."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > LARGEST_BODY:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return None
    return bytes(body)


def _age(event: Event) -> float | None:
    """Seconds since the event happened, if it says when."""
    if event.created_at is None:
        return None
    try:
        created_at = parse(event.created_at)
    except VoucherifyError:
        return None
    return max(0.0, (datetime.now(UTC) - created_at).total_seconds())
