"""What can stop a run, and what each kind asks of the code that meets it.

VoucherifyError            one sentence for the reader of the log; the run ends with exit code 1
├── SettingsError          a setting is missing, malformed or contradicts another one
├── AccessError            401: the key pair is wrong, or belongs to another region
│   └── DeniedError        402, 403: the plan or the key's role does not allow this one request
├── NotFoundError          404 from Voucherify: the thing does not exist, or no longer does
├── RefusedRequestError    any other 4xx: Voucherify refused the request, nothing was applied
├── LostResponseError      a request that may not be repeated was sent; it may have been applied
├── BulkLimitedError       429 for bulk requests alone; others may go on
├── ExpiredDownloadError   the download address of an export no longer works
├── CycleUsedUpError       the API calls of the billing cycle are used up; waiting does not help
├── MaxCallsError          `max_calls` is used up; the run ends cleanly, its state says where
└── StopSignalError        SIGTERM or SIGINT arrived

A message may name a setting, a method, a path template, a status, Voucherify's `key` and
`request_id`; never a record, a response body, a query string or a secret.
"""

from __future__ import annotations


class VoucherifyError(Exception):
    """A failure in one sentence that says what to do, without personal data or secrets."""


class SettingsError(VoucherifyError):
    """A setting is missing, malformed or contradicts another one."""


class AccessError(VoucherifyError):
    """The key pair is not accepted (401)."""


class DeniedError(AccessError):
    """The plan (402) or the role of the API key (403) does not allow this request."""


class NotFoundError(VoucherifyError):
    """The resource does not exist, or no longer does (404 with Voucherify's own error object).

    Attributes:
        summary: method, path and status, safe to log, without advice.
        resource_type: what kind of thing is missing, such as `customer`; empty if that is not said,
            as for a path that does not exist.
    """

    def __init__(self, summary: str, advice: str, *, resource_type: str) -> None:
        super().__init__(f"{summary}: {advice}.")
        self.summary = summary
        self.resource_type = resource_type


class RefusedRequestError(VoucherifyError):
    """Voucherify refused a request as a whole (400, 409, 413, …); nothing of it was applied.

    Attributes:
        summary: method, path and status, safe to log, without advice.
        key: Voucherify's word for the kind of error, or the status.
        message: Voucherify's sentence. It may quote the record, so it is never logged.
        error: `key`, `message` and `details` as Voucherify sent them.
    """

    def __init__(self, summary: str, *, key: str, message: str, details: str) -> None:
        super().__init__(f"{summary}: report it to the maintainers with the run's log.")
        self.summary = summary
        self.key = key
        self.message = message
        self.error = {"key": key, "message": message, "details": details}


class LostResponseError(VoucherifyError):
    """A request that may not be repeated was sent without a useful response: anything may be so."""


class BulkLimitedError(VoucherifyError):
    """Voucherify takes no bulk request for some seconds; all other requests may go on.

    Attributes:
        summary: method, path and status, safe to log.
        delay: seconds that the server asks to wait; `None` where it names no time.
    """

    def __init__(self, summary: str, delay: float | None) -> None:
        super().__init__(f"{summary}: run again later.")
        self.summary = summary
        self.delay = delay


class ExpiredDownloadError(VoucherifyError):
    """The download address of an export no longer works; Voucherify makes a fresh one."""


class CycleUsedUpError(VoucherifyError):
    """The API calls of the billing cycle are used up; waiting does not help."""

    def __init__(self) -> None:
        super().__init__(
            "Voucherify's calls of this billing cycle are used up: run again when the next cycle "
            "begins or after buying a package; the state says where to go on."
        )


class MaxCallsError(VoucherifyError):
    """The run has made as many calls as the setting `max_calls` allows.

    Attributes:
        missing: how many more the next step needs; 0 where that is unknown.
    """

    def __init__(self, message: str, missing: int = 0) -> None:
        super().__init__(message)
        self.missing = missing


class StopSignalError(VoucherifyError):
    """The process was asked to stop.

    Attributes:
        signal_number: of the signal.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__("Stopped by a signal; the last state says where the next run goes on.")
        self.signal_number = signal_number
