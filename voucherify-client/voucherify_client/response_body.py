"""Reads the body of a response within bounds: it may be of any size and may never end.

Nothing here knows HTTP: a body is anything that returns the next piece of itself, decompressed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEBIBYTE = 1024 * 1024

PIECE = 64 * 1024
"""Bytes taken at once: a page of customers is one or two pieces, a bomb never more."""


class Bounds(NamedTuple):
    """What a body may cost: bytes once it is decompressed, and seconds from its first one."""

    most_bytes: int
    most_seconds: float


JSON = Bounds(64 * MEBIBYTE, 300.0)
"""A page of a hundred rows of 650 kB, or the errors of all rows of a bulk job."""

FILE = Bounds(16 * 1024 * MEBIBYTE, 7_200.0)
"""An export of some forty million customers."""


class Body(Protocol):
    """The body of a response as `urllib3` has it."""

    def read1(self, amt: int, /, decode_content: bool) -> bytes:  # noqa: FBT001 - urllib3's
        """What has arrived, decompressed, at most `amt` bytes; `b""` at the end."""


class TooSlowError(Exception):
    """The body did not end within the seconds it may take; another attempt may help."""


def read_bounded(
    body: Body, bounds: Bounds, what: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[bytes]:
    """Yield a body piece by piece as it arrives.

    Args:
        body: not read before.
        bounds: where reading stops.
        what: method and path template, for the message.
        clock: seconds that only move forward.

    Raises:
        TooSlowError: it takes longer, although bytes keep arriving.
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
