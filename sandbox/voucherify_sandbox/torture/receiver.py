"""Runs the webhook receiver as a command, and copies its store."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from voucherify_sandbox.torture.forked import Forked
from voucherify_sandbox.torture.plugins import beside_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "webhook-secret-of-the-bench"
COMMAND = "voucherify-webhooks"
START_SECONDS = 60
STOP_SECONDS = 30


@dataclass
class Receiver:
    """A receiver that can be stopped and started again on the same port."""

    store: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where webhooks go."""
        return f"http://127.0.0.1:{self.port}/webhooks"

    def start(self) -> None:
        """Start, and wait until it listens.

        Raises:
            TimeoutError: it does not.
        """
        log = self.store.with_suffix(".log")
        options = ("serve", "--store", str(self.store), "--port", str(self.port))
        with log.open("wb") as written:
            self.process = Forked(
                [beside_python(COMMAND), *options],
                env={**os.environ, "VOUCHERIFY_WEBHOOK_SECRETS": SECRET},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=written,
            )
        until = time.monotonic() + START_SECONDS
        while " on http" not in (text := log.read_text()):
            if time.monotonic() > until or self.process.poll() is not None:
                raise TimeoutError("the webhook receiver does not start")
            time.sleep(0.02)
        self.port = urlsplit(text.split(" on ")[1].split()[0]).port or 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it by a signal."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(STOP_SECONDS)

    def copy_store(self, copy: Path) -> None:
        """Make a backup, also while the receiver runs."""
        copy.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(self.store)) as original,
            closing(sqlite3.connect(copy)) as made,
        ):
            original.backup(made)

    def restore(self, copy: Path, *, in_place: bool) -> None:
        """Put a backup in the place of the store: into the same file, or as another one."""
        for suffix in ("-wal", "-shm"):
            self.store.with_name(self.store.name + suffix).unlink(missing_ok=True)
        if in_place:
            self.store.write_bytes(copy.read_bytes())
        else:
            fresh = self.store.with_suffix(".restored")
            shutil.copyfile(copy, fresh)
            fresh.replace(self.store)


@contextmanager
def receiving(store: Path) -> Iterator[Receiver]:
    """A running receiver."""
    receiver = Receiver(store)
    try:
        receiver.start()
        yield receiver
    finally:
        if receiver.process is not None:
            receiver.process.kill()
            receiver.process.wait()
