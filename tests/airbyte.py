"""Runs the connectors of `bridges/airbyte` as Airbyte's worker does, over files and pipes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from singer import Process

if TYPE_CHECKING:
    from collections.abc import Iterable

BRIDGE = Path(__file__).parents[1] / "bridges/airbyte"
Message = dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """One finished command of a connector."""

    exit_code: int
    messages: list[Message]
    log: str

    def of_type(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["type"] == kind]

    def records(self, stream: str) -> list[dict[str, Any]]:
        found = (message["record"] for message in self.of_type("RECORD"))
        return [record["data"] for record in found if record["stream"] == stream]

    @property
    def states(self) -> list[Message]:
        return [message["state"] for message in self.of_type("STATE")]

    @property
    def last_states(self) -> list[Message]:
        """The newest state of each stream, as the platform keeps them."""
        return [*{name_of(state): state for state in self.states}.values()]

    @property
    def statuses(self) -> dict[str, str]:
        """The last status of each stream."""
        traces = (message["trace"] for message in self.of_type("TRACE"))
        found = [trace["stream_status"] for trace in traces if trace["type"] == "STREAM_STATUS"]
        return {status["stream_descriptor"]["name"]: status["status"] for status in found}

    @property
    def errors(self) -> list[str]:
        traces = (message["trace"] for message in self.of_type("TRACE"))
        return [trace["error"]["message"] for trace in traces if trace["type"] == "ERROR"]


def name_of(state: Message) -> str:
    name: str = state["stream"]["stream_descriptor"]["name"]
    return name


@dataclass(frozen=True)
class Connector:
    """A connector, and the folder of its files.

    Attributes:
        name: `source` or `destination`.
        folder: where its files are written.
        config: its settings.
    """

    name: str
    folder: Path
    config: dict[str, Any]

    def start(self, command: str, **files: Any) -> Process:
        code = f"from airbyte_voucherify.commands import {self.name}; {self.name}()"
        line = [sys.executable, "-c", code, command]
        for option, content in files.items():
            path = self.folder / f"{self.name}-{option}.json"
            path.write_text(json.dumps(content))
            line += [f"--{option}", str(path)]
        return Process(line, env={**os.environ, "PYTHONPATH": str(BRIDGE)})

    def run(self, command: str, given: bytes = b"", **files: Any) -> Finished:
        if command != "spec":
            files = {"config": self.config, **files}
        with self.start(command, **files) as process:
            try:
                return finished(process, given)
            finally:
                process.kill()

    def read(
        self, catalog: Message, states: list[Message] | None = None, **settings: Any
    ) -> Finished:
        config = {**self.config, **settings}
        return self.run("read", config=config, catalog=catalog, state=states or [])

    def write(self, messages: Iterable[Message], **settings: Any) -> Finished:
        config = {**self.config, **settings}
        return self.run("write", lines(messages), config=config, catalog=CONTACTS)

    @cached_property
    def streams(self) -> dict[str, Message]:
        """The streams of the catalog by name."""
        (message,) = self.run("discover").messages
        return {stream["name"]: stream for stream in message["catalog"]["streams"]}

    def catalog(self, *names: str, mode: str = "incremental", **more: Any) -> Message:
        """The configured catalog of some streams."""
        streams = (self.streams[name] for name in names)
        saved = {"destination_sync_mode": "append_dedup", "primary_key": [["id"]], **more}
        return {"streams": [{"stream": each, "sync_mode": mode, **saved} for each in streams]}


def finished(process: Process, given: bytes = b"") -> Finished:
    """What a process printed until its end, without a cut last line."""
    if process.stdin and process.stdin.closed:
        process.stdin = None
    printed, logged = process.communicate(given, 120)
    whole = [line for line in printed.splitlines(keepends=True) if line.endswith(b"\n")]
    return Finished(process.returncode, [*map(json.loads, whole)], logged.decode())


def lines(messages: Iterable[Message]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


CONTACTS: Message = {
    "streams": [
        {
            "stream": {
                "name": "customers",
                "namespace": "public",
                "json_schema": {
                    "type": "object",
                    "properties": {
                        "contact_id": {"type": "string"},
                        "name": {"type": "string"},
                        "photo": {"type": "string"},
                    },
                },
                "supported_sync_modes": ["full_refresh", "incremental"],
            },
            "sync_mode": "incremental",
            "destination_sync_mode": "append_dedup",
            "cursor_field": ["contact_id"],
            "primary_key": [["contact_id"]],
            "generation_id": 3,
            "minimum_generation_id": 0,
            "sync_id": 41,
        }
    ]
}
"""A connection with one stream, as the platform writes it."""


def contact(number: int, **columns: Any) -> Message:
    data = {"contact_id": f"k-{number}", "name": "Ann", **columns}
    record = {
        "namespace": "public",
        "stream": "customers",
        "data": data,
        "emitted_at": 1,
        "meta": {},
    }
    return {"type": "RECORD", "record": record}


def state(number: int, records: int) -> Message:
    """A state as the platform sends it: with an id that it wants back."""
    descriptor = {"name": "customers", "namespace": "public"}
    content = {
        "type": "STREAM",
        "stream": {"stream_descriptor": descriptor, "stream_state": {"reached": number}},
        "sourceStats": {"recordCount": float(records)},
        "id": number + 1_000,
    }
    return {"type": "STATE", "state": content}


STATUS = {"stream_descriptor": {"name": "customers", "namespace": "public"}, "status": "COMPLETE"}
COMPLETE: Message = {
    "type": "TRACE",
    "trace": {"type": "STREAM_STATUS", "emitted_at": 1.0, "stream_status": STATUS},
}


def contacts(count: int, every: int, begin: int = 0, **columns: Any) -> list[Message]:
    """Contacts with a state after each few, and the end of the stream."""
    messages: list[Message] = []
    for number in range(begin, count):
        messages.append(contact(number, **columns))
        if (number + 1) % every == 0:
            messages.append(state(number, every))
    return [*messages, COMPLETE]
