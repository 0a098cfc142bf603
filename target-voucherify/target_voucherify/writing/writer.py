"""The interface of all writers: batches go in, and at the end nothing is in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from target_voucherify.writing.batch import Batch
    from target_voucherify.writing.deletions import Deletions


class Writer:
    """Writes batches. The defaults are for writers that have nothing in flight between batches.

    Attributes:
        max_rows: customers in one batch at most.
    """

    max_rows: int

    def write(self, batch: Batch) -> None:
        """Write a batch.

        Raises:
            VoucherifyError: not all could be sent; the ticket of the batch stays held.
        """
        raise NotImplementedError

    def in_flight(self, key: str) -> bool:
        """Whether a customer of this key was sent and is not confirmed."""
        del key
        return False

    def poll(self) -> None:
        """Settle what has ended, if a poll is due; never wait."""

    @property
    def seconds_to_poll(self) -> float | None:
        """Seconds until a poll is due; `None` without anything to poll."""
        return None

    def settle(self) -> None:
        """Wait until nothing is in flight."""

    def close(self) -> None:
        """Free what is kept outside memory."""

    def end_input(self) -> None:
        """Note that the next batch is the last."""

    def finish(self, deletions: Deletions) -> None:
        """Carry out the deletions, now that nothing in flight could undo them."""
        deletions.carry_out()
