"""The sink for the records that become customers, products or orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.sinks import Sink
from typing_extensions import override

from target_voucherify.entities import mapping
from target_voucherify.entities.builder import EntityBuilder, source_id_of
from target_voucherify.entities.metadata_schema import MetadataSchema
from target_voucherify.errors import NotACustomerError
from target_voucherify.voucherify_client.log_names import column_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from singer_sdk.target_base import Target

    from target_voucherify.entity_run import EntityRun
    from target_voucherify.run import Run

DELETED_AT = "_sdc_deleted_at"
"""The property by which a tap marks a record as deleted."""

YES = frozenset({"true", "t", "yes", "y"})
DIGITS = frozenset("123456789")


def is_deleted(record: Mapping[str, Any]) -> bool:
    """Whether a record is marked as deleted: by a time, a number other than zero, or `true`.

    Nothing else is a mark. CSV files, data frames and MySQL write much where a record was never
    deleted: blank text, NULL, NaN, NaT, infinity, 0000-00-00.
    """
    value = record.get(DELETED_AT)
    if not value or isinstance(value, dict | list):
        return False
    text = str(value).strip().casefold()
    return text in YES or not DIGITS.isdisjoint(text)


class EntitySink(Sink):
    """Upserts the records of a stream.

    The mapping is resolved against the SCHEMA, so that a wrong one costs no record.
    """

    _builder: EntityBuilder | None = None

    def __init__(
        self,
        target: Target,
        stream_name: str,
        schema: dict[str, Any],
        key_properties: Sequence[str] | None,
    ) -> None:
        properties = dict(schema.get("properties") or {})
        super().__init__(target, stream_name, schema, key_properties)
        run: Run = target.run  # type: ignore[attr-defined]  # set by TargetVoucherify
        # A subclass of the target may take further streams; they hold customers.
        self.run: EntityRun = run.of_stream(stream_name) or run.customers
        self._plan = mapping.resolve(
            self.run.settings, stream_name, properties, key_properties or []
        )
        if self._plan.unmapped:
            names = ", ".join(map(column_name, self._plan.unmapped))
            self.logger.info("Ignoring unmapped properties: %s", names)

    def note_written(self) -> None:
        """Let the ledger know which fields the records set."""
        self.run.note_written(self.stream_name, self._plan.written)

    @override
    def get_validator(self) -> None:
        """No validator: what Voucherify accepts decides, and the builder checks that."""

    @override
    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        """Handle one record; `context` holds the line it came in, for the refused-records file."""
        self.handle(record, context["line"])

    @override
    def process_batch(self, context: dict[str, Any]) -> None:
        """Send what is collected, even if the batch is not full."""
        self.run.flush()

    def handle(self, record: dict[str, Any], line: bytes) -> None:
        """Upsert one record, delete what it names, or refuse it."""
        self.run.counts.received += 1
        if is_deleted(record):
            self._delete(record, line)
            return
        builder = self._builder or self._new_builder()
        try:
            key, payload = builder(record)
        except NotACustomerError as error:
            self._refuse(record, line, error)
        else:
            self.run.add(key, payload, line)

    @property
    def key_property(self) -> str:
        """The property that holds the `source_id`, dotted where it is inside an object."""
        return ".".join((self._plan.key.prop, *self._plan.key.path))

    def mark_filtered(self, record: dict[str, Any]) -> bool:
        """Note that the CRM knows this customer, although its record is filtered out.

        Returns:
            Whether the record has a key.
        """
        key, problems = self._key_of(record)
        if not problems:
            self.run.deletions.mark_filtered(key, is_back=not is_deleted(record))
        return not problems

    def _delete(self, record: dict[str, Any], line: bytes) -> None:
        """Delete the customer of a record that the CRM marks as deleted; only its key matters."""
        key, problems = self._key_of(record)
        if problems and self.run.deletions.needs_key:
            self._refuse(record, line, NotACustomerError(problems, "invalid_source_id"))
        else:
            self.run.delete("" if problems else key, line)

    def _refuse(self, record: dict[str, Any], line: bytes, error: NotACustomerError) -> None:
        key, problems = self._key_of(record)
        self.run.refuse(key, line, error, has_key=not problems)

    def _key_of(self, record: dict[str, Any]) -> tuple[str, list[str]]:
        problems: list[str] = []
        return source_id_of(record, self._plan.key, self.run.log_once, problems), problems

    def _new_builder(self) -> EntityBuilder:
        """The builder, made at the first record: without records the API is not called."""
        is_needed = self._plan.has_metadata or self.run.settings.unmapped == "metadata"
        schema = self.run.metadata_schema if is_needed else MetadataSchema()
        self._builder = EntityBuilder(self._plan, schema, self.run.settings, self.run.log_once)
        return self._builder
