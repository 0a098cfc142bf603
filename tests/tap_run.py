"""Run the tap inside the test's own process: quick, for tests that need many runs."""

from __future__ import annotations

import io
import json
import signal
from contextlib import closing, redirect_stdout
from functools import cache
from typing import TYPE_CHECKING, Any

import leaks
from tap_voucherify.settings import SETTINGS
from tap_voucherify.tap import TapVoucherify
from tap_voucherify.voucherify_client.errors import VoucherifyError

if TYPE_CHECKING:
    from collections.abc import Mapping

Message = dict[str, Any]
REWARD_EVENT_TYPES: tuple[str, ...] = tuple(SETTINGS["properties"]["reward_event_types"]["default"])
"""The event types that the tap reads by default."""

NO_PROJECT = {"application_id": "none", "secret_key": "none"}


def extract(
    config: Mapping[str, Any],
    state: Mapping[str, Any],
    *,
    full_table: str = "",
    only: str = "",
) -> list[Message]:
    """The messages of one run, to the one that an error kept from coming.

    Args:
        config: the settings.
        state: of the run before.
        full_table: the one stream to read, and to read whole; all as they are if empty.
        only: the one stream to read, as it is.
    """
    printed = io.TextIOWrapper(io.BytesIO(), write_through=True)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    catalog = full_table_catalog(full_table) if full_table else None
    catalog = catalog_of(only) if only else catalog
    try:
        with redirect_stdout(printed):
            tap = TapVoucherify(config=dict(config), state=dict(state), catalog=catalog)
            with closing(tap.client):
                tap.sync_all()
    except VoucherifyError as error:
        leaks.saw(str(error))
    finally:
        for number, before in handlers.items():
            signal.signal(number, before)
    printed.seek(0)
    return [json.loads(line) for line in printed]


@cache
def full_table_catalog(stream: str) -> dict[str, Any]:
    """The catalog that reads one stream alone, as a full table."""
    catalog: dict[str, Any] = TapVoucherify(config=NO_PROJECT).catalog_dict
    for entry in catalog["streams"]:
        for part in entry["metadata"]:
            if part["breadcrumb"] == []:
                part["metadata"]["selected"] = entry["tap_stream_id"] == stream
                part["metadata"]["replication-method"] = "FULL_TABLE"
        entry["replication_method"] = "FULL_TABLE"
    return catalog


@cache
def catalog_of(stream: str) -> dict[str, Any]:
    """The catalog that reads one stream alone."""
    catalog: dict[str, Any] = TapVoucherify(config=NO_PROJECT).catalog_dict
    for entry in catalog["streams"]:
        for part in entry["metadata"]:
            if part["breadcrumb"] == []:
                part["metadata"]["selected"] = entry["tap_stream_id"] == stream
    return catalog
