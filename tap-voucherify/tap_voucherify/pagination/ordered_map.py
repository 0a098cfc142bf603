"""Map a function over items in a few threads, in the order of the items and in bounded memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")


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
