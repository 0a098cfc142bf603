"""Runs the webhook receiver as a separate process."""

from __future__ import annotations

import http.client
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import leaks
from voucherify_sandbox.webhooks import SIGNATURE, sign

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SECRET = "webhook-secret-of-the-tests"
AT_ONCE = (0.0,)
"""Retries without a pause."""


@dataclass
class Receiver:
    """A receiver that can be killed and restarted on the same port."""

    store: Path
    secrets: str = SECRET
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    log: Any = field(default_factory=tempfile.TemporaryFile)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhooks"

    def start(self) -> None:
        """Start, and wait until it logs its address."""
        seen = self.log.seek(0, os.SEEK_END)
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tap_voucherify.webhooks", "serve"),
                *("--store", str(self.store), "--port", str(self.port)),
            ],
            env={**os.environ, "VOUCHERIFY_WEBHOOK_SECRETS": self.secrets},
            stdout=subprocess.DEVNULL,
            stderr=self.log,
        )
        while "/webhooks" not in (told := self.said(seen)):
            assert self.process.poll() is None, told
            time.sleep(0.01)
        self.port = int(urlsplit(told.split(" on ")[1].split()[0]).port or 0)

    def said(self, since: int = 0) -> str:
        """The log."""
        text = os.pread(self.log.fileno(), 1_000_000, since)
        leaks.saw(text)
        return text.decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def post(
        self, body: bytes, signature: str | None = None, path: str = "/webhooks", **headers: str
    ) -> tuple[int, str]:
        """POST a body, with a valid signature by default; returns status and body."""
        signed = sign(body, SECRET) if signature is None else signature
        return self.ask("POST", path, body, {SIGNATURE: signed, **headers})

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def figure(self, name: str) -> float:
        """The sum of the numbers with one name in /metrics."""
        lines = self.ask("GET", "/metrics")[1].splitlines()
        full = f"voucherify_webhooks_{name}"
        return sum(float(line.split()[-1]) for line in lines if line.startswith(full))

    def stored(self) -> list[str]:
        """The ids of the stored events in their order."""
        with sqlite3.connect(self.store) as base:
            rows = base.execute("SELECT event_id FROM events ORDER BY position").fetchall()
        base.close()
        return [identity for (identity,) in rows]


@contextmanager
def receiving(store: Path, secrets: str = SECRET) -> Iterator[Receiver]:
    receiver = Receiver(store, secrets)
    receiver.start()
    try:
        yield receiver
    finally:
        assert receiver.process is not None
        with suppress(subprocess.TimeoutExpired):
            receiver.stop()
        receiver.process.kill()
        receiver.process.wait()
        receiver.said()
        receiver.log.close()
