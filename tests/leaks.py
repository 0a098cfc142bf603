"""What no log and no error may hold, and where everything that the suite makes them say passes.

Whatever a process of a plugin or of Meltano writes to standard error is handed to `saw`; what is
logged inside the test's own process, pytest has. `conftest.py` fails the test whose words leak.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from demo import crm
from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

CANARIES = ("do-not-show-me", "netrc-canary", "secret-canary", "wrong-key")
"""Secrets that single tests use."""


def _one_of(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))


PRIVATE = {
    "a key": re.compile(_one_of((APPLICATION_ID, SECRET_KEY, *CANARIES))),
    "a token": re.compile(r"(token|download)_[0-9a-f]{24}|Bearer \w{8}"),
    "an e-mail address": re.compile(r"[\w.+%-]+(@|%40)[\w-]+(\.[\w-]+)+"),
    "a phone number": re.compile(r"\+1 ?555|\+1 \(555\)|\+?49 30 \d|0049-30|\(030\)|600100200"),
    "a name": re.compile(
        rf"\b(Customer|Contact) \d|\b({_one_of(('Ann', *crm.FIRST_NAMES, *crm.LAST_NAMES))})\b"
    ),
    "a source_id": re.compile(r"\bcrm-\d"),
}
"""Kinds of private words, as the sandbox's seed, the demo's CRM and the tests' input have them."""

_seen: list[str] = []


def saw(words: str | bytes | None) -> None:
    """Take note of what was logged; the test that runs answers for it."""
    if words:
        text = words.decode(errors="replace") if isinstance(words, bytes) else words
        _seen.append(text)


def taken() -> list[str]:
    """What was noted since this was asked the last time."""
    seen = _seen.copy()
    _seen.clear()
    return seen


def lines_that_leak(texts: Iterable[str]) -> list[str]:
    """Each leaking line behind the kind of what it holds."""
    return [
        f"{kind}: {line}"
        for text in texts
        for line in text.splitlines()
        for kind, pattern in PRIVATE.items()
        if pattern.search(line)
    ]
