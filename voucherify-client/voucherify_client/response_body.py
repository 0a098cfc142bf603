"""Reads the body of a response up to a bound: it may be of any size and may never end.

Nothing here knows HTTP: a body is anything that returns the next piece of itself, decompressed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 1024 * 1024

PIECE = 64 * 1024
"""Bytes taken at once: a page of customers is one or two pieces, a bomb never more."""

MOST_JSON = 64 * MEBIBYTE
"""Bytes: a page of a hundred rows of 650 kB, or the errors of all rows of a bulk job."""

MOST_FILE = 16 * 1024 * MEBIBYTE
"""Bytes: an export of some forty million customers."""


class Body(Protocol):
    """The body of a response as `urllib3` has it."""

    def read1(self, amt: int, /, decode_content: bool) -> bytes:  # noqa: FBT001 - urllib3's
        """What has arrived, decompressed, at most `amt` bytes; `b""` at the end."""


def read_bounded(body: Body, most: int, operation: str) -> Iterator[bytes]:
    """Yield a body piece by piece as it arrives.

    Args:
        body: not read before.
        most: bytes, once decompressed, after which reading stops.
        operation: method and path template, for the message.

    Raises:
        VoucherifyError: it is larger.
    """
    left = most
    while piece := body.read1(PIECE, decode_content=True):
        left -= len(piece)
        if left < 0:
            raise VoucherifyError(
                f"{operation} was answered with more than {most // MEBIBYTE} MiB, where reading "
                "stops: check that api_url is a Voucherify API endpoint, or report it to the "
                "maintainers with the run's log."
            )
        yield piece
