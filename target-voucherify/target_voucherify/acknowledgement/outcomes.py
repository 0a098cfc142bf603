"""Outcomes of records, accepted or refused, and what follows from them, in the right order.

A refused record is in its file, and an accepted one in the ledger, before a STATE that covers them
is emitted.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from target_voucherify.acknowledgement.plan import Plan
from target_voucherify.acknowledgement.pseudonyms import Pseudonyms
from target_voucherify.acknowledgement.refused_file import RefusedFile
from target_voucherify.acknowledgement.refused_line import refused_at
from target_voucherify.acknowledgement.results_file import UNSENT, NoResults, ResultsFile
from target_voucherify.errors import RefusedRecordsError
from target_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from target_voucherify.acknowledgement.ledger import Ledger, NoLedger
    from target_voucherify.acknowledgement.refusal_reasons import Reason
    from target_voucherify.acknowledgement.results_file import Outcome, Sent
    from target_voucherify.acknowledgement.state_fence import StateFence
    from target_voucherify.acknowledgement.summary import Records, Summary
    from target_voucherify.settings import Settings

MIN_RECORDS_FOR_PERCENT = 100
"""Records after which `max_refused_percent` may end a run early; before, a share means little."""

MAX_LOGGED_REFUSALS = 20
"""Refusals that get a log line each; the others are in the file and in the count of each reason."""

MAX_NAMED = 5
"""Customers that are not there, of which the error has the hash."""

MAX_COUNTED_KEYS = 50
"""Kinds of reasons that are counted each; further ones count as `other`."""


class Row(NamedTuple):
    """One customer: the JSON to send, and what is needed if it is refused.

    `line` is the message it came in, empty in a run without a refused-records file; `number` is its
    position in the input; `at` is when it was read first, in seconds; `has_drifted` says that the
    project held it otherwise than the ledger knows it, though the CRM did not change it.
    """

    payload: bytes
    line: bytes
    number: int = 0
    at: float = 0.0
    has_drifted: bool = False

    @property
    def held_bytes(self) -> int:
        """Bytes that it keeps in memory."""
        return len(self.payload) + len(self.line)


class EntityOutcomes:
    """The outcomes of one entity's records, which its ledger learns of, too.

    Args:
        entity: its name.
        outcomes: of the run.
        ledger: of the entity.
        counts: of the entity.
    """

    def __init__(
        self, entity: str, outcomes: Outcomes, ledger: Ledger | NoLedger, counts: Records
    ) -> None:
        self._entity = entity
        self._all = outcomes
        self._results = outcomes.results
        self.plan = outcomes.plan
        self._ledger = ledger
        self._counts = counts
        self.has_file = outcomes.file is not None
        self.on_accept: Callable[[Mapping[str, Row]], None] | None = None
        """Learns of accepted records, too."""
        self.release = outcomes.release
        self.refuse_unseen = outcomes.refuse_unseen
        self.not_there = outcomes.not_there

    def accept(self, rows: Mapping[str, Row], sent: Sent = UNSENT) -> None:
        """Note that Voucherify has these, or says so.

        Args:
            rows: by key.
            sent: how they were sent.
        """
        drifted = [key for key, row in rows.items() if row.has_drifted]
        self._results.add(self._entity, rows.keys() - drifted, "accepted", sent=sent)
        self._results.add(self._entity, drifted, "accepted", reason="drifted", sent=sent)
        # Before the ledger knows it: after a kill in between the next run would find it unchanged.
        self._results.flush()
        self._ledger.remember((key, row.payload) for key, row in rows.items())
        self._ledger.confirm((key, row.at) for key, row in rows.items())
        if self.on_accept is not None:
            self.on_accept(rows)
        self._counts.accepted += len(rows)
        self._all.accept(len(rows))

    def note(self, keys: Iterable[str | None], outcome: Outcome) -> None:
        """Note an outcome for the results file."""
        self._results.add(self._entity, keys, outcome)

    def note_deleted(self, keys: Iterable[str]) -> None:
        """Note deletions, before the ledger knows of them."""
        self.note(keys, "deleted")
        self._results.flush()

    def refuse(  # noqa: PLR0913 - a record, and all that is known of it
        self,
        line: bytes,
        key: str | None,
        reason: Reason,
        ticket: int | None = None,
        *,
        at: float = 0.0,
        sent: Sent = UNSENT,
    ) -> None:
        """Set one record aside, or note that the run will fail; as `Outcomes.refuse`."""
        self._counts.refused += 1
        self._results.add(self._entity, (key,), "refused", reason=reason.key, sent=sent)
        if self.has_file:
            self._ledger.note_refusal()
            at = at or refused_at(line) or self._ledger.now()
        self._all.refuse(self._entity, line, key, reason, ticket, at)


class Outcomes:
    """Notes the outcomes of records, and emits the states that become ready because of them."""

    def __init__(
        self,
        settings: Settings,
        fence: StateFence,
        summary: Summary,
        ledgers: Iterable[Ledger | NoLedger],
    ) -> None:
        path = settings.refused_records_path
        self.file = RefusedFile(path) if path and not settings.dry_run else None
        self.plan = Plan(settings.plan_path) if settings.dry_run else None
        self.results: ResultsFile | NoResults | Plan = self.plan or (
            ResultsFile(settings.results_path) if settings.results_path else NoResults()
        )
        self._percent = settings.max_refused_percent
        self._pseudonyms = Pseudonyms()
        self._dry_run = settings.dry_run
        self._fence = fence
        self._summary = summary
        self._records = summary.records
        self._extra = summary.extra
        self._ledgers = list(ledgers)
        self._refused_unseen = 0
        """Refused deletions of customers that only the ledger knows."""
        self._keys: Counter[str] = Counter()
        self._log = logging.getLogger("target-voucherify")
        self.has_advanced = False
        """Whether a state was emitted that came after a record."""
        self._is_stopped = False
        """Whether no state is emitted any more."""
        self._blocking_ticket = 0
        """The ticket that is never released, because a record was refused; 0 without one."""

    def accept(self, count: int) -> None:
        """Count what Voucherify has accepted."""
        self._records.accepted += count

    def release(self, ticket: int) -> None:
        """Note that all rows of a ticket have an outcome; emit the state that waited for them."""
        self._fence.release(ticket)
        self.emit_state()

    def refuse(  # noqa: PLR0913, PLR0917 - called in one place
        self,
        entity: str,
        line: bytes,
        key: str | None,
        reason: Reason,
        ticket: int | None,
        at: float,
    ) -> None:
        """Set one record aside, or note that the run will fail.

        Args:
            entity: what it cannot become.
            line: the message it came in.
            key: its `source_id`, when it has one.
            reason: why.
            ticket: of the batch it was sent in; `None` when it was refused before.
            at: when it was read, in seconds.

        Raises:
            RefusedRecordsError: so many are refused that something is wrong with all of them.
        """
        self._records.refused += 1
        pseudonym = self._pseudonyms.of(key) if key else None
        self._log_refusal(pseudonym, reason)
        if self._dry_run:
            return
        if self.file is None:
            self._block_states(ticket)
            return
        self.file.write(line, reason, pseudonym, at, entity)
        if self._records.received >= MIN_RECORDS_FOR_PERCENT:
            self.check_refused_percent()

    def not_there(self, keys: Sequence[str]) -> VoucherifyError:
        """The error of a run whose accepted customers are not there.

        Args:
            keys: their `source_id`s.
        """
        names = ", ".join(self._pseudonyms.of(key) for key in keys[:MAX_NAMED])
        return VoucherifyError(
            f"{len(keys)} customers that Voucherify accepted are not there as they were sent "
            f"({names}): run again, which sends them again; if it persists, ask Voucherify's "
            "support about the jobs of this run."
        )

    def refuse_unseen(self, key: str, reason: Reason) -> None:
        """Note that a customer that the CRM no longer has was not deleted; no record names it.

        Args:
            key: its `source_id`.
            reason: why.
        """
        self._refused_unseen += 1
        self._extra["refused_unseen"] = self._refused_unseen
        self._log_refusal(self._pseudonyms.of(key), reason)

    def check_refused_percent(self) -> None:
        """Compare the share of refused records with `max_refused_percent`.

        Raises:
            RefusedRecordsError: it is above; states that still wait are never emitted.
        """
        if self._has_too_many_refused():
            records = self._records
            self._is_stopped = True
            raise RefusedRecordsError(
                f"{records.refused} of {records.received} records were refused, more than "
                f"max_refused_percent ({self._percent:g}) allows ({self._top_keys()}). They are in "
                "the refused-records file; no state was emitted since the limit was exceeded."
            )

    def fail_if_refused(self) -> None:
        """At the end of a run without a refused-records file: every refusal is a failure.

        Raises:
            RefusedRecordsError: naming the reasons and the ways out.
        """
        if self._refused_unseen and self.file is None and not self._records.refused:
            raise RefusedRecordsError(
                f"{self._refused_unseen} customers that the CRM no longer has were not deleted "
                f"({self._top_keys()}); the next complete stream deletes them again, or delete "
                "them in the dashboard."
            )
        if self._records.refused and self.file is None and not self._dry_run:
            raise RefusedRecordsError(
                f"{self._records.refused} of {self._records.received} records were refused "
                f"({self._top_keys()}); all others were written. Correct them in the CRM, or set "
                "refused_records_path to set them aside and go on."
            )
        if self.file is not None:
            self.check_refused_percent()

    def emit_state(self) -> None:
        """Print the newest state that is ready, once everything it covers is on disk."""
        if self._is_stopped or self._dry_run or (self.file and self._has_too_many_refused()):
            return
        state = self._fence.take_ready()
        if state is None:
            return
        for ledger in self._ledgers:
            ledger.flush()
        self.results.flush()
        if self.file is not None:
            self.file.flush()
        self.has_advanced = self._records.received > 0
        try:
            _print(state)
        except OSError:
            self._is_stopped = True
            raise VoucherifyError(
                "The state cannot be emitted, because standard output is closed: the next run "
                "will send the customers of this one again."
            ) from None
        self._summary.state_emitted_at = time.time()

    def _has_too_many_refused(self) -> bool:
        """Whether more is refused than allowed; of records refused before, any share may be."""
        if self.file is not None and self.file.is_replayed:
            return False
        return self._records.refused * 100 > self._percent * self._records.received

    def _block_states(self, ticket: int | None) -> None:
        """Let no state cover this record: keep its ticket for good, or take one.

        The lowest ticket that is kept blocks all that the higher ones would.
        """
        if self._blocking_ticket and (ticket is None or ticket >= self._blocking_ticket):
            return
        if ticket is None:
            self._blocking_ticket = self._fence.hold()
        else:
            self._fence.retain(ticket)
            self._blocking_ticket = ticket

    def _log_refusal(self, pseudonym: str | None, reason: Reason) -> None:
        is_counted = reason.key in self._keys or len(self._keys) < MAX_COUNTED_KEYS
        self._keys[reason.key if is_counted else "other"] += 1
        if self._keys.total() <= MAX_LOGGED_REFUSALS:
            name = pseudonym or "without a source_id"
            self._log.warning("Refused record %s: %s (%s)", name, reason.log_text, reason.key)
        elif self._keys.total() == MAX_LOGGED_REFUSALS + 1:
            self._log.warning("Further refusals are counted, not logged one by one")

    def _top_keys(self) -> str:
        return ", ".join(f"{key}: {count}" for key, count in self._keys.most_common(5))


def _print(state: str) -> None:
    if sys.stdout is None:  # the process was started without one
        raise OSError
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(f"{state}\n")
    else:  # JSON is UTF-8, whatever the encoding of the terminal
        binary.write(f"{state}\n".encode())
    sys.stdout.flush()
