"""The source: a run of the tap whose messages are Airbyte's.

A bookmark of Singer is the state of its stream. A stream that is read by full refresh has no state,
so a run that ends before its last row fails: Airbyte takes exit code 0 for a whole table and would
publish a part of one.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, cast

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import Message as SingerMessage
from singer_sdk.singerlib import RecordMessage, SchemaMessage, StateMessage
from typing_extensions import override

from airbyte_voucherify.commands import fail_at_signals
from airbyte_voucherify.protocol import (
    arguments,
    begin_log,
    connection_status,
    encode,
    now,
    send,
    settings_form,
    stream_status,
)
from tap_voucherify.settings import PREFIX, SETTINGS
from tap_voucherify.state import refuse_foreign
from tap_voucherify.tap import OWN_MEMBERS, TapVoucherify
from tap_voucherify.voucherify_client.connection_settings import unknown_settings
from tap_voucherify.voucherify_client.errors import SettingsError, VoucherifyError
from tap_voucherify.voucherify_client.exit_status import exit_status, message_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType

    from tap_voucherify.streams.stream import StreamReport, VoucherifyStream

LEFT_OUT = (
    "end_date",  # makes a run without a state
    "emit_activate_version_messages",  # Airbyte has generations
    "webhook_store",  # a file of another process
    "echo_ledger_path",  # the same
    "reconciliation_interval",
)
"""Settings of the tap that this source does not have."""

WEBHOOKS_ONLY = "customer_deletions"
"""The stream that only the webhook store knows."""

NO_STATE = {"__ab_no_cursor_state_message": True}
"""The state of a stream that was read by full refresh."""

FORM = settings_form(SETTINGS, LEFT_OUT)


class EnvelopeWriter(MsgSpecWriter):
    """Writes the tap's messages as Airbyte's."""

    tap: AirbyteTap

    @override
    def serialize_message(self, message: SingerMessage) -> bytearray:
        record = cast("RecordMessage", message)
        content = {"stream": record.stream, "data": record.record, "emitted_at": now()}
        return bytearray(encode({"type": "RECORD", "record": content}))

    @override
    def write_message(self, message: SingerMessage) -> None:
        if isinstance(message, RecordMessage):
            self.tap.write_lines(bytes(self.format_message(message)))
        elif isinstance(message, SchemaMessage):
            self.tap.begin_stream(message.stream)
        elif isinstance(message, StateMessage):
            self.tap.send_states(message.value)


class AirbyteTap(TapVoucherify):
    """The tap, run for a configured catalog and from Airbyte's states.

    Args:
        config: the settings.
        catalog: Airbyte's configured catalog.
        states: Airbyte's states of an earlier run.
    """

    message_writer_class = EnvelopeWriter

    def __init__(
        self,
        config: dict[str, Any],
        catalog: Mapping[str, Any],
        states: Iterable[Mapping[str, Any]],
    ) -> None:
        self._configured = {each["stream"]["name"]: each for each in catalog["streams"]}
        names = [name for name, each in self._configured.items() if _is_incremental(each)]
        state = singer_state(states, names, config["application_id"])
        super().__init__(
            config=config,
            catalog=singer_catalog(TapVoucherify(config=config).catalog_dict, self._configured),
            state=state,
        )
        cast("EnvelopeWriter", self.message_writer).tap = self
        self.shutdown.before_exit = lambda: os._exit(1)
        self._counted = dict.fromkeys(self._configured, 0)
        """Rows that the states so far cover, by stream."""
        self._sent: dict[str, bytes] = {}
        """The bookmark of the newest state, by stream."""
        self._marks: dict[str, Any] = state.get("bookmarks", {})
        self._known = {name: encode(mark) for name, mark in self._marks.items()}
        """The bookmarks that the run began with, which need no state."""
        self._begun = ""
        self._is_running = False

    def begin_stream(self, stream: str) -> None:
        """Tell that a stream is read from now on."""
        self._begun, self._is_running = stream, False
        send(stream_status(stream, "STARTED"))

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        super()._handle_termination(signum, frame)
        fail_at_signals()  # at the next one

    @override
    def write_lines(self, lines: bytes) -> None:
        if not self._is_running:
            self._is_running = True
            send(stream_status(self._begun, "RUNNING"))
        super().write_lines(lines)

    def send_states(self, state: Mapping[str, Any]) -> None:
        """Send the state of each stream whose bookmark moved, or that wrote rows."""
        self._marks = state.get("bookmarks", {})
        for name, bookmark in self._marks.items():
            if _is_incremental(self._configured.get(name, {})) and (
                self._uncounted(name) or encode(bookmark) != self._last_bookmark(name)
            ):
                self._send_bookmark(name)

    def conclude(self, status: int) -> int:
        """Send the last states, and whether each stream is complete.

        Args:
            status: exit status of the tap.

        Returns:
            The exit status for Airbyte. It takes that of a signal for success, so that becomes 1.
        """
        complete = {name: self._report_of(name).complete for name in self._configured}
        partial = [name for name in complete if not complete[name] and self._must_be_whole(name)]
        if partial and not status:
            self.logger.critical(
                "max_calls ended the run before %s was read to its end. Airbyte would take the "
                "rows so far for the whole table, so the sync fails: raise max_calls, or leave it "
                "out.",
                " and ".join(partial),
            )
        is_good = not status and not partial
        for name, is_complete in complete.items():
            if is_complete:
                self._send_last_state(name)
            send(stream_status(name, "COMPLETE" if is_good or is_complete else "INCOMPLETE"))
        return 0 if is_good else 1

    def _must_be_whole(self, name: str) -> bool:
        """Whether Airbyte replaces what the table held by what this sync brings."""
        configured = self._configured[name]
        oldest = configured.get("minimum_generation_id") or 0
        is_replaced = oldest > 0 and oldest == configured.get("generation_id")
        return is_replaced or not _is_incremental(configured)

    def _send_last_state(self, name: str) -> None:
        if not _is_incremental(self._configured[name]):
            self._send_state(name, NO_STATE)
        elif name not in self._sent:
            self._send_bookmark(name)

    def _send_bookmark(self, name: str) -> None:
        bookmark = self._marks.get(name, {})
        self._sent[name] = encode(bookmark)
        own = {key: value for key, value in self._own_state.items() if key != "bookmarks"}
        self._send_state(name, {"bookmark": bookmark, "at": now(), **own})

    def _send_state(self, name: str, value: Mapping[str, Any]) -> None:
        rows = self._uncounted(name)
        self._counted[name] += rows
        state = {
            "type": "STREAM",
            "stream": {"stream_descriptor": {"name": name}, "stream_state": value},
            "sourceStats": {"recordCount": float(rows)},
        }
        send({"type": "STATE", "state": state})

    def _last_bookmark(self, name: str) -> bytes | None:
        return self._sent.get(name) or self._known.get(name)

    def _uncounted(self, name: str) -> int:
        return self._report_of(name).rows - self._counted[name]

    def _report_of(self, name: str) -> StreamReport:
        return cast("VoucherifyStream", self.streams[name]).report


def _is_incremental(configured: Mapping[str, Any]) -> bool:
    return configured.get("sync_mode") == "incremental"


def discover(config: Mapping[str, Any]) -> dict[str, Any]:
    """Airbyte's catalog of all streams; costs the call for the types of metadata."""
    tap = TapVoucherify(config=dict(config))
    with redirect_stdout(io.StringIO()):
        tap.run_discovery()
    streams = tap.catalog_dict["streams"]
    return {"streams": [_stream(each) for each in streams if each["stream"] != WEBHOOKS_ONLY]}


