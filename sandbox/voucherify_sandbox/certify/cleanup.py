"""Delete what a probe made, and prove that it is gone."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from voucherify_sandbox.certify.caller import (
    CAMPAIGNS,
    EXPORTS,
    JOB_LOOKS,
    Stopped,
    Unanswered,
    is_own,
    is_own_export,
    is_own_program,
)
from voucherify_sandbox.certify.exchange import Call
from voucherify_sandbox.certify.probe import OK, customer_path, customers

if TYPE_CHECKING:
    from voucherify_sandbox.certify.probe import Probe

ROUNDS = 4
LOOK_SECONDS = 20
PROGRAM_PAUSES = (0, 3, 10)
"""Seconds before each look at campaigns or rewards that are being deleted."""

PROOF_SECONDS = 3
"""Seconds from the last deletion to the list that proves it."""

REFUSED, FAILED = 400, 500
DELETED = "_deleted"
"""In the `source_id` of a deleted customer."""


def clean_up(probe: Probe) -> bool:
    """Delete the rows and exports of the notes; whether the list proves that they are gone.

    Raises:
        Stopped: no further request is possible, or a job could still make a customer again.
    """
    probe.caller.begin_cleaning()
    over = found_exports = False
    for _ in range(ROUNDS):
        over = over or _jobs_over(probe)
        # Before the customers, who hold their codes.
        for path in sorted(probe.notes.programs_left, reverse=True):  # rewards, then campaigns
            with suppress(Unanswered):
                _delete_programs(probe, path)
        with suppress(Unanswered):
            found_exports = found_exports or _note_exports(probe)
        for source_id in probe.notes.left:
            with suppress(Unanswered):
                _delete(probe, source_id)
        _delete_exports(probe)
        # What was gone before a task had ended may have come back.
        if over and found_exports and not probe.notes.anything_left and _proven(probe):
            return True
    if not over:
        raise Stopped("a background task has not ended, so rows may come back")
    return False


def _jobs_over(probe: Probe) -> bool:
    """Wait for jobs: one that is still queued could create a customer again."""
    known = [job for job, over in probe.notes.jobs.items() if not over]
    lost = _lost_job(probe)
    if not known and not lost:
        return True
    for look in range(JOB_LOOKS):
        probe.caller.pause(LOOK_SECONDS * look)
        with suppress(Unanswered):
            listed = probe.caller.get("/v1/async-actions", limit=20).json.get("async_actions")
            if isinstance(listed, list) and all(_is_over(one) for one in listed):
                for job in known:
                    probe.note_ended("job", job)
                return True
    return False


def _is_over(action: Any) -> bool:
    return isinstance(action, dict) and action.get("status") in {"DONE", "FAILED"}


def _lost_job(probe: Probe) -> bool:
    """Whether a bulk request has no response, so that its job is not known."""
    bulk = [number for number, one in probe.notes.calls.items() if one["path"].endswith("/async")]
    responses = [probe.notes.responses.get(number) for number in bulk]
    return any(
        one is None or not (REFUSED <= one.status < FAILED or "async_action_id" in one.json)
        for one in responses
    )


def _delete(probe: Probe, source_id: str) -> None:
    identity = probe.notes.made[source_id] or source_id
    call = Call(method="POST", path=customer_path(identity, "/permanent-deletion"))
    exchange = probe.caller.call(call)
    if exchange.status in {200, 404}:
        probe.note_gone(source_id)


def _delete_programs(probe: Probe, path: str) -> None:
    """Delete the probe's rows of a list, and look again until it holds none of them.

    Campaigns are deleted by a job, so that they may stay in the list for some seconds.

    Raises:
        Unanswered: rows are left, or the list does not show all of its rows.
    """
    by_job = path == CAMPAIGNS
    query = {"force": "true"} if by_job else {}
    for seconds in PROGRAM_PAUSES:
        if by_job and not _jobs_over(probe):
            # Another request for the same would only wait behind the first one.
            break
        probe.caller.pause(seconds)
        own = _own_programs(probe, path)
        if not own:
            probe.notes.write({"programs": path, "gone": True})
            return
        for identity in own:
            one = f"{path}/{quote(identity, safe='')}"
            probe.note_job(probe.caller.call(Call(method="DELETE", path=one, query=query)))
    raise Unanswered("they are still there")


def _own_programs(probe: Probe, path: str) -> list[str]:
    """The ids of the probe's campaigns or rewards."""
    listed = probe.caller.get(path, limit=100)
    rows, total = listed.json.get(listed.json.get("data_ref", "data")), listed.json.get("total")
    if listed.status != OK or not isinstance(rows, list):
        raise Unanswered(f"the list answered {listed.words}")
    if isinstance(total, int) and total > len(rows):
        raise Unanswered("the project has more than one page of them")
    own = [str(row.get("id")) for row in rows if is_own_program(row, probe.notes)]
    if not own and any(rows):
        raise Unanswered("a row has no name that tells whose it is")
    return own


def _note_exports(probe: Probe) -> bool:
    """Note the probe's exports whose identity was lost with a response; True once all are known.

    Raises:
        Unanswered: the exports cannot be listed.
    """
    requests = [one for one in probe.notes.calls.values() if one["path"] == EXPORTS]
    if all(_is_settled(probe, one["number"]) for one in requests if one["method"] == "POST"):
        return True
    listed = probe.caller.get(EXPORTS, limit=20, order="-created_at")
    exports = listed.json.get("exports")
    if listed.status != OK or not isinstance(exports, list):
        raise Unanswered(f"the exports cannot be listed: {listed.words}")
    for export in exports:
        if is_own_export(export) and export["id"] not in probe.notes.exports:
            probe.notes.write({"export": export["id"], "ended": False})
    return True


def _is_settled(probe: Probe, number: int) -> bool:
    """Whether a response says what became of a request."""
    response = probe.notes.responses.get(number)
    return response is not None and (
        REFUSED <= response.status < FAILED or response.json.get("id") in probe.notes.exports
    )


def _delete_exports(probe: Probe) -> None:
    for export in [one for one, over in probe.notes.exports.items() if not over]:
        with suppress(Unanswered):
            exchange = probe.caller.send("DELETE", f"{EXPORTS}/{quote(export, safe='')}")
            if exchange.status in {200, 204, 404}:
                probe.note_ended("export", export)


def _proven(probe: Probe) -> bool:
    """Whether the list holds no row of the notes; one that it holds is to be deleted again."""
    probe.caller.pause(max(PROOF_SECONDS, probe.lag + 1))
    found = False
    try:
        # Newest first: whoever else uses the project cannot have moved the rows off the page.
        listed = customers(probe.caller.get("/v1/customers", limit=100, order="-created_at"))
    except Unanswered:
        return False
    for row in listed:
        source_id = str(row.get("source_id") or row.get("id") or "")
        if is_own(row, probe.notes) and DELETED not in source_id:
            probe.notes.write({"left": source_id, "id": row.get("id")})
            found = True
    return not found
