"""The one file of the tap that knows HTTP: session, requests, waiting, and counting calls."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as BodyTimeoutError

from tap_voucherify import bodies, library_logs
from tap_voucherify.address import is_loopback, may_hold_downloads, segment
from tap_voucherify.answers import (
    CYCLE,
    OK,
    UNAUTHORIZED,
    WRONG_API,
    Answer,
    limit_of,
    read,
    said,
    told_by,
)
from tap_voucherify.authorization import SCOPE, Authorization, BearerToken, KeyPair
from tap_voucherify.errors import (
    CallsSpentError,
    DeniedError,
    ExpiredDownloadError,
    NotFoundError,
    VoucherifyError,
)
from tap_voucherify.quota import Quota
from tap_voucherify.waiting import LONGEST, TOO_MANY_REQUESTS, backoff, server_time, told_to_wait

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

    from tap_voucherify.stopping import StopRequest

TRIES = 9
"""How often one call is made at most; the waits between add up to 51 s where none was told."""

TRIES_UNREACHED = 3
"""Tries while the API has not answered once: a wrong host should be said soon."""

TOKEN = "/v1/oauth/token"  # noqa: S105 - a path, not a secret

COUNT = re.compile(r"\d{1,18}", re.ASCII)
"""A header that counts calls."""

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0


@dataclass(slots=True)
class Usage:
    """What a run cost."""

    calls: int = 0
    retries: int = 0
    seconds_waited: float = 0.0
    quota_left: int | None = None
    """Calls left in the current period, as the last answer said (reference §2.2)."""
    replaced: int = 0
    """Characters that became U+FFFD and numbers that became null, because they are neither."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `path` is what logs show, `url` may hold ids and secrets and is never shown.

    With a `file`, the body of the answer goes there.
    """

    method: str
    path: str
    url: str = field(repr=False)
    params: Mapping[str, Any] | None = field(default=None, repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    decode: Callable[[bytes], Any] = msgspec.json.decode
    file: IO[bytes] | None = None

    @property
    def what(self) -> str:
        """Method and path, for the log."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True, repr=False)
class Connection:
    """One project's endpoint (scheme and host) and the two halves of its API key pair."""

    api_url: str
    application_id: str
    secret_key: str
    auth_method: str = "api_key"
    """How the pair is used: in every request (`api_key`), or to make tokens (`oauth`)."""


