"""Reading Singer messages: one JSON object per line, fast, and precise about what is wrong."""

from __future__ import annotations

import sys
from collections import Counter
from math import inf
from typing import IO, TYPE_CHECKING, Any

from singer_sdk.singerlib.encoding.base import GenericSingerReader
from typing_extensions import override

from target_voucherify.errors import InputError
from target_voucherify.json_lines import UnreadableLineError, decode
from target_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from target_voucherify.voucherify_client.shutdown import Shutdown

BLOCK = 1 << 18
"""Bytes asked of the input at once; a pipe gives what it has."""


class MessageReader(GenericSingerReader[bytes]):
    """Reads to the end of the input, to the first line that is no message, or to a signal.

    What ended it early is kept in `stopped_by` and not raised here: whatever was received before is
    still written and confirmed, and that is the business of the end of the run.
    """

    def __init__(self) -> None:
        """Start before the first line."""
        super().__init__()
        self.line = b""
        self.stopped_by: VoucherifyError | None = None
        self.shutdown: Shutdown | None = None
        self.bytes_of: Callable[[IO[Any]], float] = _all
        """How many bytes of the input are read; what lies beyond was not there at first."""
        self._bytes_left = inf
        self._source: IO[Any] | None = None

    @property
    @override
    def default_input(self) -> IO[bytes]:
        """Standard input, as bytes."""
        return sys.stdin.buffer

    @override
    def process_lines(
        self,
        file_input: IO[bytes] | None,
        callbacks: dict[str, Callable[[dict[str, Any]], None]],
    ) -> Counter[str]:
        """Call the callback of each message's type; count messages by type.

        The SDK's own loop asserts and counts line by line; this one costs less than the decoding.
        """
        counter: Counter[str] = Counter()
        self._source = file_input or self.default_input
        self._bytes_left = self.bytes_of(self._source)
        try:
            for line in self._lines(self._source):
                self.line = line
                message = self.deserialize_json(line)
                kind = _kind(message)
                counter[kind] += 1
                callback: Callable[[Any], None] = callbacks.get(kind, _unknown)
                callback(message)
        except InputError as error:
            number = counter.total() + (error.__class__ is UnreadableLineError)
            self.stopped_by = type(error)(f"Message {number} of the input: {error}.")
        except VoucherifyError as error:
            self.stopped_by = error
        return counter

    @override
    def deserialize_json(self, line: bytes) -> Any:
        """Decode one line; see `json_lines.decode`."""
        return decode(line)

    def drop_the_rest(self) -> None:
        """Read what is left of the input, and keep nothing of it."""
        if self._source is not None:
            for _ in self._blocks(self._source):
                pass

    def _lines(self, source: IO[Any]) -> Iterator[bytes]:
        """Non-empty lines without their end; of a last line without end, whatever there is."""
        rest: list[bytes] = []
        for block in self._blocks(source):
            first, *others = block.split(b"\n")
            rest.append(first)
            if not others:
                continue
            others.insert(0, b"".join(rest))
            rest = [others.pop()]
            yield from filter(bytes.strip, others)
        if last := b"".join(rest).strip():
            yield last

    def _blocks(self, source: IO[Any]) -> Iterator[bytes]:
        """What the input has, block by block, looking at signals in between."""
        binary = getattr(source, "buffer", source)
        read = getattr(binary, "read1", binary.read)
        shutdown = self.shutdown
        while True:
            if shutdown:
                shutdown.check()
                shutdown.is_interruptible = True
            block = read(int(min(BLOCK, self._bytes_left)))
            if shutdown:
                shutdown.is_interruptible = False
            if not block:
                return
            self._bytes_left -= len(block)
            yield block.encode("utf-8", "surrogatepass") if isinstance(block, str) else block


def _all(source: IO[Any]) -> float:
    del source
    return inf


def _kind(message: Any) -> str:
    """The type of a message; what is none gets a type that nobody handles."""
    kind = message.get("type") if type(message) is dict else None
    return kind if type(kind) is str else "no message"


def _unknown(message: Any) -> None:
    raise InputError(
        "its type is none of SCHEMA, RECORD, STATE, ACTIVATE_VERSION; look at what else writes to "
        "the standard output of the tap"
        if type(message) is dict
        else "it is JSON, but not a Singer message, which is an object with a type"
    )
