"""The only file that knows HTTP: keys, waiting as told, retrying, and what an answer means."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import requests

from target_voucherify import waiting
from target_voucherify.answers import TOO_MANY, Answer, is_unusable, judged, read
from target_voucherify.errors import CycleUsedUpError, MaxCallsError, VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from target_voucherify.summary import Calls

CONNECT_AND_READ = (10.0, 60.0)
"""Seconds for the connection and between two bytes of an answer."""

TRIES = 7
"""Attempts at one request that is cut, times out or meets a 5xx: about half a minute in all."""

TRIES_BEFORE_FIRST_ANSWER = 3
"""As long as nothing was ever answered, the address is more likely wrong than the network shaky."""

TRIES_WHEN_LIMITED = 50
"""Attempts at one request that meets 429; each waits as told, so this only ends a dead loop."""

BULK_BUCKET = "bulk_api_calls"
"""Bulk requests have a limit of their own (reference §2.1): others may go on while they wait."""

LONG_WAIT = 2.0
"""Seconds from which on it is worth doing something else first."""

JSON = {"Content-Type": "application/json"}

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Client:
    """Requests to one Voucherify project."""

    def __init__(
        self,
        config: Mapping[str, Any],
        calls: Calls,
        pause: Callable[[float], None],
    ) -> None:
        """Keep what every request needs.

        Args:
            config: the connection settings and `max_calls`.
            calls: where attempts, retries and waits are counted.
            pause: sleeps the seconds it is given; raises when the run is asked to stop.
        """
        self._url = str(config["api_url"]).rstrip("/")
        self._headers = {
            "X-App-Id": str(config["application_id"]),
            "X-App-Token": str(config["secret_key"]),
        }
        self._max_calls: int | None = config.get("max_calls")
        self._calls = calls
        self._pause = pause
        self.meanwhile: Callable[[], None] = _nothing
        self._answered = False
        self._not_before = 0.0
        self._lock = threading.Lock()
        self._local = threading.local()
        self._log = logging.getLogger("target-voucherify")
        # At debug level urllib3 logs paths, and a path may hold an e-mail address.
        logging.getLogger("urllib3").setLevel(logging.INFO)

    @property
    def calls_left(self) -> float:
        """Calls that `max_calls` still allows; infinite without it."""
        return float("inf") if self._max_calls is None else self._max_calls - self._calls.made

    def request(
        self,
        method: str,
        template: str,
        *,
        segment: str = "",
        query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send one request until it has an answer, and return it when its status is 2xx or 404.

        Every request of this target may be repeated, also when its answer was lost: reads change
        nothing, an upsert by `source_id` sent twice leaves what it left once, and a second delete
        meets 404, which is what was wanted.

        Args:
            method: of the request.
            template: the path, with `{id}` where `segment` belongs.
            segment: one path segment; percent-encoded here, completely.
            query: parameters of the query string.
            body: JSON, already encoded.

        Raises:
            AccessError: 401, 402 or 403.
            CycleUsedUpError: the calls of the billing cycle are used up.
            MaxCallsError: `max_calls` is used up.
            RefusedRequestError: any other 4xx.
            VoucherifyError: no usable answer after all tries.
        """
        path = template.replace("{id}", quote(segment, safe=""))
        what, tries = f"{method} {template}", 0
        while True:
            answer = self._attempt(method, path, query, body)
            tries += 1
            wait = self._wait_before_retry(answer, tries, what)
            if wait is None:
                return judged(answer, what)
            until = time.monotonic() + wait
            if wait > LONG_WAIT and _bucket(answer) == BULK_BUCKET:
                self.meanwhile()
            self._wait(until - time.monotonic())
            self._calls.retries += 1

    def _attempt(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None,
        body: bytes | None,
    ) -> Answer:
        self._wait(self._not_before - time.monotonic())
        self._count_call()
        try:
            response = self._session().request(
                method,
                self._url + path,
                params=query,
                data=body,
                headers=None if body is None else JSON,
                timeout=CONNECT_AND_READ,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise VoucherifyError(
                f"No secure connection to {self._host}: check api_url and the certificates of "
                f"this machine ({type(error).__name__})."
            ) from None
        except requests.RequestException as error:
            return Answer(0, {}, trouble=type(error).__name__)
        self._answered = True
        self._note_quota(response.headers)
        return read(response.status_code, response.headers, response.content)

    def _session(self) -> requests.Session:
        """One session per thread, because a session is not promised to be safe across threads."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.headers.update(self._headers)
            # Proxies and certificates of the environment are wanted, except on this machine;
            # an Authorization header out of ~/.netrc never is, and an `auth` of our own stops it.
            session.trust_env = urlsplit(self._url).hostname not in LOOPBACK
            session.auth = _no_further_auth
            self._local.session = session
        return session

    @property
    def _host(self) -> str:
        return str(urlsplit(self._url).hostname)

    def _count_call(self) -> None:
        with self._lock:
            if self.calls_left < 1:
                raise MaxCallsError(f"max_calls ({self._max_calls}) is used up.")
            self._calls.made += 1

    def _note_quota(self, headers: Mapping[str, str]) -> None:
        for name in ("Limit", "Remaining"):
            value = headers.get(f"X-Rate-Limit-{name}", "")
            if value.isdigit():
                attribute = "quota_limit" if name == "Limit" else "quota_left"
                setattr(self._calls, attribute, int(value))

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            with self._lock:
                self._calls.seconds_waited += seconds
            self._pause(seconds)

    def _wait_before_retry(self, answer: Answer, tries: int, what: str) -> float | None:
        """Seconds until the request is sent again, or None when its answer is final."""
        if answer.status == TOO_MANY:
            return self._wait_when_limited(answer, tries, what)
        if not is_unusable(answer):
            return None
        trouble = answer.trouble or f"status {answer.status}"
        if tries >= (TRIES if self._answered else TRIES_BEFORE_FIRST_ANSWER):
            raise VoucherifyError(self._no_answer(what, trouble, answer))
        # A 503 may say when it is over; then coming back earlier is in vain.
        wait = max(waiting.backoff(tries), waiting.retry_after(answer.headers, time.time()))
        if wait > waiting.LONGEST:
            raise VoucherifyError(f"{what}: {trouble}, for {wait:.0f} s more; run again later.")
        self._log.warning("%s: %s; trying again in %.1f s", what, trouble, wait)
        return wait

    def _wait_when_limited(self, answer: Answer, tries: int, what: str) -> float:
        kind = _bucket(answer)
        if kind == "api_calls_cycle":
            raise CycleUsedUpError(
                f"{what}: the API calls of this billing cycle are used up; run again when the next "
                "cycle begins, or buy a package."
            )
        asked = waiting.told(answer.headers, time.time())
        wait = waiting.backoff(tries) if asked is None else asked
        if wait > waiting.LONGEST or tries >= TRIES_WHEN_LIMITED:
            raise VoucherifyError(
                f"{what}: limited ({kind or 'api_calls'}) for {wait:.0f} s more after {tries} "
                "tries; run again later."
            )
        if kind != BULK_BUCKET:
            self._not_before = time.monotonic() + wait
        self._log.warning(
            "%s: limit reached (%s); waiting %.1f s %s",
            what,
            kind,
            wait,
            "as a guess, because the server did not say" if asked is None else "as told",
        )
        return wait

    def _no_answer(self, what: str, trouble: str, answer: Answer) -> str:
        if not self._answered:
            return (
                f"{self._host} cannot be reached ({trouble}): check api_url and the network of "
                "this machine."
            )
        request_id = answer.word("request_id")
        support = f", request_id {request_id}" if request_id else ""
        return f"{what}: no usable answer in {TRIES} tries ({trouble}{support}); run again later."


class ReadOnlyClient(Client):
    """The client of a dry run: it cannot send anything but GET."""

    def request(
        self,
        method: str,
        template: str,
        *,
        segment: str = "",
        query: Mapping[str, str | int] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """As `Client.request`, for reading only."""
        if method != "GET" or body is not None:
            raise VoucherifyError(f"A dry run does not send {method} {template}.")
        return super().request(method, template, segment=segment, query=query)


def _nothing() -> None:
    """What is done during a long wait unless somebody knows better."""


def _bucket(answer: Answer) -> str:
    """Which limit a 429 is about; the header that says so is optional."""
    return answer.headers.get("X-Rate-Limit-Type", "api_calls")


def _no_further_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
