"""What an answer of the API means: pure functions of status, headers and body."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from tap_voucherify import lenient_json
from tap_voucherify.errors import (
    DeniedError,
    ExpiredDownloadError,
    NotFoundError,
    VoucherifyError,
)
from tap_voucherify.waiting import LONGEST, TOO_MANY_REQUESTS, told_to_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    Decode = Callable[[bytes], Any]

OK = 200
REDIRECTS = 300
CLIENT_ERRORS = 400
UNAUTHORIZED = 401
PAYMENT_REQUIRED = 402
FORBIDDEN = 403
NOT_FOUND = 404
SERVER_ERRORS = 500

CYCLE = "api_calls_cycle"
"""The limit of a billing cycle, which no wait of a run outlasts."""

ERROR_MEMBERS = frozenset(("code", "key", "statusCode"))
"""One of them is in an error of Voucherify, in either shape of it (reference §3.1)."""

FIX_BY_STATUS: Mapping[int, str] = {
    UNAUTHORIZED: "check application_id and secret_key, and that api_url is the endpoint that "
    "Voucherify's Project settings show: keys work in their own region only",
    PAYMENT_REQUIRED: "the Voucherify plan does not include this feature or has ended: deselect "
    "the stream or change the plan",
    FORBIDDEN: "give the API key's role the permission to read this in Voucherify's Project "
    "settings, or deselect the stream",
}
"""What the reader of the log can do about a status that waiting does not cure (reference §3.2)."""

WORD = re.compile(r"[\w.:-]{1,64}", re.ASCII)
"""What a key, a request id or the name of a limit looks like; anything else is not logged."""

WRONG_API = "check that api_url is a Voucherify API endpoint"
"""What to do about an answer that no Voucherify API gives."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP exchange: an answer, or the reason why there is none."""

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    failure: str | None = None
    """Why the exchange gave nothing to use: `cut connection`, `time-out`, `not JSON`."""
    replaced: int = 0
    """Characters and numbers of the body that could not be kept."""

    @property
    def is_usable(self) -> bool:
        """Whether this is what was asked for."""
        return self.status == OK and self.failure is None

    @property
    def error_object(self) -> Mapping[str, Any]:
        """The error as either published shape tells it, or an empty mapping (reference §3.1)."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def says_not_found(self) -> bool:
        """Whether Voucherify says that a thing is gone; the 404 of a proxy on the way does not."""
        return self.status == NOT_FOUND and not ERROR_MEMBERS.isdisjoint(self.error_object)


def read(
    status: int, headers: Mapping[str, str], content: bytes, decode: Decode = msgspec.json.decode
) -> Answer:
    """The answer with its body decoded; a success that is not JSON is a failure.

    A gateway's error page is told by its status alone (reference §14, question 28).

    Args:
        status: of the answer.
        headers: of the answer.
        content: its body.
        decode: makes something of the body of a success; raises what `msgspec` raises.
    """
    try:
        body, replaced = lenient_json.decode(
            content, decode if status == OK else msgspec.json.decode
        )
    except (ValueError, RecursionError):
        return Answer(status, headers, failure="not JSON" if status < REDIRECTS else None)
    return Answer(status, headers, body, replaced=replaced)


def said(answer: Answer, what: str) -> str:
    """What came back for a call, in a form that is safe to log: no body, no query, no key.

    Args:
        answer: of any kind.
        what: method and path template.
    """
    if answer.status is None:
        return f"{what}: {answer.failure}"
    error = answer.error_object
    parts = [f"{what} answered {answer.status}"]
    if answer.failure is not None:
        parts.append(answer.failure)
    parts += [f"{part} {error[part]}" for part in ("key", "request_id") if _word(error.get(part))]
    return ", ".join(parts)


def told_by(
    answer: Answer, what: str, now: datetime, *, download: bool
) -> tuple[float, str] | None:
    """How long an answer that is not usable asks to wait, and by what; none where it does not say.

    Args:
        answer: not what was asked for.
        what: method and path template, for the sentence.
        now: the local clock.
        download: whether a file was asked for by an address that does not last.

    Raises:
        VoucherifyError: asking again is pointless, and what to do instead.
    """
    if answer.failure is not None or answer.status is None:
        return None
    if answer.status < SERVER_ERRORS and answer.status != TOO_MANY_REQUESTS:
        raise _refusal(answer, what, download=download)
    if answer.status == TOO_MANY_REQUESTS and limit_of(answer) == CYCLE:
        raise VoucherifyError(
            "Voucherify's calls of this billing cycle are used up: run again when the next cycle "
            "begins or after buying a package; the state says where to go on."
        )
    told = told_to_wait(answer.status, answer.headers, now)
    if told is not None and told[0] > LONGEST:
        raise VoucherifyError(
            f"{said(answer, what)} and asks to wait {told[0]:.0f} s, longer than a day: run again "
            "then."
        )
    return told


def limit_of(answer: Answer) -> str | None:
    """Which limit an answer is about; the header that says so is optional (reference §2.2)."""
    return _word(answer.headers.get("X-Rate-Limit-Type"))


def _word(value: object) -> str | None:
    """A value that is safe to log, or none."""
    return value if isinstance(value, str) and WORD.fullmatch(value) else None


def _refusal(answer: Answer, what: str, *, download: bool) -> VoucherifyError:
    sentence, status = said(answer, what), answer.status or 0
    if download and status in {UNAUTHORIZED, NOT_FOUND}:
        return ExpiredDownloadError(f"{sentence}: run again, which asks for a fresh address.")
    if status == NOT_FOUND:
        kind = NotFoundError if answer.says_not_found else VoucherifyError
        return kind(f"{sentence}: {WRONG_API}.")
    if REDIRECTS <= status < CLIENT_ERRORS:
        return VoucherifyError(
            f"{sentence}, a redirect, which is never followed because it would hand the keys to "
            "another host: set api_url to the endpoint that Voucherify's Project settings show."
        )
    fix = FIX_BY_STATUS.get(status, "report it to the maintainers with the run's log")
    kind = DeniedError if status in {PAYMENT_REQUIRED, FORBIDDEN} else VoucherifyError
    return kind(f"{sentence}: {fix}.")
