"""Rows that need no change: from the answer to standard output without being taken apart.

Nearly every row of a list fits its schema as it is. So the compiled decoder looks at a whole page
whether each row does, hands the walk the members that it has to know, and leaves the row as the
text that the API wrote. A page with one row that does not fit is decoded like any other answer, and
`fitting` takes care of its rows: what comes out is the same records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union

import msgspec

from tap_voucherify.records.conformance import LARGEST, SMALLEST, is_instant, types_of

Json = Mapping[str, Any]

Record = dict[str, Any] | msgspec.Raw
"""A record, or the text of one that passes untouched."""

UNDERSTOOD = frozenset(
    ("type", "properties", "additionalProperties", "items", "format", "description")
)
"""Keywords of a schema that a type of the decoder can say."""

NUL = b"\\u0000"
"""The character that loaders do not store; JSON has no other way to write it."""


class UntouchedRow(dict[str, Any]):
    """The members of a row that a walk has to know, and beside them its whole text."""

    __slots__ = ("added", "text")

    text: msgspec.Raw
    added: bytes

    def record(self, instant: str) -> msgspec.Raw:
        """The record's text: the row's, and behind it the column that the tap adds."""
        row = memoryview(self.text)[:-1]
        return msgspec.Raw(b"".join((row, self.added, instant.encode(), b'"}')))


class SchemaNotUnderstoodError(Exception):
    """A schema says more than a type of the decoder can."""


class UntouchedRows:
    """Decodes pages of one list, leaving rows untouched that fit a schema.

    Args:
        schema: of the records.
        name: the member of an answer that holds the rows.
        added: the column that the tap adds to each row, an instant.

    Raises:
        SchemaNotUnderstoodError: the schema says more than the decoder can look at.
    """

    def __init__(self, schema: Json, name: str, added: str) -> None:
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
        """An answer, its rows untouched if all of them can be.

        Raises:
            ValueError: it is not JSON.
        """
        try:
            return self._page(content)
        except (msgspec.ValidationError, UnicodeDecodeError):
            return msgspec.json.decode(content)

    def _page(self, content: bytes) -> dict[str, Any]:
        """The answer with untouched rows.

        Raises:
            msgspec.ValidationError: a row has to be touched.
        """
        # The end of a line inside a row would end the message.
        if (b"\\" in content and NUL in content) or b"\n" in content or b"\r" in content:
            raise msgspec.ValidationError
        page = self._fitting(content)
        texts = self._texts.decode(content).rows
        rows = [self._row(known, text) for known, text in zip(page.rows, texts, strict=True)]
        return {
            "data_ref": self._name,
            self._name: rows,
            "total": page.total,
            "has_more": page.has_more,
        }

    def _fitting(self, content: bytes) -> Any:
        try:
            return self._closed.decode(content)
        except msgspec.ValidationError:
            # Perhaps only for members that the schema does not name. The decoder skips those, and
            # does not look whether they are UTF-8.
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
    """Makes the decoder's types for values that `fitting` would leave as they are.

    Args:
        closed: whether an object may have only those members that its schema names.
    """

    def __init__(self, *, closed: bool) -> None:
        self._closed = closed

    def page(self, name: str, columns: Json) -> msgspec.json.Decoder[Any]:
        """The decoder of a page whose member `name` has rows with no other columns than these."""
        others = {column: schema for column, schema in columns.items() if column not in KNOWN}
        row = self._members(others, base=_Known, closed=True)
        rows: Any = list[row]  # type: ignore[valid-type]
        members = [
            ("data_ref", Literal[name], msgspec.NODEFAULT),
            ("rows", rows, msgspec.NODEFAULT),
        ]
        page = msgspec.defstruct("Page", [*members, *_COUNTS], rename={"rows": name})
        return msgspec.json.Decoder(page, dec_hook=_instant)

    def _type(self, schema: Json) -> Any:
        types = types_of(schema)
        made: Any = Union[tuple(self._one(kind, schema) for kind in types)] if types else Any  # noqa: UP007
        return made

    def _one(self, kind: str, schema: Json) -> Any:
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return list[self._type(schema.get("items", {}))]  # type: ignore[misc]
        if kind == "string" and "format" in schema:
            return _Instant
        return PLAIN[kind]

    def _object(self, schema: Json) -> Any:
        known, rest = schema.get("properties"), schema.get("additionalProperties")
        if known:
            return self._members(known, base=msgspec.Struct, closed=self._closed)
        return dict[str, self._type(rest) if isinstance(rest, dict) else Any]  # type: ignore[misc]

    def _members(
        self, properties: Json, *, base: type[msgspec.Struct], closed: bool
    ) -> type[msgspec.Struct]:
        """A struct with these members, none of which has to be there."""
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
    """What a walk has to know of a row."""

    id: str
    created_at: str | None = None
    updated_at: str | None = None


KNOWN: Mapping[str, Json] = {
    "id": {"type": ("string",)},
    "created_at": {"type": ("null", "string"), "format": "date-time"},
    "updated_at": {"type": ("null", "string"), "format": "date-time"},
}
"""What the schema has to say of the members that a walk has to know."""

_COUNTS: tuple[tuple[str, Any, Any], ...] = (("total", Any, None), ("has_more", Any, None))

PLAIN: Mapping[str, Any] = {
    "null": None,
    "string": str,
    "integer": Annotated[int, msgspec.Meta(ge=SMALLEST, le=LARGEST)],
    "number": float,
    "boolean": bool,
}


def _has_known(columns: Json) -> bool:
    """Whether the columns that a walk reads are what it takes them for."""
    return all(
        {
            "type": tuple(sorted(types_of(columns.get(name, {})))),
            **{key: value for key, value in columns.get(name, {}).items() if key == "format"},
        }
        == wanted
        for name, wanted in KNOWN.items()
    )


def _understood(schema: Json) -> bool:
    """Whether the types say all that a schema says, down to its last member."""
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    parts = [*properties.values(), rest, schema.get("items")]
    return (
        schema.keys() <= UNDERSTOOD
        and schema.get("format", "date-time") == "date-time"
        and not (properties and isinstance(rest, dict))
        and all(_understood(part) for part in parts if isinstance(part, dict))
    )
