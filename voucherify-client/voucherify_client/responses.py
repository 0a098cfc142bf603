"""What a response of the API means: pure functions of status, headers and body."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from . import lenient_json
from .errors import (
    AccessError,
    BulkLimitedError,
    CycleUsedUpError,
    DeniedError,
    ExpiredDownloadError,
    NotFoundError,
    RefusedRequestError,
    VoucherifyError,
)
from .retry_after import LONGEST_WAIT, server_delay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

REDIRECTS = 300
CLIENT_ERRORS = 400
SERVER_ERRORS = 500

BUSY = frozenset((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.LOCKED, HTTPStatus.TOO_EARLY))
LOCKED = "resource_locked"
"""Statuses, and the key of a 409, that say nothing about a request but that it came too soon."""

CYCLE_LIMIT = "api_calls_cycle"
"""The limit of a billing cycle, which ends days or weeks from now."""

BULK_LIMIT = "bulk_api_calls"
"""The limit of bulk requests, which have an allowance of their own."""

ERROR_MEMBERS = frozenset(("code", "key", "statusCode"))
"""An error object of Voucherify has at least one of these, in both of its published shapes."""

ADVICE_BY_STATUS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "check application_id and secret_key, and that api_url is the "
    "endpoint that Voucherify's Project settings show: keys work in their own region only",
    HTTPStatus.PAYMENT_REQUIRED: "the Voucherify plan does not include this feature or has ended: "
    "change the plan, or leave out what needs it",
    HTTPStatus.FORBIDDEN: "the API key's role lacks a permission, or this machine's IP address is "
    "not on the key's list: check both in Voucherify's Project settings, or leave out what needs "
    "the permission",
}
"""What the reader of the log can do about a status that a retry does not cure."""

LOGGABLE = re.compile(r"[\w.:-]{1,64}", re.ASCII)
"""The shape of a key, a request id or the name of a limit; anything else is not logged."""

WRONG_API = "check that api_url is a Voucherify API endpoint"
"""Advice for a response that no Voucherify API gives."""


@dataclass(frozen=True, slots=True)
class Response:
    """The result of one HTTP exchange.

    Attributes:
        status: HTTP status; `None` when no response came.
        headers: of the response.
        body: decoded JSON; `None` without any.
        failure: why the exchange is of no use: such as `cut connection`, `time-out`, `not JSON`.
        replaced: characters and numbers of the body that JSON cannot hold and that were replaced.
    """

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    failure: str | None = None
    replaced: int = 0

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx and the body is as expected."""
        return self.status is not None and self.status < REDIRECTS and self.failure is None

    @property
    def error_object(self) -> Mapping[str, Any]:
        """The JSON object of the body, or an empty mapping."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def is_voucherify_404(self) -> bool:
        """Whether Voucherify says that a thing does not exist; a proxy's 404 says nothing."""
        return self.status == HTTPStatus.NOT_FOUND and self.is_from_voucherify

    @property
    def is_from_voucherify(self) -> bool:
        """Whether the body is an error object of Voucherify."""
        return not ERROR_MEMBERS.isdisjoint(self.error_object)

    def text_field(self, name: str) -> str:
        """A text member of the body, or `""`: no member of an error object is certain."""
        value = self.error_object.get(name)
        return value if isinstance(value, str) else ""


def read(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    decode: Callable[[bytes], Any] = msgspec.json.decode,
) -> Response:
    """The response with its body decoded.

    A success or a 404 that is not JSON is a failure: such a 404 may come from anywhere on the way.

    Args:
        status: of the response.
        headers: of the response.
        content: its body.
        decode: decodes the body of a success; raises what `msgspec` raises.
    """
    is_success = status < REDIRECTS
    if status == HTTPStatus.NO_CONTENT and not content:
        return Response(status, headers)
    try:
        body, replaced = lenient_json.decode(content, decode if is_success else msgspec.json.decode)
    except (ValueError, RecursionError):
        is_failure = is_success or status == HTTPStatus.NOT_FOUND
        return Response(status, headers, failure="not JSON" if is_failure else None)
    return Response(status, headers, body, replaced=replaced)


