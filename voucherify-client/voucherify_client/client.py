"""Requests to Voucherify until they succeed: waiting, retrying, and counting calls."""

from __future__ import annotations

import math
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from .auth import Auth, BearerToken, KeyPair
from .errors import (
    AccessError,
    DeniedError,
    LostResponseError,
    MaxCallsError,
    NotFoundError,
    RefusedRequestError,
    VoucherifyError,
)
from .exported_customers import WITHOUT_EXPORT
from .log_filter import filter_library_logs
from .rate_limit import RateLimit
from .responses import (
    BULK_LIMIT,
    WRONG_API,
    Response,
    describe,
    limit_type,
    may_be_applied,
    retry_delay_or_raise,
)
from .retry_after import LONGEST_WAIT, backoff, server_delay, server_time
from .timestamps import clock_time
from .transport import INSECURE, Request, Transport
from .urls import may_hold_downloads, segment

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

    from .shutdown import Shutdown

ATTEMPTS = 9
"""Attempts at one request that is cut, times out or meets a 5xx: some 55 seconds in all."""

ATTEMPTS_WHEN_LIMITED = 50
"""Attempts at one request that meets 429; each waits as the server asks, and never less than the
back-off."""

ATTEMPTS_UNREACHED = 3
"""Attempts while the API has not answered once: fail fast on a wrong host."""

NOTABLE_WAIT = 5.0
"""Seconds of a wait whose end is logged, too."""

TOKEN = "/v1/oauth/token"  # noqa: S105 - a path, not a secret

CALLS_FOR_TOKENS = 3
"""Calls kept back under `max_calls` where tokens are used, so that what is in flight is confirmed:
the first token, one request refused because a token ended, the token after it."""

COUNT = re.compile(r"\d{1,18}", re.ASCII)
"""A header that counts calls."""


@dataclass(slots=True)
class Usage:
    """What a run costs. One call is one attempt, whether a response came or not."""

    calls: int = 0
    retries: int = 0
    seconds_waited: float = 0.0
    quota_left: int | None = None
    """Calls left in the current period, by the last response that says so."""
    quota_limit: int | None = None
    """Calls in a period."""
    period_seconds: float = 0.0
    """The longest time that a response names until the next call may be made: about a period."""
    replaced: int = 0
    """Characters that became U+FFFD and numbers that became null, because JSON has no such ones."""

    def seconds_for(self, calls: float, elapsed: float) -> float:
        """Seconds that so many more calls take: at the pace so far, and within the quota.

        Args:
            calls: how many.
            elapsed: seconds in which the calls so far were made.
        """
        beyond = calls - (self.quota_left or 0)
        periods = math.ceil(beyond / self.quota_limit) if self.quota_limit and beyond > 0 else 0
        return max(calls * elapsed / max(1, self.calls), periods * self.period_seconds)


@dataclass(frozen=True, slots=True, repr=False)
class Connection:
    """One project: its API endpoint (scheme and host) and its API key pair."""

    api_url: str
    application_id: str
    secret_key: str
    auth_method: str = "api_key"
    """`api_key`: the pair is in every request. `oauth`: it makes tokens, and those are."""
    scope: str = ""
    """What an OAuth token may do, names separated by spaces."""
    user_agent: str = "voucherify-client"

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, user_agent: str, scope: str) -> Connection:
        """The connection that the settings describe."""
        return cls(
            str(config["api_url"]).rstrip("/"),
            str(config["application_id"]),
            str(config["secret_key"]),
            str(config["auth_method"]),
            scope,
            user_agent,
        )


