"""Runs of both plugins that use every operation, in projects that are made for them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import filling
from singer import run
from singer_input import PROPERTIES, TEXT, lines, record, schema
from target_run import load
from voucherify_sandbox import Fault, Readings, Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TAP = "tap_voucherify"
READ_WHOLE = {
    "customer_deletions",
    "loyalty_tiers",
    "metadata_schemas",
    "pending_points",
    "reward_assignments",
    "rewards",
    "segments",
    "skus",
}
"""The streams that cannot be sliced."""
DATES = {"start_date": "2026-01-01T00:00:00Z", "end_date": "2030-01-01T00:00:00Z"}

Config = dict[str, Any]


@cache
def discovered() -> str:
    return run(TAP, {}, "--discover").stdout


def every_stream(config: Config, folder: Path) -> None:
    """A first run of every stream, and a second one from its state."""
    catalog = json.loads(discovered())
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                is_whole = stream["tap_stream_id"] in READ_WHOLE
                entry["metadata"]["selected"] = not (is_whole and "end_date" in config)
    path, state = folder / "catalog.json", folder / "state.json"
    path.write_text(json.dumps(catalog))
    first = run(TAP, config, "--catalog", str(path))
    state.write_text(json.dumps(first.states[-1] if first.states else {}))
    again = run(TAP, config, "--catalog", str(path), "--state", str(state))
    assert first.exit_code == again.exit_code == 0, first.log + again.log


def tapped(*more: str, **settings: Any) -> Callable[[Config, Path], None]:
    def tap(config: Config, _: Path) -> None:
        done = run(TAP, {**config, **settings}, *more)
        assert done.exit_code == 0, done.log

    return tap


COLUMNS = {**PROPERTIES, "_sdc_deleted_at": TEXT, "address": {"type": ["null", "object"]}}


def written(*records: dict[str, Any], **settings: Any) -> Callable[[Config, Path], None]:
    def target(config: Config, _: Path) -> None:
        done = load({**config, "max_delete_percent": 100, **settings}, given)
        assert done.error is None

    given = lines(schema(COLUMNS), *records)
    return target


FULL = record(
    1,
    description="from the CRM",
    birthdate="1990-01-31",
    address={"city": "Łódź", "country": "PL"},
    metadata={"tier": "gold", "age": 40, "newsletter": True, "tags": ["a"]},
)
EMPTY = record(1, **dict.fromkeys(("name", "email", "phone", "metadata", "address")))
GONE = record(2, _sdc_deleted_at="2026-01-01T00:00:00Z")

SOLD: dict[str, Any] = {
    "products": {"id": "p-1", "name": "Shoe", "price": 4_990},
    "orders": {
        "id": "o-1",
        "status": "PAID",
        "amount": 9_980,
        "items": [{"source_id": "p-1", "related_object": "product", "quantity": 2}],
        "customer": {"source_id": "crm-1", "name": "Jane Roe"},
        "metadata": {"shop": "Rome"},
    },
}
"""A record of each entity besides customers."""


def sold(**entities: Any) -> Callable[[Config, Path], None]:
    """A run of the target with products and orders, given settings of these."""
    messages = [
        message
        for stream, row in SOLD.items()
        for message in (
            schema({name: {} for name in row}, stream, ("id",)),
            {"type": "RECORD", "stream": stream, "record": row},
        )
    ]

    def target(config: Config, _: Path) -> None:
        given = {"products": {}, "orders": {}, **entities}
        assert load({**config, "entities": given}, lines(*messages)).error is None

    return target


RUNS: dict[str, Callable[[Config, Path], None]] = {
    "tap, every stream, and again": every_stream,
    "tap, with tokens": tapped(auth_method="oauth"),
    "tap, every customer asked": tapped(reward_events_scan="all"),
    "tap, a slice": lambda config, folder: every_stream({**config, **DATES}, folder),
    "tap, an export": tapped(customers_backfill="export"),
    "tap, --test": tapped("--test"),
    "tap, --discover": tapped("--discover"),
    "target, bulk": written(FULL, record(3)),
    "target, single": written(FULL, record(3), write_path="single"),
    "target, nulls in bulk": written(EMPTY, nulls="send"),
    "target, nulls singly": written(EMPTY, nulls="send", write_path="single"),
    "target, with tokens": written(FULL, auth_method="oauth"),
    "target, products and orders": sold(),
    "target, products singly": sold(products={"write_path": "single"}),
    "target, orders by import": sold(orders={"write_path": "bulk"}),
    "target, deletes": written(GONE, on_delete="delete"),
    "target, permanent deletes": written(GONE, on_delete="permanent_delete"),
    "target, a dry run": written(FULL, GONE, dry_run=True, on_delete="delete"),
    "target, a request refused whole": written(*map(record, range(8))),
}


@contextmanager
def project_of(name: str) -> Iterator[Sandbox]:
    """A running sandbox with the project that a run needs."""
    most = 5 if "refused whole" in name else 0
    readings = Readings(bulk_max_records=most, skus_in_products="first")
    with Sandbox(readings=readings) as sandbox:
        # More customers share a timestamp than a page holds, so numbered pages are read.
        sandbox.clock.set(datetime(2026, 3, 1, tzinfo=UTC))
        sandbox.project.add_customers(120, prefix="tied", updated_at=sandbox.clock.now())
        filling.fill(sandbox.project)
        sandbox.project.create_product({"source_id": "mug"}, [{"sku": f"{n}"} for n in range(12)])
        sandbox.project.upsert_customer({"source_id": "crm-2"})
        sandbox.clock.set(None)
        if "again" in name:
            sandbox.faults.add(Fault(kind="server_error", nth=[20]))
        yield sandbox


def connection_of(sandbox: Sandbox, url: str) -> Config:
    """The connection settings that reach a sandbox through an address."""
    return {
        "application_id": sandbox.application_id,
        "secret_key": sandbox.secret_key,
        "api_url": url,
    }
