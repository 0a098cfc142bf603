"""Acts when a block of code takes too long, whatever it waits for."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECK_INTERVAL = 0.5
"""Seconds between two looks at what is guarded."""


class Watchdog:
    """One thread that guards any number of blocks; it runs only while there are some.

    Args:
        clock: seconds that only move forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._guarded: dict[object, tuple[float, Callable[[], None]]] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, seconds: float, expire: Callable[[], None]) -> Iterator[None]:
        """Call `expire` once, from another thread, if the block is not left in time."""
        key = object()
        with self._lock:
            self._guarded[key] = self._clock() + seconds, expire
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._guarded.pop(key, None)

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_INTERVAL)
            with self._lock:
                now = self._clock()
                late = [key for key, (until, _) in self._guarded.items() if now >= until]
                expired = [self._guarded.pop(key)[1] for key in late]
                is_idle = not self._guarded
                if is_idle:
                    self._thread = None
            for expire in expired:
                expire()
            if is_idle:
                return
