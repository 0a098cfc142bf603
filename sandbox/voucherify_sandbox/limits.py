"""Rate limits and their headers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from voucherify_sandbox.errors import ApiError

if TYPE_CHECKING:
    from voucherify_sandbox.clock import Clock

TOO_MANY = "Too many requests hit the API too quickly."


@dataclass(kw_only=True)
class Limits:
    """Calls allowed in a period and in a billing cycle; `None` is no limit.

    Bulk requests have a limit of their own, and a billing cycle never ends here.
    """

    calls: int = 1_000_000
    period_seconds: float = 60
    bulk_calls: int = 100_000
    bulk_period_seconds: float = 3600
    cycle_calls: int | None = None


@dataclass
class Bucket:
    """Calls used of one limit in the current period."""

    kind: str
    used: int = 0
    ends: datetime | None = None


@dataclass
class Quota:
    """Counts calls against the limits, by the clock of the project."""

    clock: Clock
    limits: Limits
    cycle: int = 0
    _calls: Bucket = field(default_factory=lambda: Bucket("api_calls"))
    _bulk_calls: Bucket = field(default_factory=lambda: Bucket("bulk_api_calls"))

    def take(self, *, bulk: bool) -> tuple[dict[str, str], ApiError | None]:
        """Count one call; returns the headers of its response, and the 429 above a limit."""
        bucket = self._bulk_calls if bulk else self._calls
        allowed = self.limits.bulk_calls if bulk else self.limits.calls
        seconds = self.limits.bulk_period_seconds if bulk else self.limits.period_seconds
        now, period = self.clock.now(), timedelta(seconds=seconds)
        if bucket.ends is None or not now < bucket.ends <= now + period:
            bucket.used, bucket.ends = 0, now + period
        headers = {
            "X-Rate-Limit-Limit": str(allowed),
            "X-Rate-Limit-Remaining": str(max(0, allowed - bucket.used - 1)),
            "X-Rate-Limit-Retry": str(math.ceil(bucket.ends.timestamp())),
        }
        if self.limits.cycle_calls is not None and self.cycle >= self.limits.cycle_calls:
            return headers, too_many("api_calls_cycle")
        if bucket.used >= allowed:
            wait = math.ceil((bucket.ends - now).total_seconds())
            return headers, too_many(bucket.kind, {"Retry-After": str(wait)})
        bucket.used += 1
        self.cycle += not bulk
        return headers, None


def too_many(kind: str, headers: dict[str, str] | None = None) -> ApiError:
    """429 as documented, which has no `key`."""
    body = {"code": 429, "message": TOO_MANY}
    return ApiError(429, body, {"X-Rate-Limit-Type": kind, **(headers or {})})
