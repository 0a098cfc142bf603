"""Several requests at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from target_voucherify.voucherify_client.errors import RefusedRequestError, VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from target_voucherify.voucherify_client.shutdown import Shutdown

REQUESTS_IN_FLIGHT = 8
"""Requests in flight at most: at 200 ms each, that is all of a plan of 2,000 calls a minute."""

Item = TypeVar("Item")


@dataclass
class RequestBatch(Generic[Item]):
    """Outcomes of several requests, in the order of their items.

    `error` is what cut them short, if anything did: then nothing further was sent, and what was in
    flight was awaited, because it may have been applied.
    """

    done: list[Item] = field(default_factory=list)
    refused: list[tuple[Item, RefusedRequestError]] = field(default_factory=list)
    error: VoucherifyError | None = None


def send_all(
    items: Iterable[Item], send: Callable[[Item], object], shutdown: Shutdown
) -> RequestBatch[Item]:
    """Send every item and wait for all responses."""
    batch: RequestBatch[Item] = RequestBatch()
    work = list(items)
    with ThreadPoolExecutor(REQUESTS_IN_FLIGHT) as pool:
        errors = pool.map(lambda item: _attempt(item, send, shutdown, batch), work)
        for item, error in zip(work, errors, strict=True):
            if isinstance(error, RefusedRequestError):
                batch.refused.append((item, error))
            elif error is None:
                batch.done.append(item)
    shutdown.recover()
    return batch


def _attempt(
    item: Item, send: Callable[[Item], object], shutdown: Shutdown, batch: RequestBatch[Item]
) -> VoucherifyError | None:
    """Send one item in a thread; `None` when it was accepted."""
    if batch.error is not None:
        return batch.error
    try:
        shutdown.check()
        send(item)
    except RefusedRequestError as refusal:
        return refusal
    except VoucherifyError as error:
        batch.error = error
        shutdown.fail(error)  # what the other threads wait for is of no use any more
        return error
    return None
