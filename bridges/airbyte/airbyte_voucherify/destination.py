"""The destination: the target fed with Airbyte's records, whose states are Airbyte's again.

Each state of Airbyte goes through the target as its number. When the target passes a number on, it
has settled every record before it, and all states up to that number are acknowledged.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter, deque
from contextlib import redirect_stdout
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from airbyte_voucherify.protocol import (
    Message,
    StreamKey,
    arguments,
    begin_log,
    connection_status,
    encode,
    send,
    settings_form,
)
from target_voucherify.settings import SETTINGS
from target_voucherify.target import TargetVoucherify
from target_voucherify.voucherify_client.connection_settings import unknown_settings
from target_voucherify.voucherify_client.errors import SettingsError
from target_voucherify.voucherify_client.exit_status import exit_status, message_for

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Mapping

IN_IMAGE = "VOUCHERIFY_IN_IMAGE"
"""Environment variable that the image sets: what is not on a volume is gone after the sync."""

PATHS = ("ledger_path", "refused_records_path")
"""Settings that name a file."""

KEPT = "Needs a volume where the connector runs in a container."

OBJECTS = [name for name, each in SETTINGS["properties"].items() if "object" in each["type"]]
"""Settings that the platform's form takes as text, for it has no field for an object."""

FORM = settings_form(SETTINGS, hints=dict.fromkeys(PATHS, KEPT))

DELETED_BY_CDC, DELETED_AT = "_ab_cdc_deleted_at", "_sdc_deleted_at"
"""The marks of a deleted record, of Airbyte and of Singer."""

SYNC_MODES = ("append_dedup", "append")
"""A customer is upserted in both; `overwrite` would mean to delete all others first."""

RECORD = b'{"type":"RECORD","segment":%d,"stream":%b,"record":%b}\n'
"""A RECORD message, with the number of the segment that it belongs to: the records between two
states. The target writes a refused one into its file as it came, so refused ones can be counted."""

REFUSED = re.compile(rb'\{"type":"RECORD","segment":(\d+),')
"""The beginning of such a line."""


class Record(msgspec.Struct):
    """Airbyte's record; its data stay as they came."""

    stream: str
    data: msgspec.Raw
    namespace: str | None = None


class Line(msgspec.Struct):
    """What is needed of a message of Airbyte."""

    type: str
    record: Record | None = None


class Deletion(msgspec.Struct, rename={"at": DELETED_BY_CDC}):
    """When a source that captures changes saw a record deleted."""

    at: msgspec.Raw = msgspec.Raw(b"null")


class Pending(NamedTuple):
    """A state that is not acknowledged yet: the message, and the records that it covers."""

    number: int
    message: Message
    segments: list[int]
    records: int


_decode = msgspec.json.Decoder(Line).decode
_decode_deletion = msgspec.json.Decoder(Deletion).decode


class States:
    """The states of the input until the target has passed them on.

    Args:
        refused: the refused-records file, if there is one.
    """

    def __init__(self, refused: RefusedLines) -> None:
        self._refused = refused
        self._pending: deque[Pending] = deque()
        self._open: dict[StreamKey, int] = {}
        """The segment of each stream that no state covers yet."""
        self._records: Counter[int] = Counter()
        """Records by segment."""
        self._segments = self._numbers = 0

    def segment_of(self, stream: StreamKey) -> int:
        """Count a record; the number of the segment that it belongs to."""
        segment = self._open.get(stream)
        if segment is None:
            self._segments += 1
            segment = self._open[stream] = self._segments
        self._records[segment] += 1
        return segment

    def add(self, message: Message) -> int:
        """Add a state; its number."""
        descriptor = (message["state"].get("stream") or {}).get("stream_descriptor")
        streams = (
            [(descriptor.get("namespace"), descriptor["name"])] if descriptor else [*self._open]
        )
        segments = [self._open.pop(stream) for stream in streams if stream in self._open]
        self._numbers += 1
        records = sum(self._records.pop(segment) for segment in segments)
        self._pending.append(Pending(self._numbers, message, segments, records))
        return self._numbers

    def acknowledge(self, number: int) -> None:
        """Send all states up to one."""
        refused = self._refused.count()
        while self._pending and self._pending[0].number <= number:
            state = self._pending.popleft()
            rejected = sum(refused.pop(segment, 0) for segment in state.segments)
            state.message["state"]["destinationStats"] = {
                "recordCount": float(state.records - rejected),
                "rejectedRecordCount": float(rejected),
            }
            send(state.message)


