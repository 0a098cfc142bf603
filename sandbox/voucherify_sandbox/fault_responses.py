"""Responses that faults send in place of the project's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from voucherify_sandbox.limits import TOO_MANY
from voucherify_sandbox.response import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from voucherify_sandbox.faults import Fault
    from voucherify_sandbox.request import Request

_HTML = b"<html><head><title>%s</title></head><body><h1>%s</h1></body></html>\n"
_NO_QUOTA = ("X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Retry")


def fault_response(fault: Fault, request: Request, now: datetime) -> Response | None:
    """The response of a fault that keeps the request from the project; `None` for other faults."""
    make = _RESPONSES.get(fault.kind)
    return make(fault, request, now) if make else None


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return Response(status, {"code": status, "message": message}, headers or {})


def _html(status: int, title: bytes, headers: dict[str, str] | None = None) -> Response:
    page = _HTML % (title, title)
    return Response(status, raw=page, headers=headers or {}, content_type="text/html")


def _status(fault: Fault, _: Request, __: datetime) -> Response:
    if isinstance(fault.body, str):
        raw = fault.body.encode("utf-8", "surrogateescape")
        return Response(fault.status, raw=raw, headers=fault.headers)
    body = {"code": fault.status, "message": "Broken on purpose"}
    return Response(fault.status, body if fault.body is None else fault.body, fault.headers)


def _limit(fault: Fault, _: Request, now: datetime) -> Response:
    """429 with one of the two headers, of the billing cycle, or without headers: "" omits one."""
    headers = {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Type": "api_calls"}
    again = now + timedelta(seconds=fault.seconds)
    if fault.kind == "limit_retry_after":
        headers["Retry-After"] = f"{fault.seconds:g}"
    elif fault.kind == "limit_rate_limit_retry":
        headers["X-Rate-Limit-Retry"] = str(-int(-again.timestamp() // 1))
    elif fault.kind == "limit_cycle":
        headers["X-Rate-Limit-Type"] = "api_calls_cycle"
    else:
        headers = dict.fromkeys(_NO_QUOTA, "")
    return _error(429, TOO_MANY, headers)


def _unavailable(fault: Fault, _: Request, now: datetime) -> Response:
    wait = f"{fault.seconds:g}"
    if fault.kind == "unavailable_date":
        wait = format_datetime(now + timedelta(seconds=fault.seconds), usegmt=True)
    return _error(503, "Service unavailable", {"Retry-After": wait})


def _redirect(fault: Fault, request: Request, _: datetime) -> Response:
    status = fault.status if 300 <= fault.status < 400 else 302  # noqa: PLR2004 - redirects
    target = urljoin(fault.location or request.base_url, request.path)
    return Response(status, headers={"Location": target}, raw=b"")


def _deep(fault: Fault, _: Request, __: datetime) -> Response:
    return Response(200, raw=b'{"data":' + b"[" * fault.size + b"]" * fault.size + b"}")


_RESPONSES: dict[str, Callable[[Fault, Request, datetime], Response]] = {
    "status": _status,
    "limit_retry_after": _limit,
    "limit_rate_limit_retry": _limit,
    "limit_silent": _limit,
    "limit_cycle": _limit,
    "server_error": lambda *_: _error(500, "Internal server error"),
    "bad_gateway": lambda *_: _html(502, b"502 Bad Gateway"),
    "unavailable_seconds": _unavailable,
    "unavailable_date": _unavailable,
    "html": lambda *_: _html(200, b"Please sign in"),
    "empty": lambda *_: Response(200, raw=b""),
    "redirect": _redirect,
    "deep_json": _deep,
}
