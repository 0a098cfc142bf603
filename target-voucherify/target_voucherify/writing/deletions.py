"""Deletions: collected, counted against the limit, and carried out at the end of the run."""

from __future__ import annotations

import logging
import re
import sqlite3
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from target_voucherify.acknowledgement.complete_streams import CompleteStreams
from target_voucherify.acknowledgement.refusal_reasons import Reason
from target_voucherify.acknowledgement.refused_line import refused_at
from target_voucherify.entities.source_id import folded
from target_voucherify.voucherify_client.errors import (
    NotFoundError,
    RefusedRequestError,
    VoucherifyError,
)
from target_voucherify.writing.concurrent_requests import send_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from target_voucherify.context import RunContext
    from target_voucherify.settings import Settings
    from target_voucherify.writing.earlier_jobs import EarlierJobs

REQUESTS = {
    "delete": ("DELETE", "/v1/customers/{id}"),
    "permanent_delete": ("POST", "/v1/customers/{id}/permanent-deletion"),
}

CHUNK_SIZE = 500
"""Deletions read from the file at a time; only memory depends on it."""

SEEN_CHUNK_SIZE = 5000
"""Keys marked as seen in one transaction of the ledger."""

SEPARATOR = re.compile(r"[/\\]")

UNSAFE = Reason(
    "unsafe_source_id",
    "the source_id reads as a path or as one of Voucherify's own ids (cust_…), so deleting it "
    "might delete another customer",
    "its source_id cannot be named safely in a path; delete it in the dashboard",
)

BROKEN_PATH = (
    "a slash in the source_id may have broken the path of its deletion, so the customer may still "
    "exist; delete it in the dashboard"
)

AMBIGUOUS = Reason(
    "ambiguous_case",
    "another source_id differs from it only in case, spaces or the form of letters; if Voucherify "
    "takes both for one, deleting it deletes the other",
    "another source_id differs from it only in case, spaces or the form of letters; delete it in "
    "the dashboard",
)


@dataclass
class Due:
    """The customers that a run would delete, and those that it would not, with a kind of reason."""

    keys: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


