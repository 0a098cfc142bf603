"""A response as the endpoints make it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from voucherify_sandbox.dialect import Dialect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime


@dataclass(frozen=True)
class Response:
    """A response: `body` as JSON, or `raw` as it is; no body where both are `None`."""

    status: int
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    content_type: str = "application/json; charset=utf-8"

    def encoded(self, stamp: Callable[[datetime], str], dialect: Dialect | None = None) -> Response:
        """The same response with its body as bytes, timestamps formatted by `stamp`.

        Bodies refer to live objects, so the caller holds the lock of the project.
        """
        if self.raw is not None or self.body is None:
            return replace(self, raw=self.raw or b"")
        return replace(
            self, raw=(Dialect() if dialect is None else dialect).encoded(self.body, stamp)
        )
