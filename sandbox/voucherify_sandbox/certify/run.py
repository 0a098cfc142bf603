"""Run the steps of a probe, then clean up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from voucherify_sandbox.certify import form, job_steps, list_steps, reward_steps, write_steps
from voucherify_sandbox.certify.caller import JOB_LOOKS, Interrupted, Stopped, Unanswered
from voucherify_sandbox.certify.cleanup import clean_up
from voucherify_sandbox.certify.notes import CUSTOMERS
from voucherify_sandbox.certify.probe import Probe
from voucherify_sandbox.certify.questions import REWARDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from voucherify_sandbox.certify.caller import Caller


@dataclass(frozen=True)
class Step:
    """One step: its name among the questions, the calls it takes, the rows it needs."""

    name: str
    calls: int
    run: Callable[[Probe], None]
    rows: tuple[str, ...] = ()
    optional: bool = False
    """Whether it is left out rather than waited for."""


STEPS = (
    Step("create", 3, list_steps.create),
    Step("read_back", 4, list_steps.read_back, ("c1", "c2", "c3")),
    Step("bounds", 3, list_steps.bounds, ("c1", "c2", "c3")),
    Step("touch", 2, write_steps.touch, ("c1",)),
    Step("keys", 5, write_steps.keys),
    Step("update_order", 4, list_steps.update_order, ("c1", "c2", "c3")),
    Step("merge", 5, write_steps.merge, ("c1",)),
    Step("limits", 2, list_steps.limits),
    Step("activity", 6, list_steps.activity, ("c1",)),
    Step("sums", 4, write_steps.sums, ("c3",)),
    Step("bulk", 8 + JOB_LOOKS, job_steps.bulk, ("c1", "c3", "case")),
    Step("many", 4 + JOB_LOOKS, job_steps.many, ("c1",)),
    Step("export", 5, job_steps.export, ("c1", "c2")),
    Step("delete", 5, list_steps.delete, ("c1", "c2")),
    # Last, because they are the first to be left out.
    Step("exact", 13, list_steps.exact, ("c3",), optional=True),
    Step("exact_dates", 2, list_steps.exact_dates, ("c3",), optional=True),
    Step("metadata", 4 + JOB_LOOKS, job_steps.metadata, ("c1", "c3"), optional=True),
)
REWARD_STEPS = (
    Step("create", 3, list_steps.create),
    Step("referral", 14, reward_steps.referral, ("c1", "c3")),
)
PARTS = {CUSTOMERS: STEPS, REWARDS: REWARD_STEPS}

FINISHED = "finished"
LONGEST_CUT_SECONDS = 86_400
"""Within which a project that was looked at is taken to be the same."""


@dataclass
class Outcome:
    """The end of a run: whether all is gone, and why it ended early."""

    probe: Probe
    clean: bool
    reason: str = ""


def run(
    caller: Caller,
    say: Callable[[str], None],
    confirm: Callable[[int], bool],
    *,
    only_clean_up: bool = False,
    part: str = CUSTOMERS,
) -> Outcome:
    """Probe a project and clean up.

    Args:
        caller: sends the requests; its notes are those of an earlier run that was cut, or empty.
        say: shows a line to the user.
        confirm: whether to write to a project with this number of customers; not asked again
            after a cut.
        only_clean_up: ask the project nothing more.
        part: which steps to take, a key of `PARTS`; after a cut it is that of the notes.
    """
    notes = caller.notes
    notes.choose(part)
    probe = Probe(caller, notes)
    if only_clean_up:
        notes.stop("only cleaning up")
    elif notes.made and caller.age > LONGEST_CUT_SECONDS:
        notes.stop("the run was cut more than a day ago, and the project may be in use now")
    reason = _asked(probe, say, confirm)
    if not notes.made:
        return Outcome(probe, clean=True, reason=reason)
    notes.stop(reason or FINISHED)
    reason = "" if notes.stopped == FINISHED else notes.stopped
    say("Cleaning up.")
    clean = False
    try:
        clean = clean_up(probe)
    except (Stopped, Interrupted) as stop:
        reason = str(stop)
    if not clean and not reason:
        reason = "the list does not prove that all is gone"
    form.judge(probe)
    return Outcome(probe, clean=clean, reason=reason)


def _asked(probe: Probe, say: Callable[[str], None], confirm: Callable[[int], bool]) -> str:
    """Why the steps ended early; empty if they did not."""
    try:
        list_steps.look(probe)
        if not probe.caller.replaying and not confirm(probe.customers):
            return "nothing was written"
        for step in PARTS[probe.notes.part]:
            _take(step, probe, say)
        if not probe.rows:
            return "no customer could be created, so nothing could be asked"
    except (Stopped, Interrupted) as stop:
        return str(stop)
    except Unanswered as lost:
        return f"the project cannot be looked at: {lost}"
    return ""


def _take(step: Step, probe: Probe, say: Callable[[str], None]) -> None:
    """Take one step; its questions without an answer get a reason."""
    reason = "the responses did not tell"
    try:
        if not all(label in probe.rows for label in step.rows):
            raise Unanswered("a customer that it needs is missing")  # noqa: TRY301 - as the steps do
        probe.caller.afford(step.name, step.calls, optional=step.optional)
        if not probe.caller.replaying:
            say(f"{step.name.replace('_', ' ')} ({probe.caller.used} calls so far)")
        step.run(probe)
    except Unanswered as why:
        reason = str(why)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        # A response of a form that nobody expected; the next step may still be possible.
        reason = f"a response had an unexpected form ({type(error).__name__})"
    probe.findings.leave_open(step.name, reason)
