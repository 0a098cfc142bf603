"""The tap: its settings, its streams, and the summary of a run."""

from __future__ import annotations

import gc
import json
import sys
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import Schema
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from tap_voucherify import doctor, settings
from tap_voucherify.pagination.endpoints import CUSTOMERS, page_of
from tap_voucherify.records.metadata_types import RESOURCES, as_json_text, with_metadata_types
from tap_voucherify.rewards.event_types import unknown_types
from tap_voucherify.state import project_digest, refuse_foreign, value_of
from tap_voucherify.streams.catalog import STREAMS, MetadataSchemas
from tap_voucherify.streams.stream import GracefulTap, VoucherifyStream
from tap_voucherify.voucherify_client.client import Client, Connection
from tap_voucherify.voucherify_client.connection_settings import checked_environment, stripped
from tap_voucherify.voucherify_client.errors import SettingsError, VoucherifyError
from tap_voucherify.voucherify_client.examination import doctor_option
from tap_voucherify.voucherify_client.exit_status import exit_status
from tap_voucherify.voucherify_client.metrics import values_of_run, write_metrics
from tap_voucherify.voucherify_client.sdk_version import warn_if_untested
from tap_voucherify.voucherify_client.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import click

    from tap_voucherify.pagination.time_cursor import Row


SCOPE = (
    "customers redemptions publications campaigns vouchers rewards referrals orders products "
    "promotions validation-rules loyalties segments metadata-schemas exports"
)
"""Scope of OAuth tokens: as little as all streams together need."""


WAIT_FOR_TYPES = 5.0
"""Seconds that discovery waits at most before it goes on without the types of metadata."""


NEXT_STREAM = "next_stream"
"""The member of the state with the stream that the next run begins with."""

OWN_MEMBERS = ("project", NEXT_STREAM)
"""Members of the state that the SDK does not know."""


