"""Reading the result of a bulk job: a pure function from what Voucherify says to what it means.

An answer of 202 says nothing about rows, and neither does `DONE` alone (reference §8.2). Rows count
as accepted only when the job is done, did not fail, its counts add up to what was sent, and every
failure has a name.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ENDED = frozenset({"DONE", "FAILED"})


class Rest(Enum):
    """What is known of the rows that no error names."""

    ACCEPTED = "accepted"
    REFUSED = "refused without a name"
    SOME_REFUSED = "some refused without a name"
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """What became of the rows of one job.

    `named` holds the error object of each row that was refused by name; `rest` says what is known
    of all others, and `why` explains it in words.
    """

    named: dict[str, Mapping[str, Any]]
    rest: Rest
    why: str


def has_ended(action: Mapping[str, Any]) -> bool:
    """Whether a job will not change any more."""
    return action.get("status") in ENDED


def verdict(action: Mapping[str, Any], sent: Collection[str]) -> Verdict:
    """Judge an ended job.

    Args:
        action: the answer of `GET /v1/async-actions/{id}`; {} when it knows no such job.
        sent: the keys of the rows that were sent.
    """
    result = action.get("result")
    result = result if isinstance(result, dict) else {}
    named = _named(result.get("errors"), sent)
    done, failed = result.get("done_count"), result.get("failed_count")
    said = (
        f"status {action.get('status', 'unknown')}, operation_status "
        f"{action.get('operation_status')}, {done} done, {failed} failed of {len(sent)}"
    )
    if _is_trustworthy(action, done, failed, len(sent)):
        return Verdict(named, _rest(len(named), failed, len(sent)), said)
    return Verdict(named, Rest.UNKNOWN, said)


def _is_trustworthy(action: Mapping[str, Any], done: object, failed: object, sent: int) -> bool:
    return (
        action.get("status") == "DONE"
        and action.get("operation_status") != "FAILED"
        and type(done) is int
        and type(failed) is int
        and min(done, failed) >= 0
        and done + failed == sent
    )


def _rest(named: int, failed: Any, sent: int) -> Rest:
    if named == failed:
        return Rest.ACCEPTED
    if named > failed:
        return Rest.UNKNOWN
    return Rest.REFUSED if failed == sent else Rest.SOME_REFUSED


def _named(errors: object, sent: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Errors by row; an error without a known `source_id` names nobody."""
    rows = errors if isinstance(errors, list) else []
    return {
        error["source_id"]: error
        for error in rows
        if isinstance(error, dict)
        and isinstance(error.get("source_id"), str)
        and error["source_id"] in sent
    }