def _stream(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A stream of Airbyte's catalog."""
    cursor = entry.get("replication_key")
    return {
        "name": entry["stream"],
        "json_schema": {"$schema": "http://json-schema.org/draft-07/schema#", **entry["schema"]},
        "supported_sync_modes": ["full_refresh", *(["incremental"] if cursor else [])],
        "source_defined_primary_key": [[key] for key in entry["key_properties"]],
        **({"source_defined_cursor": True, "default_cursor_field": [cursor]} if cursor else {}),
    }


def singer_catalog(
    catalog: Mapping[str, Any], configured: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The tap's catalog that selects what Airbyte's configured catalog does.

    Args:
        catalog: of the tap.
        configured: streams of Airbyte's catalog by name.

    Raises:
        SettingsError: it names a stream that does not exist.
    """
    entries = {entry["stream"]: entry for entry in catalog["streams"]}
    if unknown := configured.keys() - (entries.keys() - {WEBHOOKS_ONLY}):
        raise SettingsError(
            f"This source has no stream {' or '.join(sorted(unknown))}: refresh the source schema "
            "of the connection."
        )
    for name, entry in entries.items():
        _select(entry, configured.get(name))
    return {"streams": [*entries.values()]}


def _select(entry: dict[str, Any], configured: Mapping[str, Any] | None) -> None:
    """Select a stream and the columns that Airbyte has of it, or deselect it."""
    columns = configured["stream"]["json_schema"].get("properties", {}) if configured else {}
    properties = entry["schema"]["properties"]
    properties.update({name: columns[name] for name in columns if name in properties})
    for part in entry["metadata"]:
        place, metadata = part["breadcrumb"], part["metadata"]
        if not place:
            metadata["selected"] = configured is not None
        elif metadata.get("inclusion") != "automatic":
            metadata["selected"] = place[-1] in columns
        if configured and not place and not _is_incremental(configured):
            metadata["replication-method"] = entry["replication_method"] = "FULL_TABLE"


def singer_state(
    states: Iterable[Mapping[str, Any]], streams: Iterable[str], application_id: str
) -> dict[str, Any]:
    """The tap's state, put together from the states of streams.

    Args:
        states: messages as this source sent them.
        streams: those to read from a state.
        application_id: of the project to read.

    Raises:
        VoucherifyError: a state is not of this source, or of another project.
    """
    values: dict[str, dict[str, Any]] = {}
    for each in states:
        if each.get("type", "STREAM") != "STREAM" or "stream" not in each:
            raise VoucherifyError(
                "The state of the connection is not one of this source: clear its data, and the "
                "next sync reads everything."
            )
        name = each["stream"]["stream_descriptor"]["name"]
        value = each["stream"].get("stream_state")
        if value and value.get("bookmark") and name in streams:
            refuse_foreign(value, application_id)
            values[name] = value
    if not values:
        return {}
    newest = max(values.values(), key=lambda value: value.get("at", 0))
    return {
        "bookmarks": {name: value["bookmark"] for name, value in values.items()},
        **{key: newest[key] for key in OWN_MEMBERS if key in newest},
    }


def check(config: Mapping[str, Any]) -> str | None:
    """What is wrong with the settings, by one call; `None` if nothing is."""
    try:
        _refuse_unknown(config)
        TapVoucherify(config=dict(config)).test_connection()
    except Exception as error:  # noqa: BLE001 - whatever it is, the user sees it
        return message_for(error)
    return None


def read(
    config: dict[str, Any], catalog: Mapping[str, Any], states: Iterable[Mapping[str, Any]]
) -> int:
    """Read what the catalog selects; the status to exit with."""
    _refuse_unknown(config)
    tap = AirbyteTap(config, catalog, states)
    return tap.conclude(tap.run())


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    """Raise for settings that the form does not have.

    Raises:
        SettingsError: naming them.
    """
    if errors := sorted(unknown_settings(config, FORM, PREFIX, {})):
        raise SettingsError(" ".join(errors))


def main() -> None:
    """The command `source-voucherify`."""
    command, given = arguments("spec", "check", "discover", "read")
    log = TapVoucherify.logger
    begin_log(log)
    status = 0
    try:
        if command == "spec":
            documentation = "https://docs.voucherify.io/reference"
            specification = {"documentationUrl": documentation, "connectionSpecification": FORM}
            send({"type": "SPEC", "spec": specification})
        elif command == "check":
            send(connection_status(check(given["config"])))
        elif command == "discover":
            send({"type": "CATALOG", "catalog": discover(given["config"])})
        else:
            status = read(given["config"], given["catalog"], given["state"] or [])
    except Exception as error:  # noqa: BLE001 - a traceback helps no user
        exit_status(error, log)
        status = 1
    sys.exit(status)
