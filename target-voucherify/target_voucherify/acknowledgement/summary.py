"""What the run did, in counts that add up: a line while it works, one JSON object at its end."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from target_voucherify.voucherify_client.metrics import values_of_run, write_metrics

if TYPE_CHECKING:
    import logging

    from target_voucherify.voucherify_client.client import Usage

PROGRESS_INTERVAL = 10.0
"""Seconds between two progress lines."""


@dataclass
class Records:
    """Number of records by outcome: each record received has exactly one of the others."""

    received: int = 0
    accepted: int = 0
    unchanged: int = 0
    duplicates: int = 0
    refused: int = 0
    deleted: int = 0
    deletes_ignored: int = 0
    removed_by_stream_map: int = 0
    superseded: int = 0

    @property
    def settled(self) -> int:
        """Records that have an outcome."""
        counts: dict[str, int] = asdict(self)
        return sum(counts.values()) - self.received


@dataclass
class Summary:
    """The counts of one run, and how they are logged."""

    logger: logging.Logger
    usage: Usage
    records: Records = field(default_factory=Records)
    of_entity: dict[str, Records] = field(default_factory=dict)
    jobs: int = 0
    complete: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    metrics_path: str | None = None
    """File for the run's metrics; none in a dry run, which does nothing that could be counted."""
    state_emitted_at: float | None = None
    """When the newest state was emitted, in seconds."""
    _started: float = field(default_factory=time.monotonic)
    _logged: float = field(default_factory=time.monotonic)

    def log_progress(self) -> None:
        """Log how far the run is, about every ten seconds."""
        now = time.monotonic()
        if now - self._logged < PROGRESS_INTERVAL:
            return
        self._logged = now
        records, seconds, left = self.records, now - self._started, self.usage.quota_left
        self.logger.info(
            "%d records received, %d settled, %d refused, %.0f records/s, %d API calls%s",
            records.received,
            records.settled,
            records.refused,
            records.received / seconds,
            self.usage.calls,
            "" if left is None else f", {left} calls left in the period",
        )

    def _entities(self) -> dict[str, Any]:
        """The counts of each entity, where a run may write others than customers."""
        if len(self.of_entity) == 1:
            return {}
        counted = {
            name: {
                "received": counts.received,
                "accepted": counts.accepted,
                "unchanged": counts.unchanged,
                "refused": counts.refused,
            }
            for name, counts in self.of_entity.items()
        }
        return {"entities": counted}

    def log(self, status: int) -> None:
        """Log what the run did as one JSON object, the last line of its log.

        The file of `metrics_path` has the same figures.

        Args:
            status: exit code of the run.
        """
        line: dict[str, Any] = {
            "complete": self.complete,
            **asdict(self.records),
            "unconfirmed": self.records.received - self.records.settled,
            "bulk_jobs": self.jobs,
            "calls": self.usage.calls,
            "retries": self.usage.retries,
            "seconds_waited": round(self.usage.seconds_waited, 1),
            "quota_left": self.usage.quota_left,
            **({"replaced": self.usage.replaced} if self.usage.replaced else {}),
            "seconds": round(time.monotonic() - self._started, 1),
            **self._entities(),
            **self.extra,
        }
        if self.metrics_path:
            outcomes = (*asdict(self.records), "unconfirmed")
            values = {
                **values_of_run(line, status),
                "quota_limit": self.usage.quota_limit,
                "records_total": {name: line[name] for name in outcomes if name != "received"},
                "last_run_refused_ratio": self.records.refused / max(1, self.records.received),
                "state_timestamp_seconds": self.state_emitted_at,
            }
            write_metrics(self.metrics_path, "target", values, self.logger)
        self.logger.info("run summary %s", json.dumps(line))
