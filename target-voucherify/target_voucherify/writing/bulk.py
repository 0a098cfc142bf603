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
from target_voucherify.answers import NOT_FOUND, WRONG_API, is_word
from target_voucherify.errors import (
    MaxCallsError,
    RefusedRequestError,
    StopSignalError,
    VoucherifyError,
)
from target_voucherify.writing.job_result import Rest, has_ended, verdict
from target_voucherify.writing.poll_schedule import Timetable
from target_voucherify.writing.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_voucherify.context import Services
    from target_voucherify.writing.batch import Batch

BULK = "/v1/customers/bulk/async"
ACTION = "/v1/async-actions/{id}"

MOST_JOBS = 5
MOST_BYTES = 24 * 1024 * 1024
"""Sent but not confirmed, at most: what is on its way is kept in memory, to be sent again."""

TRIES = 3
"""Times that rows are sent of which Voucherify does not say what became of them."""

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

    def __init__(self, services: Services, most_rows: int, timeout: float) -> None:
        """Start with nothing on its way.

        Args:
            services: client, fence, outcomes and the rest that all writers use.
            most_rows: customers in one request; lowered for good when Voucherify takes fewer.
            timeout: seconds that a job may take.
        """
        self._services = services
        self._timeout = timeout
        self._queue: deque[Job] = deque()
        self._postponed: list[Batch] = []
        self._limited = False
        self._table = Timetable()
        self._log = logging.getLogger("target-voucherify")
        self.most_rows = most_rows
        services.client.meanwhile = self._settle_meanwhile

    def in_flight(self, key: str) -> bool:
        """Whether a customer of this key is in a job that is not confirmed."""
        return any(key in job.batch.rows for job in self._queue)

    def write(self, batch: Batch) -> None:
        """Send a batch once no key of it is on its way."""
        while self._postponed or not self._is_free(batch):
            self._move_on()
        self._send(batch)

    def settle(self) -> None:
        """Wait until nothing is on its way."""
        while self._queue or (self._postponed and not self._limited):
            self._move_on()

    def _is_free(self, batch: Batch) -> bool:
        return all(batch.rows.keys().isdisjoint(job.batch.rows) for job in self._queue)

    def _move_on(self) -> None:
        """One step towards nothing being on its way."""
        if self._postponed and not self._limited:
            self._send(self._postponed.pop(0))
        else:
            self._settle_oldest()

    def poll(self) -> None:
        """Settle the oldest job if it is time to ask and it has ended; never wait."""
        if self._queue and not self._table.wait:
            action = self._ended()
            if action is not None:
                self._reconcile(action)

    def _send(self, batch: Batch) -> bool:
        """Send a batch in as few requests as fit; True when each of them was taken."""
        if self._limited:
            self._postponed.append(batch)
            return True
        parts = batch.parts(self.most_rows)
        for _ in parts[1:]:
            self._services.fence.share(batch.ticket)
        taken = [self._post(part) for part in parts]
        return all(taken)

    def _post(self, batch: Batch) -> bool:
        self._make_room(batch)
        self._may_send()
        self._services.ledger.forget(batch.rows)
        try:
            answer = self._services.client.request("POST", BULK, body=batch.body())
        except RefusedRequestError as error:
            self._refused_whole(batch, error)
            return False
        job = Job(answer.word("async_action_id"), batch, time.monotonic())
        if not job.id:
            raise VoucherifyError(
                f"POST {BULK} answered {answer.status} without a job: {WRONG_API}."
            )
        self._services.summary.jobs += 1
        self._queue.append(job)
        if len(self._queue) == 1:
            self._table.begin(job.sent_at)
        return True

    def _settle_meanwhile(self) -> None:
        """Use a long wait for the next bulk request: confirm what is on its way, pass states.

        Nothing is sent in here. Rows that must go again do so after the request that waits; they
        share no key with it.
        """
        self._limited = True
        try:
            self.settle()
        finally:
            self._limited = False

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
        if self._services.stopping.signal:
            raise StopSignalError("Stopped by a signal before a batch was sent.")
        if self._services.client.calls_left < 1 + CALLS_PER_JOB * (len(self._queue) + 1):
            raise MaxCallsError("max_calls leaves no room for a further batch.")

    def _refused_whole(self, batch: Batch, error: RefusedRequestError) -> None:
        """Halve what was refused until it passes, or until the one bad row is found."""
        if len(batch.rows) == 1:
            self._refuse(batch, dict.fromkeys(batch.rows, error.words))
            self._services.outcomes.settled(batch.ticket)
            return
        self._log.warning("%s; sending its %d customers in halves", error, len(batch.rows))
        halves = batch.parts((len(batch.rows) + 1) // 2)
        self._services.fence.share(batch.ticket)
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
            self._services.stopping.pause(self._table.wait)
            action = self._ended()
            if action is not None:
                self._reconcile(action)
                return
            if self._table.running > self._timeout:
                raise VoucherifyError(
                    f"Job {self._queue[0].id} did not end within async_timeout "
                    f"({self._timeout:g} s); its customers are sent again by the next run."
                )

    def _ended(self) -> Mapping[str, Any] | None:
        """The oldest job as it ended, {} when Voucherify does not know it, or None while it runs.

        Only the oldest one is asked for: the others wait for it, and the answer that says that it
        ended is also the one that carries its result, which a list of jobs never does (§8.4).
        """
        answer = self._services.client.request("GET", ACTION, segment=self._queue[0].id)
        action = answer.body if isinstance(answer.body, dict) else {}
        if has_ended(action):
            return action
        if answer.status == NOT_FOUND:
            return {}
        self._table.not_yet()
        return None

    def _reconcile(self, action: Mapping[str, Any]) -> None:
        job = self._queue.popleft()
        self._table.end(job.sent_at, action.get("processing_time"))
        if self._queue:
            self._table.begin(self._queue[0].sent_at)
        found = verdict(action, job.batch.rows)
        request_id = action.get("request_id")
        shown = request_id if is_word(request_id) else "without a request_id"
        self._log.info("Job %s (%s): %s", job.id, shown, found.why)
        self._refuse(job.batch, found.named)
        rest = job.batch.without(found.named)
        if found.rest is Rest.ACCEPTED or not rest.rows:
            self._services.outcomes.written(rest.rows)
            self._services.outcomes.settled(rest.ticket)
        elif found.rest is Rest.REFUSED:
            self._refuse(rest, dict.fromkeys(rest.rows, UNEXPLAINED))
            self._services.outcomes.settled(rest.ticket)
        elif found.rest is Rest.SOME_REFUSED:
            self._find_refused(rest, named=bool(found.named))
        else:
            self._send_again(rest, job.id, found.why)

    def _find_refused(self, rest: Batch, *, named: bool) -> None:
        """Send the rest again until every refused row is named, in halves if none was named."""
        halves = rest.parts(len(rest.rows) if named else (len(rest.rows) + 1) // 2)
        for _ in halves[1:]:
            self._services.fence.share(rest.ticket)
        for half in halves:
            self._send(half)

    def _send_again(self, rest: Batch, job: str, why: str) -> None:
        """Right, although some rows may have been applied: an upsert may be repeated."""
        rest.tries += 1
        if rest.tries >= TRIES:
            raise VoucherifyError(
                f"Customers were sent {TRIES} times, and Voucherify does not say what became of "
                f"them (job {job}: {why}); run again later, or ask Voucherify about this job."
            )
        self._log.warning("Job %s is sent again: %s", job, why)
        self._send(rest)

    def _refuse(self, batch: Batch, errors: Mapping[str, Mapping[str, Any]]) -> None:
        for key, error in errors.items():
            row = batch.rows[key]
            reason = voucherifys(error, row.payload)
            self._services.outcomes.refused(row.line, key, reason, batch.ticket)
