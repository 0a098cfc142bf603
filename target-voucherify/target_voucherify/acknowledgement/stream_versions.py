"""Which streams of a run were sent whole, by the versions their messages carry.

A stream is whole only if its ACTIVATE_VERSION comes after its last record and every record carried
that version. Many taps send ACTIVATE_VERSION first; when such a tap dies halfway its input ends
like any other, so a version that comes first says nothing about what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Stream:
    """What one stream sent so far; the version is `None` until a record came."""

    version: str | None = None
    is_mixed: bool = False
    is_active: bool = False
    """Whether ACTIVATE_VERSION with the records' version is the last that came."""


class StreamVersions:
    """The versions of one run, by the name that the tap gives a stream."""

    def __init__(self) -> None:
        """Start before the first message."""
        self._streams: dict[str, _Stream] = {}
        self.activated_too_early: set[str] = set()
        """Streams whose ACTIVATE_VERSION did not match the records before it."""
        self.is_spoiled = False
        """Whether a record came whose key is not known."""

    def record(self, stream: str, version: object) -> None:
        """Take note of a record and the version it carries."""
        seen = self._streams.setdefault(stream, _Stream())
        text = str(version)
        if seen.version is None:
            seen.version = text
        seen.is_mixed = seen.is_mixed or version is None or text != seen.version
        seen.is_active = False

    def spoil(self) -> None:
        """Take note of a record whose key is not known: any customer may be the one it is about."""
        self.is_spoiled = True

    def activate(self, stream: str, version: object) -> bool:
        """Take note of an ACTIVATE_VERSION; whether the stream is whole up to here."""
        seen = self._streams.setdefault(stream, _Stream())
        seen.is_active = seen.version == str(version) and not seen.is_mixed
        if not seen.is_active:
            self.activated_too_early.add(stream)
        return seen.is_active

    def whole(self) -> dict[str, str]:
        """The streams that were sent whole, each with its version.

        None of them is once a record came whose key is not known.
        """
        if self.is_spoiled:
            return {}
        return {
            name: seen.version
            for name, seen in self._streams.items()
            if seen.is_active and seen.version is not None
        }