class Deletions:
    """Customers to delete at the end of the run; kept in a temporary file, not in memory.

    Attributes:
        versions: which streams were sent completely.
        tracks_missing: whether the run finds out which customers are missing from a stream.
        tracks_versions: whether the run notes which versions it began, for itself or later runs.
        needs_key: whether a record that is marked as deleted is refused if its key is unreadable.
    """

    needs_key = True

    def __init__(self, settings: Settings, context: RunContext, earlier_jobs: EarlierJobs) -> None:
        self._method, self._path = REQUESTS[settings.on_delete]
        self._percent = settings.max_delete_percent
        self._context = context
        self._earlier_jobs = earlier_jobs
        self._ticket = 0
        self.versions = CompleteStreams(context.ledger.begin_version)
        self.tracks_missing = self.tracks_versions = context.ledger.is_enabled
        self._log = logging.getLogger("target-voucherify")
        self._count = 0
        self._seen: list[str] = []
        self._filtered: list[str] = []
        self._distinct = 0
        """Customers that the records of this run are about, without those that a filter removes."""
        self._ambiguous: set[str] = set()
        context.ledger.track_seen()
        self._pending = sqlite3.connect("", isolation_level=None)
        columns = "source_id TEXT PRIMARY KEY, line BLOB, is_replayed INTEGER"
        self._pending.execute(f"CREATE TABLE pending ({columns})")
        self._pending.execute("CREATE TABLE seen (source_id TEXT PRIMARY KEY) WITHOUT ROWID")
        self._pending.execute("BEGIN")

    def add(self, key: str, line: bytes, *, is_replayed: bool) -> None:
        """Add one deletion; states wait for it from now on."""
        self._hold()
        self._note_seen(key)
        row = (key, line, is_replayed)
        new = self._execute("INSERT OR IGNORE INTO pending VALUES (?, ?, ?)", row)
        self._count += new.rowcount
        if not new.rowcount:
            self._count_duplicate(key)

    def mark_seen(self, key: str) -> None:
        """Note that the CRM has this customer, which cancels its deletion."""
        self._cancel(key)
        self._note_seen(key)

    def mark_superseded(self, key: str) -> None:
        """Note that an outdated record is about this customer; a newer one decides its deletion."""
        self._note_seen(key)

    def mark_filtered(self, key: str, *, is_back: bool) -> None:
        """Note that the CRM knows this customer, although its record is filtered out.

        Args:
            key: its `source_id`.
            is_back: whether the CRM has it, which cancels its deletion.
        """
        if is_back:
            self._cancel(key)
        self._filtered.append(key)
        if len(self._filtered) >= SEEN_CHUNK_SIZE:
            self._write_seen()

    def _cancel(self, key: str) -> None:
        if self._count:
            gone = self._execute("DELETE FROM pending WHERE source_id = ?", (key,))
            self._count -= gone.rowcount
            if gone.rowcount:
                self._count_duplicate(key)

    def _count_duplicate(self, key: str) -> None:
        """Count a deletion that another record of its customer made void."""
        self._context.summary.records.duplicates += 1
        self._context.outcomes.note((key,), "duplicate")

    def _note_seen(self, key: str) -> None:
        """Note that a record had this key, so that it does not count as missing."""
        self._seen.append(key)
        if len(self._seen) >= SEEN_CHUNK_SIZE:
            self._write_seen()

    def activate(self, stream: str, version: object) -> None:
        """Note a stream's ACTIVATE_VERSION: states wait if customers may be missing."""
        if not self.tracks_missing:
            self._log.warning(
                "ACTIVATE_VERSION says that the stream is complete, but without ledger_path the "
                "customers that are missing from it are unknown: none of them is deleted"
            )
            return
        if self.versions.activate(stream, version):
            self._hold()

    def carry_out(self) -> None:
        """Delete, unless there are more deletions than `max_delete_percent` allows.

        Raises:
            VoucherifyError: there are too many, and nothing was deleted; or a deletion failed.
        """
        self._warn_of_versions()
        missing = list(self._missing())
        self._check_limits(len(missing))
        self._ambiguous = self._ambiguous_keys(missing)
        if self._count or missing:
            self._earlier_jobs.wait()
        for pending in self._chunks():
            self._delete(pending)
        for start in range(0, len(missing), CHUNK_SIZE):
            self._delete(dict.fromkeys(missing[start : start + CHUNK_SIZE]))
        self._context.ledger.save_versions(self.versions.complete())
        if self._ticket:
            self._context.outcomes.release(self._ticket)

    def due(self) -> Due:
        """What `carry_out` would do; for a dry run.

        Raises:
            VoucherifyError: as `carry_out`, which would delete nothing.
        """
        missing = list(self._missing())
        self._check_limits(len(missing))
        ambiguous = self._ambiguous_keys(missing)
        due = Due()
        for key in (*self._pending_keys(), *missing):
            if not is_safe_in_path(key):
                due.refused.append((key, UNSAFE.key))
            elif key in ambiguous:
                due.refused.append((key, AMBIGUOUS.key))
            else:
                due.keys.append(key)
        return due

    def _execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._pending.execute(statement, parameters)
        except sqlite3.Error as error:
            raise VoucherifyError(
                f"The temporary file of deletions cannot be written ({error}): free some space "
                "where temporary files go (TMPDIR)."
            ) from None

    def _hold(self) -> None:
        self._ticket = self._ticket or self._context.fence.hold()

    def _missing(self) -> Iterator[str]:
        """Customers of the ledger that no record of this run had, if every stream was complete."""
        ledger = self._context.ledger
        self._write_seen()
        if ledger.all_complete_anew(self.versions.complete()):
            yield from ledger.unseen()

    def _warn_of_versions(self) -> None:
        """Warn where an ACTIVATE_VERSION cannot be used to delete missing customers."""
        if self.versions.has_unreadable_key and self._ticket:
            self._log.warning(
                "A record has no readable key and may be about any customer, so no customer is "
                "deleted for being missing from the stream"
            )
        for stream in sorted(self.versions.activated_too_early - self.versions.complete().keys()):
            self._log.warning(
                "ACTIVATE_VERSION of stream %s does not come after its records, or they carry "
                "another version, so no customer is deleted for being missing from it: have the "
                "tap mark deletions with _sdc_deleted_at",
                stream,
            )

    def _write_seen(self) -> None:
        self._distinct += self._marked(self._seen)
        self._marked(self._filtered)
        self._seen.clear()
        self._filtered.clear()

    def _marked(self, keys: list[str]) -> int:
        """Mark keys as seen; returns how many were not marked before."""
        if self.tracks_missing:
            return self._context.ledger.mark_seen(keys)
        mark = "INSERT OR IGNORE INTO seen VALUES (?)"
        return sum(self._execute(mark, (key,)).rowcount for key in keys)

    def _ambiguous_keys(self, missing: list[str]) -> set[str]:
        """Keys to delete that a service may take for another one of this run or of the ledger."""
        doomed = {folded(key): key for key in (*self._pending_keys(), *missing)}
        if not doomed:
            return set()
        self._write_seen()
        seen = (key for (key,) in self._execute("SELECT source_id FROM seen"))
        several = {
            folded(key)
            for key in chain(seen, self._context.ledger.keys())
            if doomed.get(folded(key), key) != key
        }
        return {key for key in chain(self._pending_keys(), missing) if folded(key) in several}

    def _pending_keys(self) -> Iterator[str]:
        return (key for (key,) in self._execute("SELECT source_id FROM pending"))

    def _check_limits(self, missing: int) -> None:
        """Compare the deletions with the customers of this run, and replayed ones with the ledger.

        A replay holds little else than what was refused, so a share of it says nothing.

        Args:
            missing: number of customers that are missing from a complete stream.

        Raises:
            VoucherifyError: there are too many.
        """
        marked = "SELECT coalesce(sum(is_replayed), 0) FROM pending"
        replayed: int = self._execute(marked).fetchone()[0]
        of_run = self._count - replayed + missing
        self._check_limit(of_run, self._distinct, "customers of this run")
        self._check_limit(replayed, self._context.ledger.count(), "customers of the ledger")

    def _check_limit(self, count: int, customers: int, whose: str) -> None:
        if count * 100 > self._percent * customers:
            raise VoucherifyError(
                f"{count} customers are to be deleted, more than max_delete_percent "
                f"({self._percent:g}) of the {customers} {whose}: nothing was deleted, everything "
                "else was written. Raise the limit if this is meant."
            )

    def _chunks(self) -> Iterator[dict[str, bytes | None]]:
        last = ""
        query = "SELECT source_id, line FROM pending WHERE source_id > ? ORDER BY 1 LIMIT ?"
        while rows := self._execute(query, (last, CHUNK_SIZE)).fetchall():
            yield dict(rows)
            last = rows[-1][0]

    def _delete(self, pending: dict[str, bytes | None]) -> None:
        """Delete some; the line is `None` for a customer that only the ledger knows."""
        context = self._context
        safe = []
        for key, line in pending.items():
            if not is_safe_in_path(key):
                self._refuse(key, line, UNSAFE)
            elif key in self._ambiguous:
                self._refuse(key, line, AMBIGUOUS)
            else:
                safe.append(key)
        context.ledger.forget(safe)
        sent = send_all(safe, self._delete_one, context.shutdown)
        context.outcomes.note_deleted(sent.done)
        context.ledger.remove(sent.done)
        context.ledger.confirm((key, self._read_at(pending[key])) for key in sent.done)
        self._count_deleted([pending[key] is None for key in sent.done])
        for key, refusal in sent.refused:
            text = f"{refusal.key}: {refusal.message}"
            self._refuse(
                key, pending[key], Reason(refusal.key, text, f"not deleted: {refusal.summary}")
            )
        if sent.error is not None:
            raise sent.error

    def _read_at(self, line: bytes | None) -> float:
        """When a record was read first; now for one of this run, or without any."""
        return (line and refused_at(line)) or self._context.ledger.now()

    def _delete_one(self, key: str) -> None:
        """Delete a customer, unless it is gone already.

        Raises:
            RefusedRequestError: a slash in its key may have led to a path that does not exist, so
                the customer may still be there.
        """
        try:
            self._context.client.request(self._method, self._path, {"id": key})
        except NotFoundError as error:
            if SEPARATOR.search(unquote(key)) and error.resource_type != "customer":
                raise RefusedRequestError(
                    error.summary, key=UNSAFE.key, message=BROKEN_PATH, details=""
                ) from None

    def _count_deleted(self, unseen: list[bool]) -> None:
        """Count deletions; a customer that did not exist (404) counts as deleted."""
        summary, missing = self._context.summary, sum(unseen)
        summary.records.deleted += len(unseen) - missing
        if missing:
            summary.extra["deleted_unseen"] = summary.extra.get("deleted_unseen", 0) + missing

    def _refuse(self, key: str, line: bytes | None, reason: Reason) -> None:
        if line is None:
            self._context.outcomes.refuse_unseen(key, reason)
        else:
            self._context.outcomes.refuse(line, key, reason, self._ticket)


