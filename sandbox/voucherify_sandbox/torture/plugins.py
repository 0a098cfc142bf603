"""Run a plugin as a command, and strike it at one of its requests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from voucherify_sandbox import Sandbox
    from voucherify_sandbox.torture.cases import Blow

LONGEST = 180
"""Seconds that one run may take; a run that hangs fails its case."""

LOOKING = 0.002
"""Seconds between two looks whether the request came at which to strike."""

HELD = 0.3
"""Seconds that an answer is held back, so that a signal comes between request and answer."""

KINDLY: dict[str, dict[str, Any]] = {
    # What a fault needs beside its kind, chosen so that a case takes seconds, not minutes.
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


@dataclass(frozen=True)
class Ended:
    """One run that came to its end: its exit code, output and log."""

    exit_code: int
    output: str
    log: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Every whole line of the output; a kill may have cut the last one."""
        whole = (line for line in self.output.splitlines(keepends=True) if line.endswith("\n"))
        return [json.loads(line) for line in whole]

    @property
    def summary(self) -> dict[str, Any]:
        """The object of its `run summary`, {} if it was killed before it."""
        for line in reversed(self.log.splitlines()):
            if "run summary " in line:
                found: dict[str, Any] = json.loads(line.partition("run summary ")[2])
                return found
        return {}


@dataclass
class Plugin:
    """A command and the folder where its settings lie."""

    command: str
    config: Mapping[str, Any]
    folder: Path
    arguments: Sequence[str] = field(default_factory=tuple)

    def run(self, sandbox: Sandbox, blow: Blow, stdin: bytes = b"", *more: str) -> Ended:
        """Run to its end, and strike once at the request that `blow` names.

        Raises:
            TimeoutError: it takes longer than `LONGEST`.
        """
        sandbox.forget_requests()
        sandbox.faults.add(*faults(blow))
        path = self.folder / f"{Path(self.command).name}.json"
        path.write_text(json.dumps({**self.config, **connection(sandbox)}))
        given, output, log = (self.folder / name for name in ("stdin", "stdout", "stderr"))
        given.write_bytes(stdin)
        line = [self.command, "--config", str(path), *self.arguments, *more]
        with given.open("rb") as read, output.open("wb") as printed, log.open("wb") as logged:
            process = subprocess.Popen(line, stdin=read, stdout=printed, stderr=logged)
            try:
                code = _struck(process, sandbox, blow)
            finally:
                process.kill()
                process.wait()
        return Ended(code, output.read_text(errors="replace"), log.read_text(errors="replace"))


def connection(sandbox: Sandbox) -> dict[str, Any]:
    """The settings that reach a sandbox."""
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": sandbox.url,
    }


def beside_python(command: str) -> str:
    """The command of this environment, where there is one, else as the user wrote it."""
    here = Path(sys.executable).parent / command
    return str(here) if here.exists() else command


def faults(blow: Blow) -> list[Fault]:
    """What the sandbox has to break for a blow; nothing, for none."""
    if blow.kind == "nothing":
        return []
    if not blow.is_signal:
        return [_fault(blow.kind, blow.number)]
    # A connection cut before the request is handled, or an answer held back after it was: the
    # signal arrives while the plugin is about to try again, or waits.
    kind = "slow_headers" if blow.after else "cut_before"
    return [Fault(kind=kind, numbers=[blow.number], seconds=HELD)]  # type: ignore[arg-type] # one of its kinds


def _fault(kind: str, number: int) -> Fault:
    """A fault at one request; those of jobs and exports strike the first that there is."""
    more = KINDLY.get(kind, {})
    if kind.startswith("job_"):
        return Fault(kind=kind, method="POST", nth=[1 + number % 3], **more)  # type: ignore[arg-type] # one of its kinds
    if kind.startswith("export_"):
        return Fault(kind=kind, path="/v1/exports*", **more)  # type: ignore[arg-type] # as above
    return Fault(kind=kind, numbers=[number], **more)  # type: ignore[arg-type] # as above


def _struck(process: subprocess.Popen[bytes], sandbox: Sandbox, blow: Blow) -> int:
    until = time.monotonic() + LONGEST
    if blow.is_signal:
        while process.poll() is None and sandbox.calls < blow.number and time.monotonic() < until:
            time.sleep(LOOKING)
        process.send_signal(signal.Signals[blow.kind])
    try:
        return process.wait(max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"a run took more than {LONGEST} seconds") from None
