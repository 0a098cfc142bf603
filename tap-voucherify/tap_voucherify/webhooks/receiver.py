"""The receiver's HTTP server: it answers a POST once the event is on disk."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client import generate_latest as exposition
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tap_voucherify.webhooks.envelopes import Event, RefusedError, parse_event
from tap_voucherify.webhooks.signature import HEADER, is_signed
from tap_voucherify.webhooks.store import StoreLostError, damaged
from tap_voucherify.webhooks.store_writer import StoreWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tap_voucherify.webhooks.store import Store

LOG = logging.getLogger("voucherify-webhooks")

PATH = "/webhooks"

MAX_BODY_BYTES = 5_000_000
"""By the published description an event carries at most two orders of 500 items."""

SMALL_BODY_BYTES = 50_000
"""Up to here a body is verified at once, above by another thread, and only if memory allows."""

MAX_BYTES_IN_FLIGHT = 50_000_000
"""Bytes of bodies that are being received or verified; beyond it only small ones are taken."""

BODY_SECONDS = 8.0
"""Voucherify gives up after 10 seconds, by its documentation."""

LOG_INTERVAL = 60.0
"""Seconds between two log lines about refusals of one kind."""

STATUS_BY_REASON = {"size": 413, "busy": 503, "signature": 401}
"""Statuses of refusals; all others have 400."""

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
        self._bytes_in_flight = 0
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
        self._verifier = ThreadPoolExecutor(1, "verifier")
        yield
        self._verifier.shutdown()
        self._writer.close()
        if self._store.stop():
            LOG.info("Stopped; every acknowledged event is on disk.")
        else:
            LOG.error("Stopped; acknowledged events may be lost. %s", damaged())

    async def _receive(self, request: Request) -> Response:
        self._metrics.received.inc()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await self._read(request, body)
            event = await self._verified(bytes(body), request.headers.get(HEADER, ""))
        except TimeoutError:
            return self._refusal(408, "slow", "The body took too long.")
        except ClientDisconnect:
            return self._refusal(400, "cut", "The body ended early.")
        except RefusedError as refused:
            status = STATUS_BY_REASON.get(refused.reason, 400)
            return self._refusal(status, refused.reason, str(refused))
        finally:
            self._bytes_in_flight -= len(body)
        return await self._write(event)

    async def _read(self, request: Request, body: bytearray) -> None:
        """Add the body as it comes.

        Raises:
            RefusedError: it is too long, or all bodies together are.
        """
        declared = request.headers.get("content-length", "")
        length = int(declared) if declared.isdecimal() else 0
        async for chunk in request.stream():
            body += chunk
            self._bytes_in_flight += len(chunk)
            length = max(length, len(body))
            if length > MAX_BODY_BYTES:
                raise RefusedError("size", f"The body has more than {MAX_BODY_BYTES:,} bytes.")
            if length > SMALL_BODY_BYTES and self._bytes_in_flight > MAX_BYTES_IN_FLIGHT:
                raise RefusedError("busy", "Too many large bodies at a time: send again.")

    async def _verified(self, body: bytes, signature: str) -> Event:
        """The event in a body.

        Raises:
            RefusedError: the body is not signed, or not an event.
        """
        verify = partial(_event, body, signature, self._secrets)
        if len(body) <= SMALL_BODY_BYTES:
            return verify()
        return await asyncio.get_running_loop().run_in_executor(self._verifier, verify)

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

    def _refusal(self, status: int, reason: str, sentence: str) -> Response:
        self._metrics.refused.labels(reason).inc()
        now = time.monotonic()
        if now - self._last_logged.get(reason, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._last_logged[reason] = now
            LOG.warning("Refused with %d: %s /metrics counts these.", status, sentence)
        # The rest of a body that is not wanted ends with the connection.
        headers = {"Connection": "close"} if reason in {"size", "busy", "slow"} else None
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


def _event(body: bytes, signature: str, secrets: Sequence[str]) -> Event:
    if not is_signed(body, signature, secrets):
        raise RefusedError("signature", "No secret of this receiver signed this body.")
    return parse_event(body)
