"""The refused-records file: Singer messages that any target can read and this one replays."""

from __future__ import annotations

import logging
import math
import os
import re
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import msgspec

from target_voucherify.acknowledgement.private_files import file_error, open_private
from target_voucherify.acknowledgement.refused_line import ENTITY, with_refusal
from target_voucherify.errors import InputError
from target_voucherify.json_lines import decode, record_in
from target_voucherify.voucherify_client.errors import SettingsError
from target_voucherify.voucherify_client.timestamps import to_iso

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from target_voucherify.acknowledgement.refusal_reasons import Reason

ADDED: dict[str, Any] = {
    "_refused_reason": {"type": ["null", "string"]},
    "_refused_key": {"type": ["null", "string"]},
    "_refused_at": {"type": ["null", "string"], "format": "date-time"},
    "_refused_hash": {"type": ["null", "string"]},
    ENTITY: {"type": ["null", "string"]},
}
"""Properties that a refused record has besides its own."""

FIRST_BYTES = b'{"type":"SCHEMA","stream":"'
MAX_FIRST_LINE = 1 << 26
BLOCK = 1 << 20
NEW_FILE = os.O_WRONLY | os.O_TRUNC | os.O_APPEND
APPENDED_FILE = os.O_RDWR | os.O_APPEND
CLOSED = -1
SURROGATE = re.compile("[\ud800-\udfff]")

