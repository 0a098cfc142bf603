"""The examination of the tap's set-up (`--doctor`)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tap_voucherify.pagination.endpoints import CUSTOMERS
from tap_voucherify.settings import validate_config
from tap_voucherify.state import refuse_foreign, value_of
from tap_voucherify.voucherify_client.errors import VoucherifyError
from tap_voucherify.voucherify_client.examination import (
    Examination,
    examine_access,
    examine_file,
    examine_versions,
    may_read,
)
from tap_voucherify.voucherify_client.timestamps import format_duration, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_voucherify.streams.stream import VoucherifyStream
    from tap_voucherify.voucherify_client.client import Client

EXPORTS = "/v1/exports"


class Tap(Protocol):
    """What an examination needs of a tap."""

    config_jsonschema: ClassVar[dict[str, Any]]

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings with their defaults."""

    @property
    def client(self) -> Client:
        """The client of the project."""

    def check_selection(self) -> None:
        """Raise where a run would read nothing."""

    def selected_streams(self) -> list[VoucherifyStream]:
        """The streams that a run reads."""


def examine(make: Callable[[], Tap], state: Mapping[str, Any] | None) -> tuple[int, str]:
    """Examine a set-up; the exit status and the report.

    Args:
        make: makes the tap, without a check of its settings.
        state: that a run would begin with, if any.
    """
    examination = Examination("tap-voucherify")
    examine_versions(examination)
    taps: list[Tap] = []

    def settings() -> str:
        taps.append(make())
        validate_config(taps[0].config, taps[0].config_jsonschema)
        return "valid"

    if not examination.check("settings", settings):
        examination.leave("keys and region", "the settings come first")
        return examination.status, examination.report(0)
    tap = taps[0]
    examination.check("selection", lambda: _selection(tap))
    if state is not None:
        examination.check("state", lambda: _state(tap, state))
    _files(examination, tap)
    if examine_access(examination, tap.client, CUSTOMERS):
        _lists(examination, tap)
    else:
        examination.leave("streams", "the keys come first")
    calls = tap.client.usage.calls
    tap.client.close()
    return examination.status, examination.report(calls)


def _selection(tap: Tap) -> str:
    tap.check_selection()
    return ", ".join(stream.name for stream in tap.selected_streams())


def _state(tap: Tap, given: Mapping[str, Any]) -> str:
    """Whose state it is, and up to when each stream is read."""
    value = value_of(dict(given))
    refuse_foreign(value, tap.config["application_id"])
    bookmarks = value.get("bookmarks", {})
    found = []
    for name, of_stream in bookmarks.items():
        text = of_stream.get("replication_key_value") if isinstance(of_stream, dict) else None
        if isinstance(text, str):
            age = datetime.now(UTC) - parse(text, what=f"The bookmark of {name}")
            found.append(f"{name} is read up to {format_duration(age.total_seconds())} ago")
    return "of this project; " + ("; ".join(found) or "no stream is read to its end yet")


def _files(examination: Examination, tap: Tap) -> None:
    if path := tap.config.get("webhook_store"):
        examination.check("webhook_store", partial(_store, path))
    for name in ("echo_ledger_path", "metrics_path"):
        if path := tap.config.get(name):
            examination.check(name, partial(examine_file, name, path))


def _store(path: str) -> str:
    if not Path(path).is_file():
        raise VoucherifyError(
            f"webhook_store: {path} is no file: start `voucherify-webhooks serve` with it first."
        )
    return examine_file("webhook_store", path)


def _lists(examination: Examination, tap: Tap) -> None:
    """One call for each list that the selected streams read, but that of customers."""
    seen = {CUSTOMERS}
    for stream in tap.selected_streams():
        path = getattr(stream, "path", None)
        what = f"stream {stream.name}"
        if path is None or "{" in path:
            examination.leave(what, "it is asked about one object at a time")
        elif path not in seen:
            seen.add(path)
            examination.ask(what, tap.client, partial(may_read, tap.client, path))
    if tap.config["customers_backfill"] == "export":
        examination.ask("exports", tap.client, partial(may_read, tap.client, EXPORTS))
