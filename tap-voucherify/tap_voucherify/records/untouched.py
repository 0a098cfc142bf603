"""Copy the JSON text of rows that fit their schema to standard output without decoding it.

Nearly every row of a list fits its schema as it is. So a compiled decoder checks each row of a
page, returns only the members that paging needs, and keeps the row as the text that the API wrote.
A page with a row that does not fit is decoded like any other response and its records are made to
conform: the result is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import msgspec

from tap_voucherify.records.conformance import LARGEST, SMALLEST, Schema, is_instant, types_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Record = dict[str, Any] | msgspec.Raw
"""A record, or the JSON text of one."""

UNDERSTOOD = frozenset(
    ("type", "properties", "additionalProperties", "items", "format", "description")
)
"""Schema keywords that a type of the decoder can express."""

NUL = b"\\u0000"
"""The character that loaders cannot store; JSON has no other way to write it."""


class UntouchedRow(dict[str, Any]):
    """The members of a row that paging needs, and its whole JSON text."""

    __slots__ = ("added", "text")

    text: msgspec.Raw
    added: bytes

    def record(self, instant: str) -> msgspec.Raw:
        """The record's text: that of the row, with the column that the tap adds."""
        row = memoryview(self.text)[:-1]
        return msgspec.Raw(b"".join((row, self.added, instant.encode(), b'"}')))


class SchemaNotUnderstoodError(Exception):
    """A schema uses a keyword that no type of the decoder can express."""


class UntouchedRows:
    """Decodes pages of one list, and keeps the text of rows that fit a schema.

    Args:
        schema: of the records.
        name: the member of a response that holds the rows.
        added: the column that the tap adds to each row, an instant.

    Raises:
        SchemaNotUnderstoodError: the decoder cannot check all that the schema says.
    """

    def __init__(self, schema: Schema, name: str, added: str) -> None:
        columns = dict(schema["properties"])
        if not ("format" in columns.pop(added, {}) and _understood(schema) and _has_known(columns)):
            raise SchemaNotUnderstoodError
        self._name = name
        self._added = f',"{added}":"'.encode()
        self._closed, self._open = (
            _Types(closed=closed).page(name, columns) for closed in (True, False)
        )
        texts = msgspec.defstruct("Texts", [("rows", list[msgspec.Raw])], rename={"rows": name})
        self._texts: msgspec.json.Decoder[Any] = msgspec.json.Decoder(texts)

    def page(self, content: bytes) -> Any:
        """A decoded response, its rows as text if all of them fit.

        Raises:
            ValueError: it is not JSON.
        """
        try:
            return self._page(content)
        except (msgspec.ValidationError, UnicodeDecodeError):
            return msgspec.json.decode(content)

    def _page(self, content: bytes) -> dict[str, Any]:
        """The response with its rows as text.

        Raises:
            msgspec.ValidationError: a row does not fit as it is.
        """
        # A line end inside a row would end the message.
        if (b"\\" in content and NUL in content) or b"\n" in content or b"\r" in content:
            raise msgspec.ValidationError
        page = self._known(content)
        texts = self._texts.decode(content).rows
        rows = [self._row(known, text) for known, text in zip(page.rows, texts, strict=True)]
        return {
            "data_ref": self._name,
            self._name: rows,
            "total": page.total,
            "has_more": page.has_more,
        }

    def _known(self, content: bytes) -> Any:
        try:
            return self._closed.decode(content)
        except msgspec.ValidationError:
            # Perhaps only because of members that the schema does not name. The decoder skips those
            # without checking that they are UTF-8.
            content.decode()
            return self._open.decode(content)

    def _row(self, known: Any, text: msgspec.Raw) -> UntouchedRow:
        created_at, updated_at = known.created_at, known.updated_at
        if not (_is_instant_or_none(created_at) and _is_instant_or_none(updated_at)):
            raise msgspec.ValidationError
        row = UntouchedRow(id=known.id, created_at=created_at, updated_at=updated_at)
        row.text, row.added = text, self._added
        return row


def _is_instant_or_none(text: str | None) -> bool:
    return text is None or is_instant(text)


