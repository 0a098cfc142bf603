"""The result of a bulk job: a pure function of the job that Voucherify returns.

A response of 202 says nothing about rows, and neither does `DONE` alone: in Voucherify's samples a
job is done although every row failed. Rows count as accepted only when the job is done, did not
fail, its counts add up to what was sent, and every failure has a name.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ENDED = frozenset({"DONE", "FAILED"})


class Unnamed(Enum):
    """The outcome of the rows that no error names."""

    ACCEPTED = "accepted"
    REFUSED = "refused without a name"
    SOME_REFUSED = "some refused without a name"
    UNKNOWN = "unknown"


class JobResult(NamedTuple):
    """The outcome of the rows of one job.

    `named` holds the error object of each row that was refused by name, `unnamed` is the outcome of
    all others, and `description` is for the log.
    """

    named: dict[str, Mapping[str, Any]]
    unnamed: Unnamed
    description: str


def has_ended(action: Mapping[str, Any]) -> bool:
    """Whether a job will not change any more."""
    status = action.get("status")
    return isinstance(status, str) and status in ENDED


def job_result(action: Mapping[str, Any], sent: Collection[str]) -> JobResult:
    """The result of an ended job.

    Args:
        action: response of `GET /v1/async-actions/{id}`; {} where there is no such job.
        sent: the keys of the rows that were sent.
    """
    result = action.get("result")
    result = result if isinstance(result, dict) else {}
    named = _named_errors(result.get("errors") or result.get("failed"), sent)
    done, failed = result.get("done_count"), result.get("failed_count")
    description = (
        f"status {action.get('status', 'unknown')}, operation_status "
        f"{action.get('operation_status')}, {done} done, {failed} failed of {len(sent)}"
    )
    if _is_trustworthy(action, done, failed, len(sent)):
        return JobResult(named, _unnamed(len(named), failed, len(sent)), description)
    return JobResult(named, Unnamed.UNKNOWN, description)


def _is_trustworthy(action: Mapping[str, Any], done: object, failed: object, sent: int) -> bool:
    return (
        action.get("status") == "DONE"
        and action.get("operation_status") != "FAILED"
        and type(done) is int
        and type(failed) is int
        and min(done, failed) >= 0
        and done + failed == sent
    )


def _unnamed(named: int, failed: Any, sent: int) -> Unnamed:
    if named == failed:
        return Unnamed.ACCEPTED
    if named > failed:
        return Unnamed.UNKNOWN
    return Unnamed.REFUSED if failed == sent else Unnamed.SOME_REFUSED


def _named_errors(errors: object, sent: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Errors by row; an error without the `source_id` of a row that was sent is left out.

    An import has a `reason` for a `message`; its published description has a single object where
    its sample has an array.
    """
    rows = errors if isinstance(errors, list) else [errors]
    return {
        error["source_id"]: {"message": error.get("reason"), **error}
        for error in rows
        if isinstance(error, dict)
        and isinstance(error.get("source_id"), str)
        and error["source_id"] in sent
    }
