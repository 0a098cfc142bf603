"""Work fetched ahead by a few threads and handed on in order, in bounded memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    at_once: int,
    give_up: Callable[[Exception], None],
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, in the order of the items, at most `at_once` under way.

    The first failure, in that order, is raised; nothing new is begun after it. Closing the
    iterator waits for what is under way, and so does a failure.

    Args:
        work: makes the result of an item; called from several threads.
        items: what to work on.
        at_once: how many threads.
        give_up: ends the waits of the other threads, which a failure would wait for.
    """
    pending: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(_attempt, work, item, give_up)))
                if len(pending) >= at_once:
                    yield _finished(pending)
            while pending:
                yield _finished(pending)
        finally:
            if pending:
                give_up(CancelledError())
            for _, future in pending:
                future.cancel()


def _attempt(
    work: Callable[[Item], Result], item: Item, give_up: Callable[[Exception], None]
) -> Result:
    try:
        return work(item)
    except Exception as error:
        give_up(error)
        raise


def _finished(pending: deque[tuple[Item, Future[Result]]]) -> tuple[Item, Result]:
    item, future = pending.popleft()
    return item, future.result()
