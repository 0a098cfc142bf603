"""One run: customers, deletions and states go in, requests and ready states come out."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from target_voucherify.acknowledgement.ledger import open_ledger
from target_voucherify.acknowledgement.outcomes import EntityOutcomes, Outcomes
from target_voucherify.acknowledgement.private_files import lock_files
from target_voucherify.acknowledgement.state_fence import StateFence
from target_voucherify.acknowledgement.summary import Records, Summary
from target_voucherify.context import RunContext
from target_voucherify.entities.entity import CUSTOMERS, entity_settings
from target_voucherify.entity_run import EntityRun
from target_voucherify.errors import InputError
from target_voucherify.voucherify_client.client import Client, Connection
from target_voucherify.voucherify_client.errors import (
    AccessError,
    CycleUsedUpError,
    MaxCallsError,
    StopSignalError,
    VoucherifyError,
)
from target_voucherify.voucherify_client.shutdown import Shutdown
from target_voucherify.writing.concurrent_requests import REQUESTS_IN_FLIGHT
from target_voucherify.writing.dry_run import ReadOnlyClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from target_voucherify.acknowledgement.ledger import Ledger, NoLedger
    from target_voucherify.entities.entity import EntitySettings
    from target_voucherify.settings import Settings

SCOPE = "async-actions metadata-schemas"
"""What an OAuth token may do besides writing the entities: as little as reading jobs needs."""

GRACE = 30.0
"""Seconds after a signal in which jobs in flight are confirmed."""

PROGRESS_MASK = 0x3FF
"""The clock is read every 1,024 records."""


class Run:
    """Everything between Singer messages and the API, for one run; nothing is sent before `add`."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._log = logging.getLogger("target-voucherify")
        self.shutdown = Shutdown(GRACE)
        own = entity_settings(settings)
        self.client = client_of(settings, own, self.shutdown, self._log)
        metrics_path = None if settings.dry_run else settings.metrics_path
        self.summary = Summary(self._log, self.client.usage, metrics_path=metrics_path)
        self.records = self.summary.records
        self.fence = StateFence()
        self._unverified = self.fence.hold() if settings.verify and not settings.dry_run else None
        """The ticket that keeps all states back until what they cover was read back."""
        paths = {each.entity.name: ledger_path(settings, each) for each in own}
        with lock_files(settings, filter(None, paths.values())) as locks:
            ledgers = [open_ledger(settings, paths[each.entity.name], each.shaping) for each in own]
            self.outcomes = Outcomes(settings, self.fence, self.summary, ledgers)
            self._locks = locks.pop_all()
        self._entities = [
            self._entity_run(each, ledger, clock) for each, ledger in zip(own, ledgers, strict=True)
        ]
        self._by_stream = {each.settings.stream: each for each in self._entities}
        self.customers = self._entities[0]

    def _entity_run(
        self, own: EntitySettings, ledger: Ledger | NoLedger, clock: Callable[[], float]
    ) -> EntityRun:
        counts = self.summary.of_entity[own.entity.name] = Records()
        outcomes = EntityOutcomes(own.entity.name, self.outcomes, ledger, counts)
        context = RunContext(self.client, self.fence, outcomes, self.summary, self.shutdown, ledger)
        return EntityRun(self.settings, own, context, counts, self._settle_others, clock)

    @property
    def streams(self) -> list[str]:
        """The streams that become entities."""
        return list(self._by_stream)

    def of_stream(self, stream: str) -> EntityRun | None:
        """What writes the records of a stream, by the name that stream maps give it."""
        return self._by_stream.get(stream)

    def count(self) -> None:
        """Count one record received, and log progress from time to time."""
        self.records.received += 1
        if not self.records.received & PROGRESS_MASK:
            self.summary.log_progress()

    def add_state(self, text: str | None) -> None:
        """Add a STATE; it is emitted at once if everything before it is settled."""
        for entity in self._entities:
            entity.skip_unchanged()
        if text is not None:
            self.fence.add_state(text)
        for entity in self._entities:
            entity.writer.poll()
        self.outcomes.emit_state()

    def work_while_waiting(self) -> float | None:
        """Do what is due although no message comes: send an old batch, emit confirmed states.

        Returns:
            Seconds until something is due again; `None` if nothing will be.
        """
        for entity in self._entities:
            entity.skip_unchanged()
            entity.batch.send_if_due()
        waits = [entity.batch.seconds_to_due for entity in self._entities]
        if self.fence.has_waiting:
            for entity in self._entities:
                entity.writer.poll()
            self.outcomes.emit_state()
        if self.fence.has_waiting:
            waits += [entity.writer.seconds_to_poll for entity in self._entities]
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def finish(self, input_error: VoucherifyError | None) -> None:
        """Finish the run and its summary.

        Args:
            input_error: what ended the input early, if anything did.

        Raises:
            VoucherifyError: the run failed, or was stopped by a signal.
        """
        has_stream = any(entity.has_stream for entity in self._entities)
        try:
            error = self._conclude(input_error)
            if self.outcomes.file:
                if error is None:
                    self.outcomes.file.flush()
                self.outcomes.file.end_replay(is_complete=error is None)
            self.summary.complete = error is None and has_stream
        finally:
            self._close()
        self._show_plan()
        if error is None and not has_stream:
            self._log.warning(
                "The input has no stream, so nothing was read: check that the tap ran"
            )
        if isinstance(error, MaxCallsError):
            self._check_progress(error)
            self._log.warning("%s The next run continues from the last state.", error)
        elif error is not None:
            raise error

    def _show_plan(self) -> None:
        """Show a dry run to a person at a terminal: its samples must be in no log."""
        if self.outcomes.plan is not None and sys.stderr.isatty():
            extra = self.summary.extra
            calls, minutes = extra.get("would_call", 0), extra.get("minutes_at_limit")
            sys.stderr.write(self.outcomes.plan.table(calls, minutes))

    def _close(self) -> None:
        """Close connections and files, and free the locks last."""
        self.client.close()
        if self.outcomes.file:
            self.outcomes.file.close()
        self.outcomes.results.close()
        for entity in self._entities:
            entity.close()
        self._locks.close()

    def _check_progress(self, error: MaxCallsError) -> None:
        """Fail where the next run would begin where this one did.

        Raises:
            VoucherifyError: no state covers a record of this run, and no ledger knows any.
        """
        in_ledger = self.records.accepted + self.summary.extra.get("deleted_unseen", 0)
        has_ledger = self.customers.has_ledger
        if self.outcomes.has_advanced or (has_ledger and in_ledger):
            return
        missing = error.missing or max(1, self.records.received - self.records.settled)
        raise VoucherifyError(
            f"{error} The next run would get no further: set max_calls to "
            f"{(self.settings.max_calls or 0) + missing} or more"
            f"{'' if has_ledger else ', or set ledger_path'}."
        )

    def _conclude(self, error: VoucherifyError | None) -> VoucherifyError | None:
        """Write what is collected and wait for what is in flight; returns the error, if any.

        `max_calls` ends a run well, so any other error takes precedence over it.
        """
        if error is None or isinstance(error, InputError):
            failed = self._error_of(self._write_collected)
            error = error if isinstance(failed, MaxCallsError) and error else failed or error
        self.shutdown.recover()
        if self.shutdown.signal_number:
            error = StopSignalError(self.shutdown.signal_number)
            self.shutdown.begin_grace()
        if error is not None and not isinstance(error, AccessError | CycleUsedUpError):
            for entity in self._entities:
                self._error_of(entity.writer.settle)
        error = self._with_refusals(error)
        error = error or self._error_of(self._verify)
        if error is None:
            error = self._with_refusals(self._error_of(self._finish_entities))
        self.outcomes.emit_state()
        return error

    def _with_refusals(self, error: VoucherifyError | None) -> VoucherifyError | None:
        """What ends the run: a signal before any error, and refused records before `max_calls`."""
        if error is None or isinstance(error, MaxCallsError):
            return self._error_of(self.outcomes.fail_if_refused) or error
        signal = self.shutdown.signal_number
        return StopSignalError(signal) if signal else error

    def _write_collected(self) -> None:
        for entity in self._entities:
            entity.writer.end_input()
        for entity in self._entities:
            entity.flush()
            entity.writer.settle()

    def _verify(self) -> None:
        if self._unverified is not None:
            self.customers.verify()
            self.fence.release(self._unverified)

    def _finish_entities(self) -> None:
        for entity in self._entities:
            entity.finish()

    def _settle_others(self, writing: EntityRun) -> None:
        """Let one entity at a time have something in flight, after those that it names.

        An order names its customer and its products, so what was collected of them goes first.
        """
        is_named = True
        for entity in self._entities:
            if entity is writing:
                is_named = False
                continue
            if is_named:
                entity.flush()
            entity.writer.settle()

    def _error_of(self, step: Callable[[], None]) -> VoucherifyError | None:
        try:
            step()
        except VoucherifyError as error:
            return error
        return None


def client_of(
    settings: Settings, own: list[EntitySettings], shutdown: Shutdown, log: logging.Logger
) -> Client:
    """The client of a run; that of a dry run only reads."""
    kind = ReadOnlyClient if settings.dry_run else Client
    names = " ".join(each.entity.name for each in own)
    if settings.compare == "export" or any(each.is_imported for each in own):
        names += " exports"
    connection = Connection.from_config(
        asdict(settings), user_agent="target-voucherify", scope=f"{names} {SCOPE}"
    )
    return kind(
        connection,
        shutdown=shutdown,
        log=log,
        max_concurrency=REQUESTS_IN_FLIGHT,
        max_calls=settings.max_calls,
    )


def ledger_path(settings: Settings, own: EntitySettings) -> str:
    """The file that remembers one entity: beside that of customers, which `ledger_path` names."""
    if not settings.ledger_path:
        return ""
    path = Path(settings.ledger_path)
    name = path.name if own.entity is CUSTOMERS else f"{path.stem}-{own.entity.name}{path.suffix}"
    return str(path.with_name(name))
