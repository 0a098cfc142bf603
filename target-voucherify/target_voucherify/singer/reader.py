"""The reader of Singer messages: one JSON object per line."""

from __future__ import annotations

import select
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

LINE = "_line"
"""Member under which a message carries the line it came in."""

BLOCK_SIZE = 1 << 18
"""Bytes read at a time at most; a pipe returns what it has."""


class MessageReader(GenericSingerReader[bytes]):
    """Reads to the end of the input, to the first line that is no message, or to a signal.

    What ended it early is kept in `error` and not raised here: everything received before is still
    written and confirmed at the end of the run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error: VoucherifyError | None = None
        self.shutdown: Shutdown | None = None
        self.input_size: Callable[[IO[Any]], float] = lambda _source: inf
        """How many bytes of the input to read; what was added later is left out."""
        self.before_read: Callable[[], float | None] | None = None
        """Called before each read, and again after as many seconds as it returns without input."""
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

        This loop costs less than the decoding, which the SDK's own does not.
        """
        counter: Counter[str] = Counter()
        self._source = file_input or self.default_input
        self._bytes_left = self.input_size(self._source)
        try:
            for line in self._lines(self._source):
                message = self.deserialize_json(line)
                kind = _kind(message)
                counter[kind] += 1
                callback = callbacks.get(kind)
                if callback is None:
                    raise _unknown_type_error(message)
                message[LINE] = line
                callback(message)
        except InputError as error:
            number = counter.total() + (error.__class__ is UnreadableLineError)
            self.error = type(error)(f"Message {number} of the input: {error}.")
        except VoucherifyError as error:
            self.error = error
        return counter

    @override
    def deserialize_json(self, line: bytes) -> Any:
        """Decode one line; see `json_lines.decode`."""
        return decode(line)

    def drain(self) -> None:
        """Read the rest of the input and discard it."""
        self.before_read = None
        if self._source is not None:
            for _ in self._blocks(self._source):
                pass

    def _lines(self, source: IO[Any]) -> Iterator[bytes]:
        """Non-empty lines without their line feed; the last one may have none."""
        pending: list[bytes] = []
        for block in self._blocks(source):
            first, *others = block.split(b"\n")
            pending.append(first)
            if not others:
                continue
            others.insert(0, b"".join(pending))
            pending = [others.pop()]
            yield from filter(bytes.strip, others)
        if last := b"".join(pending).strip():
            yield last

    def _blocks(self, source: IO[Any]) -> Iterator[bytes]:
        """The input in blocks; signals are checked in between."""
        binary = getattr(source, "buffer", source)
        read = getattr(binary, "read1", binary.read)
        descriptor = _descriptor(binary)
        while True:
            while self.before_read and not self._has_input(descriptor, self.before_read()):
                pass
            size = int(min(BLOCK_SIZE, self._bytes_left))
            block = self._interruptible(lambda: read(size))  # noqa: B023 - called at once
            if not block:
                return
            self._bytes_left -= len(block)
            yield block.encode("utf-8", "surrogatepass") if isinstance(block, str) else block

    def _has_input(self, descriptor: int | None, seconds: float | None) -> bool:
        """Wait for input, or for its end; whether either came in time."""
        if descriptor is None:
            return True
        ready, _, _ = self._interruptible(lambda: select.select([descriptor], [], [], seconds))
        return bool(ready)

    def _interruptible(self, wait: Callable[[], Any]) -> Any:
        """Call what may block for long; a signal ends it."""
        shutdown = self.shutdown
        if shutdown is None:
            return wait()
        shutdown.check()
        shutdown.is_interruptible = True
        try:
            return wait()
        finally:
            shutdown.is_interruptible = False


def _descriptor(source: IO[Any]) -> int | None:
    """The file descriptor of an input, `None` where there is none to wait for."""
    try:
        return source.fileno()
    except (AttributeError, OSError):
        return None


def _kind(message: Any) -> str:
    """The type of a message; a type without a callback if it has none."""
    kind = message.get("type") if type(message) is dict else None
    return kind if type(kind) is str else "no message"


def _unknown_type_error(message: Any) -> InputError:
    return InputError(
        "its type is none of SCHEMA, RECORD, STATE, ACTIVATE_VERSION; look at what else writes to "
        "the standard output of the tap"
        if type(message) is dict
        else "it is JSON, but not a Singer message, which is an object with a type"
    )
