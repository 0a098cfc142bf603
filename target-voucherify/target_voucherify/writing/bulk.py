"""Bulk writing: requests queued ahead, jobs asked for economically, results reconciled.

Two jobs that are on their way never share a `source_id`. Voucherify applies jobs in the order it
received them (reference §8.4), but rows that must be sent again would come after later ones; where
no key is shared, that order does not matter.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from target_voucherify.acknowledgement.refusal_reasons import voucherifys
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
from target_voucherify.writing.job_result import Rest, has_ended, verdict
from target_voucherify.writing.poll_schedule import PollSchedule
from target_voucherify.writing.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_voucherify.context import RunContext
    from target_voucherify.voucherify_client.responses import Response
    from target_voucherify.writing.batch import Batch

BULK = "/v1/customers/bulk/async"
ACTION = "/v1/async-actions/{id}"

MOST_JOBS = 5
MOST_BYTES = 24 * 1024 * 1024
"""Sent but not confirmed, at most: what is on its way is kept in memory, to be sent again."""

TRIES = 3
"""Attempts for rows whose outcome is unknown."""

CALLS_PER_JOB = 3
"""Calls kept back under `max_calls` for each job on its way: looks, and its result."""

FORMER_LIMIT = 100
"""Customers per bulk request that Voucherify took until August 2024 (reference §7.1)."""

UNEXPLAINED = {"key": "refused", "message": "Voucherify refused this row without saying why"}


class Job(NamedTuple):
    """One bulk request that Voucherify took."""

    id: str
    batch: Batch
    sent_at: float


class BulkWriter(Writer):
    """Writes batches through `POST /v1/customers/bulk/async`."""

    def __init__(self, context: RunContext, most_rows: int, timeout: float) -> None:
        """Start with nothing on its way.

        Args:
            context: client, fence, outcomes and the rest that all writers use.
            most_rows: customers in one request; lowered for good when Voucherify takes fewer.
            timeout: seconds that a job may take.
        """
        self._context = context
        self._timeout = timeout
        self._queue: deque[Job] = deque()
        self._again: deque[Batch] = deque()
        self._schedule = PollSchedule()
        self._log = logging.getLogger("target-voucherify")
        self.most_rows = most_rows

    def in_flight(self, key: str) -> bool:
        """Whether a customer of this key is in a job that is not confirmed."""
        batches = (*(job.batch for job in self._queue), *self._again)
        return any(key in batch.rows for batch in batches)

    def write(self, batch: Batch) -> None:
        """Send a batch once no key of it is in flight."""
        while self._again or not self._is_free(batch):
            self._advance()
        self._send(batch)

    def settle(self) -> None:
        """Wait until no job is in flight."""
        while self._again or self._queue:
            self._advance()

    def poll(self) -> None:
        """Settle the oldest job if it is time to ask and it has ended; never wait for it."""
        if self._queue and not self._schedule.wait:
            self._settle_if_ended()
            while self._again:
                self._advance()

    def _is_free(self, batch: Batch) -> bool:
        return all(batch.rows.keys().isdisjoint(job.batch.rows) for job in self._queue)

    def _advance(self) -> None:
        """One step towards nothing being in flight."""
        if self._again:
            self._send(self._again.popleft())
        else:
            self._settle_oldest()

    def _send(self, batch: Batch) -> bool:
        """Send a batch in as few requests as fit; whether Voucherify took each of them."""
        parts = batch.parts(self.most_rows)
        for _ in parts[1:]:
            self._context.fence.share(batch.ticket)
        taken = [self._post(part) for part in parts]
        return all(taken)

    def _post(self, batch: Batch) -> bool:
        self._make_room(batch)
        self._context.ledger.forget(batch.rows)
        try:
            response = self._request(batch.body())
        except RefusedRequestError as error:
            self._refused_whole(batch, error)
            return False
        job = Job(response.text_field("async_action_id"), batch, time.monotonic())
        if not job.id:
            raise VoucherifyError(
                f"POST {BULK} answered {response.status} without a job: {WRONG_API}."
            )
        self._context.summary.jobs += 1
        self._queue.append(job)
        if len(self._queue) == 1:
            self._schedule.begin(job.sent_at)
        return True

    def _request(self, body: bytes) -> Response:
        """Send a bulk request; as long as Voucherify takes none, confirm what is in flight."""
        for attempt in range(1, ATTEMPTS_WHEN_LIMITED + 1):
            self._may_send()
            try:
                return self._context.client.request("POST", BULK, body=body)
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
        """Use the wait for the next bulk request: settle jobs that end in it, pass their states.

        Nothing is sent here: rows that must be sent again go after the request that waits. They
        share no key with it.
        """
        usage, began = self._context.client.usage, time.monotonic()
        until = began + seconds
        try:
            while self._queue and time.monotonic() + self._schedule.wait < until:
                self._context.shutdown.wait(self._schedule.wait)
                self._settle_if_ended()
            self._context.shutdown.wait(until - time.monotonic())
        finally:
            usage.retries += 1
            usage.seconds_waited += time.monotonic() - began

    def _make_room(self, batch: Batch) -> None:
        while self._queue and (
            len(self._queue) >= MOST_JOBS
            or batch.size + sum(job.batch.size for job in self._queue) > MOST_BYTES
        ):
            self._settle_oldest()

    def _may_send(self) -> None:
        """Hold new writes back after a signal, and where `max_calls` could not confirm them.

        Raises:
            MaxCallsError, StopSignalError: nothing was sent.
        """
        if self._context.shutdown.signal_number:
            raise StopSignalError(self._context.shutdown.signal_number)
        if self._context.client.calls_left < 1 + CALLS_PER_JOB * (len(self._queue) + 1):
            raise MaxCallsError("max_calls leaves no room for a further batch.")

    def _refused_whole(self, batch: Batch, error: RefusedRequestError) -> None:
        """Halve what was refused until it passes, or until the one bad row is found."""
        if len(batch.rows) == 1:
            self._refuse(batch, dict.fromkeys(batch.rows, error.error))
            self._context.outcomes.settled(batch.ticket)
            return
        self._log.warning("%s; sending its %d customers in halves", error.summary, len(batch.rows))
        halves = batch.parts((len(batch.rows) + 1) // 2)
        self._context.fence.share(batch.ticket)
        taken = [self._send(half) for half in halves]
        if all(taken):
            self._learn_limit(refused=len(batch.rows), taken=len(halves[0].rows))

    def _learn_limit(self, *, refused: int, taken: int) -> None:
        """Both halves passed, so the rows are fine and their number was not."""
        likely = FORMER_LIMIT if taken < FORMER_LIMIT < refused else taken
        if likely < self.most_rows:
            self.most_rows = likely
            self._log.warning("Voucherify takes fewer customers at once: %d from now on", likely)

    def _settle_oldest(self) -> None:
        while True:
            self._context.shutdown.wait(self._schedule.wait)
            if self._settle_if_ended():
                return
            if self._schedule.running > self._timeout:
                raise VoucherifyError(
                    f"Job {self._queue[0].id} did not end within async_timeout "
                    f"({self._timeout:g} s); its customers are sent again by the next run."
                )

    def _settle_if_ended(self) -> bool:
        """Ask once for the oldest job, and settle it if it has ended.

        Only the oldest one is asked for: the others wait for it, and the response that says that it
        ended is also the one that carries its result, which a list of jobs never does.
        """
        try:
            action = self._context.client.get(ACTION, {"id": self._queue[0].id})
        except NotFoundError:
            action = {}
        if action and not has_ended(action):
            self._schedule.still_running()
            return False
        self._reconcile(action)
        return True

    def _reconcile(self, action: Mapping[str, Any]) -> None:
        job = self._queue.popleft()
        self._schedule.end(job.sent_at, action.get("processing_time"))
        if self._queue:
            self._schedule.begin(self._queue[0].sent_at)
        found = verdict(action, job.batch.rows)
        request_id = action.get("request_id")
        shown = request_id if is_loggable(request_id) else "without a request_id"
        self._log.info("Job %s (%s): %s", job.id, shown, found.why)
        self._refuse(job.batch, found.named)
        rest = job.batch.without(found.named)
        if found.rest is Rest.ACCEPTED or not rest.rows:
            self._context.outcomes.written(rest.rows)
            self._context.outcomes.settled(rest.ticket)
        elif found.rest is Rest.REFUSED:
            self._refuse(rest, dict.fromkeys(rest.rows, UNEXPLAINED))
            self._context.outcomes.settled(rest.ticket)
        elif found.rest is Rest.SOME_REFUSED:
            self._find_refused(rest, named=bool(found.named))
        else:
            self._send_again(rest, job.id, found.why)

    def _find_refused(self, rest: Batch, *, named: bool) -> None:
        """Send the rest again until every refused row is named, in halves if none was named."""
        halves = rest.parts(len(rest.rows) if named else (len(rest.rows) + 1) // 2)
        for _ in halves[1:]:
            self._context.fence.share(rest.ticket)
        self._again.extend(halves)

    def _send_again(self, rest: Batch, job: str, why: str) -> None:
        """Right, although some rows may have been applied: an upsert may be repeated."""
        rest.tries += 1
        if rest.tries >= TRIES:
            raise VoucherifyError(
                f"Customers were sent {TRIES} times, and Voucherify does not say what became of "
                f"them (job {job}: {why}); run again later, or ask Voucherify about this job."
            )
        self._log.warning("Job %s is sent again: %s", job, why)
        self._again.append(rest)

    def _refuse(self, batch: Batch, errors: Mapping[str, Mapping[str, Any]]) -> None:
        for key, error in errors.items():
            row = batch.rows[key]
            reason = voucherifys(error, row.payload)
            self._context.outcomes.refused(row.line, key, reason, batch.ticket)
