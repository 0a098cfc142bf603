"""Reading the body of an answer, which may be of any size and may never end.

Nothing here knows HTTP: a body is whatever gives the next piece of itself, decompressed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from target_voucherify.errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEBIBYTE = 1024 * 1024

PIECE = 64 * 1024
"""Bytes taken at once: the result of a job is one or two pieces, a bomb never more."""


class Bounds(NamedTuple):
    """What a body may cost: bytes once it is decompressed, and seconds from its first one."""

    most_bytes: int
    most_seconds: float


JSON = Bounds(64 * MEBIBYTE, 300.0)
"""More than the errors of all rows of a job; a request ends at 10 MB (reference §7.1)."""


class Body(Protocol):
    """The body of an answer as `urllib3` has it."""

    def read1(self, amt: int, /, decode_content: bool) -> bytes:  # noqa: FBT001 - urllib3's
        """What has arrived, decompressed, `amt` bytes at most; nothing once all was read."""


class TooSlowError(Exception):
    """The body was not there after as many seconds as it may take; asking again may help."""


def pieces(
    body: Body, bounds: Bounds, what: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """A body as it arrives.

    Args:
        body: not read before.
        bounds: where reading stops.
        what: method and path template, for the sentence.
        clock: seconds that only move forward.

    Raises:
        TooSlowError: it takes longer, although byte after byte arrives.
        VoucherifyError: it is larger.
    """
    left, until = bounds.most_bytes, clock() + bounds.most_seconds
    while piece := body.read1(PIECE, decode_content=True):
        left -= len(piece)
        if left < 0:
            raise VoucherifyError(
                f"{what} was answered with more than {bounds.most_bytes // MEBIBYTE} MiB, where "
                "reading stops: check that api_url is a Voucherify API endpoint, or report it to "
                "the maintainers with the run's log."
            )
        if clock() > until:
            raise TooSlowError
        yield piece
