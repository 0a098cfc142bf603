"""The source: one run of the tap for all selected resources, one resource per stream.

The state of the tap lies in dlt's: the bookmark of a stream in the state of its resource, the rest
in that of the source. dlt saves it with the rows that it covers, so a run that fails changes
neither, and an unselected or dropped resource is read from where its table ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from copy import deepcopy
from itertools import count
from typing import TYPE_CHECKING, Any

import dlt
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from dlt_voucherify.plugins import discover, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dlt.common.data_types import TDataType
    from dlt.common.schema.typing import TColumnSchema

Records = dict[str, list[dict[str, Any]]]
"""Records by stream, those between two STATE messages."""

BOOKMARK, REST = "bookmark", "tap"
"""Keys of dlt's state: of a resource, and of the source."""

SEQUENCE = "_sdc_sequence"
"""Column with the position of a row in its run: of two versions of a row the later one counts."""

DATA_TYPES: dict[str, TDataType] = {
    "string": "text",
    "integer": "bigint",
    "number": "double",
    "boolean": "bool",
}
"""dlt's data types of JSON types; all others become `json`."""


@dlt.source(name="voucherify", max_table_nesting=0)
def voucherify_source(
    application_id: TSecretStrValue = dlt.secrets.value,
    secret_key: TSecretStrValue = dlt.secrets.value,
    settings: dict[str, Any] | None = None,
) -> Iterable[DltResource]:
    """The streams of tap-voucherify as resources; each table is merged by its key.

    Args:
        application_id: of the project's server-side API key.
        secret_key: of the same API key.
        settings: other settings of the tap, such as `api_url`.
    """
    config = {**(settings or {}), "application_id": application_id, "secret_key": secret_key}
    streams = discover()

    @dlt.resource(name="tap_voucherify", selected=False)
    def run_of_tap() -> Iterator[Records]:
        selected = dlt.current.source().selected_resources
        catalog = {"streams": [_selecting(stream, selected) for stream in streams]}
        sequence, records = count(), defaultdict(list)
        for message in read(config, catalog, _tap_state(stream["stream"] for stream in streams)):
            if message["type"] == "RECORD":
                record = {**message["record"], SEQUENCE: next(sequence)}
                records[message["stream"]].append(record)
            elif message["type"] == "STATE":
                yield records
                _keep(message["value"], selected)
                records = defaultdict(list)
        yield records

    yield run_of_tap
    for stream in streams:
        yield run_of_tap | _table(stream)


def _tap_state(streams: Iterable[str]) -> dict[str, Any]:
    """The state of the tap, put together from dlt's."""
    kept = {stream: dlt.current.resource_state(stream).get(BOOKMARK) for stream in streams}
    bookmarks = {stream: bookmark for stream, bookmark in kept.items() if bookmark}
    return {**dlt.current.source_state().get(REST, {}), "bookmarks": bookmarks}


def _keep(state: Mapping[str, Any], streams: Iterable[str]) -> None:
    """Put a state of the tap into dlt's."""
    rest = dict(state)
    bookmarks = rest.pop("bookmarks", {})
    for stream in streams:
        if stream in bookmarks:
            dlt.current.resource_state(stream)[BOOKMARK] = bookmarks[stream]
    dlt.current.source_state()[REST] = rest


def _selecting(stream: Mapping[str, Any], selected: Iterable[str]) -> dict[str, Any]:
    """A stream of the catalog, selected or not."""
    made = deepcopy(dict(stream))
    for entry in made["metadata"]:
        if not entry["breadcrumb"]:
            entry["metadata"]["selected"] = stream["stream"] in selected
    return made


def _table(stream: Mapping[str, Any]) -> Any:
    """The transformer that takes the records of one stream out of those of a run."""
    name = stream["stream"]

    @dlt.transformer(
        name=name,
        selected=_is_default(stream),
        primary_key=stream["key_properties"],
        write_disposition="merge",
        columns=_columns(stream["schema"]["properties"]),
    )
    def rows(records: Records) -> list[dict[str, Any]] | None:
        return records.get(name)

    return rows


def _is_default(stream: Mapping[str, Any]) -> bool:
    (whole,) = (entry["metadata"] for entry in stream["metadata"] if not entry["breadcrumb"])
    return bool(whole.get("selected", whole.get("selected-by-default")))


def _columns(properties: Mapping[str, Any]) -> dict[str, TColumnSchema]:
    columns = {name: _column(name, schema) for name, schema in properties.items()}
    columns[SEQUENCE] = {"name": SEQUENCE, "data_type": "bigint", "dedup_sort": "desc"}
    return columns


def _column(name: str, schema: Mapping[str, Any]) -> TColumnSchema:
    """The column of a property; objects, arrays and unions become JSON."""
    types = {schema["type"]} if isinstance(schema["type"], str) else {*schema["type"]}
    is_time = schema.get("format") == "date-time"
    data_type = "timestamp" if is_time else DATA_TYPES.get("".join(types - {"null"}), "json")
    return {"name": name, "data_type": data_type, "nullable": "null" in types}
