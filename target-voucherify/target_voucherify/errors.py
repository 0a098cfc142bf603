"""Errors that end a run besides those of the client, and the one that refuses a record."""

from __future__ import annotations

from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException

from target_voucherify.voucherify_client.errors import VoucherifyError


class InputError(VoucherifyError):
    """The input is no Singer messages, or does not match the settings."""


class RecordBeforeSchemaError(InputError, RecordsWithoutSchemaException):
    """A RECORD came before its SCHEMA; also the SDK's class for that."""


class RefusedRecordsError(VoucherifyError, MissingKeyPropertiesError):
    """Too many records were refused; also the SDK's class for a missing key."""


class NotACustomerError(Exception):
    """A record cannot become a customer; the run goes on without it.

    Args:
        reasons: all of them; none quotes a value.
        key: a short code for the kind of reason, like Voucherify's `key`.
    """

    def __init__(self, reasons: list[str], key: str = "invalid_record") -> None:
        super().__init__("; ".join(reasons))
        self.key = key
