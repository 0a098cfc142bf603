"""Searches all logs and errors of the suite for private data.

Tests pass the standard error of plugin and Meltano processes to `saw`; pytest captures the logs of
the test's own process. `conftest.py` fails a test with a match.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from demo import crm
from voucherify_sandbox import seed
from voucherify_sandbox.access import APPLICATION_ID, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

CANARIES = ("do-not-show-me", "netrc-canary", "proxy-canary", "secret-canary", "wrong-key")
"""Secrets of single tests."""


def _one_of(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))


NAMES = (*crm.FIRST_NAMES, *crm.LAST_NAMES, *seed.FIRST_NAMES, *seed.LAST_NAMES)

PRIVATE = {
    "a key": re.compile(_one_of((APPLICATION_ID, SECRET_KEY, *CANARIES))),
    "a token": re.compile(r"(token|download)_[0-9a-f]{24}|Bearer \w{8}"),
    "an e-mail address": re.compile(r"[\w.+%-]+(@|%40)[\w-]+(\.[\w-]+)+"),
    "a phone number": re.compile(r"\+1 ?555|\+1 \(555\)|\+?49 30 \d|0049-30|\(030\)|600100200"),
    "a name": re.compile(rf"\b(Customer|Contact) \d|\b({_one_of(('Ann', *NAMES))})\b"),
    "a source_id": re.compile(r"\bcrm-\d"),
}
"""Patterns of private data in the sandbox's seed, the demo's CRM and the input of tests."""

_seen: list[str] = []


def saw(words: str | bytes | None) -> None:
    """Keep a log for the search at the end of the present test."""
    if words:
        text = words.decode(errors="replace") if isinstance(words, bytes) else words
        _seen.append(text)


def taken() -> list[str]:
    """The logs since the last call."""
    seen = _seen.copy()
    _seen.clear()
    return seen


def lines_that_leak(texts: Iterable[str]) -> list[str]:
    """Each matching line, after the kind of private data."""
    return [
        f"{kind}: {line}"
        for text in texts
        for line in text.splitlines()
        for kind, pattern in PRIVATE.items()
        if pattern.search(line)
    ]