class RefusedLines:
    """Counts the records that this run writes to the refused-records file, by segment.

    Args:
        path: of the file, `None` if there is none.
    """

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None
        self._position = self._path.stat().st_size if self._path and self._path.exists() else 0
        self._counts: Counter[int] = Counter()

    def count(self) -> Counter[int]:
        """The records refused so far that were not taken out of the counter."""
        if self._path:
            with self._path.open("rb") as file:
                file.seek(self._position)
                for line in file:
                    if found := REFUSED.match(line):
                        self._counts[int(found[1])] += 1
                self._position = file.tell()
        return self._counts


class PassedOn:
    """Takes the place of standard output while the target runs, which prints states there.

    Args:
        states: what the numbers stand for.
    """

    def __init__(self, states: States) -> None:
        self._states = states

    def write(self, text: str) -> int:
        """Acknowledge what the target passes on."""
        if text.strip():
            self._states.acknowledge(int(text))
        return len(text)

    def flush(self) -> None:
        """Do nothing: states are sent at once."""


class SingerInput:
    """The messages of Airbyte on a file descriptor, as a file of Singer messages.

    A line that is no message is passed on as it is, for the target to fail on.

    Args:
        descriptor: to read from.
        catalog: Airbyte's configured catalog.
        states: where states are kept.
    """

    def __init__(self, descriptor: int, catalog: Mapping[str, Any], states: States) -> None:
        self._descriptor = descriptor
        self._states = states
        self._ready = b"".join(map(encode, singer_schemas(catalog)))
        self._rest = b""
        self._overwritten = {
            configured["stream"]["name"]
            for configured in catalog["streams"]
            if configured.get("destination_sync_mode") not in SYNC_MODES
        }
        """Streams that must not bring a record; they bring none when their data are cleared."""

    def fileno(self) -> int:
        """The descriptor to wait at."""
        return self._descriptor

    def read(self, size: int) -> bytes:
        """The next messages; empty at the end of the input."""
        while not self._ready:
            block = os.read(self._descriptor, size)
            if not block:
                self._rest, last = b"", self._rest
                return self._translated(last)
            *lines, self._rest = (self._rest + block).split(b"\n")
            self._ready = b"".join(map(self._translated, lines))
        ready, self._ready = self._ready, b""
        return ready

    def _translated(self, line: bytes) -> bytes:
        """The Singer message of a line; empty if it has none."""
        try:
            message = _decode(line)
        except msgspec.DecodeError:
            return line + b"\n" if line.strip() else b""
        if message.type == "RECORD" and message.record:
            return self._record(message.record)
        if message.type == "STATE":
            return encode({"type": "STATE", "value": self._states.add(json.loads(line))})
        return b""

    def _record(self, record: Record) -> bytes:
        if record.stream in self._overwritten:
            raise SettingsError(
                f"The sync mode overwrite of stream {record.stream} would have to delete customers "
                f"first: choose {' or '.join(SYNC_MODES)}."
            )
        data = bytes(record.data)
        if DELETED_BY_CDC.encode() in data:
            data = _with_deletion(data)
        segment = self._states.segment_of((record.namespace, record.stream))
        return RECORD % (segment, msgspec.json.encode(record.stream), data)


def _with_deletion(data: bytes) -> bytes:
    """The record with Singer's mark of a deleted one beside Airbyte's."""
    try:
        at = bytes(_decode_deletion(data).at)
    except msgspec.DecodeError:
        return data  # no object, which the target refuses
    if at == b"null":
        return data
    return b'%b,"%b":%b}' % (data.rstrip()[:-1], DELETED_AT.encode(), at)


