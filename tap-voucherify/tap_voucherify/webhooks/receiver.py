"""The receiver's HTTP server: it answers a POST once the event is on disk."""

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

from tap_voucherify.webhooks.envelopes import Event, RefusedError, parse_event
from tap_voucherify.webhooks.signature import HEADER, is_signed
from tap_voucherify.webhooks.store import StoreLostError
from tap_voucherify.webhooks.store_writer import StoreWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tap_voucherify.webhooks.store import Store

LOG = logging.getLogger("voucherify-webhooks")

PATH = "/webhooks"

MAX_BODY_BYTES = 5_000_000
"""By the published description an event carries at most two orders of 500 items."""

BODY_SECONDS = 8.0
"""Voucherify gives up after 10 seconds, by its documentation."""

LOG_INTERVAL = 60.0
"""Seconds between two log lines about refusals of one kind."""

LAG_BUCKETS = (0.5, 1, 2, 5, 10, 30, 60, 300, 1_800, 7_200, 28_800, 86_400)


class Metrics:
    """The receiver's Prometheus metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix, registry = "voucherify_webhooks", self.registry
        self.received = Counter(f"{prefix}_received", "Requests to the path", registry=registry)
        self.stored = Counter(f"{prefix}_stored", "Events written to disk", registry=registry)
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
            "From the event until it is on disk",
            buckets=LAG_BUCKETS,
            registry=registry,
        )


class Receiver:
    """Receives webhooks and writes them to a store.

    Args:
        store: for the events.
        secrets: any of them may have signed; several while one replaces another.
    """

    def __init__(self, store: Store, secrets: Sequence[str]) -> None:
        self._store = store
        self._secrets = secrets
        self._metrics = Metrics()
        self._last_logged: dict[str, float] = {}
        self.app = Starlette(
            routes=[
                Route(PATH, self._receive, methods=["POST"]),
                Route("/healthz", self._get_health),
                Route("/metrics", self._get_metrics),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._writer = StoreWriter(self._store)
        yield
        self._writer.close()
        self._store.stop()
        LOG.info("Stopped; every acknowledged event is on disk.")

    async def _receive(self, request: Request) -> Response:
        self._metrics.received.inc()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
        except TimeoutError:
            return self._refusal(408, "slow", "The body took too long.")
        except ClientDisconnect:
            return self._refusal(400, "cut", "The body ended early.")
        if body is None:
            sentence = f"The body has more than {MAX_BODY_BYTES:,} bytes."
            return self._refusal(413, "size", sentence, {"Connection": "close"})
        if not is_signed(body, request.headers.get(HEADER, ""), self._secrets):
            return self._refusal(401, "signature", "No secret of this receiver signed this body.")
        try:
            event = parse_event(body)
        except RefusedError as refused:
            return self._refusal(400, refused.reason, str(refused))
        return await self._write(event)

    async def _write(self, event: Event) -> Response:
        try:
            new = await self._writer.add(event)
        except StoreLostError as error:
            return self._refusal(503, "disk", str(error))
        except Exception as error:  # noqa: BLE001 - not on disk, so it must not be acknowledged
            return self._refusal(503, "disk", f"Not on disk ({type(error).__name__}): send again.")
        if not new:
            self._metrics.duplicates.inc()
            return Response(status_code=204)
        self._metrics.stored.inc()
        self._metrics.replaced.inc(event.replaced)
        if event.created_at is not None:
            age = datetime.now(UTC) - event.created_at
            self._metrics.lag.observe(max(0.0, age.total_seconds()))
        return Response(status_code=204)

    def _refusal(
        self, status: int, reason: str, sentence: str, headers: dict[str, str] | None = None
    ) -> Response:
        self._metrics.refused.labels(reason).inc()
        now = time.monotonic()
        if now - self._last_logged.get(reason, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._last_logged[reason] = now
            LOG.warning("Refused with %d: %s /metrics counts these.", status, sentence)
        return PlainTextResponse(f"{sentence}\n", status, headers)

    async def _get_health(self, _: Request) -> Response:
        if self._writer.has_lost_store or not self._store.is_in_place():
            return PlainTextResponse(f"{StoreLostError()}\n", 503)
        if not self._writer.works:
            return PlainTextResponse("The last event could not be written to disk.\n", 503)
        return PlainTextResponse("ok\n")

    async def _get_metrics(self, _: Request) -> Response:
        text = exposition(self._metrics.registry)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _body(request: Request) -> bytes | None:
    """The body, bounded; `None` if it is longer."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)
