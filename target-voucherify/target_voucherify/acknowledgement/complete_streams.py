"""Which streams of a run were sent completely, by the versions their messages carry.

A stream is complete only if its ACTIVATE_VERSION comes after its last record, every record carried
that version, and no earlier run began it: a tap that resumes a version sends only the rest. Many
taps send ACTIVATE_VERSION first; when such a tap dies halfway its output ends like any other, so a
version that comes first says nothing about what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class _Stream:
    """What one stream sent so far; `version` is `None` until a record came."""

    version: str | None = None
    is_mixed: bool = False
    is_resumed: bool = False
    is_active: bool = False
    """Whether the newest message is an ACTIVATE_VERSION with the records' version."""


class CompleteStreams:
    """The versions of one run, by the name that the tap gives a stream.

    Args:
        begin: notes for good that records of a stream and version came; returns whether they are
            the first ones ever.
    """

    def __init__(self, begin: Callable[[str, str], bool]) -> None:
        self._begin = begin
        self._streams: dict[str, _Stream] = {}
        self.activated_too_early: set[str] = set()
        """Streams whose ACTIVATE_VERSION did not match the records before it."""
        self.has_unreadable_key = False
        """Whether a record came whose key cannot be read."""

    def record(self, stream: str, version: object) -> None:
        """Note a record and the version it carries."""
        seen = self._streams.setdefault(stream, _Stream())
        text = str(version)
        if seen.version is None:
            seen.version = text
            seen.is_resumed = not self._begin(stream, text)
        seen.is_mixed = seen.is_mixed or version is None or text != seen.version
        seen.is_active = False

    def mark_unreadable_key(self) -> None:
        """Note a record whose key cannot be read: it may be about any customer."""
        self.has_unreadable_key = True

    def activate(self, stream: str, version: object) -> bool:
        """Note an ACTIVATE_VERSION; returns whether the stream is complete up to here."""
        seen = self._streams.setdefault(stream, _Stream())
        seen.is_active = seen.version == str(version) and not seen.is_mixed
        if not seen.is_active:
            self.activated_too_early.add(stream)
        return seen.is_active and not seen.is_resumed

    def complete(self) -> dict[str, str]:
        """The streams that were sent completely, each with its version.

        None counts once a record came whose key cannot be read.
        """
        if self.has_unreadable_key:
            return {}
        return {
            name: seen.version
            for name, seen in self._streams.items()
            if seen.is_active and seen.version is not None and not seen.is_resumed
        }
