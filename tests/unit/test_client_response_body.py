"""A body of any size is read up to a bound."""

from __future__ import annotations

import pytest

from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.response_body import (
    MEBIBYTE,
    MOST_FILE,
    MOST_JSON,
    read_bounded,
)

GIBIBYTE = 1024 * MEBIBYTE
PIECE = 32 * MEBIBYTE


class Endless:
    """The same bytes again and again."""

    def __init__(self) -> None:
        self._piece = bytes(PIECE)
        self.given = 0

    def read1(self, amt: int, /, decode_content: bool) -> bytes:  # noqa: FBT001 - urllib3's
        del amt, decode_content
        self.given += len(self._piece)
        return self._piece


@pytest.mark.parametrize(
    ("most", "limit"), [(MOST_JSON, 64 * MEBIBYTE), (MOST_FILE, 16 * GIBIBYTE)]
)
def test_reading_stops_at_the_limit(most: int, limit: int) -> None:
    body = Endless()
    with pytest.raises(VoucherifyError, match=f"more than {limit // MEBIBYTE} MiB"):
        list(map(len, read_bounded(body, most, "GET /v1/x")))

    assert body.given == limit + PIECE
