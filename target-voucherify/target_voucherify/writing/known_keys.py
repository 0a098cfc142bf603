"""Which objects of an entity a project has, by `source_id`: read by one export, kept on disk."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from target_voucherify.voucherify_client.errors import VoucherifyError
from target_voucherify.voucherify_client.export_job import exported_file
from target_voucherify.voucherify_client.exported_customers import WITHOUT_EXPORT, invalid_file
from target_voucherify.voucherify_client.temporary_files import TemporaryDatabase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from target_voucherify.entities.entity import Entity
    from target_voucherify.voucherify_client.client import Client

TABLE = "CREATE TABLE keys (source_id TEXT PRIMARY KEY) WITHOUT ROWID"

FIELDS = ("id", "source_id")
"""A single column would leave an empty line where an order has no `source_id`."""


class KnownKeys:
    """The keys that a project held when it was read last, and those that were added since.

    Args:
        client: of the run.
        entity: whose keys they are.
    """

    def __init__(self, client: Client, entity: Entity) -> None:
        self._client = client
        self._entity = entity
        self._keys = TemporaryDatabase(TABLE)
        self.is_read = False

    def __contains__(self, key: str) -> bool:
        return self._keys.first("SELECT 1 FROM keys WHERE source_id = ?", (key,)) is not None

    def add(self, keys: Iterable[str]) -> None:
        """Note keys that the project may hold from now on."""
        rows = ((key,) for key in keys)
        self._keys.execute_many("INSERT OR IGNORE INTO keys VALUES (?)", rows)

    def close(self) -> None:
        """Delete them."""
        self._keys.close()

    def read(self) -> None:
        """Read the keys of all objects anew.

        Raises:
            VoucherifyError: the export fails, or does not hold all of them.
        """
        total = self._total()
        self._keys.execute("DELETE FROM keys")
        count = 0
        with self._file() as file:
            rows = self._rows(file)
            while chunk := [key for _, (_, key) in zip(range(10_000), rows, strict=False)]:
                count += len(chunk)
                self.add(filter(None, chunk))
        if count < total:
            raise VoucherifyError(
                f"The export of {self._entity.name} has {count} of {total}, so nothing says which "
                f"of them Voucherify has: run again later, or {WITHOUT_EXPORT}."
            )
        self.is_read = True

    def _total(self) -> int:
        """How many there are before the export, as the list says; 0 if it does not say."""
        total = self._client.get(self._entity.one, params={"limit": 1}).get("total")
        return total if isinstance(total, int) else 0

    def _file(self) -> IO[str]:
        file = exported_file(self._client, FIELDS, self._entity.singular)
        return io.TextIOWrapper(file, "utf-8-sig", "replace", newline="")

    def _rows(self, file: IO[str]) -> Iterator[list[str]]:
        """The rows below the header; the columns are those of `FIELDS`, whatever their headings."""
        with suppress(csv.Error):
            for number, cells in enumerate(csv.reader(file, strict=True)):
                if len(cells) != len(FIELDS):
                    break
                if number:
                    yield cells
            else:
                return
        raise invalid_file()
