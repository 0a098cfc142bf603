"""What can stop a run, and what each kind asks of the caller.

VoucherifyError            one sentence for the reader of the log; the run ends with exit code 1
├── NotFoundError          the one thing asked for is gone; a scan over many skips it
├── DeniedError            the plan or the key's role does not allow it; the optional goes without
├── ExpiredDownloadError  an export's address is no longer good; a fresh one can be asked for
├── CallsSpentError        `max_calls` is used up; the run ends cleanly, its state says where
└── StoppedError           a signal asked the run to stop
"""

from __future__ import annotations


class VoucherifyError(Exception):
    """A failure told in one sentence that says what to do, without personal data or secrets."""


class NotFoundError(VoucherifyError):
    """The resource does not exist, or no longer does (404, reference §3.2)."""


class DeniedError(VoucherifyError):
    """The plan or the role of the API key does not allow the call (402, 403, reference §1.5)."""


class ExpiredDownloadError(VoucherifyError):
    """The address of an export's file is no longer good (reference §9.3)."""


class CallsSpentError(VoucherifyError):
    """The run has made as many calls as the setting `max_calls` allows."""

    def while_collecting(self) -> CallsSpentError:
        """The same, for a run that did not get to know whom to ask, which takes one go."""
        return CallsSpentError(
            f"{self} Whom to ask was not known yet and the next run finds it out anew, so raise "
            "max_calls if this repeats."
        )


class StoppedError(VoucherifyError):
    """The process was asked to stop by the signal with this number."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("Stopped by a signal; the last state says where the next run goes on.")
        self.exit_code = 128 + signal_number