MAX_DEPTH = 100
"""Nested levels that are kept; readers of JSON do not follow much further."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


class RefusedFile:
    """Appends refused records to a file that only its owner may read: it holds personal data.

    When the file itself is the input, what is still refused goes to a new file beside it, which
    takes its place at the end. A run that ends early leaves the file as it was.

    Raises:
        SettingsError: the file cannot be written, or is not a refused-records file. Checked now, so
            that hours of work do not end at an unwritable file.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path).resolve()  # a link stays a link when the file is replaced
        self._schemas: dict[str, dict[str, Any]] = {}
        self._written: dict[str, dict[str, Any]] = {}
        self._unflushed = False
        self._first_replayed: bytes | None = None
        """The first line that was refused before and is again, as it was written by this run."""
        self._read_size: int | None = None
        self._read_file: os.stat_result | None = None
        self._error: SettingsError | None = None
        """What made the file unusable, if anything did."""
        try:
            self._descriptor = open_private(path, APPENDED_FILE)
            self._repair()
            self._begin = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise file_error("refused_records_path", path, error) from None

    @property
    def is_replayed(self) -> bool:
        """Whether this file is the input of the run."""
        return self._read_size is not None

    def begin_replay(self, source: IO[Any]) -> float:
        """Write to a new file from now on if this file is the input.

        Returns:
            How many bytes of the input to read: what it holds now, or all of another input.
        """
        try:
            itself = os.fstat(self._descriptor)
            if not os.path.samestat(os.fstat(source.fileno()), itself):
                return math.inf
            begin = os.lseek(source.fileno(), 0, os.SEEK_CUR)
        except (OSError, ValueError):  # an input without a file behind it
            return math.inf
        self._read_file, self._read_size = itself, itself.st_size - begin
        with self._writing():
            not_read = os.pread(self._descriptor, begin, 0)
            self._descriptor = open_private(self._replacement, NEW_FILE)
        for line in not_read.splitlines():
            self._append(line)
        return self._read_size

    def end_replay(self, *, is_complete: bool) -> None:
        """Replace the old file by the new one, or delete the new one.

        Args:
            is_complete: whether every record of the old file was accepted, or is in the new one.

        Raises:
            SettingsError: another program saved the old file meanwhile.
        """
        if self._read_file is None:
            return
        is_saved = not self._is_at_path(self._read_file)
        if is_saved or not is_complete:
            self._replacement.unlink()
            if not is_complete:
                return
            raise SettingsError(
                f"refused_records_path: {self._path} was saved by another program while this run "
                "replayed it, so it stays as it is: run again."
            )
        with self._writing():
            self._keep_what_was_added(self._read_file.st_size)
            os.fsync(self._descriptor)
            self._replacement.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def _keep_what_was_added(self, read: int) -> None:
        """Keep lines that another program added behind what was there at the start."""
        with self._path.open("rb") as file:
            file.seek(read)
            for line in file:
                self._append(line.removesuffix(b"\n"))

    @property
    def _replacement(self) -> Path:
        return self._path.with_name(f"{self._path.name}.replaying")

    def declare(self, message: Mapping[str, Any]) -> None:
        """Remember the SCHEMA of a stream, to write it before its first refused record."""
        self._schemas[message["stream"]] = {
            "type": "SCHEMA",
            "stream": message["stream"],
            "schema": {
                **message["schema"],
                "properties": {**message["schema"]["properties"], **ADDED},
            },
            "key_properties": message.get("key_properties") or [],
        }

    def write(
        self, line: bytes, reason: Reason, pseudonym: str | None, at: float, entity: str
    ) -> None:
        """Append one record as it came, with the reason and its pseudonym in the log.

        Stream maps may make several entities of it; the line stands for the one that is named.

        `_refused_at` is the time at which it was read first, so that it can be compared with
        records of the same key that were read later and confirmed earlier.

        Raises:
            InputError: the input is this file, read through a pipe, and would never end.
        """
        stream, record = record_in(line)
        if not self.is_replayed and line == self._first_replayed:
            raise InputError(
                "the input holds records that this run set aside: read the refused-records file "
                "by < instead of through a pipe"
            )
        schema = self._schemas[stream]
        if self._written.get(stream) != schema:
            self._append(_encode(_clean(schema)))
            self._written[stream] = schema
        refusal = {
            "_refused_reason": reason.text,
            "_refused_key": reason.key,
            "_refused_at": to_iso(datetime.fromtimestamp(at, UTC)),
            "_refused_hash": pseudonym,
            ENTITY: entity,
        }
        refused = with_refusal(line, refusal)
        if self._first_replayed is None and "_refused_at" in record:
            self._first_replayed = refused
        self._append(refused)

    def flush(self) -> None:
        """Sync the file to disk, before a state that covers its records is emitted."""
        with self._writing():
            self._follow()
            if self._unflushed:
                os.fsync(self._descriptor)
                self._unflushed = False

    def close(self) -> None:
        """Close the file; nothing can be written afterwards."""
        if self._descriptor != CLOSED:
            os.close(self._descriptor)
            self._descriptor = CLOSED

    def _follow(self) -> None:
        """Go on in a file that took this one's place, with the lines of this run that it lacks.

        Editors save a file by writing a new one and renaming it.
        """
        if self.is_replayed or self._is_at_path(os.fstat(self._descriptor)):
            return
        descriptor, self._descriptor = self._descriptor, CLOSED
        with os.fdopen(descriptor, "rb") as before:
            before.seek(self._begin)
            missing = dict.fromkeys(before.read().splitlines())
        self._descriptor = open_private(self._path, APPENDED_FILE)
        self._repair()
        self._begin = os.fstat(self._descriptor).st_size
        with self._path.open("rb") as now:
            for line in now:
                missing.pop(line.strip(), None)
        for line in missing:
            self._append(line)

    def _is_at_path(self, file: os.stat_result) -> bool:
        try:
            return os.path.samestat(file, self._path.stat())
        except FileNotFoundError:
            return False

    def _append(self, line: bytes) -> None:
        """Write a line in one call, so that a kill cannot leave half of it."""
        data = line + b"\n"
        self._unflushed = True
        with self._writing():
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Something is written; after an error nothing further is.

        A line may be half written, and a later `fsync` may succeed without what was lost.

        Raises:
            SettingsError: the disk is full or fails.
        """
        if self._error:
            raise self._error
        try:
            yield
        except OSError as error:
            self._error = file_error("refused_records_path", self._path, error)
            raise self._error from None

    def _repair(self) -> None:
        """Complete a last line that lacks its line feed, as editors leave it.

        One that is cut short is moved to another file: no state covers it if a crash did that, but
        it may have been edited.

        Raises:
            SettingsError: it is not a refused-records file, so nothing in it is touched.
        """
        with self._path.open("rb") as file:
            first = file.readline(MAX_FIRST_LINE)
            if first and not (_is_message(first) or _is_cut_short(first)):
                raise SettingsError(
                    f"refused_records_path: {self._path} is not a refused-records file; name a "
                    "new one."
                )
            end = _end_of_last_line(file, file.seek(0, os.SEEK_END))
            file.seek(end)
            last = file.read()
        if not last.strip():
            return
        if _is_message(last):
            self._append(b"")
            return
        aside = self._path.with_name(f"{self._path.name}.torn")
        descriptor = open_private(aside, APPENDED_FILE)
        os.write(descriptor, last + b"\n")
        os.close(descriptor)
        os.truncate(self._path, end)
        logging.getLogger("target-voucherify").warning(
            "refused_records_path: the last line of %s was cut short; it is in %s now",
            self._path,
            aside,
        )


def _is_message(line: bytes) -> bool:
    """Whether a line is a complete SCHEMA or RECORD, however its JSON is written."""
    try:
        message = decode(line)
    except InputError:
        return False
    return isinstance(message, dict) and message.get("type") in {"SCHEMA", "RECORD"}


def _is_cut_short(line: bytes) -> bool:
    """Whether a line is the beginning of a file's first line."""
    return not line.endswith(b"\n") and line[: len(FIRST_BYTES)] == FIRST_BYTES[: len(line)]


def _end_of_last_line(file: BinaryIO, size: int) -> int:
    """Number of bytes up to and including the last line feed."""
    end = size
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _clean(value: Any, depth: int = MAX_DEPTH) -> Any:
    """A schema with NaN, lone surrogates and too deep nesting, which JSON has not, as null."""
    if isinstance(value, dict | list) and not depth:
        return None
    if isinstance(value, dict):
        return {_clean(key) or "": _clean(member, depth - 1) for key, member in value.items()}
    if isinstance(value, list):
        return [_clean(member, depth - 1) for member in value]
    if isinstance(value, str):
        return None if SURROGATE.search(value) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
