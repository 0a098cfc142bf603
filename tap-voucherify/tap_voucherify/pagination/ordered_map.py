"""Map a function over items in a few threads, in the order of the items and in bounded memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

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
        quota: calls of a minute, if the API says how many there are.
    """
    by_quota = most if quota is None else quota / CALLS_OF_A_THREAD
    return int(max(1, min(most, calls_left / CALLS_PER_THREAD, by_quota)))


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    concurrency: int,
    fail: Callable[[Exception], None],
    read_ahead: Callable[[], int] | None = None,
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, in the order of the items.

    The first failure, in that order, is raised; nothing new is begun after it. A failure, and
    closing the iterator, wait for what is in flight.

    Args:
        function: makes the result of an item; called from several threads.
        items: what to map.
        concurrency: the number of threads.
        fail: ends the waits of the other threads, so that a failure is raised at once.
        read_ahead: returns how many items may be begun and not given; `concurrency` if not set.
    """
    pending: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(max_workers=concurrency) as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(_attempt, function, item, fail)))
                while len(pending) >= (read_ahead() if read_ahead else concurrency):
                    yield _finished(pending)
            while pending:
                yield _finished(pending)
        finally:
            if pending:
                fail(CancelledError())
            for _, future in pending:
                future.cancel()


def _attempt(
    function: Callable[[Item], Result], item: Item, fail: Callable[[Exception], None]
) -> Result:
    try:
        return function(item)
    except Exception as error:
        fail(error)
        raise


def _finished(pending: deque[tuple[Item, Future[Result]]]) -> tuple[Item, Result]:
    item, future = pending.popleft()
    return item, future.result()
