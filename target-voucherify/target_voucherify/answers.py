"""What an answer of the API means: pure functions of status, headers and body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from target_voucherify import lenient_json
from target_voucherify.errors import AccessError, RefusedRequestError, VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_CONTENT = 204
OK_BELOW = 300
CLIENT_ERRORS = 400
NOT_FOUND = 404
TOO_MANY = 429
SERVER_ERRORS = 500

UNAUTHORIZED = 401

ERROR_MEMBERS = frozenset(("code", "key", "statusCode"))
"""One of them is in an error of Voucherify, in either shape of it (reference §3.1)."""

MUST_ACT = {
    401: "check application_id and secret_key, and that api_url is the endpoint that Voucherify's "
    "Project settings show: keys work in their own region only",
    402: "the plan of this project does not include what was asked for or has ended: ask "
    "Voucherify, or whoever pays for the project",
    403: "the API key lacks a permission, or this machine's address is not on its list: check the "
    "key's role and IP list in Project settings",
}
"""What the reader of the log can do about a status that waiting does not cure (reference §3.2)."""

WORD = re.compile(r"[\w.:-]{1,64}", re.ASCII)
"""What a key, a request id or the name of a limit looks like; anything else is not logged."""

WRONG_API = "check that api_url is a Voucherify API endpoint"
"""What to do about an answer that fits the status and not the API."""


class Answer(NamedTuple):
    """One answer: HTTP status, headers, and the JSON it carried (None without one).

    `status` is 0 when nothing came back; `trouble` says why that, or what came, is of no use.
    """

    status: int
    headers: Mapping[str, str]
    body: Any = None
    trouble: str = ""
    replaced: int = 0
    """Characters and numbers of the body that could not be kept."""

    def word(self, name: str) -> str:
        """A text member of the body, or "" (reference §3.1: none of them is certain)."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        return value if isinstance(value, str) else ""

    @property
    def says_not_found(self) -> bool:
        """Whether Voucherify says that a thing is gone; the 404 of a proxy on the way does not."""
        known = isinstance(self.body, dict) and not ERROR_MEMBERS.isdisjoint(self.body)
        return self.status == NOT_FOUND and known


def read(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """The answer with its JSON; a success without it is of no use.

    A gateway's error page is told by its status alone (reference §14, question 28).
    """
    failure = "not JSON" if status < OK_BELOW else ""
    if not content:
        return Answer(status, headers, trouble="" if status == NO_CONTENT else failure)
    try:
        body, replaced = lenient_json.decode(content)
    except (ValueError, RecursionError):
        return Answer(status, headers, trouble=failure)
    return Answer(status, headers, body, replaced=replaced)


def is_unusable(answer: Answer) -> bool:
    """Whether asking again is right: nothing came, a 5xx, or a success without its JSON."""
    return bool(answer.trouble) or answer.status >= SERVER_ERRORS


def said(answer: Answer, what: str) -> str:
    """What came back for a request, in a form that is safe to log: no body, no query, no key.

    Args:
        answer: of any kind.
        what: method and path template.
    """
    if not answer.status:
        return f"{what}: {answer.trouble}"
    parts = [f"{what} answered {answer.status}"]
    if answer.trouble:
        parts.append(answer.trouble)
    words = {name: answer.word(name) for name in ("key", "request_id")}
    parts += [f"{name} {word}" for name, word in words.items() if is_word(word)]
    return ", ".join(parts)


def limit_of(answer: Answer) -> str | None:
    """Which limit an answer is about; the header that says so is optional (reference §2.2)."""
    limit = answer.headers.get("X-Rate-Limit-Type", "")
    return limit if is_word(limit) else None


def is_word(value: object) -> bool:
    """Whether a value that the API gave is safe to log."""
    return isinstance(value, str) and WORD.fullmatch(value) is not None


def judged(answer: Answer, what: str) -> Answer:
    """The answer, when it is 2xx, or Voucherify's own 404.

    Args:
        answer: usable, and not 429.
        what: method and path template, for the sentence.

    Raises:
        AccessError: 401, 402 or 403, with the sentence that tells what to do.
        VoucherifyError: a redirect, or a 404 that somebody else gave.
        RefusedRequestError: any other 4xx.
    """
    status = answer.status
    if status < OK_BELOW or answer.says_not_found:
        return answer
    sentence = said(answer, what)
    if status == NOT_FOUND:
        raise VoucherifyError(f"{sentence}: {WRONG_API}.")
    if status in MUST_ACT:
        raise AccessError(f"{sentence}: {MUST_ACT[status]}.", status)
    if status < CLIENT_ERRORS:
        raise VoucherifyError(
            f"{sentence}, a redirect, which is never followed because it would hand the keys to "
            "another host: set api_url to the endpoint that Voucherify's Project settings show."
        )
    raise RefusedRequestError(
        sentence,
        key=answer.word("key") or str(status),
        message=answer.word("message"),
        details=answer.word("details"),
    )
