"""Async actions: bulk writes as jobs that run one after another."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from voucherify_sandbox.errors import ApiError, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.readings import Readings

IMPORT = "CUSTOMERS.IMPORT_CSV"
ORDERS = "ORDERS.IMPORT"
_REPORT_LIFE = timedelta(hours=24)
_STEP = 10  # a faulty job loses or refuses the first row of every ten


@dataclass(eq=False)
class Job:
    """One async action.

    `apply` writes a row and returns whether its customer existed; `fault` is the kind of a fault
    without its prefix `job_`, or empty.
    """

    id: str
    type: str
    rows: Sequence[Json]
    apply: Callable[[Json], bool]
    created_at: datetime
    request_id: str
    fault: str = ""
    status: str = "ENQUEUED"
    polls: int = 0
    begun_at: datetime | None = None
    updated_at: datetime | None = None
    done: int = 0
    errors: list[dict[str, str]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """The numbers of the rows in `errors`, from 1."""
    report: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether the job has ended."""
        return self.status in {"DONE", "FAILED"}

    def run(self) -> None:
        """Apply the rows in their order; an invalid row becomes an entry of `errors`."""
        if self.fault == "fails":
            return
        count = len(self.rows) // 2 if self.fault == "stops" else len(self.rows)
        for position, row in enumerate(self.rows[:count]):
            before = len(self.errors)
            self._one(row, spoiled=position % _STEP == 0)
            if len(self.errors) > before:
                self.places.append(position + 1)

    def _one(self, row: Json, *, spoiled: bool) -> None:
        if spoiled and self.fault in {"loses", "lies"}:
            self.done += self.fault == "lies"
            return
        if spoiled and self.fault == "refuses":
            refused = refusal(400, "invalid_customer", "Invalid customer", "Refused on purpose")
            self.errors.append({"source_id": _text(row), **refused.row})
            return
        try:
            found = self.apply(row)
            self.done += 1
            self.report.append((_text(row), str(found).lower(), "true"))
        except ApiError as error:
            self.errors.append({"source_id": _text(row), **error.row})

    def resource(self, readings: Readings, reports: list[str], *, listed: bool) -> Json:
        """The job as the API shows it; lists leave out the result."""
        updated = self.updated_at or self.created_at
        body: Json = {
            "id": self.id,
            "type": self.type,
            "status": self.status,
            "created_at": self.created_at,
            "updated_at": updated,
            "request_id": self.request_id,
            "progress": {"ENQUEUED": 0, "IN_PROGRESS": 50}.get(self.status, 100),
            "processing_time": int((updated - self.created_at) / timedelta(milliseconds=1)),
            "object": "async_action",
        }
        if listed:
            return body
        body.update(self._outcome(readings, reports))
        return body

    def _outcome(self, readings: Readings, reports: list[str]) -> Json:
        if not self.finished:
            result = {"absent": {}, "null": {"result": None}}
            partial = {"result": self._result(readings, [])}
            return result.get(readings.running_result, partial)
        bad = self.status == "FAILED" or self.fault == "denies"
        outcome: Json = {"operation_status": "FAILED" if bad else "SUCCESS"}
        if self.fault != "fails":
            outcome["result"] = self._result(readings, reports)
        return outcome

    def _result(self, readings: Readings, reports: list[str]) -> Json:
        listed = readings.errors_listed
        short = self.done > 0 and self.fault == "miscounts"
        if self.type == IMPORT:
            return self._import_result(self.done - short)
        if self.type == ORDERS:
            named = readings.import_failures == "named"
            return self._orders_result(self.done - short, named=named)
        return {
            "done_count": self.done - short,
            "failed_count": len(self.errors),
            "reports": reports,
            "reports_available_till": (self.updated_at or self.created_at) + _REPORT_LIFE,
            "errors": self.errors if listed < 0 else self.errors[:listed],
        }

    def _import_result(self, done: int) -> Json:
        failed = [
            {"source_id": error["source_id"], "row": row, "reason": error["details"]}
            for row, error in zip(self.places, self.errors, strict=True)
        ]
        text = f"{done} customers imported, {len(failed)} failed"
        return {
            "message": text,
            "done_count": done,
            "failed_count": len(failed),
            "failed": failed,
        }

    def _orders_result(self, done: int, *, named: bool) -> Json:
        failed = [
            {"source_id": error["source_id"] if named else None, "reason": error["details"]}
            for error in self.errors
        ]
        return {
            "message": f"{done} orders imported, {len(failed)} failed",
            "done_count": done,
            "failed_count": len(failed),
            "failed": failed,
        }


def _text(row: object) -> str:
    value = row.get("source_id") if isinstance(row, dict) else None
    return value if isinstance(value, str) else ""


class JobQueue:
    """The jobs of a project; they run one after another, as Voucherify documents."""

    def __init__(self, clock: Clock, readings: Readings) -> None:
        """Create an empty queue."""
        self._clock = clock
        self._readings = readings
        self.all: dict[str, Job] = {}
        self._free_since: datetime | None = None
        """When the last job ended."""

    @property
    def waiting(self) -> list[Job]:
        """The jobs that are not finished, oldest first."""
        return [job for job in self.all.values() if not job.finished]

    def submit(self, job: Job) -> None:
        """Append a job to the queue."""
        self.all[job.id] = job
        if self._readings.job_polls == 0:
            self.catch_up()

    def poll(self) -> None:
        """Advance the first job by one step at most."""
        first = next(iter(self.waiting), None)
        if first is not None:
            self._begin(first)
            first.polls += 1
            self._move(first)

    def catch_up(self) -> None:
        """Advance jobs whose time has come, where `job_polls` is 0."""
        while self._readings.job_polls == 0 and (waiting := self.waiting):
            self._begin(waiting[0])
            self._move(waiting[0])
            if not waiting[0].finished:
                return

    def finish(self) -> None:
        """Finish all jobs now, except those that hang."""
        for job in self.waiting:
            self._begin(job)
            if job.fault != "hangs":
                self._complete(job, self._clock.now())

    def _begin(self, job: Job) -> None:
        if job.begun_at is None:
            by_time = max(job.created_at, self._free_since or job.created_at)
            job.begun_at = self._clock.now() if self._readings.job_polls else by_time

    def _move(self, job: Job) -> None:
        readings = self._readings
        elapsed = (self._clock.now() - (job.begun_at or job.created_at)).total_seconds()
        due = job.polls >= readings.job_polls and elapsed >= readings.job_seconds
        if due and job.fault != "hangs":
            now = self._clock.now()
            in_time = timedelta(seconds=readings.job_seconds) + (job.begun_at or now)
            self._complete(job, now if readings.job_polls else in_time)
        elif job.polls > 1 or readings.job_polls < 3:  # noqa: PLR2004 - three polls show each status
            job.status = "IN_PROGRESS"
            job.updated_at = self._clock.now()

    def _complete(self, job: Job, ended: datetime) -> None:
        job.run()
        job.updated_at = self._free_since = ended
        job.status = "FAILED" if job.fault in {"fails", "stops"} else "DONE"
