"""The only file that knows HTTP: who asks, waiting as told, retrying, and counting calls."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import requests
from typing_extensions import override
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as BodyTimeoutError

from target_voucherify import address, bodies, library_logs, waiting
from target_voucherify.answers import (
    NOT_FOUND,
    TOO_MANY,
    UNAUTHORIZED,
    WRONG_API,
    Answer,
    is_unusable,
    judged,
    limit_of,
    read,
    said,
)
from target_voucherify.authorization import SCOPE, Authorization, BearerToken, KeyPair
from target_voucherify.errors import (
    AccessError,
    CycleUsedUpError,
    MaxCallsError,
    RefusedRequestError,
    VoucherifyError,
)

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

COUNT = re.compile(r"\d{1,18}", re.ASCII)
"""A header that counts calls."""

BULK_BUCKET = "bulk_api_calls"
"""Bulk requests have a limit of their own (reference §2.1): others may go on while they wait."""

LONG_WAIT = 2.0
"""Seconds from which on it is worth doing something else first."""

TOKEN = "/v1/oauth/token"  # noqa: S105 - a path, not a secret

CALLS_FOR_TOKENS = 3
"""Calls kept back under `max_calls` where tokens are used, so that jobs on their way are confirmed
all the same: the first token, one request refused because a token ended, the token after it."""

JSON = {"Content-Type": "application/json"}


class Call(NamedTuple):
    """One request: `what` is what logs show, the rest may hold ids, records and secrets."""

    what: str
    method: str
    path: str
    query: Mapping[str, str | int] | None = None
    body: bytes | None = None
    form: Mapping[str, str] | None = None


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
        self._key_pair = KeyPair(str(config["application_id"]), str(config["secret_key"]))
        self._authorization: Authorization = self._key_pair
        self._kept_back = 0
        if config["auth_method"] == "oauth":
            self._authorization = BearerToken(self._new_token)
            self._kept_back = CALLS_FOR_TOKENS
        self._max_calls: int | None = config.get("max_calls")
        self._calls = calls
        self._pause = pause
        self.meanwhile: Callable[[], None] = _nothing
        self._answered_once = False
        self._not_before = 0.0
        self._lock = threading.Lock()
        self._local = threading.local()
        self._log = logging.getLogger("target-voucherify")
        library_logs.redact()

    @property
    def calls_left(self) -> float:
        """Calls that `max_calls` still allows besides those for tokens; infinite without it."""
        return self._unspent - self._kept_back

    @property
    def _unspent(self) -> float:
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
        path = template
        if "{id}" in template:
            path = template.replace("{id}", address.segment(segment))
        call = Call(f"{method} {template}", method, path, query, body)
        return self._answered(call, self._authorization)

    def _new_token(self) -> dict[str, Any]:
        """A token made with the key pair; asking twice only makes two (reference §1.4).

        Raises:
            AccessError: no token is given. Never a refusal of the record that waits for it.
        """
        form = {"grant_type": "client_credentials", "scope": SCOPE}
        call = Call(f"POST {TOKEN}", "POST", TOKEN, form=form)
        try:
            answer = self._answered(call, self._key_pair)
        except AccessError as refusal:
            raise AccessError(str(refusal), UNAUTHORIZED) from None
        except RefusedRequestError as refusal:
            sentence = f"{refusal}: report it to the maintainers with the run's log."
            raise AccessError(sentence, UNAUTHORIZED) from None
        if answer.status == NOT_FOUND:
            raise AccessError(f"{said(answer, call.what)}: {WRONG_API}.", UNAUTHORIZED)
        if not isinstance(answer.body, dict):
            raise VoucherifyError(f"{said(answer, call.what)} without a JSON object: {WRONG_API}.")
        return answer.body

    def _answered(self, call: Call, authorization: Authorization) -> Answer:
        """The answer to a call, after as many tries as it takes and is worth."""
        tries = 0
        while True:
            answer = self._authorized(call, authorization)
            tries += 1
            wait = self._wait_before_retry(answer, tries, call.what)
            if wait is None:
                return judged(answer, call.what)
            until = time.monotonic() + wait
            # Whoever asks for a token holds the lock that every other request needs.
            if wait > LONG_WAIT and _bucket(answer) == BULK_BUCKET and call.form is None:
                self.meanwhile()
            self._wait(until - time.monotonic())
            with self._lock:
                self._calls.retries += 1

    def _authorized(self, call: Call, authorization: Authorization) -> Answer:
        """One exchange, or two where the first was refused and the headers could be renewed."""
        # Before the headers are asked for, because a token may end in a long wait.
        self._wait(self._not_before - time.monotonic())
        headers = authorization.headers()
        answer = self._exchange(call, headers)
        if answer.status == UNAUTHORIZED and authorization.renew(headers):
            return self._exchange(call, authorization.headers())
        return answer

    def _exchange(self, call: Call, headers: Mapping[str, str]) -> Answer:
        """One request and its answer; what went wrong on the way becomes part of the answer."""
        self._count_call()
        try:
            response = self._session().request(
                call.method,
                self._url + call.path,
                params=call.query,
                data=call.form if call.body is None else call.body,
                headers={**headers, **({} if call.body is None else JSON)},
                timeout=CONNECT_AND_READ,
                stream=True,
            )
            # What is not read to its end is cut off with its connection.
            with response:
                content = b"".join(bodies.pieces(response.raw, bodies.JSON, call.what))
        except (requests.Timeout, BodyTimeoutError, bodies.TooSlowError):
            return Answer(0, {}, trouble="time-out")
        except (requests.RequestException, HTTPError) as error:
            self._insist_on_tls(error)
            return Answer(0, {}, trouble="cut connection")
        self._answered_once = True
        self._note_quota(response.headers)
        answer = read(response.status_code, response.headers, content)
        self._note_replaced(answer.replaced, call.what)
        return answer

    def _insist_on_tls(self, error: Exception) -> None:
        """Raise where no secure connection ever came about; later ones are cut like any other."""
        if isinstance(error, requests.exceptions.SSLError) and not self._answered_once:
            raise VoucherifyError(
                f"No secure connection to {self._host}: check api_url and the certificates of this "
                "machine."
            ) from None

    def _session(self) -> requests.Session:
        """One session per thread, because a session is not promised to be safe across threads."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = _Session()
            # Proxies and certificates of the environment are wanted, except on this machine;
            # an Authorization header out of ~/.netrc never is, and an `auth` of our own stops it.
            session.trust_env = not address.is_loopback(self._url)
            session.auth = _no_further_auth
            self._local.session = session
        return session

    @property
    def _host(self) -> str:
        return urlsplit(self._url).netloc

    def _count_call(self) -> None:
        with self._lock:
            if self._unspent < 1:
                raise MaxCallsError(f"max_calls ({self._max_calls}) is used up.")
            self._calls.made += 1

    def _note_quota(self, headers: Mapping[str, str]) -> None:
        for name in ("Limit", "Remaining"):
            value = headers.get(f"X-Rate-Limit-{name}", "")
            if COUNT.fullmatch(value):
                attribute = "quota_limit" if name == "Limit" else "quota_left"
                setattr(self._calls, attribute, int(value))

    def _note_replaced(self, count: int, what: str) -> None:
        """Count what could not be kept as Voucherify sent it; the first time, say so."""
        with self._lock:
            is_first = not self._calls.replaced
            self._calls.replaced += count
        if is_first and count:
            self._log.warning(
                "%s answered with characters that Unicode does not have, or numbers that are too "
                "large: they become U+FFFD and null, and the run summary counts them.",
                what,
            )

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
        if not self._answered_once and tries >= TRIES_BEFORE_FIRST_ANSWER:
            raise VoucherifyError(
                f"Cannot reach {self._host} ({answer.trouble}): check api_url and the network."
            )
        # A 503 may say when it is over; then coming back earlier is in vain.
        told = waiting.retry_after(answer.headers, time.time()) or 0.0
        guess = waiting.backoff(tries)
        wait, why = (told, "Retry-After") if told > guess else (guess, "back-off")
        self._say(answer, what, (wait, why), tries, TRIES)
        return wait

    def _wait_when_limited(self, answer: Answer, tries: int, what: str) -> float:
        kind = _bucket(answer)
        if kind == "api_calls_cycle":
            raise CycleUsedUpError(
                "Voucherify's calls of this billing cycle are used up: run again when the next "
                "cycle begins or after buying a package; the state says where to go on."
            )
        told = waiting.told(answer.headers, time.time())
        wait, why = max(told or (0.0, ""), (waiting.backoff(tries), "back-off"))
        self._say(answer, what, (wait, why), tries, TRIES_WHEN_LIMITED)
        if kind != BULK_BUCKET:
            with self._lock:
                self._not_before = max(self._not_before, time.monotonic() + wait)
        return wait

    def _say(
        self, answer: Answer, what: str, told: tuple[float, str], tries: int, most: int
    ) -> None:
        """Say how long is waited and why.

        Raises:
            VoucherifyError: that would be too long, or it was tried often enough.
        """
        wait, why = told
        if wait > waiting.LONGEST:
            raise VoucherifyError(
                f"{said(answer, what)} and asks to wait {wait:.0f} s, longer than a day: run again "
                "then."
            )
        if tries >= most:
            raise VoucherifyError(f"{said(answer, what)} {most} times in a row: run again later.")
        limit = limit_of(answer)
        self._log.warning(
            "%s: waiting %.1f s (%s%s), try %d of %d",
            said(answer, what),
            wait,
            why,
            f", limit {limit}" if limit else "",
            tries + 1,
            most,
        )


class ReadOnlyClient(Client):
    """The client of a dry run: it cannot send anything but GET, and what makes a token."""

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


class _Session(requests.Session):
    """A session that sees no redirects.

    One would carry the key headers to whatever host it names; and even where it is not followed,
    `requests` reads its body to the end, however long that is.
    """

    @override
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


def _nothing() -> None:
    """What is done during a long wait unless somebody knows better."""


def _bucket(answer: Answer) -> str:
    """Which limit a 429 is about; the header that says so is optional."""
    return limit_of(answer) or "api_calls"


def _no_further_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
