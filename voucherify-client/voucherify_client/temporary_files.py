"""Files in the folder for temporary files, and the sentence for a folder that is full."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from .errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@contextmanager
def usable() -> Iterator[None]:
    """Use a temporary file.

    Raises:
        VoucherifyError: the folder is full, or cannot be written.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise VoucherifyError(
            f"The folder for temporary files, {tempfile.gettempdir()}, cannot be used ({reason}): "
            "make room in it for an export of the project, or set TMPDIR to another folder."
        ) from None


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write to a file without a buffer, which may take a part of the data at a time.

    Raises:
        VoucherifyError: as `usable`.
    """
    left = memoryview(data)
    with usable():
        while left:
            left = left[file.write(left) :]


class TemporaryDatabase:
    """A SQLite database in a file without a name, which is gone when it is closed.

    Every method raises `VoucherifyError` where the folder for temporary files is full.
    """

    def __init__(self, *tables: str) -> None:
        """Create the tables, by their statements."""
        with usable():
            self._database = sqlite3.connect("")
            for table in tables:
                self._database.execute(table)

    def execute(self, statement: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement, which takes effect at once."""
        with usable(), self._database:
            return self._database.execute(statement, tuple(values)).fetchall()

    def execute_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Perform one statement for many rows, in one transaction."""
        with usable(), self._database:
            self._database.executemany(statement, rows)

    def first(self, statement: str, values: Iterable[Any] = ()) -> tuple[Any, ...] | None:
        """The first row that a query finds, if it finds any."""
        with usable():
            row: tuple[Any, ...] | None = self._database.execute(
                statement, tuple(values)
            ).fetchone()
        return row

    def close(self) -> None:
        """Delete it."""
        self._database.close()