def singer_schemas(catalog: Mapping[str, Any]) -> list[Message]:
    """A SCHEMA message for each stream.

    Raises:
        SettingsError: two streams have one name.
    """
    names = [configured["stream"]["name"] for configured in catalog["streams"]]
    for name in {name for name in names if names.count(name) > 1}:
        raise SettingsError(
            f"The connection has two streams {name} in different namespaces, whose keys may be "
            "the same: select one of them."
        )
    return [_schema(configured) for configured in catalog["streams"]]


def _schema(configured: Mapping[str, Any]) -> Message:
    stream = configured["stream"]
    keys = configured.get("primary_key") or stream.get("source_defined_primary_key") or []
    return {
        "type": "SCHEMA",
        "stream": stream["name"],
        "schema": {"type": "object", "properties": {}, **stream["json_schema"]},
        "key_properties": [path[0] for path in keys if len(path) == 1],
    }


def plugin_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The target's settings.

    Raises:
        SettingsError: there is no such setting, one that is an object is not written in JSON, or a
            file lies where the container keeps nothing.
    """
    if errors := sorted(unknown_settings(config, FORM, "", {})):
        raise SettingsError(" ".join(errors))
    settings = dict(config)
    for name in OBJECTS:
        if isinstance(config.get(name), str):
            settings[name] = _object_in(name, config[name])
    for name in PATHS:
        if IN_IMAGE in os.environ and settings.get(name) and not _is_on_volume(settings[name]):
            raise SettingsError(
                f"The setting {name} names a file inside the container, which keeps nothing after "
                "the sync: mount a volume there, or leave the setting out."
            )
    return settings


def _object_in(setting: str, text: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SettingsError(f'The setting {setting} is not a JSON object, such as {{"a": "b"}}.')
    return found


def _is_on_volume(path: str) -> bool:
    """Whether a file lies on another file system than the container's own."""
    folders: Iterable[Path] = Path(path).resolve().parents
    existing = next(folder for folder in folders if folder.exists())
    return existing.stat().st_dev != Path("/").stat().st_dev


def check(config: Mapping[str, Any]) -> str | None:
    """What is wrong with the settings, by one call; `None` if nothing is."""
    try:
        # A dry run writes no file and takes no lock, so a sync may run meanwhile.
        target = TargetVoucherify(config={**plugin_settings(config), "dry_run": True})
        target.run.client.get("/v1/customers", params={"limit": 1})
    except Exception as error:  # noqa: BLE001 - whatever it is, the user sees it
        return message_for(error)
    return None


def write(config: Mapping[str, Any], catalog: Mapping[str, Any], log: logging.Logger) -> int:
    """Write the records on standard input; the status to exit with.

    Airbyte takes exit code 0 for a complete sync, so the end of the allowed calls is a failure; and
    it takes that of a signal for success, so that becomes 1.
    """
    settings = plugin_settings(config)
    target = TargetVoucherify(config=settings)  # which may repair the file of refused records
    states = States(RefusedLines(settings.get("refused_records_path")))
    messages = SingerInput(sys.stdin.fileno(), catalog, states)
    with_log = target.run.shutdown.before_exit

    def exit_with_failure() -> None:
        with_log()
        os._exit(1)

    target.run.shutdown.before_exit = exit_with_failure
    with redirect_stdout(cast("IO[str]", PassedOn(states))):
        status = target.load(cast("IO[Any]", messages))
    if not status and not target.run.summary.complete:
        log.critical(
            "max_calls ended the run before every record was written. The states that were passed "
            "on cover what was; the next sync sends the rest."
        )
    return 0 if target.run.summary.complete and not status else 1


def main() -> None:
    """The command `destination-voucherify`."""
    command, given = arguments("spec", "check", "write")
    log = TargetVoucherify.logger
    begin_log(log)
    status = 0
    try:
        if command == "spec":
            specification = {
                "documentationUrl": "https://docs.voucherify.io/reference",
                "connectionSpecification": FORM,
                "supportsIncremental": True,
                "supported_destination_sync_modes": SYNC_MODES,
            }
            send({"type": "SPEC", "spec": specification})
        elif command == "check":
            send(connection_status(check(given["config"])))
        else:
            status = write(given["config"], given["catalog"], log)
    except Exception as error:  # noqa: BLE001 - a traceback helps no user
        exit_status(error, log)
        status = 1
    sys.exit(status)
