"""Bulk jobs that are queued before a run: what it writes must not overtake them.

A run that ends by `async_timeout`, a signal or a kill leaves its jobs in Voucherify's queue, and
another program may have jobs there too. They are applied in their order, so a later job overwrites
them; a single request does not wait in that queue, and they would overwrite it.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from target_voucherify.voucherify_client.errors import NotFoundError, VoucherifyError
from target_voucherify.voucherify_client.responses import WRONG_API
from target_voucherify.writing.job_result import has_ended
from target_voucherify.writing.poll_schedule import PollSchedule

if TYPE_CHECKING:
    from target_voucherify.entities.entity import Entity
    from target_voucherify.voucherify_client.client import Client

ACTIONS = "/v1/async-actions"
ACTION = "/v1/async-actions/{id}"

MAX_LISTED = 100
"""Jobs in one response at most, the newest first."""


class EarlierJobs:
    """The jobs that write an entity and had not ended when this run looked.

    Args:
        client: of the run.
        entity: that is written.
        timeout: seconds that they may take together.
    """

    def __init__(self, client: Client, entity: Entity, timeout: float) -> None:
        self._client = client
        self._entity = entity
        self._timeout = timeout
        self._have_ended = False
        self._log = logging.getLogger("target-voucherify")

    def wait(self) -> None:
        """Wait until they have ended; only the first call of a run requests anything."""
        if not self._have_ended:
            self.wait_anew()

    def wait_anew(self) -> bool:
        """Look for jobs that have not ended and wait for them; returns whether there were any.

        Raises:
            VoucherifyError: they take longer than the timeout.
        """
        jobs = self._unfinished()
        if jobs:
            self._log.info(
                "Waiting for %d earlier jobs, which no %s may overtake",
                len(jobs),
                self._entity.singular,
            )
        schedule = PollSchedule()
        schedule.begin(time.monotonic())
        for job in jobs:
            while not self._has_ended(job):
                if schedule.running > self._timeout:
                    raise VoucherifyError(
                        f"Job {job}, which was queued before this run, did not end within "
                        f"async_timeout ({self._timeout:g} s), and no {self._entity.singular} may "
                        "overtake it: run again later, or raise async_timeout."
                    )
                schedule.still_running()
                self._client.wait(schedule.wait)
        self._have_ended = True
        return bool(jobs)

    def _unfinished(self) -> list[str]:
        """The ids of the jobs to wait for, oldest first."""
        found = self._client.get(ACTIONS, params={"limit": MAX_LISTED}).get("async_actions")
        if not isinstance(found, list) or not all(isinstance(job, dict) for job in found):
            raise VoucherifyError(
                f"GET {ACTIONS} answered without a list of async actions: {WRONG_API}."
            )
        kind = self._entity.jobs
        return [
            str(job.get("id"))
            for job in reversed(found)
            if not has_ended(job) and str(job.get("type", kind)).startswith(kind)
        ]

    def _has_ended(self, job: str) -> bool:
        with suppress(NotFoundError):
            return has_ended(self._client.get(ACTION, {"id": job}))
        return True
