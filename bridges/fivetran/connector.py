"""Fivetran connector for Voucherify: runs tap-voucherify and upserts its records.

A checkpoint is a STATE of the tap, made when all records before it are upserted, so a sync that
fails leaves a state that covers no record it did not deliver. The tap's log goes to standard error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from fivetran_connector_sdk import Connector
from fivetran_connector_sdk import Operations as op  # noqa: N813 - the name in Fivetran's documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TAP = (sys.executable, "-m", "tap_voucherify")
SETTINGS = "settings"
"""The key of the configuration that holds further settings of the tap, as JSON text."""

TYPES = {"string": "STRING", "integer": "LONG", "number": "DOUBLE", "boolean": "BOOLEAN"}
"""Fivetran's types of JSON types; all others become `JSON`."""


def schema(_configuration: Mapping[str, str]) -> list[dict[str, Any]]:
    """The streams that the tap reads by default as tables; costs no API call."""
    found = subprocess.run((*TAP, "--discover"), stdout=subprocess.PIPE, check=True)
    return [
        {
            "table": stream["stream"],
            "primary_key": stream["key_properties"],
            "columns": {name: _type(one) for name, one in stream["schema"]["properties"].items()},
        }
        for stream in json.loads(found.stdout)["streams"]
        if _is_default(stream)
    ]


def update(configuration: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """One sync.

    Raises:
        RuntimeError: the tap failed; what it had read up to its last STATE is kept.
    """
    config = dict(configuration)
    config = {**json.loads(config.pop(SETTINGS, "{}")), **config}
    for message in _messages(config, state):
        if message["type"] == "RECORD":
            op.upsert(table=message["stream"], data=message["record"])
        elif message["type"] == "STATE":
            op.checkpoint(message["value"])


def _messages(config: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The messages of one run of the tap, whose files only their owner may read."""
    with TemporaryDirectory(prefix="fivetran-voucherify-") as folder:
        options = []
        for name, value in (("config", config), ("state", state)):
            path = Path(folder, f"{name}.json")
            path.write_text(json.dumps(value))
            options += [f"--{name}", str(path)]
        with subprocess.Popen((*TAP, *options), stdout=subprocess.PIPE) as tap:
            try:
                yield from map(json.loads, tap.stdout or ())
            except BaseException:
                tap.terminate()
                raise
    if tap.returncode:
        failed = f"tap-voucherify failed with exit code {tap.returncode}: see the end of its log."
        raise RuntimeError(failed)


def _is_default(stream: Mapping[str, Any]) -> bool:
    (whole,) = (entry["metadata"] for entry in stream["metadata"] if not entry["breadcrumb"])
    return bool(whole.get("selected", whole.get("selected-by-default")))


def _type(property_schema: Mapping[str, Any]) -> str:
    """Fivetran's type of a property."""
    given = property_schema["type"]
    types = {given} if isinstance(given, str) else {*given}
    if property_schema.get("format") == "date-time":
        return "UTC_DATETIME"
    return TYPES.get("".join(types - {"null"}), "JSON")


connector = Connector(update=update, schema=schema)