class Client:
    """Requests to one Voucherify project, from any number of threads.

    Args:
        connection: the project.
        shutdown: ends waits early and refuses new calls once the run is to end.
        log: where waits and retries are reported.
        max_concurrency: requests in flight at most; sizes the connection pool.
        max_calls: calls after which `MaxCallsError` is raised; `None` for no limit.
    """

    exchange_seconds = 300.0
    """Seconds for a whole exchange, however steadily single bytes arrive, headers included."""

    download_seconds = 7_200.0
    """The same for the file of an export."""

    def __init__(
        self,
        connection: Connection,
        *,
        shutdown: Shutdown,
        log: logging.Logger,
        max_concurrency: int,
        max_calls: int | None,
    ) -> None:
        self.usage = Usage()
        self._shutdown = shutdown
        self._api_url = connection.api_url
        self._scope = connection.scope
        self._max_calls = max_calls
        self._log = log
        self._lock = threading.Lock()
        self._started = datetime.now(UTC)
        self._rate_limit = RateLimit(shutdown)
        self._is_reached = False
        self._has_succeeded = False
        self.longest_wait = float("inf")
        """Seconds of a wait before a further attempt, above which the request is given up."""
        self.knows_time = False
        """Whether the first response says what time it is; the local clock may be wrong."""
        self._transport = Transport(
            user_agent=connection.user_agent, max_concurrency=max_concurrency
        )
        filter_library_logs()
        self._key_pair = KeyPair(connection.application_id, connection.secret_key)
        self._auth: Auth = self._key_pair
        self._reserved_calls = 0
        if connection.auth_method == "oauth":
            self._auth = BearerToken(self._request_token)
            self._reserved_calls = CALLS_FOR_TOKENS

    @property
    def run_started(self) -> datetime:
        """When the run began: the earlier of the local clock and the server's first `Date`.

        What changed before this instant is what a run can promise to have seen, so a clock that
        is ahead must not move it forward.
        """
        return self._started

    @property
    def calls_left(self) -> float:
        """Calls that `max_calls` still allows besides those for tokens; infinite without it."""
        if self._max_calls is None:
            return float("inf")
        return max(0, self._max_calls - self.usage.calls - self._reserved_calls)

    def request(  # noqa: PLR0913 - an HTTP request has that many parts
        self,
        method: str,
        path: str,
        segments: Mapping[str, str] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        decode: Callable[[bytes], Any] = msgspec.json.decode,
        is_repeatable: bool = True,
    ) -> Response:
        """Send one request until it succeeds.

        Nearly every request of the plugins may be repeated, also when its response was lost: reads
        change nothing, an upsert by `source_id` sent twice leaves what it left once, and a second
        delete meets 404. Any other is repeated only where Voucherify says that it came too soon.

        Args:
            method: of the request.
            path: template such as `/v1/customers/{id}/activity`.
            segments: values for the template, each percent-encoded as one path segment; those
                that it does not name are left alone.
            params: the query.
            body: JSON, already encoded.
            decode: decodes the body of a success.
            is_repeatable: whether a lost response is no reason not to send it again.

        Returns:
            A 2xx response.

        Raises:
            AccessError: 401, 402 or 403.
            NotFoundError: 404 from Voucherify.
            RefusedRequestError: any other 4xx.
            LostResponseError: it is not repeatable, and may have been applied.
            BulkLimitedError: 429 for bulk requests alone.
            CycleUsedUpError: the calls of the billing cycle are used up.
            MaxCallsError: `max_calls` is used up.
            StopSignalError: a signal arrived while waiting.
            VoucherifyError: no success after all attempts.
        """
        encoded = {
            name: segment(value)
            for name, value in (segments or {}).items()
            if f"{{{name}}}" in path
        }
        url = self._api_url + path.format_map(encoded)
        request = Request(
            method, path, url, params, body, decode=decode, is_repeatable=is_repeatable
        )
        return self._send(request, self._auth)

    def get(
        self,
        path: str,
        segments: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        decode: Callable[[bytes], Any] = msgspec.json.decode,
    ) -> dict[str, Any]:
        """The JSON object that a GET returns; raises as `request`."""
        response = self.request("GET", path, segments, params=params, decode=decode)
        return _json_object(response, f"GET {path}")

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that a POST returns; raises as `request`."""
        response = self.request("POST", path, body=msgspec.json.encode(body))
        return _json_object(response, f"POST {path}")

    def download(self, url: str, file: IO[bytes]) -> None:
        """Fill a file from the download address of an export, which holds a secret.

        Raises:
            ExpiredDownloadError: the address no longer works.
            VoucherifyError: it lies on a host that must not see the keys, or as `request`.
        """
        if not may_hold_downloads(url, self._api_url):
            raise VoucherifyError(
                "The export's file is said to lie on a host that is not Voucherify's, so it was "
                f"not requested: {WITHOUT_EXPORT}, and tell Voucherify's support."
            )
        self._send(Request("GET", "/v1/exports/{id} (download)", url, file=file), self._auth)

    def count_replaced(self, count: int, operation: str) -> None:
        """Count what could not be kept as Voucherify sent it; the first time, say so.

        Args:
            count: characters and numbers that were replaced.
            operation: method and path template of the request that brought them.
        """
        with self._lock:
            is_first = not self.usage.replaced
            self.usage.replaced += count
        if is_first and count:
            self._log.warning(
                "%s answered with characters that Unicode does not have, or numbers that are too "
                "large: they become U+FFFD and null, and the run summary counts them.",
                operation,
            )

    def wait(self, seconds: float) -> None:
        """Wait between two polls; a signal ends the wait."""
        self._shutdown.wait(seconds)

    def fail(self, error: Exception) -> None:
        """End the waits of all threads, because this error ends the run."""
        self._shutdown.fail(error)

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        self._transport.close()

    def _request_token(self) -> dict[str, Any]:
        """An OAuth token made with the key pair; a repeated request only makes another one.

        Raises:
            AccessError: no token is given. Never a refusal of what waits for the token, which a
                caller might set aside or skip.
        """
        form = {"grant_type": "client_credentials", "scope": self._scope}
        request = Request("POST", TOKEN, self._api_url + TOKEN, form=form)
        try:
            response = self._send(request, self._key_pair)
        except (NotFoundError, DeniedError, RefusedRequestError) as refusal:
            raise AccessError(str(refusal)) from None
        return _json_object(response, request.operation)

    def _send(self, request: Request, auth: Auth) -> Response:
        """The response of the first attempt that succeeds."""
        failed = limited = 0
        while True:
            response = self._authorized(request, auth)
            if response.is_success:
                self._has_succeeded = True
                return response
            if response.status == HTTPStatus.TOO_MANY_REQUESTS:
                limited += 1
                self._wait(response, request, limited, ATTEMPTS_WHEN_LIMITED)
            else:
                failed += 1
                is_elsewhere = response.status == HTTPStatus.NOT_FOUND and not self._has_succeeded
                most = ATTEMPTS_UNREACHED if is_elsewhere else ATTEMPTS
                self._wait(response, request, failed, most)

    def _authorized(self, request: Request, auth: Auth) -> Response:
        """One exchange, or two where the first was refused and the headers could be renewed."""
        headers = auth.headers()
        response = self._exchange(request, headers)
        if response.status == HTTPStatus.UNAUTHORIZED and auth.renew(headers):
            return self._exchange(request, auth.headers())
        return response

    def _exchange(self, request: Request, headers: Mapping[str, str]) -> Response:
        """One request and its response; what went wrong on the way becomes part of the response."""
        entered = self._rate_limit.enter()
        response = Response(None)
        try:
            self._count_call()
            seconds = self.exchange_seconds if request.file is None else self.download_seconds
            response = self._transport.exchange(request, headers, seconds)
        finally:
            self._rate_limit.leave(entered, _calls_left(response), _delay_for_all(response))
        self._record(response)
        self.count_replaced(response.replaced, request.operation)
        return response

    @property
    def _host(self) -> str:
        return urlsplit(self._api_url).netloc

    def _count_call(self) -> None:
        with self._lock:
            if self._max_calls is not None and self.usage.calls >= self._max_calls:
                raise MaxCallsError(f"max_calls ({self._max_calls}) is used up.")
            self.usage.calls += 1

    def _record(self, response: Response) -> None:
        """Take the clock and the quota from the headers of a response, if one came."""
        limit, left = _count(response, "X-Rate-Limit-Limit"), _calls_left(response)
        wait = _seconds_until_next_call(response)
        with self._lock:
            self.usage.period_seconds = max(self.usage.period_seconds, wait)
            self.usage.quota_limit = self.usage.quota_limit if limit is None else limit
            self.usage.quota_left = self.usage.quota_left if left is None else left
            if not self._is_reached and response.status is not None:
                self._is_reached = True
                time_there = server_time(response.headers)
                self.knows_time = time_there is not None
                self._started = min(self._started, time_there or self._started)

    def _wait(self, response: Response, request: Request, attempt: int, most: int) -> None:
        """Wait before the next attempt.

        Args:
            response: not a success.
            request: that it answers.
            attempt: number of attempts made.
            most: how many are made at most.

        Raises:
            VoucherifyError: a further attempt is pointless.
        """
        self._fail_if_unreached(response)
        delay = retry_delay_or_raise(
            response,
            request.operation,
            datetime.now(UTC),
            is_download=request.file is not None,
        )
        if not request.is_repeatable and may_be_applied(response):
            raise LostResponseError(
                f"{describe(response, request.operation)}, so it may have been applied: run again."
            )
        if attempt >= most:
            summary = f"{describe(response, request.operation)} {most} times in a row"
            if response.status == HTTPStatus.NOT_FOUND:
                raise VoucherifyError(f"{summary}: {WRONG_API}, or run again later.")
            raise VoucherifyError(f"{summary}: run again later.")
        seconds, reason = max(delay or (0.0, ""), (backoff(attempt - 1), "back-off"))
        limit = limit_type(response)
        if seconds > self.longest_wait:
            raise VoucherifyError(
                f"{describe(response, request.operation)}, which would mean waiting "
                f"{seconds:.0f} s: run again later."
            )
        self._log.info(
            "%s: waiting %.1f s, until %s (%s%s), try %d of %d",
            describe(response, request.operation),
            seconds,
            clock_time(datetime.now(UTC) + timedelta(seconds=seconds)),
            reason,
            f", limit {limit}" if limit else "",
            attempt + 1,
            most,
        )
        began = time.monotonic()
        try:
            self._shutdown.wait(seconds)
        finally:
            with self._lock:
                self.usage.retries += 1
                self.usage.seconds_waited += time.monotonic() - began
        if seconds >= NOTABLE_WAIT:
            self._log.info("%s: going on after a wait of %.0f s", request.operation, seconds)

    def _fail_if_unreached(self, response: Response) -> None:
        """Raise where no connection was ever made; later ones are cut like any other."""
        if not self._is_reached and response.failure == INSECURE:
            raise VoucherifyError(
                f"No secure connection to {self._host}: check api_url and the certificates of this "
                "machine."
            )
        if not self._is_reached and self.usage.calls >= ATTEMPTS_UNREACHED:
            raise VoucherifyError(
                f"Cannot reach {self._host} ({response.failure}): check api_url and the network."
            )


def _delay_for_all(response: Response) -> float:
    """Seconds in which no request should be sent because a limit is reached that concerns all."""
    if response.status != HTTPStatus.TOO_MANY_REQUESTS or limit_type(response) == BULK_LIMIT:
        return 0.0
    delay = server_delay(response.status, response.headers, datetime.now(UTC))
    return delay[0] if delay else 0.0


def _calls_left(response: Response) -> int | None:
    """Calls left in the current period, where the response says so."""
    if limit_type(response) == BULK_LIMIT:
        return None
    return _count(response, "X-Rate-Limit-Remaining")


def _seconds_until_next_call(response: Response) -> float:
    """Seconds to the instant that `X-Rate-Limit-Retry` names, in seconds since 1970; 0 without."""
    if limit_type(response) == BULK_LIMIT:
        return 0.0
    retry = _count(response, "X-Rate-Limit-Retry") or 0
    return min(max(0.0, retry - time.time()), LONGEST_WAIT)


def _count(response: Response, header: str) -> int | None:
    value = response.headers.get(header, "")
    return int(value) if COUNT.fullmatch(value) else None


def _json_object(response: Response, operation: str) -> dict[str, Any]:
    if not isinstance(response.body, dict):
        raise VoucherifyError(
            f"{describe(response, operation)} without a JSON object: {WRONG_API}."
        )
    return response.body