class VoucherifyClient:
    """Reads from one Voucherify project.

    Args:
        connection: the project.
        max_concurrency: requests in flight at most; sizes the connection pool.
        max_calls: calls after which `CallsSpentError` is raised; none for no limit.
        stop: ends waits early and refuses new calls once the run is to end.
        log: where waits and retries are told.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        max_concurrency: int,
        max_calls: int | None,
        stop: StopRequest,
        log: logging.Logger,
    ) -> None:
        self.usage = Usage()
        self._stop = stop
        self._api_url = connection.api_url.rstrip("/")
        self._max_calls = max_calls
        self._log = log
        self._lock = threading.Lock()
        self._started = datetime.now(UTC)
        self._quota = Quota(stop)
        self._reached = False
        self._session = _session(self._api_url, max_concurrency)
        library_logs.redact()
        self._prepared = self._session.prepare_request(requests.Request("GET", self._api_url))
        self._key_pair = KeyPair(connection.application_id, connection.secret_key)
        self._authorization: Authorization = self._key_pair
        if connection.auth_method == "oauth":
            self._authorization = BearerToken(self._new_token)

    @property
    def run_started(self) -> datetime:
        """When the run began: the earlier of the local clock and the server's first `Date`.

        What changed before this instant is what a run can promise to have seen, so a clock that
        is ahead must not move it forward.
        """
        return self._started

    @property
    def calls_left(self) -> int | None:
        """Calls that `max_calls` still allows; none without such a limit."""
        return None if self._max_calls is None else max(0, self._max_calls - self.usage.calls)

    def get(
        self,
        path: str,
        segments: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        decode: Callable[[bytes], Any] = msgspec.json.decode,
    ) -> dict[str, Any]:
        """The JSON object that one GET answers.

        Args:
            path: path template such as `/v1/customers/{id}/activity`; it is what logs show.
            segments: values for the template, encoded whole, each as one path segment; those
                that it does not name are left alone.
            params: the query.
            decode: makes the object of the answer's body.

        Raises:
            NotFoundError: 404.
            CallsSpentError: `max_calls` is used up.
            StoppedError: a signal arrived while waiting.
            VoucherifyError: anything else that waiting and trying again did not cure.
        """
        encoded = {
            name: segment(value)
            for name, value in (segments or {}).items()
            if f"{{{name}}}" in path
        }
        url = self._api_url + path.format_map(encoded)
        return self._object(Call("GET", path, url, params, decode=decode))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that one POST answers; for calls that do no harm when they happen twice.

        Raises:
            VoucherifyError: as `get`.
        """
        return self._object(Call("POST", path, self._api_url + path, body=body))

    def download(self, url: str, file: IO[bytes]) -> None:
        """Fill a file from the address that an export gives, which holds a secret (ref. §9.3).

        Raises:
            ExpiredDownloadError: the address is no longer good.
            VoucherifyError: it lies on a host that must not see the keys, or as `get`.
        """
        if not may_hold_downloads(url, self._api_url):
            raise VoucherifyError(
                "The export's file is said to lie on a host that is not Voucherify's, so it was "
                "not asked for: set customers_backfill to list, and tell Voucherify's support."
            )
        call = Call("GET", "/v1/exports/{id} (download)", url, file=file)
        self._answered(call, self._authorization)

    def note_replaced(self, count: int, what: str) -> None:
        """Count what could not be kept as Voucherify sent it; the first time, say so.

        Args:
            count: characters and numbers that were replaced.
            what: method and path template of the call that brought them.
        """
        with self._lock:
            is_first = not self.usage.replaced
            self.usage.replaced += count
        if is_first and count:
            self._log.warning(
                "%s answered with characters that Unicode does not have, or numbers that are too "
                "large: they become U+FFFD and null, and the run summary counts them.",
                what,
            )

    def pause(self, seconds: float) -> None:
        """Wait between two looks at something in the making; a signal ends the wait."""
        self._stop.wait(seconds)

    def give_up(self, error: Exception) -> None:
        """End the waits of all threads, because this error ends the run."""
        self._stop.fail(error)

    def _new_token(self) -> dict[str, Any]:
        """A token made with the key pair; asking twice only makes two (reference §1.4).

        Raises:
            VoucherifyError: no token is given. Never a refusal of what waits for the token, which
                a caller might skip.
        """
        form = {"grant_type": "client_credentials", "scope": SCOPE}
        call = Call("POST", TOKEN, self._api_url + TOKEN, form=form)
        try:
            return self._object(call, self._key_pair)
        except (NotFoundError, DeniedError) as refusal:
            raise VoucherifyError(str(refusal)) from None

    def _object(self, call: Call, authorization: Authorization | None = None) -> dict[str, Any]:
        answer = self._answered(call, authorization or self._authorization)
        if not isinstance(answer.body, dict):
            raise VoucherifyError(f"{said(answer, call.what)} without a JSON object: {WRONG_API}.")
        return answer.body

    def _answered(self, call: Call, authorization: Authorization) -> Answer:
        """The answer to a call, after as many tries as it takes and is worth.

        An error that ends the run ends the waits of all other threads too.
        """
        try:
            return self._repeated(call, authorization)
        except (NotFoundError, DeniedError, ExpiredDownloadError):
            raise
        except VoucherifyError as error:
            self.give_up(error)
            raise

    def _repeated(self, call: Call, authorization: Authorization) -> Answer:
        """The first usable answer."""
        for attempt in range(TRIES):
            answer = self._authorized(call, authorization)
            if answer.is_usable:
                return answer
            self._wait(answer, call, attempt, self._judge(answer, call))
        raise VoucherifyError(f"{said(answer, call.what)} {TRIES} times in a row: run again later.")

    def _authorized(self, call: Call, authorization: Authorization) -> Answer:
        """One exchange, or two where the first was refused and the headers could be renewed."""
        headers = authorization.headers()
        answer = self._exchange(call, headers)
        if answer.status == UNAUTHORIZED and authorization.renew(headers):
            return self._exchange(call, authorization.headers())
        return answer

    def _exchange(self, call: Call, headers: Mapping[str, str]) -> Answer:
        """One request and its answer; what went wrong on the way becomes part of the answer."""
        entered = self._quota.enter()
        answer = Answer(None)
        try:
            self._count_call()
            answer = self._tried(call, headers)
        finally:
            self._quota.leave(entered, _calls_left(answer), _wait_of_all(answer))
        self._note(answer)
        self.note_replaced(answer.replaced, call.what)
        return answer

    def _tried(self, call: Call, headers: Mapping[str, str]) -> Answer:
        try:
            response = self._session.send(
                self._request(call, headers),
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                stream=True,
            )
            with response:
                return _answer_of(response, call)
        except (requests.Timeout, BodyTimeoutError, bodies.TooSlowError):
            return Answer(None, failure="time-out")
        except (requests.RequestException, HTTPError) as error:
            self._insist_on_tls(error)
            return Answer(None, failure="cut connection")

    def _request(self, call: Call, headers: Mapping[str, str]) -> requests.PreparedRequest:
        """The call as it is sent; what all calls share is prepared once, as that costs most."""
        request = self._prepared.copy()
        request.method = call.method
        request.prepare_url(call.url, call.params)
        request.headers.update(headers)
        if call.body is not None or call.form is not None:
            request.prepare_body(call.form, None, json=call.body)
        return request

    def _insist_on_tls(self, error: Exception) -> None:
        """Raise where no secure connection ever came about; later ones are cut like any other."""
        if isinstance(error, requests.exceptions.SSLError) and not self._reached:
            host = urlsplit(self._api_url).netloc
            raise VoucherifyError(
                f"No secure connection to {host}: check api_url and the certificates of this "
                "machine."
            ) from None

    def _count_call(self) -> None:
        with self._lock:
            if self._max_calls is not None and self.usage.calls >= self._max_calls:
                raise CallsSpentError(f"max_calls ({self._max_calls}) is used up.")
            self.usage.calls += 1

    def _note(self, answer: Answer) -> None:
        """Take the clock and the quota from an answer's headers, if there is one."""
        left = _calls_left(answer)
        with self._lock:
            if left is not None:
                self.usage.quota_left = left
            if not self._reached and answer.status is not None:
                self._reached = True
                self._started = min(self._started, server_time(answer.headers) or self._started)

    def _judge(self, answer: Answer, call: Call) -> tuple[float, str] | None:
        """Return the wait that the answer names, if any; raise when trying again is pointless."""
        unreached = answer.status is None and not self._reached
        if unreached and self.usage.calls >= TRIES_UNREACHED:
            host = urlsplit(self._api_url).netloc
            raise VoucherifyError(
                f"Cannot reach {host} ({answer.failure}): check api_url and the network."
            )
        return told_by(answer, call.what, datetime.now(UTC), download=call.file is not None)

    def _wait(
        self, answer: Answer, call: Call, attempt: int, told: tuple[float, str] | None
    ) -> None:
        if attempt == TRIES - 1:
            return
        seconds, why = max(told or (0.0, ""), (backoff(attempt), "back-off"))
        limit = limit_of(answer)
        self._log.info(
            "%s: waiting %.1f s (%s%s), try %d of %d",
            said(answer, call.what),
            seconds,
            why,
            f", limit {limit}" if limit else "",
            attempt + 2,
            TRIES,
        )
        began = time.monotonic()
        try:
            self._stop.wait(seconds)
        finally:
            with self._lock:
                self.usage.retries += 1
                self.usage.seconds_waited += time.monotonic() - began


