"""Where records end: accepted, refused, unchanged; and what follows from it, in the right order.

A refused record is in its file, and an accepted one in the ledger, before the fence lets a STATE
pass that speaks for them.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from target_voucherify.acknowledgement.pseudonyms import RecordNames
from target_voucherify.acknowledgement.refused_file import RefusalFile
from target_voucherify.errors import RefusedRecordsError
from target_voucherify.json_lines import record_in
from target_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from target_voucherify.acknowledgement.ledger import Ledger, NoLedger
    from target_voucherify.acknowledgement.refusal_reasons import Reason
    from target_voucherify.acknowledgement.state_fence import Fence
    from target_voucherify.acknowledgement.summary import Summary

JUDGED_FROM = 100
"""Records after which `max_refused_percent` may end a run early; before, a share means little."""

SAID_ONE_BY_ONE = 20
"""Refusals that get a log line each; the rest is in the file and in the count of each reason."""

KINDS_COUNTED = 50


class Row(NamedTuple):
    """One customer: the JSON to send, and the line it came from, to be set aside if refused."""

    payload: bytes
    line: bytes


class Outcomes:
    """The ends of records, and the states that may pass because of them."""

    def __init__(
        self,
        config: Mapping[str, Any],
        fence: Fence,
        summary: Summary,
        ledger: Ledger | NoLedger,
    ) -> None:
        """Open the file of refusals, if one is configured."""
        path = config.get("refused_records_path")
        self.file = RefusalFile(path) if path and not config["dry_run"] else None
        self._percent = float(config["max_refused_percent"])
        self._names = RecordNames()
        self._dry_run = bool(config["dry_run"])
        self._fence = fence
        self._records = summary.records
        self._ledger = ledger
        self._kinds: Counter[str] = Counter()
        self._log = logging.getLogger("target-voucherify")
        self._states_end_here = False
        self._kept = 0

    def written(self, rows: Mapping[str, Row]) -> None:
        """Voucherify has these customers."""
        self._ledger.remember((key, row.payload) for key, row in rows.items())
        self._records.accepted += len(rows)

    def settled(self, ticket: int) -> None:
        """All rows behind one ticket have ended; let states pass that waited for them."""
        self._fence.release(ticket)
        self.pass_states()

    def refused(
        self, line: bytes, key: str | None, reason: Reason, ticket: int | None = None
    ) -> None:
        """Set one record aside, or note that the run will fail.

        Args:
            line: the message it came in.
            key: its `source_id`, when it has one.
            reason: why.
            ticket: of the batch it was sent in; None when it was refused before.

        Raises:
            RefusedRecordsError: so many are refused that something is wrong with the whole.
        """
        self._records.refused += 1
        name = self._names.of(key) if key else None
        self._say(name, reason)
        if self._dry_run:
            return
        if self.file is None:
            self._end_states(ticket)
            return
        self.file.write(*record_in(line), reason, name)
        if self._records.received >= JUDGED_FROM:
            self.judge()

    def judge(self) -> None:
        """Compare the share of refused records with `max_refused_percent`.

        Raises:
            RefusedRecordsError: it is above; states that are still held stay so.
        """
        if self._too_many():
            records = self._records
            self._states_end_here = True
            raise RefusedRecordsError(
                f"{records.refused} of {records.received} records were refused, more than "
                f"max_refused_percent ({self._percent:g}) allows ({self._reasons()}). They are in "
                "the file of refusals; no state was passed on since the share was exceeded."
            )

    def fail_if_refused(self) -> None:
        """At the end of a run without a file of refusals: every refusal is a failure.

        Raises:
            RefusedRecordsError: naming the reasons and the ways out.
        """
        if self._records.refused and self.file is None and not self._dry_run:
            raise RefusedRecordsError(
                f"{self._records.refused} of {self._records.received} records were refused "
                f"({self._reasons()}); all others were written. Correct them in the CRM, or set "
                "refused_records_path to set them aside and go on."
            )
        if self.file is not None:
            self.judge()

    def pass_states(self) -> None:
        """Print the newest state that may pass, with everything it speaks for on disk."""
        if self._states_end_here or self._dry_run or (self.file is not None and self._too_many()):
            return
        state = self._fence.passing()
        if state is None:
            return
        if self.file is not None:
            self.file.flush()
        try:
            _print(state)
        except OSError:
            self._states_end_here = True
            raise VoucherifyError(
                "The state cannot be passed on, because standard output is closed: the next run "
                "will send the customers of this one again."
            ) from None

    def _too_many(self) -> bool:
        """Whether more is refused than allowed; of records refused before, any share may be."""
        if self.file is not None and self.file.is_replayed:
            return False
        return self._records.refused * 100 > self._percent * self._records.received

    def _end_states(self, ticket: int | None) -> None:
        """No state may speak for this record: keep its ticket for good, or take one.

        The lowest ticket that is kept stops all that the higher ones would.
        """
        if self._kept and (ticket is None or ticket >= self._kept):
            return
        if ticket is None:
            self._kept = self._fence.hold()
        else:
            self._fence.share(ticket)
            self._kept = ticket

    def _say(self, name: str | None, reason: Reason) -> None:
        known = reason.key in self._kinds or len(self._kinds) < KINDS_COUNTED
        self._kinds[reason.key if known else "other"] += 1
        if self._records.refused <= SAID_ONE_BY_ONE:
            named = name or "without a source_id"
            self._log.warning("Refused record %s: %s (%s)", named, reason.said, reason.key)
        elif self._records.refused == SAID_ONE_BY_ONE + 1:
            self._log.warning("Further refusals are counted, not logged one by one")

    def _reasons(self) -> str:
        return ", ".join(f"{key}: {count}" for key, count in self._kinds.most_common(5))


def _print(state: str) -> None:
    if sys.stdout is None:  # the process was started without one
        raise OSError
    sys.stdout.write(f"{state}\n")
    sys.stdout.flush()