def describe(response: Response, operation: str) -> str:
    """What came back, in a form that is safe to log: no body, no query, no key.

    Args:
        response: of any kind.
        operation: method and path template.
    """
    if response.status is None:
        return f"{operation}: {response.failure}"
    parts = [f"{operation} answered {response.status}"]
    if response.failure is not None:
        parts.append(response.failure)
    for name in ("key", "request_id"):
        value = response.text_field(name)
        if is_loggable(value):
            parts.append(f"{name} {value}")
    return ", ".join(parts)


def limit_type(response: Response) -> str | None:
    """The name of the limit that a 429 is about, from an optional header."""
    value = response.headers.get("X-Rate-Limit-Type", "")
    return value if is_loggable(value) else None


def is_loggable(value: object) -> bool:
    """Whether a value from the API is safe to log."""
    return isinstance(value, str) and LOGGABLE.fullmatch(value) is not None


def may_be_applied(response: Response) -> bool:
    """Whether a request without success may have been applied: lost, cut, or met by a 5xx."""
    status = response.status
    return status is None or status >= SERVER_ERRORS or response.failure is not None


def retry_delay_or_raise(
    response: Response, operation: str, now: datetime, *, is_download: bool
) -> tuple[float, str] | None:
    """Seconds that a response asks to wait, and the header that says so; `None` without one.

    Args:
        response: not a success.
        operation: method and path template, for the message.
        now: the local clock.
        is_download: whether the request was for a download address, which expires.

    Raises:
        VoucherifyError: a retry is pointless, and what to do instead.
    """
    if response.failure is not None or response.status is None:
        return None
    is_limited = response.status == HTTPStatus.TOO_MANY_REQUESTS
    if response.status < SERVER_ERRORS and not (is_limited or _is_busy(response)):
        raise error_for(response, operation, is_download=is_download)
    delay = server_delay(response.status, response.headers, now)
    if is_limited:
        _raise_for_limit(response, operation, delay)
    if delay is not None and delay[0] > LONGEST_WAIT:
        raise VoucherifyError(
            f"{describe(response, operation)} and asks to wait {delay[0]:.0f} s, longer than a "
            "day: run again then."
        )
    return delay


def _is_busy(response: Response) -> bool:
    is_locked = response.status == HTTPStatus.CONFLICT and response.text_field("key") == LOCKED
    return is_locked or response.status in BUSY


def _raise_for_limit(response: Response, operation: str, delay: tuple[float, str] | None) -> None:
    """Raise for a limit that a wait of this request does not cure."""
    limit = limit_type(response)
    if limit == CYCLE_LIMIT:
        raise CycleUsedUpError
    is_read = operation.startswith("GET ")  # which waits as for any other limit
    if limit == BULK_LIMIT and not is_read and (delay is None or delay[0] <= LONGEST_WAIT):
        raise BulkLimitedError(describe(response, operation), None if delay is None else delay[0])


def error_for(response: Response, operation: str, *, is_download: bool) -> VoucherifyError:
    """The error for a 3xx or 4xx response that a retry does not cure.

    Args:
        response: with such a status, and not 429.
        operation: method and path template, for the message.
        is_download: whether the request was for a download address, which expires.
    """
    summary, status = describe(response, operation), response.status or 0
    if is_download and status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}:
        return ExpiredDownloadError(f"{summary}: run again, which requests a fresh address.")
    if status < CLIENT_ERRORS:
        return VoucherifyError(
            f"{summary}, a redirect, which is never followed because it would hand the keys to "
            "another host: set api_url to the endpoint that Voucherify's Project settings show."
        )
    if status == HTTPStatus.NOT_FOUND:
        kind = response.text_field("resource_type")
        missing = NotFoundError(summary, WRONG_API, resource_type=kind)
        return missing if response.is_voucherify_404 else VoucherifyError(str(missing))
    if status in ADVICE_BY_STATUS:
        refused = AccessError if status == HTTPStatus.UNAUTHORIZED else DeniedError
        return refused(f"{summary}: {ADVICE_BY_STATUS[status]}.")
    if not response.is_from_voucherify and status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return VoucherifyError(
            f"{summary} without an error of Voucherify, so something on the way answered: check "
            "api_url, the proxy and the network."
        )
    return RefusedRequestError(
        summary,
        key=response.text_field("key") or str(status),
        message=response.text_field("message"),
        details=response.text_field("details"),
    )
