"""The destination: each batch of rows is a run of the target.

A batch is done once the target has acknowledged all of it. Any other end raises an error that dlt
takes for a temporary one: it repeats the batch, and where that does not help, the load package
stays pending for the next run. An upsert may be repeated.
"""

from __future__ import annotations

from typing import Any

import dlt
from dlt.common.schema import TTableSchema
from dlt.common.typing import TDataItems, TSecretStrValue

from dlt_voucherify.plugins import write

BATCH_SIZE = 10_000
"""Rows of one run of the target, which are held in memory: two full bulk requests."""


@dlt.destination(
    name="voucherify",
    batch_size=BATCH_SIZE,
    # Rows of one customer keep their order, and no two runs of the target want one ledger.
    loader_parallelism_strategy="sequential",
    max_parallel_load_jobs=1,
)
def voucherify_destination(
    items: TDataItems,
    table: TTableSchema,
    application_id: TSecretStrValue = dlt.secrets.value,
    secret_key: TSecretStrValue = dlt.secrets.value,
    settings: dict[str, Any] | None = None,
) -> None:
    """Write customers by target-voucherify.

    Args:
        items: rows.
        table: their table, whose name is the stream that the target reads.
        application_id: of the project's server-side API key.
        secret_key: of the same API key.
        settings: other settings of the target, such as `source_id` and `mapping`.

    Raises:
        PluginError: not every row of the batch is acknowledged.
    """
    config = {**(settings or {}), "application_id": application_id, "secret_key": secret_key}
    stream, columns = table["name"], table["columns"]
    keys = [name for name, column in columns.items() if column.get("primary_key")]
    # dlt leaves out what is null.
    nulls = dict.fromkeys(columns)
    write(
        config,
        [
            {
                "type": "SCHEMA",
                "stream": stream,
                "schema": {"type": "object", "properties": {name: {} for name in columns}},
                "key_properties": keys,
            },
            *({"type": "RECORD", "stream": stream, "record": {**nulls, **row}} for row in items),
            {"type": "STATE", "value": {"rows": len(items)}},
        ],
    )
