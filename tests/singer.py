"""Runs a plugin as a separate process and returns its output."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

import leaks
from voucherify_sandbox.torture.forked import Forked

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_DATA = {"--about", "--help", "--version"}
"""With these options standard output is text for users."""


@dataclass(frozen=True)
class Run:
    """One finished run of a plugin: exit code, standard output, log on standard error."""

    exit_code: int
    stdout: str
    log: str

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        """The parsed lines of standard output; one that is not JSON fails the test."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    @cached_property
    def complete_messages(self) -> list[dict[str, Any]]:
        """As `messages`, without a truncated last line."""
        lines = self.stdout.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def records(self, stream: str | None = None) -> list[dict[str, Any]]:
        """The records of one stream, or of all."""
        return [
            message["record"]
            for message in self.complete_messages
            if message.get("type") == "RECORD" and stream in {None, message["stream"]}
        ]

    @property
    def states(self) -> list[dict[str, Any]]:
        """All emitted states, oldest first; a target emits bare states, a tap STATE messages."""
        return [
            message["value"] if message.get("type") == "STATE" else message
            for message in self.complete_messages
            if message.get("type", "STATE") == "STATE"
        ]


def command(module: str, config: dict[str, Any], folder: Path, *more: str) -> list[str]:
    """The command line of `module` with `config` in a file in `folder`."""
    path = folder / f"{module}-config.json"
    path.write_text(json.dumps(config))
    return [sys.executable, "-m", module, "--config", str(path), *more]


def run(
    module: str,
    config: dict[str, Any],
    *more: str,
    stdin: str | bytes = b"",
    env: dict[str, str] | None = None,
    timeout: float = 120,
) -> Run:
    """Run a plugin to its end.

    Args:
        module: `tap_voucherify` or `target_voucherify`.
        config: the settings.
        more: further arguments of the command line.
        stdin: the input.
        env: additional environment variables.
        timeout: seconds after which the test fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        line = command(module, config, Path(folder), *more)
        given = stdin.encode("utf-8", "surrogatepass") if isinstance(stdin, str) else stdin
        with Process(line, env={**os.environ, **(env or {})}) as process:
            try:
                printed, logged = process.communicate(given, timeout)
            finally:
                process.kill()
    if NO_DATA & set(more):
        leaks.saw(printed)
    return Run(process.returncode, printed.decode(), logged.decode(errors="replace"))


class Process(Forked):
    """A running plugin, for tests that interact with it; its input and output are pipes.

    Its log is a file: at level DEBUG it fills a pipe that nobody reads, and then the plugin waits.
    """

    def __init__(self, line: list[str], **streams: Any) -> None:
        self._log = os.memfd_create("log")
        weakref.finalize(self, os.close, self._log)
        pipe = subprocess.PIPE
        super().__init__(line, **{"stdin": pipe, "stdout": pipe, "stderr": self._log, **streams})

    @override
    def communicate(self, *options: Any, **more: Any) -> tuple[bytes, bytes]:
        """As `Popen.communicate`; passes the log to `leaks.saw`."""
        printed, _ = super().communicate(*options, **more)
        logged = os.pread(self._log, os.fstat(self._log).st_size, 0)
        leaks.saw(logged)
        return printed, logged


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections; it stays bound, so no other process can listen."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def selecting(folder: Path, *streams: str) -> list[str]:
    """The arguments that select only these streams by a catalog."""
    catalog = json.loads(run("tap_voucherify", {}, "--discover").stdout)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] in streams
    path = folder / "catalog.json"
    path.write_text(json.dumps(catalog))
    return ["--catalog", str(path)]


def selecting_all(folder: Path, settings: dict[str, Any]) -> list[str]:
    """The arguments that select every stream by the catalog discovered by `settings`."""
    catalog = json.loads(run("tap_voucherify", settings, "--discover").stdout)
    for stream in catalog["streams"]:
        root = next(one for one in stream["metadata"] if not one["breadcrumb"])
        root["metadata"]["selected"] = True
    path = folder / "catalog.json"
    path.write_text(json.dumps(catalog))
    return ["--catalog", str(path)]
