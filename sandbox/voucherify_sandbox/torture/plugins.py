"""Runs a plugin as a command with an injection at one of its requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Fault
from voucherify_sandbox.torture.forked import Forked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from voucherify_sandbox import Sandbox
    from voucherify_sandbox.torture.cases import Injection

TIMEOUT = 180
"""Seconds for one run; one that takes longer fails its case."""

POLL_SECONDS = 0.002
"""Seconds between checks whether the request of a signal has come."""

HOLD_SECONDS = 0.3
"""Seconds that a response is delayed, so that a signal arrives before it."""

FAULT_VALUES: dict[str, dict[str, Any]] = {
    # Short waits, so that a case takes seconds.
    "status": {"status": 404, "body": "<html>Not here</html>"},
    "limit_retry_after": {"seconds": 0.2},
    "limit_rate_limit_retry": {"seconds": 0.2},
    "limit_silent": {"seconds": 0.2},
    "refuse": {"seconds": 0.3},
    "slow_headers": {"seconds": 0.5},
    "slow_body": {"seconds": 0.5},
    "huge_body": {"size": 300_000},
    "redirect": {"status": 307, "location": "http://127.0.0.2:9"},
    "export_elsewhere": {"location": "http://127.0.0.2:9"},
    "act": {"action": {"action": "update_customer", "key": "crm-1", "fields": {"name": "Moved"}}},
}


LEVELS: tuple[dict[str, str], ...] = ({}, {"LOGLEVEL": "DEBUG"})
"""Environments of the runs of a case, in turn: the level of a log by default, and all of it."""


@dataclass(frozen=True)
class Run:
    """One finished run: exit code, output and log."""

    exit_code: int
    output: str
    log: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The complete lines of the output; a kill may have cut the last one."""
        # Not `splitlines`, which also splits at separators that JSON may hold as they are.
        return [json.loads(line) for line in self.output.split("\n")[:-1]]

    @property
    def summary(self) -> dict[str, Any]:
        """The object in the line `run summary`; empty if there is none."""
        for line in reversed(self.log.splitlines()):
            if "run summary " in line:
                found: dict[str, Any] = json.loads(line.partition("run summary ")[2])
                return found
        return {}


@dataclass
class Plugin:
    """A command, its settings and a folder for its files."""

    command: str
    config: Mapping[str, Any]
    folder: Path
    arguments: Sequence[str] = field(default_factory=tuple)
    runs: int = 0
    """Runs so far; every second one logs at level DEBUG, where libraries say most."""

    def run(
        self, sandbox: Sandbox, injection: Injection, stdin: bytes | Path = b"", *more: str
    ) -> Run:
        """Run to the end with one injection; the input is given, or is a file.

        Raises:
            TimeoutError: the run takes longer than `TIMEOUT`.
        """
        sandbox.forget_requests()
        sandbox.faults.add(*faults(injection))
        path = self.folder / f"{Path(self.command).name}.json"
        path.write_text(json.dumps({**self.config, **connection(sandbox)}))
        given, output, log = (self.folder / name for name in ("stdin", "stdout", "stderr"))
        if isinstance(stdin, Path):
            given = stdin
        else:
            given.write_bytes(stdin)
        line = [self.command, "--config", str(path), *self.arguments, *more]
        with given.open("rb") as read, output.open("wb") as printed, log.open("wb") as logged:
            level = LEVELS[self.runs % len(LEVELS)]
            self.runs += 1
            process = Forked(
                line, stdin=read, stdout=printed, stderr=logged, env={**os.environ, **level}
            )
            try:
                code = _wait(process, sandbox, injection)
            finally:
                process.kill()
                process.wait()
        return Run(code, output.read_text(errors="replace"), log.read_text(errors="replace"))


def connection(sandbox: Sandbox) -> dict[str, Any]:
    """The connection settings for a sandbox."""
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
    }


def beside_python(command: str) -> str:
    """The command in this virtual environment if there is one, else as given."""
    here = Path(sys.executable).parent / command
    return str(here) if here.exists() else command


def faults(injection: Injection) -> list[Fault]:
    """The faults to set for an injection."""
    if injection.kind == "nothing":
        return []
    if not injection.is_signal:
        return [_fault(injection.kind, injection.number)]
    # The connection is cut before the request is handled, or the response delayed after it, so
    # the signal arrives while the plugin retries or waits.
    kind = "slow_headers" if injection.after else "cut_before"
    return [Fault(kind=kind, numbers=[injection.number], seconds=HOLD_SECONDS)]  # type: ignore[arg-type] # one of its kinds


def _fault(kind: str, number: int) -> Fault:
    """A fault at one request; those of jobs and exports hit an early job or export."""
    more = FAULT_VALUES.get(kind, {})
    if kind.startswith("job_"):
        return Fault(kind=kind, method="POST", nth=[1 + number % 3], **more)  # type: ignore[arg-type] # one of its kinds
    if kind.startswith("export_"):
        return Fault(kind=kind, path="/v1/exports*", **more)  # type: ignore[arg-type] # as above
    return Fault(kind=kind, numbers=[number], **more)  # type: ignore[arg-type] # as above


def _wait(process: subprocess.Popen[bytes], sandbox: Sandbox, injection: Injection) -> int:
    until = time.monotonic() + TIMEOUT
    if injection.is_signal:
        while (
            process.poll() is None and sandbox.calls < injection.number and time.monotonic() < until
        ):
            time.sleep(POLL_SECONDS)
        process.send_signal(signal.Signals[injection.kind])
    try:
        return process.wait(max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"a run took more than {TIMEOUT} seconds") from None
