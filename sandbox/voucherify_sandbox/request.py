"""A request as the endpoints see it, and what its parameters may be."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from voucherify_sandbox import timestamps
from voucherify_sandbox.errors import invalid_payload, invalid_query, plain_error, refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from voucherify_sandbox.errors import Json

MAX_LIMIT = 100
DEFAULT_LIMIT = 10
_OTHER_BRACKETS = re.compile(r"^\[(\w+)\](\[.*)$")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request, with its path parameters."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    request_id: str = ""
    base_url: str = ""
    job_fault: str = ""
    export_fault: str = ""
    download_host: str = ""

    def without(self, name: str) -> Request:
        """The same request without one query parameter."""
        return replace(self, query={key: one for key, one in self.query.items() if key != name})

    def json(self) -> Any:
        """The body as JSON; otherwise 400 in the second error shape."""
        try:
            return json.loads(self.body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            text = "Invalid request payload JSON format"
            raise plain_error(400, "Bad Request", text) from None

    def object(self) -> Json:
        """The body as a JSON object."""
        body = self.json()
        if not isinstance(body, dict):
            raise invalid_payload("Payload should be object")
        return body

    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    def text(self, name: str, allowed: Collection[str] | None = None) -> str | None:
        """A text parameter, or `None`."""
        value = self.query.get(name)
        if value is not None and allowed is not None and value not in allowed:
            raise invalid_query(f"Property .{name} should be one of {', '.join(sorted(allowed))}")
        return value

    def timestamp(self, name: str) -> datetime | None:
        """A date-time parameter, or `None`."""
        value = self.query.get(name)
        if value is None:
            return None
        moment = timestamps.parse(value)
        if moment is None:
            raise invalid_query(
                f"Property .{name} cannot be recognized as a ISO-8601 compliant date"
            )
        return moment

    def window(self, name: str) -> tuple[datetime | None, datetime | None]:
        """A pair of parameters such as `created_at[after]` and `created_at[before]`."""
        return self.timestamp(f"{name}[after]"), self.timestamp(f"{name}[before]")

    def limit(self) -> int:
        """Rows of a page: 10 by default, 100 at most."""
        return self._number("limit", MAX_LIMIT, "invalid_query_params") or DEFAULT_LIMIT

    def page(self, highest: int, key: str = "page_over_limit") -> int | None:
        """The page number, or `None`."""
        return self._number("page", highest, key)

    def _number(self, name: str, highest: int, key: str) -> int | None:
        value = self.query.get(name)
        if value is None:
            return None
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise invalid_query(f"Property .{name} should be a positive integer")
        if int(value) > highest:
            details = f"Property .{name} should not be above {highest}"
            raise refusal(400, key, "Invalid query params", details)
        return int(value)


@dataclass
class LoggedRequest:
    """One API call that the sandbox received.

    `status` is that of the project's response, also if the connection broke then; 0 if a fault
    kept the call from the project. `number` counts from 1, `template` is the path in the published
    description (the path itself if it is not described), `fault` the kind of fault that hit it.
    """

    number: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    status: int = 0
    template: str = ""
    fault: str = ""


def parsed_query(text: str) -> dict[str, str]:
    """Parameters by name; the documentation also writes `created_at[after]` in full brackets."""
    pairs = parse_qsl(text, keep_blank_values=True)
    return {_OTHER_BRACKETS.sub(r"\1\2", name): value for name, value in pairs}


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
