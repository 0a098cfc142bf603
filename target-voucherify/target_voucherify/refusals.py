"""The file of refused records: Singer messages that any target reads and this one replays."""

from __future__ import annotations

import math
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from target_voucherify.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_voucherify.reasons import Reason

ADDED: dict[str, Any] = {
    "_refused_reason": {"type": ["null", "string"]},
    "_refused_key": {"type": ["null", "string"]},
    "_refused_at": {"type": ["null", "string"], "format": "date-time"},
    "_refused_hash": {"type": ["null", "string"]},
}
"""Properties that each refused record has besides its own."""

BEGINNINGS = (b'{"type":"SCHEMA"', b'{"type":"RECORD"')
BLOCK = 1 << 20
SURROGATE = re.compile("[\ud800-\udfff]")

DEPTH = 100
"""Objects in objects that are kept; readers of JSON do not follow much further."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


class RefusalFile:
    """Appends; whatever an earlier run wrote stays. Readable by its owner only: it holds people."""

    def __init__(self, path: str) -> None:
        """Check the path now, so that hours of work do not end at an unwritable file.

        Raises:
            SettingsError: the file cannot be written, or holds something else.
        """
        self._path = Path(path)
        self._schemas: dict[str, dict[str, Any]] = {}
        self._written: dict[str, dict[str, Any]] = {}
        self._unflushed = False
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._repair()
        except OSError as error:
            raise SettingsError(
                f"refused_records_path: {path} cannot be written ({error.strerror}); its folder "
                "must exist."
            ) from None

    def declare(self, message: Mapping[str, Any]) -> None:
        """Remember the SCHEMA of a stream; it is written before its first refused record."""
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
        self, stream: str, record: Mapping[str, Any], reason: Reason, name: str | None
    ) -> None:
        """Append one record with the reason it was refused for, and its name in the log."""
        schema = self._schemas[stream]
        if self._written.get(stream) != schema:
            self._append(schema)
            self._written[stream] = schema
        refused = {
            **record,
            "_refused_reason": reason.text,
            "_refused_key": reason.key,
            "_refused_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "_refused_hash": name,
        }
        self._append({"type": "RECORD", "stream": stream, "record": refused})

    def flush(self) -> None:
        """Make sure that what was written outlives the machine: states will speak for it."""
        if self._unflushed:
            os.fsync(self._descriptor)
            self._unflushed = False

    def _append(self, message: Mapping[str, Any]) -> None:
        """Write a whole line at once, so that a kill cannot leave half of one."""
        line = _encode(_clean(message)) + b"\n"
        written = os.write(self._descriptor, line)
        while written < len(line):
            written += os.write(self._descriptor, line[written:])
        self._unflushed = True

    def _repair(self) -> None:
        """Drop a last line that a crash of the machine cut short: its state was never passed on.

        Raises:
            SettingsError: the file is not one of refused records, so nothing in it is touched.
        """
        with self._path.open("rb") as file:
            beginning = file.read(len(BEGINNINGS[0]))
            size = file.seek(0, os.SEEK_END)
            if beginning and beginning not in BEGINNINGS:
                raise SettingsError(
                    f"refused_records_path: {self._path} holds something else than refused "
                    "records; name a file of its own."
                )
            whole = _end_of_last_line(file, size)
        if whole != size:
            os.truncate(self._path, whole)


def _end_of_last_line(file: BinaryIO, size: int) -> int:
    """Bytes up to and with the last line feed, looked for from the end."""
    end = size
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _clean(value: Any, depth: int = DEPTH) -> Any:
    """The value without what JSON cannot say: NaN, broken text and bottomless nesting become null.

    Null is the honest replacement: a replayed record is then refused again or lacks the field,
    while a repaired text could become a customer's name for ever.
    """
    if isinstance(value, dict | list) and not depth:
        return None
    if isinstance(value, dict):
        return {_clean(key) or "": _clean(member, depth - 1) for key, member in value.items()}
    if isinstance(value, list):
        return [_clean(member, depth - 1) for member in value]
    if isinstance(value, str):
        return None if SURROGATE.search(value) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
