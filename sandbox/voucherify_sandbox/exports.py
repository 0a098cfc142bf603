"""Exports as CSV files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from voucherify_sandbox import export_columns, filters
from voucherify_sandbox.errors import invalid_payload, not_found, refusal, unauthorized
from voucherify_sandbox.serialization import serialize

if TYPE_CHECKING:
    from collections.abc import Callable

    from voucherify_sandbox.clock import Clock
    from voucherify_sandbox.errors import Json
    from voucherify_sandbox.ids import IdGenerator
    from voucherify_sandbox.readings import Readings

TOKEN_LIFE = timedelta(seconds=300)
"""How long a download URL works. A draft of Voucherify's documentation calls it short-lived."""


@dataclass(eq=False)
class Export:
    """One export: its parameters, its status, its file."""

    id: str
    exported_object: str
    parameters: Json
    created_at: datetime
    fault: str = ""
    download_host: str = ""
    status: str = "SCHEDULED"
    polls: int = 0
    file: bytes = b""
    tokens: dict[str, datetime] = field(default_factory=dict)

    def resource(self, url: str | None) -> Json:
        """The export as the API shows it."""
        return {
            "id": self.id,
            "object": "export",
            "created_at": self.created_at,
            "status": self.status,
            "channel": "API",
            "exported_object": self.exported_object,
            "parameters": self.parameters,
            "result": {"url": url} if url else None,
            "user_id": None,
        }


class Exports:
    """All exports of a project."""

    def __init__(
        self,
        clock: Clock,
        readings: Readings,
        ids: IdGenerator,
        rows: Callable[[str], list[Json]],
    ) -> None:
        """Create an empty list; `rows` returns the rows of an object, or the metadata schemas."""
        self._clock = clock
        self._readings = readings
        self._ids = ids
        self._rows = rows
        self.all: dict[str, Export] = {}

    def create(self, body: Json, fault: str, download_host: str) -> Export:
        """Schedule an export; under the fault `download_host` its file is said to be at a host.

        Raises:
            ApiError: 400 `invalid_payload` or `invalid_export_fields`.
        """
        name, parameters = body.get("exported_object"), body.get("parameters")
        if name not in export_columns.OBJECTS:
            raise invalid_payload("Property .exported_object should be one of the allowed values")
        if not isinstance(parameters, dict | None):
            raise invalid_payload("Property .parameters should be object")
        _check(export_columns.OBJECTS[name], parameters or {})
        export = Export(
            self._ids.new("exp"),
            name,
            parameters or {},
            self._clock.now(),
            fault,
            download_host,
        )
        self.all[export.id] = export
        return export

    def get(self, identity: str) -> Export:
        """The export with this id; 404 if there is none."""
        found = self.all.get(identity)
        if found is None or (found.fault == "vanishes" and found.polls > 0):
            raise not_found("export", identity)
        return found

    def poll(self, export: Export) -> None:
        """Advance an export by one step at most."""
        export.polls += 1
        if export.status in {"DONE", "ERROR"} or export.fault == "hangs":
            return
        if export.polls < self._readings.export_polls:
            export.status = "IN_PROGRESS"
        elif export.fault == "fails":
            export.status = "ERROR"
        else:
            export.file = self._file(export)
            export.status = "DONE"

    def token(self, export: Export) -> str:
        """A new token for the download URL; under the fault `expires` the first has expired."""
        token = self._ids.new("download")
        stale = export.fault == "expires" and not export.tokens
        export.tokens[token] = self._clock.now() + (timedelta() if stale else TOKEN_LIFE)
        return token

    def download(self, identity: str, token: str) -> bytes:
        """The file, for a valid token.

        Raises:
            ApiError: 401.
        """
        export = self.get(identity)
        if self._clock.now() >= export.tokens.get(token, export.created_at):
            raise unauthorized()
        return export.file

    def _file(self, export: Export) -> bytes:
        kind = export_columns.OBJECTS[export.exported_object]
        fields = export.parameters.get("fields") or list(kind.default)
        rows = _selected(kind, self._rows(export.exported_object), export.parameters)
        if export.fault == "shrinks":
            rows = rows[: len(rows) // 2]
        named = [
            column for name in fields for column in self._expanded(export.exported_object, name)
        ]
        out = io.StringIO()
        writer = csv.writer(
            out,
            lineterminator="\r\n" if self._readings.export_line_ends == "crlf" else "\n",
            quoting=csv.QUOTE_ALL if self._readings.export_quotes == "all" else csv.QUOTE_MINIMAL,
        )
        writer.writerow([self._header(name) for name in named])
        writer.writerows([self._cell(kind, row, name) for name in named] for row in rows)
        encoding = "utf-8-sig" if self._readings.export_bom else "utf-8"
        return out.getvalue().encode(encoding, "surrogateescape")

    def _expanded(self, exported_object: str, name: str) -> list[str]:
        """The columns of a field; `metadata` has one for each key under `columns`."""
        if name != "metadata" or self._readings.export_metadata == "json":
            return [name]
        schemas = {schema["related_object"]: schema for schema in self._rows("metadata")}
        properties = schemas.get(exported_object, {}).get("properties", {})
        return [f"metadata.{key}" for key in properties]

    def _header(self, name: str) -> str:
        if self._readings.export_headers == "fields" or name.startswith("metadata."):
            return name
        return " ".join("ID" if word == "id" else word.capitalize() for word in name.split("_"))

    def _cell(self, kind: export_columns.Exported, row: Json, name: str) -> str:
        value: Any
        if name.startswith("metadata."):
            value = (row.get("metadata") or {}).get(name.removeprefix("metadata."))
        else:
            value = export_columns.at(row, kind.paths[name])
        value = serialize(value, self._readings)
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _check(kind: export_columns.Exported, parameters: Json) -> None:
    fields = parameters.get("fields") or []
    unknown = [
        name for name in fields if name not in kind.paths and not str(name).startswith("metadata.")
    ]
    if unknown:
        details = f"Unknown fields: {', '.join(map(str, unknown))}"
        allowed = f"allowed fields are {', '.join(kind.paths)}"
        raise refusal(400, "invalid_export_fields", "Invalid Export", f"{details}; {allowed}")
    order = parameters.get("order") or kind.orders[0]
    if order.lstrip("-") not in kind.orders:
        raise invalid_payload(f"Property .parameters.order should be one of {kind.orders}")
    if not isinstance(parameters.get("filters"), dict | None):
        raise invalid_payload("Property .parameters.filters should be object")
    filters.tester(*filters.from_json(parameters.get("filters") or {}), {})


def _selected(kind: export_columns.Exported, rows: list[Json], parameters: Json) -> list[Json]:
    """The rows that match the filters, in the requested order; rows without a value come first."""
    junction, conditions = filters.from_json(parameters.get("filters") or {})
    test = filters.tester(junction, conditions, {})
    kept = [row for row in rows if test({name: _field(kind, row, name) for name in conditions})]
    order = parameters.get("order")
    if not order:
        return kept

    def key(row: Json) -> tuple[bool, Any]:
        value: Any = _field(kind, row, order.lstrip("-"))
        return (value is not None, "" if value is None else value)

    return sorted(kept, key=key, reverse=order.startswith("-"))


def _field(kind: export_columns.Exported, row: Json, name: str) -> object:
    """The value of a row by the field name of a filter or an order."""
    name = kind.aliases.get(name, name)
    return export_columns.at(row, kind.paths.get(name, name))
