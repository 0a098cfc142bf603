"""A copy of a project's customers, made by an export: what is there, and what this run changed.

It lies in a temporary database on disk, which nobody else can open and which is gone with the run.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from target_voucherify.comparison.printed import differences, not_comparable
from target_voucherify.voucherify_client.export_job import exported_file
from target_voucherify.voucherify_client.exported_customers import (
    ADDRESS,
    METADATA,
    ExportedCustomers,
)
from target_voucherify.voucherify_client.log_names import column_name
from target_voucherify.voucherify_client.temporary_files import TemporaryDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from target_voucherify.acknowledgement.ledger import Ledger, NoLedger
    from target_voucherify.acknowledgement.outcomes import Row
    from target_voucherify.comparison.printed import Customer, Difference
    from target_voucherify.voucherify_client.client import Client

FIELDS = (
    *("source_id", "name", "description", "email", "phone", "birthdate", "birthday"),
    *(f"address_{name}" for name in ADDRESS),
    METADATA,
)
"""Fields that the target can write, as the export calls them."""

CHUNK_SIZE = 5_000
"""Customers written to disk in one transaction; only time and memory depend on it."""

LEARNED = 2
"""Runs in which a value was printed otherwise, from which on it is taken for the same: in one run
somebody else may have changed it at that moment."""

LOOKS = 2
"""Exports that a customer must be missing from: one may be made a moment too early."""

SECONDS_BETWEEN_LOOKS = 5.0

MAX_NAMED = 10
"""Names of fields in a log line at most."""

TABLE = """
CREATE TABLE customers (source_id TEXT PRIMARY KEY, printed BLOB, sent BLOB, is_changed INTEGER)
"""

_encode = msgspec.json.encode
_decode = msgspec.json.decode


class ProjectCopy:
    """The customers of a project before the run, requested when they are needed first.

    Args:
        client: of the run.
        ledger: remembers which values are printed otherwise than they are sent.
        definitions: returns the keys of the metadata schema.
        before: called before an export is ordered; waits for jobs that are queued.
        keeps_fields: whether `changed_fields` will be asked of each customer that has changed.
    """

    is_enabled = True

    def __init__(
        self,
        client: Client,
        ledger: Ledger | NoLedger,
        definitions: Callable[[], Mapping[str, Any]],
        before: Callable[[], None],
        *,
        keeps_fields: bool = False,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._definitions = definitions
        self._before = before
        self._log = logging.getLogger("target-voucherify")
        self._metadata_keys: frozenset[str] | None = None
        self._named: set[str] = set()
        self._keeps_fields = keeps_fields
        self._changed: dict[str, list[str]] = {}
        """The fields of customers that differ, until they are asked for."""
        self.found = 0
        """Customers in the project before the run."""
        self.changes: Counter[str] = Counter()
        """Customers by the field that differs from what the CRM has."""
        self.printed_otherwise: Counter[str] = Counter()
        """Customers by the field that is printed otherwise than it was sent."""

    def unchanged(self, customers: Iterable[tuple[str, bytes]]) -> list[bool]:
        """For each customer (key and payload), whether the project holds just that."""
        return [self._holds(key, payload) for key, payload in customers]

    def has(self, key: str) -> bool:
        """Whether the project had a customer of this key before the run."""
        return self._find(key) is not None

    def changed_fields(self, key: str) -> list[str] | None:
        """The fields of a customer that differ; `None` for one that is not there. Asked once."""
        return self._changed.pop(key, None)

    def note_sent(self, keys: Iterable[str]) -> None:
        """Note that these are about to change."""
        self._database.execute_many(
            "INSERT INTO customers VALUES (?, NULL, NULL, 1) "
            "ON CONFLICT DO UPDATE SET is_changed = 1, sent = NULL",
            ((key,) for key in keys),
        )

    def note_accepted(self, rows: Mapping[str, Row]) -> None:
        """Note what Voucherify has accepted, for `missing`."""
        self._database.execute_many(
            "UPDATE customers SET sent = ? WHERE source_id = ?",
            ((row.payload, key) for key, row in rows.items()),
        )

    def missing(self) -> list[str]:
        """Read the project again; the keys of accepted customers that are not as accepted.

        A customer counts as written if a field of it has changed since the export before, or if it
        was not there: a field that still differs then is printed otherwise than it was sent.
        """
        for look in range(LOOKS):
            if not self._left():
                return []
            if look:
                self._client.wait(SECONDS_BETWEEN_LOOKS)
            for rows in _chunks(self._exported()):
                there = [(row["source_id"],) for row in rows if self._is_as_accepted(row)]
                self._database.execute_many(
                    "UPDATE customers SET sent = NULL WHERE source_id = ?", there
                )
        return self._left()

    def close(self) -> None:
        """Delete the copy."""
        if "_database" in self.__dict__:
            self._database.close()

    @cached_property
    def _database(self) -> TemporaryDatabase:
        """The copy, filled by an export."""
        database = TemporaryDatabase(TABLE)
        for rows in _chunks(self._exported()):
            database.execute_many(
                "INSERT OR REPLACE INTO customers VALUES (?, ?, NULL, 0)",
                ((row["source_id"], _encode(row)) for row in rows),
            )
            self.found += len(rows)
        self._log.info("Comparing with %d customers of the project", self.found)
        return database

    def _exported(self) -> Iterator[Customer]:
        """The customers of a new export that have a key."""
        self._before()
        file = exported_file(self._client, FIELDS)
        customers = ExportedCustomers(file, self._definitions(), self._replaced, FIELDS)
        self._metadata_keys = customers.metadata_keys
        return (row for row in customers if row["source_id"])

    def _replaced(self, count: int) -> None:
        self._client.count_replaced(count, "GET /v1/exports/{id} (download)")

    def _find(self, key: str) -> tuple[bytes, int] | None:
        """What the export printed of a customer, and whether this run has sent it."""
        found = "SELECT printed, is_changed FROM customers WHERE source_id = ? AND printed NOTNULL"
        row: Any = self._database.first(found, (key,))
        return None if row is None else (row[0], row[1])

    def _holds(self, key: str, payload: bytes) -> bool:
        found = self._find(key)
        if found is None or found[1]:
            return False
        sent = _decode(payload)
        self._name_once(not_comparable(sent, self._metadata_keys))
        different = [d.field for d in self._different(sent, _decode(found[0]), LEARNED)]
        self.changes.update(different)
        if different and self._keeps_fields:
            self._changed[key] = different
        return not different

    def _different(self, sent: Customer, printed: Customer, known_from: int) -> list[Difference]:
        """The differences but those that the ledger knows from so many runs."""
        found = differences(sent, printed, self._metadata_keys)
        return [one for one in found if self._ledger.runs_printed(*_digested(one)) < known_from]

    def _is_as_accepted(self, row: Customer) -> bool:
        """Whether an exported customer is what was accepted of it, be it printed otherwise."""
        key = row["source_id"]
        found = "SELECT sent, printed FROM customers WHERE source_id = ? AND sent NOTNULL"
        before = self._database.first(found, (key,))
        if before is None:
            return False
        sent = _decode(before[0])
        if before[1] is not None and self._different(sent, row, 1):
            now = {name: row.get(name) for name in sent}
            if not differences(now, _decode(before[1]), self._metadata_keys):
                return False  # all that was sent is as it was before
        for one in differences(sent, row, self._metadata_keys):
            self.printed_otherwise[one.field] += 1
            self._ledger.note_printed(*_digested(one))
        return True

    def _left(self) -> list[str]:
        left = "SELECT source_id FROM customers WHERE sent NOTNULL"
        return [key for (key,) in self._database.execute(left)]

    def _name_once(self, keys: Iterable[str]) -> None:
        """Log keys of metadata that no export shows; the first time that each is met."""
        new = [key for key in keys if key not in self._named][: MAX_NAMED - len(self._named)]
        if new:
            self._named.update(new)
            self._log.info(
                "Not compared, because the metadata schema does not define it: %s",
                ", ".join(map(column_name, new)),
            )


def _digested(one: Difference) -> tuple[str, bytes, bytes]:
    return one.field, _encode(one.sent), _encode(one.printed)


def _chunks(rows: Iterable[Customer]) -> Iterator[list[Customer]]:
    """The rows in lists, so that memory stays flat."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK_SIZE)):
        yield chunk