class NoDeletions(Deletions):
    """Deletions with `on_delete: ignore`: they are only counted."""

    tracks_missing = False
    needs_key = False

    def __init__(self, context: RunContext) -> None:
        self._summary = context.summary
        self._ledger = context.ledger
        self._outcomes = context.outcomes
        self.versions = CompleteStreams(self._ledger.begin_version)
        self.tracks_versions = self._ledger.is_enabled

    def add(self, key: str, line: bytes, *, is_replayed: bool) -> None:
        """Count one deletion; what was refused of its customer before is outdated."""
        del is_replayed
        self._ledger.confirm([(key, refused_at(line) or self._ledger.now())])
        self._summary.records.deletes_ignored += 1
        self._outcomes.note((key or None,), "not_deleted")

    def _ignore(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    mark_seen = mark_superseded = activate = carry_out = _ignore

    def due(self) -> Due:
        """None."""
        return Due()


def is_safe_in_path(key: str) -> bool:
    """Whether a `source_id` in a path can only mean the customer it belongs to.

    HTTP libraries and proxies remove empty segments, those of dots alone, and what follows a
    semicolon, and gateways may decode the slashes around them first: `a/` and `a;b` would mean `a`.
    A path takes Voucherify's own ids too, so a `source_id` that begins with `cust_`, as those do,
    may mean another customer (inferred).
    """
    decoded = unquote(key)
    segments = set(SEPARATOR.split(decoded))
    is_itself = segments.isdisjoint({"", ".", ".."}) and ";" not in decoded
    return is_itself and not key.startswith("cust_")
