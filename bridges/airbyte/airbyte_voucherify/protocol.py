"""Airbyte's protocol v0: a connector's command line, its messages, and the form of settings."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from argparse import ArgumentParser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Message = dict[str, Any]
"""A message of Airbyte's protocol."""

StreamKey = tuple[str | None, str]
"""Namespace and name of a stream."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""Values of the environment variable LOGLEVEL."""

FILES = {
    "spec": (),
    "check": ("config",),
    "discover": ("config",),
    "read": ("config", "catalog"),
    "write": ("config", "catalog"),
}
"""The files that each command needs, by option."""


def arguments(*commands: str) -> tuple[str, dict[str, Any]]:
    """The command that the command line names, and what its files hold, by option."""
    parser = ArgumentParser(allow_abbrev=False)
    parsers = parser.add_subparsers(dest="command", required=True)
    for command in commands:
        options = parsers.add_parser(command, allow_abbrev=False)
        for name in FILES[command]:
            options.add_argument(f"--{name}", type=_file, required=True)
        if command == "read":
            options.add_argument("--state", type=_file, default=[])
    given, _ = parser.parse_known_args()
    return given.command, vars(given)


def _file(path: str) -> Any:
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise SystemExit(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:  # its message may quote the file
        raise SystemExit(f"{path} is not JSON.") from None


def encode(message: Mapping[str, Any]) -> bytes:
    """The line of a message."""
    return msgspec.json.encode(message) + b"\n"


def send(message: Mapping[str, Any]) -> None:
    """Write a message to the standard output that the process was started with."""
    output = sys.__stdout__
    if output is None:
        raise BrokenPipeError
    output.buffer.write(encode(message))
    output.buffer.flush()


def now() -> int:
    """The present time in milliseconds."""
    return time.time_ns() // 1_000_000


def trace(kind: str, **content: Any) -> Message:
    """A TRACE message."""
    return {"type": "TRACE", "trace": {"type": kind, "emitted_at": now(), **content}}


def stream_status(stream: str, status: str) -> Message:
    """How far a stream is: STARTED, RUNNING, COMPLETE or INCOMPLETE."""
    value = {"stream_descriptor": {"name": stream}, "status": status}
    return trace("STREAM_STATUS", stream_status=value)


def connection_status(problem: str | None) -> Message:
    """The outcome of a check; `None` if there is no problem."""
    status = {"status": "FAILED", "message": problem} if problem else {"status": "SUCCEEDED"}
    return {"type": "CONNECTION_STATUS", "connectionStatus": status}


def begin_log(log: logging.Logger) -> None:
    """Send the log to standard error, and what ends the run to Airbyte as well.

    Args:
        log: of the plugin.
    """
    level = os.environ.get("LOGLEVEL", "INFO").upper()
    layout = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(format=layout, level=level if level in LEVELS else "INFO")
    log.addHandler(ErrorTraces())


class ErrorTraces(logging.Handler):
    """Sends what ends a run, which the plugins log as critical, as the error of the sync."""

    def __init__(self) -> None:
        super().__init__(logging.CRITICAL)

    @override
    def emit(self, record: logging.LogRecord) -> None:
        error = {"message": record.getMessage(), "failure_type": "system_error"}
        with suppress(OSError):  # nobody reads it
            send(trace("ERROR", error=error))


def settings_form(
    schema: Mapping[str, Any],
    left_out: Collection[str] = (),
    hints: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The JSON schema of a plugin's settings as Airbyte's form wants it.

    Args:
        schema: of the plugin.
        left_out: settings that make no sense in Airbyte.
        hints: sentences to add to descriptions, by setting.
    """
    names = [name for name in schema["properties"] if name not in left_out]
    form = {
        name: _field(schema["properties"][name], order, (hints or {}).get(name))
        for order, name in enumerate(names)
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": schema["required"],
        "properties": form,
        "additionalProperties": True,
    }


def _field(definition: Mapping[str, Any], order: int, hint: str | None) -> dict[str, Any]:
    """A field: one type, no null, and a secret by Airbyte's name; an object is JSON text."""
    made = {name: definition[name] for name in definition if name not in {"secret", "writeOnly"}}
    (made["type"],) = {*definition["type"]} - {"null"}
    if made["type"] == "object":
        kept = {name: made[name] for name in ("title", "description")}
        made = {"type": "string", **kept, "multiline": True}
        hint = f"As JSON text. {hint or ''}".strip()
    if "enum" in made:
        made["enum"] = [value for value in made["enum"] if value is not None]
    if "items" in made:
        made["items"] = {"type": "string"}
    if definition.get("secret"):
        made["airbyte_secret"] = True
    if hint:
        made["description"] = f"{made['description']} {hint}"
    return {**made, "order": order}