class _Instant:
    """Text that is a `date-time`, inside a row."""


SOME_INSTANT = _Instant()


def _instant(kind: type, value: Any) -> Any:
    if kind is not _Instant or not is_instant(value):
        raise ValueError("is not an instant")
    return SOME_INSTANT


class _Types:
    """Makes the decoder's types for values that conform as they are.

    Args:
        closed: whether an object may have only those members that its schema names.
    """

    def __init__(self, *, closed: bool) -> None:
        self._closed = closed

    def page(self, name: str, columns: Schema) -> msgspec.json.Decoder[Any]:
        """The decoder of a page whose member `name` holds rows of no other columns than these."""
        others = {column: schema for column, schema in columns.items() if column not in KNOWN}
        row = self._members(others, base=_Known, closed=True)
        rows: Any = list[row]  # type: ignore[valid-type]
        members = [
            ("data_ref", Literal[name], msgspec.NODEFAULT),
            ("rows", rows, msgspec.NODEFAULT),
        ]
        page = msgspec.defstruct("Page", [*members, *_COUNTS], rename={"rows": name})
        return msgspec.json.Decoder(page, dec_hook=_instant)

    def _type(self, schema: Schema) -> Any:
        types = types_of(schema)
        made: Any = Union[tuple(self._one(kind, schema) for kind in types)] if types else Any  # noqa: UP007
        return made

    def _one(self, kind: str, schema: Schema) -> Any:
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return list[self._type(schema.get("items", {}))]  # type: ignore[misc]
        if kind == "string" and "format" in schema:
            return _Instant
        return PLAIN[kind]

    def _object(self, schema: Schema) -> Any:
        known, rest = schema.get("properties"), schema.get("additionalProperties")
        if known:
            return self._members(known, base=msgspec.Struct, closed=self._closed)
        return dict[str, self._type(rest) if isinstance(rest, dict) else Any]  # type: ignore[misc]

    def _members(
        self, properties: Schema, *, base: type[msgspec.Struct], closed: bool
    ) -> type[msgspec.Struct]:
        """A struct with these members, all optional."""
        names = {f"member_{number}": name for number, name in enumerate(properties)}
        types = ((field, self._type(properties[name])) for field, name in names.items())
        return msgspec.defstruct(
            "Members",
            [(field, type_ | msgspec.UnsetType, msgspec.UNSET) for field, type_ in types],
            bases=(base,),
            rename=names,
            forbid_unknown_fields=closed,
            gc=False,
        )


class _Known(msgspec.Struct, kw_only=True):
    """The members of a row that paging needs."""

    id: str
    created_at: str | None = None
    updated_at: str | None = None


KNOWN: Mapping[str, Schema] = {
    "id": {"type": ("string",)},
    "created_at": {"type": ("null", "string"), "format": "date-time"},
    "updated_at": {"type": ("null", "string"), "format": "date-time"},
}
"""What the schema must say about the members that paging needs."""

_COUNTS: tuple[tuple[str, Any, Any], ...] = (("total", Any, None), ("has_more", Any, None))

PLAIN: Mapping[str, Any] = {
    "null": None,
    "string": str,
    "integer": Annotated[int, msgspec.Meta(ge=SMALLEST, le=LARGEST)],
    "number": float,
    "boolean": bool,
}


def _has_known(columns: Schema) -> bool:
    """Whether the columns that paging needs have the types it relies on."""
    return all(
        {
            "type": tuple(sorted(types_of(columns.get(name, {})))),
            **{key: value for key, value in columns.get(name, {}).items() if key == "format"},
        }
        == wanted
        for name, wanted in KNOWN.items()
    )


def _understood(schema: Schema) -> bool:
    """Whether the decoder's types express the whole schema."""
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    parts = [*properties.values(), rest, schema.get("items")]
    return (
        schema.keys() <= UNDERSTOOD
        and schema.get("format", "date-time") == "date-time"
        and not (properties and isinstance(rest, dict))
        and all(_understood(part) for part in parts if isinstance(part, dict))
    )
