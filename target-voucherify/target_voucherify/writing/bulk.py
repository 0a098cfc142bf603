"""Bulk writing: several jobs in flight, few polls, every result reconciled with what was sent.

Two jobs in flight never share a `source_id`. Voucherify applies jobs in the order it received them
(its documentation of async actions), but rows that are sent again come after rows that were read
later. Without a shared key that order does not matter.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from typing_extensions import override

from target_voucherify.acknowledgement.refusal_reasons import api_reason
from target_voucherify.acknowledgement.results_file import UNSENT, Sent
from target_voucherify.voucherify_client.client import ATTEMPTS_WHEN_LIMITED
from target_voucherify.voucherify_client.errors import (
    BulkLimitedError,
    MaxCallsError,
    NotFoundError,
    RefusedRequestError,
    StopSignalError,
    VoucherifyError,
)
from target_voucherify.voucherify_client.responses import WRONG_API, is_loggable
from target_voucherify.voucherify_client.retry_after import backoff
from target_voucherify.writing.earlier_jobs import ACTION
from target_voucherify.writing.job_result import Unnamed, has_ended, job_result
from target_voucherify.writing.poll_schedule import PollSchedule
from target_voucherify.writing.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_voucherify.context import RunContext
    from target_voucherify.entities.entity import Entity
    from target_voucherify.voucherify_client.responses import Response
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.job_result import JobResult

MAX_BYTES = 24 * 1024 * 1024
"""Bytes in flight at most. They are kept in memory, to be sent again or set aside, and count the
lines that a refused-records file needs."""

ATTEMPTS = 3
"""Attempts for rows whose outcome is unknown."""

LAG = 3.0
"""Seconds after its creation in which a job that is not found may only be invisible yet."""

CALLS_PER_JOB = 3
"""Calls kept back under `max_calls` for each job in flight: polls, the last with its result."""

FORMER_LIMIT = 100
"""Customers per bulk request that Voucherify accepted until August 2024 (its changelog)."""

UNEXPLAINED = {"key": "refused", "message": "Voucherify refused this row without saying why"}


class Job(NamedTuple):
    """A bulk request that Voucherify accepted."""

    id: str
    batch: Batch
    sent_at: float


class BulkWriter(Writer):
    """Writes batches through an entity's bulk request.

    Attributes:
        max_jobs: in flight.

    Args:
        context: of the run.
        entity: that is written.
        max_rows: customers in one request; lowered for good when Voucherify accepts fewer.
        timeout: seconds that a job may take.
    """

    max_jobs = 5

    def __init__(self, context: RunContext, entity: Entity, max_rows: int, timeout: float) -> None:
        self._context = context
        self._entity = entity
        self._timeout = timeout
        self._jobs: deque[Job] = deque()
        """In flight, oldest first."""
        self._unsent: deque[Batch] = deque()
        """To be sent again before anything else is."""
        self._schedule = PollSchedule()
        self._log = logging.getLogger("target-voucherify")
        self.max_rows = max_rows

    def in_flight(self, key: str) -> bool:
        """Whether a customer of this key is in a job that is not confirmed."""
        batches = (*(job.batch for job in self._jobs), *self._unsent)
        return any(key in batch.rows for batch in batches)

    def write(self, batch: Batch) -> None:
        """Send a batch once no key of it is in flight."""
        while self._unsent or not self._is_free(batch):
            self._advance()
        self._send(batch)

    def settle(self) -> None:
        """Wait until no job is in flight."""
        while self._unsent or self._jobs:
            self._advance()

    def poll(self) -> None:
        """Settle the oldest job if a poll is due and it has ended; never wait."""
        if self.seconds_to_poll == 0:
            self._settle_if_ended()
            while self._unsent:
                self._advance()

    @property
    @override
    def seconds_to_poll(self) -> float | None:
        has_calls = self._context.client.calls_left > CALLS_PER_JOB * len(self._jobs)
        return self._schedule.wait if self._jobs and has_calls else None

    def _is_free(self, batch: Batch) -> bool:
        return all(batch.rows.keys().isdisjoint(job.batch.rows) for job in self._jobs)

    def _advance(self) -> None:
        """Make one step towards having nothing in flight."""
        if self._unsent:
            self._send(self._unsent.popleft())
        else:
            self._settle_oldest()

    def _send(self, batch: Batch) -> bool:
        """Send a batch in as few requests as possible; returns whether all were accepted."""
        parts = batch.split(self.max_rows)
        for _ in parts[1:]:
            self._context.fence.retain(batch.ticket)
        accepted = [self._post(part) for part in parts]
        return all(accepted)

    def _post(self, batch: Batch) -> bool:
        self._make_room(batch)
        self._context.ledger.forget(batch.rows)
        try:
            response = self._request(batch.body())
        except RefusedRequestError as error:
            self._split_refused(batch, error)
            return False
        job = Job(response.text_field("async_action_id"), batch, time.monotonic())
        if not job.id:
            raise VoucherifyError(
                f"POST {self._entity.bulk} answered {response.status} without a job: {WRONG_API}."
            )
        self._context.summary.jobs += 1
        self._jobs.append(job)
        if len(self._jobs) == 1:
            self._schedule.begin(job.sent_at)
        return True

    def _request(self, body: bytes) -> Response:
        """Send a bulk request; while Voucherify accepts none, settle jobs in flight."""
        for attempt in range(1, ATTEMPTS_WHEN_LIMITED + 1):
            self._check_may_send()
            try:
                return self._context.client.request(
                    "POST",
                    self._entity.bulk,
                    body=body,
                    is_repeatable=self._entity.is_upserted,
                )
            except BulkLimitedError as limited:
                if attempt == ATTEMPTS_WHEN_LIMITED:
                    raise
                seconds = max(limited.delay or 0.0, backoff(attempt - 1))
                self._log.info(
                    "%s: no bulk requests for %.1f s, try %d of %d",
                    limited.summary,
                    seconds,
                    attempt + 1,
                    ATTEMPTS_WHEN_LIMITED,
                )
                self._wait_while_limited(seconds)
        raise AssertionError("the last attempt returns or raises")

    def _wait_while_limited(self, seconds: float) -> None:
        """Wait before the next bulk request, and settle jobs that end meanwhile.

        Nothing is sent here: rows that must be sent again follow the request that waits, and share
        no key with it.
        """
        usage, began = self._context.client.usage, time.monotonic()
        until = began + seconds
        try:
            while self._jobs and time.monotonic() + self._schedule.wait < until:
                self._context.shutdown.wait(self._schedule.wait)
                self._settle_if_ended()
            self._context.shutdown.wait(until - time.monotonic())
        finally:
            usage.retries += 1
            usage.seconds_waited += time.monotonic() - began

    def _make_room(self, batch: Batch) -> None:
        while self._jobs and (
            len(self._jobs) >= self.max_jobs
            or batch.held_bytes + sum(job.batch.held_bytes for job in self._jobs) > MAX_BYTES
        ):
            self._settle_oldest()

    def _check_may_send(self) -> None:
        """Raise if a signal came, or if `max_calls` leaves too few calls to confirm a further job.

        Raises:
            MaxCallsError, StopSignalError: nothing was sent.
        """
        if self._context.shutdown.signal_number:
            raise StopSignalError(self._context.shutdown.signal_number)
        missing = 1 + CALLS_PER_JOB * (len(self._jobs) + 1) - self._context.client.calls_left
        if missing > 0:
            raise MaxCallsError("max_calls leaves no room for a further batch.", int(missing))

    def _split_refused(self, batch: Batch, error: RefusedRequestError) -> None:
        """Send a refused batch in halves, until they are accepted or the bad row is found."""
        if len(batch.rows) == 1:
            self._refuse(batch, dict.fromkeys(batch.rows, error.error))
            self._context.outcomes.release(batch.ticket)
            return
        name, count = self._entity.name, len(batch.rows)
        self._log.warning("%s; sending its %d %s in halves", error.summary, count, name)
        halves = batch.split((len(batch.rows) + 1) // 2)
        self._context.fence.retain(batch.ticket)
        accepted = [self._send(half) for half in halves]
        if all(accepted):
            self._lower_max_rows(refused=len(batch.rows), accepted=len(halves[0].rows))

    def _lower_max_rows(self, *, refused: int, accepted: int) -> None:
        """Both halves were accepted, so the rows are fine and there were too many of them."""
        likely = FORMER_LIMIT if accepted < FORMER_LIMIT < refused else accepted
        if likely < self.max_rows:
            self.max_rows = likely
            self._log.warning(
                "Voucherify accepts fewer %s at once: %d from now on", self._entity.name, likely
            )

    def _settle_oldest(self) -> None:
        while True:
            self._context.shutdown.wait(self._schedule.wait)
            if self._settle_if_ended():
                return
            if self._schedule.running > self._timeout:
                raise VoucherifyError(
                    f"Job {self._jobs[0].id} did not end within async_timeout "
                    f"({self._timeout:g} s); its {self._entity.name} are sent again by the next "
                    "run."
                )

    def _settle_if_ended(self) -> bool:
        """Poll the oldest job once, and settle it if it has ended.

        Only the oldest one is polled: the others wait for it, and the response that shows its end
        also carries its result, which a list of jobs never does.
        """
        try:
            action = self._context.client.get(ACTION, {"id": self._jobs[0].id})
        except NotFoundError:
            action = {}
        except RefusedRequestError as error:
            # Not the refusal of a batch that waits for this job meanwhile.
            raise VoucherifyError(
                f"Job {self._jobs[0].id} cannot be polled ({error.summary}): its "
                f"{self._entity.name} are sent again by the next run."
            ) from None
        is_invisible = not action and time.monotonic() - self._jobs[0].sent_at < LAG
        if is_invisible or (action and not has_ended(action)):
            self._schedule.still_running()
            return False
        self._reconcile(action)
        return True

    def _reconcile(self, action: Mapping[str, Any]) -> None:
        job = self._jobs.popleft()
        self._schedule.end(job.sent_at, action.get("processing_time"))
        if self._jobs:
            self._schedule.begin(self._jobs[0].sent_at)
        result = job_result(action, job.batch.rows)
        request_id = action.get("request_id")
        logged_id = request_id if is_loggable(request_id) else "without a request_id"
        self._log.info("Job %s (%s): %s", job.id, logged_id, result.description)
        sent = Sent(job.id, request_id if is_loggable(request_id) else None)
        self._refuse(job.batch, result.named, sent)
        others = job.batch.without(result.named)
        if result.unnamed is Unnamed.ACCEPTED or not others.rows:
            self._context.outcomes.accept(others.rows, sent)
            self._context.outcomes.release(others.ticket)
        elif result.unnamed is Unnamed.REFUSED:
            self._refuse(others, dict.fromkeys(others.rows, UNEXPLAINED), sent)
            self._context.outcomes.release(others.ticket)
        elif result.unnamed is Unnamed.SOME_REFUSED:
            self._find_unnamed(others, job.id, result)
        else:
            self._send_again(others, job.id, result.description)

    def _find_unnamed(self, batch: Batch, job: str, result: JobResult) -> None:
        """Send rows again until every refused one is named, in halves if none was named."""
        del job
        halves = batch.split(len(batch.rows) if result.named else (len(batch.rows) + 1) // 2)
        for _ in halves[1:]:
            self._context.fence.retain(batch.ticket)
        self._unsent.extend(halves)

    def _send_again(self, batch: Batch, job: str, result: str) -> None:
        """Send rows again, although some may have been applied: an upsert may be repeated."""
        batch.attempts += 1
        if batch.attempts >= ATTEMPTS:
            raise VoucherifyError(
                f"Voucherify does not say what became of {self._entity.name} after {ATTEMPTS} "
                f"attempts (job {job}: {result}); run again later, or ask Voucherify's support "
                "about this job."
            )
        self._log.warning("Job %s is sent again: %s", job, result)
        self._unsent.append(batch)

    def _refuse(
        self, batch: Batch, errors: Mapping[str, Mapping[str, Any]], sent: Sent = UNSENT
    ) -> None:
        for key, error in errors.items():
            row = batch.rows[key]
            reason = api_reason(error, row.number)
            outcomes = self._context.outcomes
            outcomes.refuse(row.line, key, reason, batch.ticket, at=row.at, sent=sent)
