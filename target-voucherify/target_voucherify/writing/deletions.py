"""Deleting what the CRM deleted: collected first, counted, and only then carried out."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from target_voucherify.acknowledgement.refusal_reasons import Reason
from target_voucherify.acknowledgement.stream_versions import StreamVersions
from target_voucherify.voucherify_client.errors import NotFoundError, VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from target_voucherify.acknowledgement.summary import Summary
    from target_voucherify.context import RunContext
    from target_voucherify.writing.concurrent_requests import Parallel

REQUESTS = {
    "delete": ("DELETE", "/v1/customers/{id}"),
    "permanent_delete": ("POST", "/v1/customers/{id}/permanent-deletion"),
}

AT_ONCE = 500
"""Deletions between two looks at the file; only memory depends on it."""

SEEN_AT_ONCE = 5000
"""Keys that are written to disk together when a stream is watched for what is missing."""

UNSAFE = Reason(
    "unsafe_source_id",
    "the source_id reads as a path or as one of Voucherify's own ids (cust_…), so deleting it "
    "might delete another customer",
    "its source_id cannot be named safely in a path; delete it in the dashboard",
)


class Deletions:
    """Customers to be deleted at the end of the run; kept in a temporary file, not in memory.

    Attributes:
        versions: which streams were sent whole.
        watches: whether the run finds out which customers are missing from a stream.
        need_key: whether a record that is marked as deleted is refused if its key is not readable.
    """

    need_key = True

    def __init__(self, config: Mapping[str, Any], context: RunContext, parallel: Parallel) -> None:
        """Start with none."""
        self._method, self._path = REQUESTS[config["on_delete"]]
        self._percent = float(config["max_delete_percent"])
        self._context = context
        self._parallel = parallel
        self._ticket = 0
        self.versions = StreamVersions()
        self.watches = context.ledger.is_kept
        self._log = logging.getLogger("target-voucherify")
        self._count = 0
        self._seen: list[str] = []
        context.ledger.watch()
        self._pending = sqlite3.connect("", isolation_level=None)
        self._pending.execute("CREATE TABLE pending (source_id TEXT PRIMARY KEY, line BLOB)")
        self._pending.execute("BEGIN")

    def add(self, key: str, line: bytes) -> None:
        """Take one deletion. States wait for it from now on."""
        self._hold()
        self._see(key)
        new = self._pending.execute("INSERT OR IGNORE INTO pending VALUES (?, ?)", (key, line))
        self._count += new.rowcount
        self._context.summary.records.duplicates += 1 - new.rowcount

    def saw(self, key: str) -> None:
        """The CRM has this customer: a deletion that waits for it is not carried out."""
        if self._count:
            gone = self._pending.execute("DELETE FROM pending WHERE source_id = ?", (key,))
            self._count -= gone.rowcount
            self._context.summary.records.duplicates += gone.rowcount
        self._see(key)

    def _see(self, key: str) -> None:
        """Note that a record had this key, so that nobody takes it for missing."""
        if self.watches:
            self._seen.append(key)
            if len(self._seen) >= SEEN_AT_ONCE:
                self._write_seen()

    def activate(self, stream: str, version: object) -> None:
        """Take note of a stream's ACTIVATE_VERSION: states wait if customers may be missing."""
        if not self.watches:
            self._log.warning(
                "ACTIVATE_VERSION says that the stream is whole, but without ledger_path nobody "
                "knows which customers are missing from it: none of them is deleted"
            )
            return
        if self.versions.activate(stream, version):
            self._hold()

    def carry_out(self) -> None:
        """Delete, if no more than `max_delete_percent` are to be deleted.

        Raises:
            VoucherifyError: too many, and nothing was deleted; or a deletion failed.
        """
        self._warn_of_versions()
        unseen = list(self._unseen())
        self._judge(self._count + len(unseen))
        for pending in self._in_turns():
            self._delete(pending)
        for start in range(0, len(unseen), AT_ONCE):
            self._delete(dict.fromkeys(unseen[start : start + AT_ONCE]))
        self._context.ledger.note_versions(self.versions.whole())
        if self._ticket:
            self._context.outcomes.settled(self._ticket)

    def would_delete(self) -> int:
        """How many deletions wait; for a dry run."""
        return self._count + sum(1 for _ in self._unseen())

    def _hold(self) -> None:
        self._ticket = self._ticket or self._context.fence.hold()

    def _unseen(self) -> Iterator[str]:
        """Customers of the ledger that no record of this run named, if every stream was whole."""
        ledger = self._context.ledger
        self._write_seen()
        if ledger.all_renewed(self.versions.whole()):
            yield from ledger.unseen()

    def _warn_of_versions(self) -> None:
        """Say why nobody is deleted for being missing, where ACTIVATE_VERSION says so in vain."""
        if self.versions.is_spoiled and self._ticket:
            self._log.warning(
                "A record has no readable key, so any customer may be the one it is about: nobody "
                "is deleted for being missing from the stream"
            )
        for stream in sorted(self.versions.activated_too_early - self.versions.whole().keys()):
            self._log.warning(
                "ACTIVATE_VERSION of stream %s does not come after its records, or they carry "
                "another version, so nobody is deleted for being missing from it: have the tap "
                "mark deletions with _sdc_deleted_at",
                stream,
            )

    def _write_seen(self) -> None:
        self._context.ledger.see(self._seen)
        self._seen.clear()

    def _judge(self, count: int) -> None:
        records = self._context.summary.records
        received = records.received - records.removed_by_stream_map
        if count * 100 > self._percent * received:
            raise VoucherifyError(
                f"{count} customers are to be deleted, more than max_delete_percent "
                f"({self._percent:g}) of the {received} records of this run: nothing was deleted, "
                "everything else was written. Raise the limit if this is meant."
            )

    def _in_turns(self) -> Iterator[dict[str, bytes | None]]:
        last = ""
        query = "SELECT source_id, line FROM pending WHERE source_id > ? ORDER BY 1 LIMIT ?"
        while rows := self._pending.execute(query, (last, AT_ONCE)).fetchall():
            yield dict(rows)
            last = rows[-1][0]

    def _delete(self, pending: dict[str, bytes | None]) -> None:
        """Delete some; the line of a record is None when only the ledger knew of the customer."""
        context = self._context
        unsafe = [key for key in pending if not is_safe(key)]
        for key in unsafe:
            self._refuse(key, pending[key], UNSAFE)
        safe = [key for key in pending if is_safe(key)]
        context.ledger.forget(safe)
        sent = self._parallel.each(safe, self._delete_one)
        context.ledger.remove(sent.done)
        self._count_done(sent.done, pending)
        for key, refusal in sent.refused:
            words = f"{refusal.key}: {refusal.message}"
            self._refuse(
                key, pending[key], Reason(refusal.key, words, f"not deleted: {refusal.summary}")
            )
        if sent.error is not None:
            raise sent.error

    def _delete_one(self, key: str) -> None:
        with suppress(NotFoundError):  # it is gone, which is what was wanted
            self._context.client.request(self._method, self._path, {"id": key})

    def _count_done(self, done: Iterable[str], pending: Mapping[str, bytes | None]) -> None:
        """Count; a customer that was not there (404) is as deleted as one that was."""
        summary = self._context.summary
        for key in done:
            if pending[key] is None:
                summary.extra["deleted_unseen"] = summary.extra.get("deleted_unseen", 0) + 1
            else:
                summary.records.deleted += 1

    def _refuse(self, key: str, line: bytes | None, reason: Reason) -> None:
        if line is None:
            self._log.warning("A customer that the CRM no longer has: %s", reason.said)
        else:
            self._context.outcomes.refused(line, key, reason, self._ticket)


class NoDeletions(Deletions):
    """Deletions with `on_delete: ignore`: they are counted, and nobody is deleted."""

    watches = False
    need_key = False

    def __init__(self, summary: Summary) -> None:
        """Keep the counts of the run."""
        self._summary = summary
        self.versions = StreamVersions()

    def add(self, key: str, line: bytes) -> None:
        """Count one deletion."""
        del key, line
        self._summary.records.deletes_ignored += 1

    def saw(self, key: str) -> None:
        """Nobody waits to be deleted."""

    def activate(self, stream: str, version: object) -> None:
        """Nobody is deleted for being missing."""

    def carry_out(self) -> None:
        """Delete nobody."""

    def would_delete(self) -> int:
        """Nobody."""
        return 0


def is_safe(key: str) -> bool:
    """Whether a `source_id` in a path can only mean the customer it belongs to (reference §6.4).

    Dots alone are taken out of paths on their way, and ids beginning with `cust_` are Voucherify's.
    """
    return key not in {".", ".."} and not key.startswith("cust_")
