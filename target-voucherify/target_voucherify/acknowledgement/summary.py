"""What the run did, in counts that add up: one line while it works, one JSON object at its end."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging

    from target_voucherify.voucherify_client.client import Usage

PROGRESS_EVERY = 10.0
"""Seconds between two progress lines."""


@dataclass
class Records:
    """Where the records went: each one received ends in exactly one of the other counts."""

    received: int = 0
    accepted: int = 0
    unchanged: int = 0
    duplicates: int = 0
    refused: int = 0
    deleted: int = 0
    deletes_ignored: int = 0
    removed_by_stream_map: int = 0

    @property
    def unconfirmed(self) -> int:
        """Received, but neither accepted nor set aside when the run ended."""
        return self.received - self.settled

    @property
    def settled(self) -> int:
        """Records that need no further care."""
        return (
            self.accepted
            + self.unchanged
            + self.duplicates
            + self.refused
            + self.deleted
            + self.deletes_ignored
            + self.removed_by_stream_map
        )


@dataclass
class Summary:
    """The counts of one run and how they are said."""

    logger: logging.Logger
    usage: Usage
    records: Records = field(default_factory=Records)
    jobs: int = 0
    complete: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)

    def progress(self) -> None:
        """Say how far the run is, about every ten seconds."""
        now = time.monotonic()
        if now - self._said < PROGRESS_EVERY:
            return
        self._said = now
        records, seconds = self.records, now - self._started
        self.logger.info(
            "%d records received, %d settled, %d refused, %.0f records/s, %d API calls, "
            "%s calls left in the period",
            records.received,
            records.settled,
            records.refused,
            records.received / seconds,
            self.usage.calls,
            "unknown number of" if self.usage.quota_left is None else self.usage.quota_left,
        )

    def tell(self) -> None:
        """Log what the run did as one JSON object, the last line of its log."""
        records = self.records
        line = {
            "complete": self.complete,
            **{name: getattr(records, name) for name in records.__dataclass_fields__},
            "unconfirmed": records.unconfirmed,
            "bulk_jobs": self.jobs,
            "calls": self.usage.calls,
            "retries": self.usage.retries,
            "seconds_waited": round(self.usage.seconds_waited, 1),
            "quota_left": self.usage.quota_left,
            **({"replaced": self.usage.replaced} if self.usage.replaced else {}),
            "seconds": round(time.monotonic() - self._started, 1),
            **self.extra,
        }
        self.logger.info("run summary %s", json.dumps(line))
