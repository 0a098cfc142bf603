"""Temporary files: written whole, or a sentence that says what to do."""

from __future__ import annotations

import errno
import io
import os

import pytest

from target_voucherify.voucherify_client.errors import VoucherifyError
from target_voucherify.voucherify_client.temporary_files import TemporaryDatabase, write_all


class Slow(io.RawIOBase):
    """A file that takes three bytes at a time, and so many in all."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.taken = b""
        self._room = room

    def write(self, data: object) -> int:
        part = bytes(memoryview(data))[:3]  # type: ignore[arg-type]  # what a buffer is
        if len(self.taken) + len(part) > self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.taken += part
        return len(part)


def test_what_a_file_takes_in_parts_is_written_whole() -> None:
    file = Slow(100)
    write_all(file, b"ten bytes.")  # type: ignore[arg-type]  # as an unbuffered file
    assert file.taken == b"ten bytes."


def test_a_full_folder_is_named() -> None:
    with pytest.raises(VoucherifyError, match=r"temporary files, /.* \(No space left on device\)"):
        write_all(Slow(6), b"ten bytes.")  # type: ignore[arg-type]  # as an unbuffered file


def test_a_database_is_gone_when_it_is_closed() -> None:
    database = TemporaryDatabase("CREATE TABLE keys (one TEXT)")
    database.execute_many("INSERT INTO keys VALUES (?)", [("a",), ("b",)])
    assert database.execute("SELECT one FROM keys") == [("a",), ("b",)]
    assert database.first("SELECT one FROM keys WHERE one = ?", ("c",)) is None
    database.close()
    with pytest.raises(VoucherifyError, match="closed database"):
        database.execute("SELECT 1")
