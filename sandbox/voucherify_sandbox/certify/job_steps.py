"""Steps about bulk writes and exports."""

from __future__ import annotations

import csv
import io
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from voucherify_sandbox.certify.caller import EXPORTED, EXPORTS, Unanswered
from voucherify_sandbox.certify.exchange import Call, address_problem
from voucherify_sandbox.certify.probe import (
    A_SECOND,
    ACCEPTED,
    JOB_PAUSES,
    OK,
    Probe,
    ended,
    is_later,
    part,
)

if TYPE_CHECKING:
    from voucherify_sandbox.certify.exchange import Exchange, Json

MANY = 1001


def bulk(probe: Probe) -> None:
    """Write four customers by one request, invalid rows among them."""
    before = probe.rows["c1"].get("updated_at")
    new, odd = probe.key("c4"), probe.key("odd")
    good: list[Json] = [
        {
            "source_id": probe.source_id("c1"),
            "metadata": {"e": 1},
            "address": {"country": "PL"},
        },
        {"source_id": probe.source_id("c3"), "name": None, "metadata": {"a": None}},
        {"source_id": new, "name": "Certify Fourth Row"},
    ]
    bad: list[Json] = [
        {"source_id": probe.source_id("case"), "birthdate": "31.02.2020"},
        {"source_id": [odd], "name": f"Certify Odd Row {probe.notes.prefix}"},
    ]
    for key in (new, odd):
        probe.note_row(key)
    probe.caller.pause(A_SECOND)
    sent = [*good, *bad]
    accepted = probe.bulk("bulk", sent)
    if accepted.status not in {OK, ACCEPTED}:
        refused, sent = accepted, good
        accepted = probe.bulk("bulk", sent)
        if accepted.status not in {OK, ACCEPTED}:
            raise Unanswered(f"bulk requests are refused: {accepted.words}")
        probe.findings.answer("bulk_invalid_rows", f"refused: {refused.words}", "request")
    probe.bulk_rows = len(sent)
    polls = probe.job(accepted)
    _about_result(probe, polls, invalid=len(bad) if sent is not good else 0)
    _about_bulk_write(probe, before, accepted, new)


def _about_result(probe: Probe, polls: list[Exchange], *, invalid: int) -> None:
    last, findings = polls[-1].json, probe.findings
    _about_errors(probe, last, invalid=invalid)
    took = last.get("processing_time")
    if isinstance(took, int):
        findings.answer("job_seconds", f"{took / 1000:.1f}", round(took / 1000, 1))
    if len(polls) == 1:
        findings.open("running_result", "the job had ended at the first look")
        return
    early = polls[0].json
    value = "absent" if "result" not in early else "null"
    if part(early, "result") is not None:
        value = "partial"
    findings.answer("running_result", value, value)


def _about_errors(probe: Probe, last: Json, *, invalid: int) -> None:
    failed, errors = part(last, "result", "failed_count"), part(last, "result", "errors")
    if not isinstance(failed, int):
        return
    if invalid:
        seen = f"{failed} failed alone" if failed else "accepted"
        probe.findings.answer("bulk_invalid_rows", seen, "row" if failed else None)
    if failed and isinstance(errors, list):
        listed = len(errors)
        value = listed if listed < failed else -1
        # One of one may be all that a job lists.
        known = value != -1 or failed > 1
        probe.findings.answer("errors_listed", f"{listed} of {failed}", value if known else None)


def _about_bulk_write(probe: Probe, before: Any, accepted: Exchange, new: str) -> None:
    findings = probe.findings
    first, third = probe.read("c1").json, probe.read("c3").json
    fourth = probe.caller.get(f"/v1/customers/{quote(new, safe='')}")
    if fourth.status == OK:
        probe.note_row(new, str(fourth.json.get("id")))
        probe.rows["c4"] = fourth.json
    moved = is_later(first.get("updated_at"), before)
    if moved is not None and "e" in (first.get("metadata") or {}):
        findings.answer("bulk_write_updates", "moves" if moved else "stays", moved)
    if not accepted.repeated and fourth.status == OK:
        there = fourth.json.get("updated_at") is not None
        absent = "null" if "updated_at" in fourth.json else "absent"
        findings.answer("bulk_created", "set" if there else absent)
    name = third.get("name")
    findings.answer("bulk_nulls", "name kept" if name else "name cleared")
    kept = sorted(set(first.get("metadata") or {}) - {"e"})
    country = part(first, "address", "country")
    findings.answer("bulk_metadata", f"other keys {'kept' if kept else 'removed'}; {country}")


