"""Steps about lists, and the customers that they need."""

from __future__ import annotations

from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import readings
from voucherify_sandbox.certify.caller import Stopped, Unanswered
from voucherify_sandbox.certify.form import timestamp_form
from voucherify_sandbox.certify.probe import (
    A_SECOND,
    NO_CONTENT,
    NOT_FOUND,
    ODD,
    OK,
    Probe,
    customers,
    moment,
    part,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from voucherify_sandbox.certify.exchange import Exchange, Json

MOST_CUSTOMERS = 20
LAG_PAUSES = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Seconds before each look at a list that may lag."""

KEYS = frozenset("abcdenz")
"""The metadata keys that a probe writes."""

FULL: Json = {
    "name": "Certify Test Row",
    "email": "Certify.Test@Example.invalid",
    "phone": "+1 555-0100",
    "birthdate": "1990-01-31",
    "address": {"city": "Test City", "country": "US"},
    "metadata": {"a": 1, "b": "x"},
}
_AT_ONCE_SECONDS = 2


def look(probe: Probe) -> None:
    """Look at the project before anything is written."""
    schema = probe.caller.get("/v1/metadata-schemas/customer")
    if schema.status == OK:
        _check_schema(schema.json)
    listed = probe.page(limit=MOST_CUSTOMERS + 1)
    total = listed.json.get("total")
    probe.customers = max(len(customers(listed)), total if isinstance(total, int) else 0)
    # A page may be smaller than it was asked to be, and `total` may be missing.
    if probe.customers > MOST_CUSTOMERS or listed.json.get("has_more"):
        found = f"more than {MOST_CUSTOMERS} customers"
        raise Stopped(f"it has {found}; take a project that holds nothing but tests")
    limit, left = (listed.headers.get(f"x-rate-limit-{name}") for name in ("limit", "remaining"))
    probe.findings.answer("rate_limit", f"{limit or 'not told'}, {left or 'not told'}")


def _check_schema(schema: Json) -> None:
    properties = schema.get("properties")
    named = properties if isinstance(properties, dict) else {}
    required = any(
        isinstance(one, dict) and not one.get("optional", True) for one in named.values()
    )
    if schema.get("allow_defined_only") or required or KEYS & set(named):
        raise Stopped("its metadata schema for customers is not empty; take a bare project")


def create(probe: Probe) -> None:
    """Create three customers."""
    first = probe.create("c1", FULL)
    probe.caller.pause(A_SECOND)
    second = probe.create("c2", {"name": "Certify Second Row"})
    probe.caller.pause(A_SECOND)
    probe.create("c3", {"name": "Certify Third Row", "metadata": {"a": 1}})
    _about_fields(probe, first.json)
    body = second.json
    if second.status != OK:
        raise Unanswered(f"creating a customer was refused: {second.words}")
    if body.get("updated_at") is None:
        form = "null" if "updated_at" in body else "absent"
        probe.findings.answer("missing_updated_at", form, form)
    else:
        probe.findings.answer("missing_updated_at", "set at once")
    _about_nulls(probe, body)
    _about_clock(probe, second)


def _about_fields(probe: Probe, body: Json) -> None:
    phone = body.get("phone")
    if phone == FULL["phone"]:
        probe.findings.answer("phones", "as sent", "as_sent")
    elif phone == "+15550100":
        probe.findings.answer("phones", "normalized", "normalized")
    elif phone is not None:
        probe.findings.answer("phones", "changed in another way")
    changed = [name for name in ("email", "birthdate", "address") if body.get(name) != FULL[name]]
    probe.findings.answer(
        "other_fields", f"changed: {', '.join(changed)}" if changed else "as sent"
    )


def _about_nulls(probe: Probe, body: Json) -> None:
    if body.get("summary") is None:
        value = "everywhere"
    else:
        shown = [name for name in ("email", "description", "birthdate") if name in body]
        value = "missing" if shown else "none"
    texts = {"none": "left out", "missing": "null", "everywhere": "null, and objects too"}
    probe.findings.answer("null_fields", texts[value], value)


def _about_clock(probe: Probe, second: Exchange) -> None:
    created = [moment(probe.rows.get(label, {}).get("created_at")) for label in ("c1", "c2", "c3")]
    known = [one for one in created if one is not None]
    date = second.headers.get("date")
    if len(known) < len(created) or not date:
        probe.findings.open("server_clock", "a timestamp is missing")
        return
    apart = abs((known[1] - parsedate_to_datetime(date)).total_seconds())
    order = "ascending" if known == sorted(known) else "not ascending"
    probe.findings.answer("server_clock", f"{order}, {apart:.0f} s apart from Date")


def read_back(probe: Probe) -> None:
    """Read the customers back, one by one and as a list."""
    made = probe.rows["c3"]
    written = probe.caller.last_at
    same = probe.read("c3").json == made
    probe.findings.answer("read_after_write", "equals the response" if same else "differs")
    _about_lag(probe, written)
    probe.findings.answer("has_more_in_page_mode", *_presence(probe.page(page=1)))
    second = probe.rows["c2"]["created_at"]
    both = probe.page(order="created_at", page=1, starting_after=second)
    if both.status != OK:
        seen = f"refused: {both.words}"
    else:
        seen = "the cursor is ignored" if "c1" in probe.labels(both) else "the cursor counts"
    probe.findings.answer("cursor_with_page", seen)


def _about_lag(probe: Probe, written: float) -> None:
    for pause in LAG_PAUSES:
        probe.caller.pause(pause)
        listed = probe.page()
        if "c3" in probe.labels(listed):
            break
    else:
        raise Stopped(f"the list does not show a new customer after {sum(LAG_PAUSES):.0f} s")
    late, probe.listed = listed.at - written, len(customers(listed))
    if not pause and late > _AT_ONCE_SECONDS:
        probe.lag = late
        probe.findings.open("list_lag_seconds", f"it was first read after {late:.0f} s")
        return
    probe.lag = float(-(-late // 1)) if pause else 0.0
    probe.findings.answer(
        "list_lag_seconds", f"{probe.lag:.0f} at most" if pause else "at once", probe.lag
    )


def _presence(exchange: Exchange) -> tuple[str, bool]:
    there = "has_more" in exchange.json
    return ("there" if there else "absent"), there


def bounds(probe: Probe) -> None:
    """Ask for what was created after and before the second customer."""
    value = probe.rows["c2"]["created_at"]
    after, before = probe.page(created_at__after=value), probe.page(created_at__before=value)
    behind = probe.page(order="created_at", starting_after=value)
    inside = ("c2" in probe.labels(after), "c2" in probe.labels(before))
    passed = "c2" in probe.labels(behind)
    probe.findings.answer("has_more_in_cursor_mode", *_presence(behind))
    _about_total(probe, after, behind)
    probe.finer = inside == (True, False)
    if inside == (False, True) or probe.finer:
        seen = "stored finer than printed" if probe.finer else "in [before], not in [after]"
        probe.findings.open("filters", f"{seen}, so the bound was not met")
        if passed:
            probe.findings.open("cursor", f"{seen}, so the bound was not met")
        else:
            probe.findings.answer("cursor", "left out", "exclusive")
        return
    probe.findings.answer("filters", *_bound(inside[0]))
    probe.findings.answer("cursor", *_bound(passed))


def _bound(inside: bool) -> tuple[str, str]:  # noqa: FBT001 - the only argument
    return ("included", "inclusive") if inside else ("left out", "exclusive")


def _about_total(probe: Probe, after: Exchange, behind: Exchange) -> None:
    everything = probe.listed
    totals = [part(one.json, "total") for one in (after, behind)]
    rows = [len(customers(one)) for one in (after, behind)]
    wanted = {
        "absent": [None, None],
        "all": [everything, everything],
        "filtered": [rows[0], everything],
        "remaining": rows,
    }
    for value, pair in wanted.items():
        if totals == pair and rows[0] < everything and rows[1] < everything:
            texts = {
                "absent": "it is absent",
                "all": "all customers, whatever the filter",
                "filtered": "the customers that match the filters",
                "remaining": "the customers after the cursor",
            }
            probe.findings.answer("total", texts[value], value)
            return
    probe.findings.answer("total", f"{totals} where the pages hold {rows} of {everything}")


def update_order(probe: Probe) -> None:
    """List customers by `updated_at`, which only the first one has.

    Two were created before its update and, where that was possible, one after it.
    """
    if probe.rows["c1"].get("updated_at") is None:
        raise Unanswered("a write did not set `updated_at`")
    made = [label for label in ("c2", "c3", ODD) if label in probe.rows]
    if any(probe.rows[label].get("updated_at") is not None for label in made):
        raise Unanswered("new customers have `updated_at`")
    third = probe.rows["c3"]["created_at"]
    up, down = (probe.labels(probe.page(order=order)) for order in ("updated_at", "-updated_at"))
    found = probe.labels(probe.page(updated_at__after=_a_second_after(third)))
    behind = probe.labels(probe.page(order="updated_at", starting_after=third))
    _about_never(probe, [_place(labels, made) for labels in (up, down)])
    if "c1" in found:
        shown = bool({"c2", "c3"} & set(found))
        probe.findings.answer(
            "never_updated_in_filters", "included" if shown else "left out", shown
        )
    field = "updated_at" if "c1" in behind else "created_at"
    probe.findings.answer("updated_cursor", f"compares {field}", field)


def _a_second_after(text: str) -> str:
    created = moment(text)
    if created is None:
        raise Unanswered("`created_at` is not a timestamp")
    return _stamp(created + timedelta(seconds=1))


def _about_never(probe: Probe, places: Sequence[str]) -> None:
    if places[0] == places[1] and places[0] in readings.answers("never_updated"):
        seen = "among the others, by their creation" if places[0] == "mixed" else places[0]
        probe.findings.answer("never_updated", seen, places[0])
    else:
        probe.findings.answer("never_updated", f"ascending {places[0]}, descending {places[1]}")


def _place(labels: Sequence[str], never: list[str]) -> str:
    if not set(never) & set(labels):
        return "excluded" if "c1" in labels else "nowhere"
    if not {*never, "c1"} <= set(labels):
        return "in part"
    at = labels.index("c1")
    before = [labels.index(label) < at for label in never]
    if all(before) or not any(before):
        return "first" if all(before) else "last"
    # Those created before its update are on one side, the one created after it on the other.
    return "mixed" if before[0] == before[1] != before[-1] else "in disorder"


def limits(probe: Probe) -> None:
    """Ask for more than a page may be."""
    over = probe.page(page=100, limit=1)
    key = over.json.get("key")
    if over.status == OK:
        rows = "rows" if customers(over) else "no rows: an empty page, or page 99 again"
        probe.findings.answer("page_limit", rows)
    else:
        known = key if key in readings.answers("page_limit") else None
        probe.findings.answer("page_limit", over.words, known)
    large = probe.page(limit=101)
    probe.findings.answer("limit_above_100", "served" if large.status == OK else large.words)


def exact(probe: Probe) -> None:
    """Find the microsecond of a timestamp that is printed as a millisecond, and meet the bound.

    The filter `[after]` is asked for values in the millisecond until the first one that leaves the
    customer out is known: its own timestamp if the bound is left out, else the next microsecond.
    """
    text = probe.rows["c3"]["created_at"]
    printed = moment(text)
    if not probe.finer or printed is None or timestamp_form([text]) != "milliseconds":
        raise Unanswered("timestamps are not printed as milliseconds")

    high = first_left_out(
        lambda micros: _holds_third(probe, created_at__after=_stamp(printed, micros))
    )
    met = [
        _holds_third(probe, created_at__before=_stamp(printed, micros))
        for micros in (high, high - 1)
    ]
    if met[0] != met[1]:
        raise Unanswered("filters do not compare microseconds")
    probe.findings.answer("filters", *_bound(met[0]))
    probe.exact = _stamp(printed, high - 1 if met[0] else high)
    inside = _holds_third(probe, order="created_at", starting_after=probe.exact)
    probe.findings.answer("cursor", *_bound(inside))


def first_left_out(holds: Callable[[int], bool]) -> int:
    """The first microsecond of a millisecond, 0 to 1000, behind which a row is not listed.

    Args:
        holds: whether the row is listed behind a microsecond; asked ten times.
    """
    low, high = -1, 1000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def _stamp(printed: datetime, micros: int = 0) -> str:
    value = (printed + timedelta(microseconds=micros)).replace(tzinfo=None)
    return value.isoformat(timespec="microseconds") + "Z"


def _holds_third(probe: Probe, **query: Any) -> bool:
    return "c3" in probe.labels(probe.page(**query))


def exact_dates(probe: Probe) -> None:
    """Ask for the event of a creation by its microsecond, if it is that of the customer."""
    if not probe.exact or "activity_dates" in probe.findings.answers:
        raise Unanswered("no microsecond is known")
    path = probe.path("c3", "/activity")
    inside = []
    for name in ("start_date", "end_date"):
        query = {"limit": 100, "order": "created_at", name: probe.exact}
        rows = probe.caller.get(path, **query).json.get("data") or []
        inside.append(any(one.get("type") == "customer.created" for one in rows))
    if inside[0] == inside[1]:
        probe.findings.answer("activity_dates", *_bound(inside[0]))


def delete(probe: Probe) -> None:
    """Delete a customer, look for it, and use its key again."""
    old, key = probe.rows["c2"], probe.source_id("c2")
    path = probe.path("c2")
    gone = probe.write("DELETE", path)
    if not (gone.status == NO_CONTENT or (gone.status == NOT_FOUND and gone.repeated)):
        raise Unanswered(f"deleting was refused: {gone.words}")
    read, activity = probe.caller.get(path), probe.caller.get(f"{path}/activity")
    probe.findings.answer("deleted_read", f"{read.status}, {activity.status}")
    listed = customers(probe.page(created_at__after=probe.rows["c1"]["created_at"]))
    shown = any(row.get("id") == old["id"] for row in listed)
    probe.findings.answer("deleted_listed", "shown" if shown else "not shown", shown)
    again = probe.write("POST", "/v1/customers", {"source_id": key, "name": "Certify Again"})
    identity = again.json.get("id")
    if again.status != OK or not isinstance(identity, str):
        probe.note_refused(key, again)
        probe.findings.answer("deleted_key", f"refused: {again.words}")
        return
    probe.note_row(key, identity)
    same = identity == old["id"]
    probe.findings.answer("deleted_key", "the old customer" if same else "a new customer")


def activity(probe: Probe) -> None:
    """Read the activity of a customer."""
    probe.settle()
    path = probe.path("c1", "/activity")
    plain = _events(probe.caller.get(path, limit=100))
    rows = _events(probe.caller.get(path, limit=100, order="created_at"))
    if len(rows) < 2:  # noqa: PLR2004 - an order needs two
        raise Unanswered("the activity has fewer than two events")
    newest = plain[0].get("id") != rows[0].get("id")
    order = "-created_at" if newest else "created_at"
    probe.findings.answer("activity_order", "newest first" if newest else "oldest first", order)
    _about_dates(probe, path, rows)
    twice = f"{path}?limit=100&type=customer.created&type=customer.updated"
    answer = probe.caller.get(twice)
    probe.findings.answer("activity_types", answer.words if answer.status != OK else _kinds(answer))
    query = {"limit": 100, "order": "created_at", "starting_after_id": rows[0].get("id")}
    behind = [one.get("id") for one in _events(probe.caller.get(path, **query))]
    works = behind == [one.get("id") for one in rows[1:]]
    probe.findings.answer("activity_cursor", "works" if works else "gives other rows")


def _events(exchange: Exchange) -> list[Json]:
    rows = exchange.json.get("data")
    if exchange.status != OK or not isinstance(rows, list) or not rows:
        raise Unanswered(f"the activity answered {exchange.words}")
    return rows


def _kinds(exchange: Exchange) -> str:
    found: Iterable[str] = {str(one.get("type")) for one in _events(exchange)}
    return f"only {', '.join(found)}" if len(set(found)) == 1 else "both"


def _about_dates(probe: Probe, path: str, rows: list[Json]) -> None:
    times = [row.get("created_at") for row in rows]
    chosen = next((row for row in rows if times.count(row.get("created_at")) == 1), None)
    if chosen is None:
        probe.findings.open("activity_dates", "its events have the same time")
        return
    inside = []
    for name in ("start_date", "end_date"):
        query = {"limit": 100, "order": "created_at", name: chosen["created_at"]}
        rows = probe.caller.get(path, **query).json.get("data") or []
        inside.append(any(one.get("id") == chosen["id"] for one in rows))
    if inside[0] == inside[1]:
        probe.findings.answer("activity_dates", *_bound(inside[0]))
    else:
        probe.findings.open("activity_dates", "stored finer than printed")
