"""What all responses of a probe have in common."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from voucherify_sandbox.certify.questions import EVENTS, MEMBERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voucherify_sandbox.certify.probe import Probe

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)")
_LONG = 6
_FORMS = {("Z", 3): "milliseconds", ("Z", 0): "seconds", ("Z", 6): "microseconds"}


def judge(probe: Probe) -> None:
    """Answer the questions about the form of customers and events."""
    bodies = [one.body for one in probe.notes.responses.values()]
    found = [part for body in bodies for part in _objects(body)]
    customers = [one for one in found if one.get("object") == "customer" and "source_id" in one]
    events = [one for one in found if str(one.get("id", "")).startswith("ev") and "type" in one]
    texts = [
        str(one[name]) for one in found for name in ("created_at", "updated_at") if one.get(name)
    ]
    if form := timestamp_form(texts):
        probe.findings.answer("timestamps", f"{form}, such as {texts[0]}", form)
    if customers:
        extra = sorted({name for one in customers for name in one} - MEMBERS)
        seen = f"{len(extra)} more" if extra else "none"
        probe.findings.answer("unknown_fields", seen, bool(extra))
    if events:
        unknown = {_second(str(one["type"])) for one in events} - EVENTS
        probe.findings.answer(
            "unknown_event_types", f"{len(unknown)} unknown" if unknown else "known", bool(unknown)
        )


def _second(kind: str) -> str:
    return kind.split(".")[1] if "." in kind else ""


def timestamp_form(texts: Iterable[str]) -> str | None:
    """The answer of the reading `timestamps`; `None` where no timestamp is of a known form."""
    matches = [found for text in texts if (found := _TIMESTAMP.fullmatch(text))]
    forms = {(found[2], len(found[1] or "")) for found in matches}
    if not forms:
        return None
    if {zone for zone, _ in forms} == {"Z"}:
        return _FORMS.get(next(iter(forms))) if len(forms) == 1 else "mixed"
    if any(zone == "Z" for zone, _ in forms):
        return "mixed"
    return _offset_form([found[1] or "" for found in matches])


def _offset_form(decimals: list[str]) -> str | None:
    """Short if trailing zeros are missing, long if one is there; else neither is known."""
    if any(len(digits) < _LONG for digits in decimals):
        return "short_offset"
    return "long_offset" if any(digits.endswith("0") for digits in decimals) else None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _objects(part)
    elif isinstance(value, list):
        for part in value:
            yield from _objects(part)
