"""Steps about writes of single customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voucherify_sandbox.certify.caller import Unanswered
from voucherify_sandbox.certify.exchange import Call
from voucherify_sandbox.certify.list_steps import FULL
from voucherify_sandbox.certify.probe import (
    A_SECOND,
    ODD,
    OK,
    Probe,
    customer_path,
    is_later,
    part,
)

if TYPE_CHECKING:
    from voucherify_sandbox.certify.exchange import Exchange

LONGEST_KEY = 1000
SUMS_SECONDS = (0, 5, 30)
"""Seconds after an order at which the customer's sums are read."""

_REPLACED = "a write replaces the whole customer"
_NULLED = "responses show nulls in place of values"


def touch(probe: Probe) -> None:
    """Update a customer twice with the same value."""
    updates = []
    for _ in range(2):
        probe.caller.pause(A_SECOND)
        updates.append(probe.put("c1", {"description": "Certify touch"}).json.get("updated_at"))
    moved = is_later(updates[1], updates[0])
    if moved is None or updates[0] is None:
        raise Unanswered("a write does not set `updated_at` in its response")
    probe.findings.answer("unchanged_write_updates", "moves" if moved else "stays", moved)


def merge(probe: Probe) -> None:
    """Write some of the fields, and nulls."""
    findings = probe.findings
    put = probe.put("c1", {"metadata": {"c": 1}})
    body = {"source_id": probe.source_id("c1"), "metadata": {"d": 1}}
    post = probe.write("POST", "/v1/customers", body)
    null_inside = probe.put("c1", {"metadata": {"a": None}})
    null = probe.put("c1", {"name": None})
    address = probe.put("c1", {"address": {"city": None}})

    kept = _kept(put), _kept(post)
    if part(put.json, "summary") is None or OK not in {put.status, post.status}:
        raise Unanswered(_NULLED)
    if kept[0] == kept[1]:
        findings.answer(
            "upsert", "kept" if kept[0] else "cleared", "partial" if kept[0] else "full"
        )
    else:
        findings.answer("upsert", f"kept by {'PUT' if kept[0] else 'POST'} only")
    _about_nulls_inside(probe, null_inside)
    _about_null(probe, null, full=not all(kept))
    if not all(kept):
        for name in ("metadata", "address"):
            findings.open(name, _REPLACED)
        return
    _about_metadata(probe, put, post)
    if address.status == OK:
        country = part(address.json, "address", "country") == "US"
        findings.answer(
            "address", "kept" if country else "cleared", "merge" if country else "replace"
        )
    else:
        findings.answer("address", f"refused: {address.words}")


def _kept(exchange: Exchange) -> bool:
    return bool(exchange.json.get("name") == FULL["name"])


def _about_metadata(probe: Probe, put: Exchange, post: Exchange) -> None:
    kept = [{"a", "b"} <= set(one.json.get("metadata") or {}) for one in (put, post)]
    # The second write finds what the first one left.
    if not kept[0]:
        kept[1] = "c" in (post.json.get("metadata") or {})
    if kept[0] == kept[1]:
        seen, value = ("kept", "merge") if kept[0] else ("removed", "replace")
        probe.findings.answer("metadata", seen, value)
    else:
        probe.findings.answer("metadata", f"kept by {'PUT' if kept[0] else 'POST'} only")


def _about_nulls_inside(probe: Probe, exchange: Exchange) -> None:
    metadata = exchange.json.get("metadata") or {}
    if exchange.status != OK:
        probe.findings.answer("metadata_nulls", f"refused: {exchange.words}")
    elif "a" not in metadata:
        probe.findings.answer("metadata_nulls", "removes the key", "remove")
    elif metadata["a"] is None:
        probe.findings.answer("metadata_nulls", "stored", "store")
    else:
        probe.findings.answer("metadata_nulls", "ignored")


def _about_null(probe: Probe, exchange: Exchange, *, full: bool) -> None:
    findings, body = probe.findings, exchange.json
    shown = findings.answers.get("null_fields")
    if exchange.status != OK:
        findings.answer("nulls", f"refused: {exchange.words}", "refuse")
    elif body.get("name") is not None:
        findings.answer("nulls", "ignored", "ignore")
    elif shown is None or shown.value != "none":
        findings.open("nulls", "empty fields are shown as null")
    elif "name" in body:
        findings.answer("nulls", "stored", "store")
    elif full:
        findings.open("nulls", _REPLACED)
    else:
        findings.answer("nulls", "clears the field", "clear")


def keys(probe: Probe) -> None:
    """Create customers with unusual keys."""
    findings = probe.findings
    probe.caller.pause(A_SECOND)
    start = probe.key("long-")
    long = start + "x" * (LONGEST_KEY - len(start))
    made = probe.create(long.removeprefix(f"{probe.notes.prefix}-"), {}, fresh=False)
    findings.answer("source_id_length", "accepted" if made.status == OK else made.words)
    cases = [probe.create(label, {}, fresh=False) for label in ("case", "CASE")]
    ids = [one.json.get("id") for one in cases]
    if all(ids):
        same = ids[0] == ids[1]
        value = "insensitive" if same else "sensitive"
        findings.answer("source_id_case", "one customer" if same else "two customers", value)
    odd = probe.create(ODD, {}, fresh=False)
    if odd.status != OK:
        findings.answer("source_id_characters", odd.words)
        return
    read = probe.caller.get(customer_path(str(odd.json.get("source_id"))))
    found = read.json.get("id") == odd.json.get("id")
    findings.answer("source_id_characters", "found" if found else read.words)


def sums(probe: Probe) -> None:
    """Place an order, and see when the customer's sums hold it."""
    before = probe.rows["c3"].get("updated_at")
    order = {
        "source_id": probe.key("o1"),
        "status": "PAID",
        "amount": 1000,
        "customer": {"id": probe.rows["c3"]["id"]},
    }
    probe.caller.pause(A_SECOND)
    placed = probe.caller.call(Call(method="POST", path="/v1/orders", body=order))
    if placed.status != OK:
        raise Unanswered(f"the order was refused: {placed.words}")
    written = probe.caller.last_at
    for seconds in SUMS_SECONDS:
        probe.caller.pause(written + seconds - probe.caller.last_at)
        read = probe.read("c3")
        if part(read.json, "summary", "orders", "total_count"):
            break
        # The order itself may have updated its customer.
        before = read.json.get("updated_at")
    else:
        raise Unanswered(f"the sums did not change within {SUMS_SECONDS[-1]} seconds")
    late = read.at - written if seconds else 0
    seen = f"{late:.0f} at most" if seconds else "at once"
    probe.findings.answer("settle_seconds", seen, float(round(late)))
    moved = is_later(read.json.get("updated_at"), before)
    probe.findings.answer("recalculation_updates", "moves" if moved else "stays", bool(moved))
