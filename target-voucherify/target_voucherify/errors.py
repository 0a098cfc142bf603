"""What can end a run besides what the client meets, and why a record is set aside."""

from __future__ import annotations

from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException

from target_voucherify.voucherify_client.errors import VoucherifyError


class InputError(VoucherifyError):
    """The input is not what a Singer tap writes, or names a stream or property that is not set."""


class RecordBeforeSchemaError(InputError, RecordsWithoutSchemaException):
    """A RECORD came before its SCHEMA; also the class the SDK has for it."""


class RefusedRecordsError(VoucherifyError, MissingKeyPropertiesError):
    """Records were refused and may not be set aside; also the SDK's class for a missing key."""


class NotACustomerError(Exception):
    """A record that cannot become a customer, with all reasons; none of them quotes a value.

    It ends nothing: the record is set aside and the run goes on.
    """

    def __init__(self, reasons: list[str], key: str = "invalid_record") -> None:
        """Keep the reasons; `key` says the kind in a word, as Voucherify's `key` does."""
        super().__init__("; ".join(reasons))
        self.key = key
