"""How responses are written: spaces, members that no description has, and odd headers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

UNKNOWN = {"added_later": {"since": 2027, "tags": ["new", None], "note": 'a "name" \\ ä'}}
"""A member that no published description has."""

BROKEN_LINE = "A line that is no header"

Headers = list[tuple[str, str]]


@dataclass(kw_only=True)
class Dialect:
    """The form of every response.

    Attributes:
        spaces: `none`, `some` after commas and colons, or `lines`, which indents.
        unknown_members: whether every object has a member that no description has, before its own.
        headers: `plain`; `doubled`: each twice; `broken`: a line without a colon comes first;
            `missing`: no date, quota or content type; `slow`: piece by piece, as the body.
    """

    spaces: Literal["none", "some", "lines"] = "none"
    unknown_members: bool = False
    headers: Literal["plain", "doubled", "broken", "missing", "slow"] = "plain"

    def encoded(self, body: object, stamp: Callable[[datetime], str]) -> bytes:
        """A body as JSON, timestamps formatted by `stamp`."""
        shape: dict[str, Any] = {"separators": (",", ":")} if self.spaces == "none" else {}
        if self.spaces == "lines":
            shape = {"indent": 1}
        value = _with_unknown_members(body) if self.unknown_members else body
        encoder = partial(json.dumps, value, default=stamp, **shape)
        try:
            return encoder(ensure_ascii=False).encode()
        except UnicodeEncodeError:
            # A lone surrogate: JSON can hold it as an escape, UTF-8 cannot.
            return encoder().encode()

    def lines(self, headers: Headers) -> Iterable[str]:
        """The header lines of a response."""
        lines = [f"{name}: {value}" for name, value in headers if not self._lacks(name)]
        if self.headers == "doubled":
            return [line for line in lines for _ in range(2)]
        return [BROKEN_LINE, *lines] if self.headers == "broken" else lines

    def _lacks(self, name: str) -> bool:
        is_kept = name in {"Content-Length", "Connection", "Location", "Retry-After"}
        return self.headers == "missing" and not is_kept


def _with_unknown_members(value: object) -> object:
    if isinstance(value, dict):
        parts = {name: _with_unknown_members(part) for name, part in value.items()}
        return {**UNKNOWN, **parts}
    if isinstance(value, list | tuple):
        return [_with_unknown_members(part) for part in value]
    return value