class TapVoucherify(GracefulTap):
    """Singer tap for Voucherify: customers, reward events, and what they refer to."""

    name = "tap-voucherify"
    config_jsonschema: ClassVar[dict[str, Any]] = settings.SETTINGS
    message_writer_class = MsgSpecWriter

    def __init__(self, *, validate_config: bool = True, **options: Any) -> None:
        config = options.get("config")
        if isinstance(config, dict):
            # Platforms pass unset settings as null and mean the default.
            options["config"] = {key: value for key, value in config.items() if value is not None}
        # The SDK's own validation repeats invalid values and so would print secrets.
        is_read = bool(options.get("parse_env_config"))
        with checked_environment(self.config_jsonschema, settings.PREFIX, is_read=is_read):
            super().__init__(validate_config=False, **options)
        warn_if_untested(self.logger)
        self._config.update(stripped(self._config))
        if validate_config:
            settings.validate_config(self.config, self.config_jsonschema)
            refuse_foreign(self._own_state, self.config["application_id"])

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        value = value_of(state)
        super().load_state(value)
        self._own_state.update({key: value[key] for key in OWN_MEMBERS if key in value})

    @property
    def _own_state(self) -> dict[str, Any]:
        """The state, which holds more than the SDK knows of."""
        return cast("dict[str, Any]", self.state)

    @override
    def sign_state(self) -> None:
        self._own_state["project"] = project_digest(self.config["application_id"])

    def take_turns(self) -> None:
        """Put the stream first whose turn it is."""
        names, first = list(self.streams), self._own_state.pop(NEXT_STREAM, None)
        begin = names.index(first) if first in names else 0
        ordered = {name: self.streams[name] for name in [*names[begin:], *names[:begin]]}
        self.streams.clear()
        self.streams.update(ordered)

    @override
    def note_cut(self, stream: str) -> None:
        """Let the next run begin with the stream after the one that was cut first.

        Otherwise the first streams would take all calls of every run in a project that changes.
        """
        names = [one.name for one in self.selected_streams()]
        following = names[(names.index(stream) + 1) % len(names)]
        self._own_state.setdefault(NEXT_STREAM, following)

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
        streams = [stream(self) for stream in STREAMS]
        if self._has_metadata_as_json:
            for stream in streams:
                stream.override_schema(as_json_text(stream.schema))
        return streams

    @property
    def _has_metadata_as_json(self) -> bool:
        return bool(self.config.get("metadata_as_json"))

    @override
    def setup_mapper(self) -> None:
        """Set up the mapper, which takes the schemas of a catalog that may not know the setting."""
        if self._has_metadata_as_json and self.input_catalog:
            for entry in self.input_catalog.streams:
                entry.schema = Schema.from_dict(as_json_text(entry.schema.to_dict()))
        super().setup_mapper()

    @override
    def run_discovery(self) -> str:
        """Print the catalog with the project's types of metadata, which cost one call.

        JSON text needs no types.
        """
        definitions = [] if self._has_metadata_as_json else self._metadata_schemas()
        for name, stream in self.streams.items():
            if isinstance(stream, VoucherifyStream) and name in RESOURCES:
                stream.override_schema(with_metadata_types(stream.schema, name, definitions))
        return super().run_discovery()

    def _metadata_schemas(self) -> list[Row]:
        """The project's metadata schemas; empty if they cannot be requested.

        Discovery must work without settings, and for a key that may not read them.
        """
        if not (self.config.get("application_id") and self.config.get("secret_key")):
            return []
        self.client.longest_wait = WAIT_FOR_TYPES
        try:
            settings.validate_config(self.config, self.config_jsonschema)
            return page_of(self.client.get(MetadataSchemas.path)).rows
        except VoucherifyError as reason:
            self.logger.warning("Metadata stays without types. %s", reason)
            return []

    def test_connection(self) -> None:
        """Check the keys and the region with one call.

        Raises:
            VoucherifyError: what to fix.
        """
        page_of(self.client.get(CUSTOMERS, params={"limit": 1}))
        self.logger.info("Voucherify accepts the keys at %s.", self.config["api_url"])

    def check_selection(self) -> None:
        """Raise where a run would read nothing, and warn of names that select nothing.

        Raises:
            SettingsError: the catalog selects no stream of this tap, or one that has no part
                between two dates.
        """
        selected = self.selected_streams()
        if not selected:
            known = self.input_catalog is not None and self.streams.keys() & self.input_catalog
            raise SettingsError(
                f"The catalog {'selects' if known else 'holds'} no stream of this tap, so nothing "
                "would be read: select one of them, or make the catalog again with --discover."
            )
        deletions = [stream.name for stream in selected] == ["customer_deletions"]
        if deletions and not self.config.get("webhook_store"):
            raise SettingsError(
                "customer_deletions is read from webhooks, and nothing else is selected: set "
                "webhook_store, or select another stream."
            )
        for stream in selected:
            self._check_stream(stream)
        if self.config.get("end_date"):
            self._check_slices()
        unknown = list(unknown_types(self.config["reward_event_types"]))
        if unknown:
            self.logger.warning(
                "In the setting reward_event_types Voucherify publishes no such activity as %s",
                ", ".join(unknown),
            )

    def selected_streams(self) -> list[VoucherifyStream]:
        """The streams that a run reads."""
        return [
            stream
            for stream in self.streams.values()
            if isinstance(stream, VoucherifyStream) and stream.selected
        ]

    def _check_stream(self, stream: VoucherifyStream) -> None:
        if stream.foreign_key is not None:
            raise SettingsError(
                f"The catalog names another replication key for {stream.name} than its own, "
                f"{type(stream).replication_key}: leave replication-key out."
            )
        if self.config.get("emit_activate_version_messages") and stream.may_be_partial:
            raise SettingsError(
                f"{stream.name} is read as FULL_TABLE under a new version, and start_date, "
                "end_date and max_calls leave rows out, which a loader would then delete: leave "
                "these out, or emit_activate_version_messages."
            )
        if stream.name in self._own_state.get("bookmarks", {}):
            stream.check_state()

    def _check_slices(self) -> None:
        whole = [stream.name for stream in self.selected_streams() if not stream.can_be_sliced]
        if whole:
            raise SettingsError(
                f"end_date makes a slice, but {', '.join(whole)} can only be read whole: deselect "
                "what is read whole, or leave end_date out."
            )

    def check_progress(self) -> None:
        """Raise where `max_calls` is so small that the same run again would get no further.

        Raises:
            SettingsError: with a number of calls that helps.
        """
        streams = self.selected_streams()
        cut = [stream for stream in streams if stream.calls_wanted]
        if not cut or any(stream.has_moved for stream in streams):
            return
        # Those read before it take their calls first; where none is behind, all have to be read.
        aim = next((stream for stream in cut if stream.is_behind), cut[0])
        last = aim if aim.is_behind else streams[-1]
        needed = sum(
            stream.calls_wanted or stream.calls_used
            for stream in streams[: streams.index(last) + 1]
        )
        raise SettingsError(
            f"max_calls ({self.config['max_calls']}) ends every run before {aim.name} gets "
            f"further: set it to at least {needed}."
        )

    def run(self) -> int:
        """Read the selected streams and log the summary, however the run ends.

        Returns:
            The status to exit with.
        """
        status = 0
        gc.freeze()  # what is there now lives as long as the run, and rows make no cycles
        gc.set_threshold(10_000)
        try:
            self.check_selection()
            self.take_turns()
            self.sync_all()
            self.shutdown.check()
            self.check_progress()
        except Exception as error:  # noqa: BLE001 - logged, so that the summary is the last line
            status = exit_status(error, self.logger)
        status = self.shutdown.exit_status or status
        self.log_summary(status)
        return status

    def log_summary(self, status: int) -> None:
        """Log the run summary as one JSON object, the last line of the log.

        The file of `metrics_path` has the same figures.
        """
        usage = self.client.usage
        streams = {stream.name: stream.report.to_summary() for stream in self.selected_streams()}
        summary = {
            "streams": streams,
            "rows": sum(stream["rows"] for stream in streams.values()),
            "calls": usage.calls,
            "retries": usage.retries,
            "seconds_waited": round(usage.seconds_waited, 1),
            "quota_left": usage.quota_left,
            **({"replaced": usage.replaced} if usage.replaced else {}),
            "complete": not status and all(stream["complete"] for stream in streams.values()),
        }
        if self.config.get("metrics_path"):
            values = {
                **values_of_run(summary, status),
                "quota_limit": usage.quota_limit,
                "rows_total": {name: stream["rows"] for name, stream in streams.items()},
                "bookmark_timestamp_seconds": self._bookmarks(streams),
            }
            write_metrics(self.config["metrics_path"], "tap", values, self.logger)
        self.logger.info("run summary %s", json.dumps(summary))

    def _bookmarks(self, streams: Iterable[str]) -> dict[str, float]:
        """Up to when each of these streams is read, in seconds, as far as the state says it."""
        found: dict[str, float] = {}
        for name in streams:
            # A state that no run can have left has ended this one already.
            with suppress(VoucherifyError, AttributeError, TypeError):
                value = self._own_state["bookmarks"][name].get("replication_key_value")
                if isinstance(value, str):
                    found[name] = parse(value).timestamp()
        return found

    @classmethod
    @override
    def cb_test(
        cls: type[TapVoucherify], ctx: click.Context, param: click.Option, value: str
    ) -> None:
        """Run `--test`: one call, instead of the SDK's one record from every stream."""
        if value != CliTestOptionValue.All.value:
            super().cb_test(ctx, param, value)
            return
        config = ctx.params["config"]
        cls(config=config.config, parse_env_config=config.parse_env).test_connection()
        ctx.exit()

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        command.params.append(doctor_option())
        return command

    @classmethod
    @override
    def invoke(cls, **options: Any) -> None:
        """Run the tap as the SDK does, with the exit status of `run`."""
        is_examined = options.pop("doctor", False)
        if options.get("about"):
            super().invoke(**options)
        config, state, catalog = (options.get(name) for name in ("config", "state", "catalog"))
        if is_examined:
            make = partial(
                cls,
                config=config.config if config else {},
                catalog=json.load(catalog) if catalog else None,
                parse_env_config=bool(config and config.parse_env),
                validate_config=False,
            )
            status, report = doctor.examine(make, json.load(state) if state else None)
            sys.stdout.write(report)
            sys.exit(status)
        tap = cls(
            config=config.config if config else {},
            state=value_of(json.load(state)) if state else None,
            catalog=json.load(catalog) if catalog else None,
            parse_env_config=bool(config and config.parse_env),
        )
        sys.exit(tap.run())
