"""What an answer of the API means: pure functions of status, headers and body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from target_voucherify.errors import AccessError, RefusedRequestError, VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_CONTENT = 204
OK_BELOW = 300
CLIENT_ERRORS = 400
NOT_FOUND = 404
TOO_MANY = 429
SERVER_ERRORS = 500

MUST_ACT = {
    401: "Voucherify does not accept the keys: check application_id and secret_key, and that "
    "api_url is the endpoint of your project's region (Project settings)",
    402: "the plan of this project does not include what was asked for: ask Voucherify, or whoever "
    "pays for the project",
    403: "the API key lacks a permission, or this machine's address is not on its list: check the "
    "key's role and IP list in Project settings",
}


class Answer(NamedTuple):
    """One answer: HTTP status, headers, and the JSON it carried (None without one).

    `status` is 0 when nothing usable came back; `trouble` then says why.
    """

    status: int
    headers: Mapping[str, str]
    body: Any = None
    trouble: str = ""

    def word(self, name: str) -> str:
        """A text member of the body, or "" (reference §3.1: none of them is certain)."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        return value if isinstance(value, str) else ""


def read(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """The answer with its JSON; what should be JSON and is not makes it unusable."""
    if not content:
        said_nothing = status < OK_BELOW and status != NO_CONTENT
        return Answer(status, headers, trouble="an empty body" if said_nothing else "")
    try:
        body = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        return Answer(status, headers, trouble="a body that is not JSON")
    return Answer(status, headers, body)


def is_unusable(answer: Answer) -> bool:
    """Whether asking again is right: nothing came, a 5xx, or a success without its JSON."""
    if answer.status == 0 or answer.status >= SERVER_ERRORS:
        return True
    return bool(answer.trouble) and answer.status < OK_BELOW


def judged(answer: Answer, what: str) -> Answer:
    """The answer, when it is 2xx or 404.

    Args:
        answer: usable, and not 429.
        what: method and path template, for the sentence.

    Raises:
        AccessError: 401, 402 or 403, with the sentence that tells what to do.
        VoucherifyError: a redirect.
        RefusedRequestError: any other 4xx.
    """
    status = answer.status
    if status < OK_BELOW or status == NOT_FOUND:
        return answer
    said = ", ".join(
        f"{name} {answer.word(name)}" for name in ("key", "request_id") if answer.word(name)
    )
    sentence = f"{what}: status {status}" + (f" ({said})" if said else "")
    if status in MUST_ACT:
        raise AccessError(f"{sentence}: {MUST_ACT[status]}.", status)
    if status < CLIENT_ERRORS:
        raise VoucherifyError(f"{sentence}: redirects are not followed; check api_url.")
    raise RefusedRequestError(
        sentence,
        key=answer.word("key") or str(status),
        message=answer.word("message"),
        details=answer.word("details"),
    )