def many(probe: Probe) -> None:
    """Write one customer 1,001 times in one request."""
    findings = probe.findings
    accepted = probe.bulk("bulk", _numbered(probe, MANY))
    count = MANY
    if accepted.status in {OK, ACCEPTED}:
        findings.answer("bulk_max_records", "accepted", 0)
        probe.bulk_rows = MANY
    else:
        refused, count = accepted, 2
        if probe.bulk_rows < count:
            raise Unanswered(f"bulk requests are refused: {refused.words}")
        accepted = probe.bulk("bulk", _numbered(probe, count))
        if accepted.status not in {OK, ACCEPTED}:
            findings.answer("duplicates", f"refused: {accepted.words}", "refuse")
            findings.open("bulk_max_records", "rows with one `source_id` are refused")
            return
        findings.answer("bulk_max_records", f"refused: {refused.words}", _number(refused))
    polls = probe.job(accepted)
    written, done = probe.read("c1"), part(polls[-1].json, "result", "done_count")
    last = part(written.json, "metadata", "n")
    values = {(count - 1, count): "in_order", (count - 1, 1): "last", (0, 1): "first"}
    value = values.get((last, done)) if isinstance(last, int) else None
    findings.answer("duplicates", f"row {last} of {count} stays, {done} done", value)


def _numbered(probe: Probe, count: int) -> list[Json]:
    key = probe.source_id("c1")
    return [{"source_id": key, "metadata": {"n": number}} for number in range(count)]


def _number(refused: Exchange) -> int | None:
    """The limit that an error names."""
    text = f"{refused.json.get('message', '')} {refused.json.get('details', '')}"
    found = [int(number) for number in re.findall(r"\d{1,4}", text)]
    return next((number for number in found if 1 < number < MANY), None)


def metadata(probe: Probe) -> None:
    """Write metadata for two customers at once."""
    body = {
        "source_ids": [probe.source_id("c1"), probe.source_id("c3")],
        "metadata": {"n": None, "z": 1},
    }
    accepted = probe.bulk("metadata", body)
    if accepted.status not in {OK, ACCEPTED}:
        raise Unanswered(f"it was refused: {accepted.words}")
    probe.job(accepted)
    now = probe.read("c1").json.get("metadata") or {}
    null = "a null is stored" if "n" in now and now["n"] is None else "a null removes the key"
    if now.get("n") is not None:
        null = "a null is ignored"
    kept = "kept" if set(now) - {"n", "z"} else "removed"
    probe.findings.answer("metadata_async", f"other keys {kept}; {null}")


def export(probe: Probe) -> None:
    """Export the customers that were created after the second one."""
    after = probe.rows["c2"].get("created_at")
    probe.settle()
    filters = {"junction": "and", "created_at": {"conditions": {"$after": [after]}}}
    body = {
        "exported_object": "customer",
        "parameters": {"order": "created_at", "fields": EXPORTED, "filters": filters},
    }
    made = probe.caller.send("POST", EXPORTS, body)
    identity = made.json.get("id")
    if made.status != OK or not isinstance(identity, str):
        raise Unanswered(f"it was refused: {made.words}")
    if identity not in probe.notes.exports:
        probe.notes.write({"export": identity, "ended": False})
    path = f"{EXPORTS}/{quote(identity, safe='')}"
    text = _file(probe, path)
    deleted = probe.caller.send("DELETE", path)
    if deleted.status in {200, 204, 404}:
        probe.note_ended("export", identity)
    _about_file(probe, text)


def _file(probe: Probe, path: str) -> str:
    """The content of an export."""
    for seconds in JOB_PAUSES:
        probe.caller.pause(seconds)
        poll = probe.caller.get(path)
        if ended(poll):
            break
    url = part(poll.json, "result", "url")
    if not isinstance(url, str) or address_problem(url):
        raise Unanswered(f"it did not end with a file: {poll.json.get('status')}")
    file = probe.caller.call(Call(method="GET", path=url, is_json=False))
    if file.status != OK:
        raise Unanswered(f"the download answered {file.words}")
    return file.text


def _about_file(probe: Probe, text: str) -> None:
    findings, bom = probe.findings, text.startswith("\ufeff")
    text = text.removeprefix("\ufeff")
    lines: list[list[str]] = []
    with suppress(csv.Error):
        lines = list(csv.reader(io.StringIO(text, newline="")))
    if len(lines) < 2 or len(lines[0]) < len(EXPORTED) - 1:  # noqa: PLR2004 - header and a row
        raise Unanswered("the file is empty or not valid CSV")
    header, plain = lines[0], EXPORTED[:-1]
    fields = tuple(header[: len(plain)]) == plain
    findings.answer("export_bom", "there" if bom else "absent", bom)
    findings.answer(
        "export_headers", ", ".join(header[: len(plain)]), "fields" if fields else "display"
    )
    ends = "crlf" if "\r\n" in text else "lf"
    findings.answer("export_line_ends", ends.upper(), ends)
    quotes = "all" if text.startswith('"') else "minimal"
    findings.answer("export_quotes", quotes, quotes)
    rest = header[len(plain) :]
    one = [name.lower() for name in rest] == ["metadata"]
    findings.answer("export_metadata", str(len(rest)), "json" if one else "columns")
    shown = any(line[1:2] == [probe.source_id("c1")] for line in lines[1:])
    findings.answer("export_filter", "only the date counts" if shown else "counts")