class _Session(requests.Session):
    """A session that sees no redirects.

    One would carry the key headers to whatever host it names; and even where it is not followed,
    `requests` reads its body to the end, however long that is.
    """

    @override
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


def _session(api_url: str, max_concurrency: int) -> requests.Session:
    """A session that looks up proxies and certificates of the environment once.

    `requests` reads the environment again for every request otherwise, which costs more than the
    request's own work; and with `trust_env` on it would take credentials from a netrc file. A
    proxy is no way to this machine: it would read the keys.
    """
    session = _Session()
    session.trust_env = not is_loopback(api_url)
    settings = session.merge_environment_settings(api_url, {}, None, None, None)
    session.proxies = settings["proxies"]
    session.verify = settings["verify"]
    session.trust_env = False
    session.headers.update({"Accept": "application/json", "User-Agent": "tap-voucherify"})
    adapter = HTTPAdapter(pool_maxsize=max_concurrency, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _wait_of_all(answer: Answer) -> float:
    """Seconds that no call should be made because a limit is reached, where the answer says it.

    None for an answer that ends the run instead.
    """
    if answer.status != TOO_MANY_REQUESTS or limit_of(answer) == CYCLE:
        return 0.0
    told = told_to_wait(answer.status, answer.headers, datetime.now(UTC))
    return told[0] if told and told[0] <= LONGEST else 0.0


def _calls_left(answer: Answer) -> int | None:
    """Calls left in the current period, where the answer says it (reference §2.2)."""
    remaining = answer.headers.get("X-Rate-Limit-Remaining", "")
    return int(remaining) if COUNT.fullmatch(remaining) else None


def _answer_of(response: requests.Response, call: Call) -> Answer:
    """The answer, its body read within bounds; of a download that succeeds it goes to the file.

    What is not read to its end is cut off with its connection.
    """
    if call.file is not None:
        return _saved(response, call, call.file)
    body = bodies.pieces(response.raw, bodies.JSON, call.what)
    return read(response.status_code, response.headers, b"".join(body), call.decode)


def _saved(response: requests.Response, call: Call, file: IO[bytes]) -> Answer:
    """The answer to a download, its body in the file: whole, or the exchange counts as cut."""
    if response.status_code == OK:
        file.seek(0)
        file.truncate()
        for piece in bodies.pieces(response.raw, bodies.FILE, call.what):
            file.write(piece)
    return Answer(response.status_code, response.headers)
