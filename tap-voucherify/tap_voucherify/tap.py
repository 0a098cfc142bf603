"""The tap: its settings, its streams, and what a run says at its end."""

from __future__ import annotations

import json
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_voucherify.pagination.endpoints import CUSTOMERS, page_of
from tap_voucherify.records.metadata_types import RESOURCES, with_metadata_types
from tap_voucherify.settings import SETTINGS, check
from tap_voucherify.streams.catalog import STREAMS, MetadataSchemas
from tap_voucherify.streams.stream import GracefulTap, VoucherifyStream
from tap_voucherify.voucherify_client.client import Client, Connection
from tap_voucherify.voucherify_client.connection_settings import stripped
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.exit_status import exit_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

    from tap_voucherify.pagination.time_cursor import Row


SCOPE = (
    "customers redemptions publications campaigns vouchers rewards referrals orders segments "
    "metadata-schemas exports"
)
"""What an OAuth token may do: as little as all streams together need."""


class TapVoucherify(GracefulTap):
    """Singer tap for Voucherify: customers and reward events."""

    name = "tap-voucherify"
    config_jsonschema: ClassVar[dict[str, Any]] = SETTINGS
    message_writer_class = MsgSpecWriter

    def __init__(self, *, validate_config: bool = True, **options: Any) -> None:
        given = options.get("config")
        if isinstance(given, dict):
            # Platforms pass a setting that nobody set as null; its default is meant.
            options["config"] = {name: fact for name, fact in given.items() if fact is not None}
        # The SDK's own check repeats the values it objects to, and so would print secrets.
        super().__init__(validate_config=False, **options)
        self._config.update(stripped(self._config))
        if validate_config:
            check(self.config, self.config_jsonschema)

    @cached_property
    @override
    def client(self) -> Client:
        return Client(
            Connection.from_config(self.config, user_agent="tap-voucherify", scope=SCOPE),
            shutdown=self.shutdown,
            log=self.logger,
            max_concurrency=self.config["max_concurrency"],
            max_calls=self.config.get("max_calls"),
        )

    @override
    def discover_streams(self) -> Sequence[VoucherifyStream]:
        return [stream(self) for stream in STREAMS]

    @override
    def run_discovery(self) -> str:
        """Print the catalog, metadata typed as the project defined it; that costs one call."""
        definitions = self._metadata_schemas()
        for name, stream in self.streams.items():
            if isinstance(stream, VoucherifyStream) and name in RESOURCES:
                stream.announce(with_metadata_types(stream.schema, name, definitions))
        return super().run_discovery()

    def _metadata_schemas(self) -> list[Row]:
        """What metadata the project has defined; nothing where it cannot be asked for.

        Discovery must work without settings, and for a key that may not read this.
        """
        if not (self.config.get("application_id") and self.config.get("secret_key")):
            return []
        try:
            check(self.config, self.config_jsonschema)
            return page_of(self.client.get(MetadataSchemas.path)).rows
        except VoucherifyError as reason:
            self.logger.warning("Metadata stays without types. %s", reason)
            return []

    def test_connection(self) -> None:
        """Prove the keys and the region with one call.

        Raises:
            VoucherifyError: what to fix.
        """
        page_of(self.client.get(CUSTOMERS, params={"limit": 1}))
        self.logger.info("Voucherify accepts the keys at %s.", self.config["api_url"])

    def tell_summary(self) -> None:
        """Log what the run did as one JSON object, the last line of its log."""
        usage = self.client.usage
        streams = {
            name: stream.report.to_summary()
            for name, stream in self.streams.items()
            if isinstance(stream, VoucherifyStream) and stream.selected
        }
        summary = {
            "streams": streams,
            "rows": sum(stream["rows"] for stream in streams.values()),
            "calls": usage.calls,
            "retries": usage.retries,
            "seconds_waited": round(usage.seconds_waited, 1),
            "quota_left": usage.quota_left,
            **({"replaced": usage.replaced} if usage.replaced else {}),
            "complete": all(stream["complete"] for stream in streams.values()),
        }
        self.logger.info("run summary %s", json.dumps(summary))

    @classmethod
    @override
    def cb_test(
        cls: type[TapVoucherify], ctx: click.Context, param: click.Option, value: str
    ) -> None:
        """Run `--test`: one call, instead of the SDK's one record from every stream."""
        if value != CliTestOptionValue.All.value:
            super().cb_test(ctx, param, value)
            return
        given = ctx.params["config"]
        cls(config=given.config, parse_env_config=given.parse_env).test_connection()
        ctx.exit()

    @classmethod
    @override
    def invoke(cls, **options: Any) -> None:
        """Run the tap as the SDK does, and tell at the end, however it ended, what was done."""
        if options.get("about"):
            super().invoke(**options)
        given, state, catalog = options["config"], options["state"], options["catalog"]
        tap = cls(
            config=given.config,
            state=json.load(state) if state else None,
            catalog=json.load(catalog) if catalog else None,
            parse_env_config=given.parse_env,
        )
        ended = 0
        try:
            tap.sync_all()
            tap.shutdown.check()
        except Exception as error:  # noqa: BLE001 - told, so that the summary is the last line
            ended = exit_status(error, cls.logger)
        tap.tell_summary()
        sys.exit(tap.shutdown.exit_status or ended)
