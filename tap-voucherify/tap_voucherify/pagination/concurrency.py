"""How many requests of a stream are worth having in flight."""

from __future__ import annotations

CALLS_PER_THREAD = 60
"""Calls under `max_calls` for which a further page is read ahead: those read ahead may be lost."""

CALLS_OF_A_THREAD = 100
"""Calls a minute that each thread makes at 0.6 s a response: more threads use hardly more of a
quota, and what they read ahead is lost if the run is stopped."""


def useful_threads(most: int, calls_left: float, quota: int | None) -> int:
    """How many threads pay, at most `most`.

    Args:
        most: `max_concurrency`.
        calls_left: calls that `max_calls` still allows; infinite without it.
        quota: calls of a period, taken for a minute, if the API says how many there are.
    """
    by_quota = most if quota is None else quota / CALLS_OF_A_THREAD
    return int(max(1, min(most, calls_left / CALLS_PER_THREAD, by_quota)))
