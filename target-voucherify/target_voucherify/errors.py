"""What can end a run, each as a class only where somebody must act differently on it.

Every message is one sentence for the person who runs the pipeline. It may name a setting, a
property, a method, a path template, a status, Voucherify's `key` and `request_id`; never a record,
a body, a query string or a secret.
"""

from __future__ import annotations

from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException


class VoucherifyError(Exception):
    """The run cannot go on; exit code 1."""


class SettingsError(VoucherifyError):
    """A setting is missing, malformed or contradicts another one."""


class InputError(VoucherifyError):
    """The input is not what a Singer tap writes, or names a stream or property nobody asked for."""


class RecordBeforeSchemaError(InputError, RecordsWithoutSchemaException):
    """A RECORD came before its SCHEMA; also the class the SDK has for it."""


class RefusedRecordsError(VoucherifyError, MissingKeyPropertiesError):
    """Records were refused and may not be set aside; also the SDK's class for a missing key."""


class AccessError(VoucherifyError):
    """401, 402 or 403: the key pair, the plan or the permissions do not allow the request."""

    def __init__(self, sentence: str, status: int) -> None:
        """Keep the status: a missing permission to read the metadata schema is not fatal."""
        super().__init__(sentence)
        self.status = status


class CycleUsedUpError(VoucherifyError):
    """The API calls of the billing cycle are used up; waiting does not help."""


class MaxCallsError(VoucherifyError):
    """`max_calls` is used up: the run stops cleanly, with exit code 0 and `"complete": false`."""


class StopSignalError(VoucherifyError):
    """SIGTERM or SIGINT arrived; raised where no write can be half recorded."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        """Keep the exit code that tells which signal it was."""
        super().__init__(sentence)
        self.exit_code = exit_code


class RefusedRequestError(VoucherifyError):
    """Voucherify refused a request as a whole (400, 409, 413, …); nothing of it was applied.

    `key`, `message` and `details` are Voucherify's words (reference §3.1) and may quote the record:
    they belong in the file of refusals, not in the log.
    """

    def __init__(self, sentence: str, *, key: str, message: str, details: str) -> None:
        """Keep Voucherify's words apart from the sentence that may be logged."""
        super().__init__(sentence)
        self.key = key
        self.message = message
        self.words = {"key": key, "message": message, "details": details}


class NotACustomerError(Exception):
    """A record that cannot become a customer, with all reasons; none of them quotes a value.

    It ends nothing: the record is set aside and the run goes on.
    """

    def __init__(self, reasons: list[str], key: str = "invalid_record") -> None:
        """Keep the reasons; `key` says the kind in a word, as Voucherify's `key` does."""
        super().__init__("; ".join(reasons))
        self.key = key
