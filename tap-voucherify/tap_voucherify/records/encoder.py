"""Make records of the rows of a stream, as JSON text.

A row is decoded twice, without making objects of most of it: once into the types of the schema,
which checks every value, and once into the text of each column, of which the record is put
together. Nearly every row conforms to its schema as it is; in any other row, the columns that do
not are decoded and made to.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tap_voucherify.records.conformance import Conformance, Schema, is_instant
from tap_voucherify.records.row_types import Instant, decoder, members, row_of, type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

Record = msgspec.Raw
"""The JSON text of a record."""

PAGING = ("id", "created_at", "updated_at", "date")
"""Members of a row that paging needs."""

OTHERS = ("total", "has_more", "more_starting_after")
"""Members of a page that paging needs beside the rows."""

NUL = b"\\u0000"
"""The character that loaders cannot store; JSON has no other way to write it."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class TextRow(dict[str, Any]):
    """The members that paging needs of a row that conforms to its schema as it is.

    Attributes:
        columns: a struct with the text of each column.
    """

    __slots__ = ("columns",)

    columns: msgspec.Struct


class RecordEncoder:
    """Makes the records of one stream; called from several threads.

    Args:
        schema: of the records.
        name: of the stream, and of the member of a page that holds its rows, if not `data`.
        columns: the properties that a record has.
        added: one more, which the tap sets.

    Attributes:
        nulled: number of values that became null, by path such as `items[].price`.
    """

    def __init__(
        self, schema: Schema, name: str, columns: Container[str], added: str | None = None
    ) -> None:
        known: Mapping[str, Schema] = schema["properties"]
        chosen = {key: known[key] for key in known if key in columns or key == added}
        names = [*dict.fromkeys((*chosen, *PAGING))]
        texts = members(dict.fromkeys(names, msgspec.Raw))
        whole = members({**dict.fromkeys(names, Any), **dict.fromkeys(PAGING, msgspec.Raw)})
        fields = dict(zip(names, texts.__struct_fields__, strict=True))
        # What the tap sets needs no check, and times are checked where they are decoded for paging.
        times = {key for key in PAGING if type_of(chosen.get(key, {})) == Instant | None}
        others = {key: part for key, part in chosen.items() if key not in {added, *times}}
        self._name = name
        conformance = Conformance(schema)
        self.nulled, self._conform = conformance.nulled, conformance.column
        self._pages = [
            (_page_decoder(name, row_of(others, closed=True)), _page_decoder(name, texts)),
            (_page_decoder(name, row_of(others)), _page_decoder(name, whole)),
        ]
        self._text_row, self._check_row = decoder(texts), decoder(row_of(chosen)).decode
        self._checks = {key: decoder(type_of(part)).decode for key, part in chosen.items()}
        self._paging = [(key, fields[key], key in times - {added}) for key in PAGING]
        self._hidden = [fields[key] for key in PAGING if key not in chosen]
        self._added, self._fields = added or "", fields

    def page(self, content: bytes) -> Any:
        """A decoded response; its rows as text if all of them conform as they are.

        Raises:
            ValueError: it is not JSON, or holds a number or a character that cannot be read.
        """
        if not _has_nul(content):
            # A line end between two values would end the message; inside a value it is escaped.
            content = content.replace(b"\n", b" ").replace(b"\r", b" ")
            for typed, texts in self._pages:
                with suppress(msgspec.ValidationError):
                    typed.decode(content)
                    return self._body(texts.decode(content))
        return decode(content)

    def _body(self, page: Any) -> dict[str, Any]:
        rows = page.rows if page.data_ref == self._name else page.data
        body = {key: getattr(page, key) for key in ("data_ref", *OTHERS)}
        return {**body, page.data_ref: [self._row(columns) for columns in rows]}

    def _row(self, columns: Any) -> TextRow:
        row = TextRow()
        for key, field, is_time in self._paging:
            text = getattr(columns, field)
            if text is not msgspec.UNSET:
                row[key] = value = decode(text)
                if is_time and not (value is None or is_instant(value)):
                    raise msgspec.ValidationError
        row.columns = columns
        return row

    def record(self, row: dict[str, Any], added: str | None = None) -> Record:
        """The record of a row, without unknown columns.

        Args:
            row: of a page of this encoder, or any.
            added: the value of the column that the tap sets; `None` leaves it as it is.

        Raises:
            VoucherifyError: a required value has no form that the schema allows.
        """
        columns = row.columns if isinstance(row, TextRow) else self._conforming(row, added)
        for field in self._hidden:
            setattr(columns, field, msgspec.UNSET)
        if added is not None:
            setattr(columns, self._fields[self._added], added)
        return Record(encode(columns))

    def _conforming(self, row: dict[str, Any], added: str | None) -> Any:
        """The columns of a row, those that do not conform made to."""
        row = row if added is None else {**row, self._added: added}
        try:
            text = encode(row)
        except (UnicodeEncodeError, RecursionError):
            text = encode({key: self._conform(key, row[key]) for key in self._checks if key in row})
        columns, has_nul = self._text_row.decode(text), _has_nul(text)
        if not has_nul and _passes(self._check_row, text):
            return columns
        for key, check in self._checks.items():
            column = getattr(columns, self._fields[key])
            if column is msgspec.UNSET:
                continue
            if not _passes(check, column) or (has_nul and _has_nul(bytes(column))):
                setattr(columns, self._fields[key], self._conform(key, decode(column)))
        return columns


def _passes(check: Callable[[Any], Any], text: bytes | msgspec.Raw) -> bool:
    try:
        check(text)
    except msgspec.ValidationError:
        return False
    return True


def _has_nul(text: bytes) -> bool:
    return b"\\" in text and NUL in text


def _page_decoder(name: str, row: Any) -> msgspec.json.Decoder[Any]:
    """The decoder of a response of a list, with its rows in its member `name` or `data`."""
    rows: Any = list[row]
    types: list[tuple[str, Any, Any]] = [
        ("data_ref", Literal[name, "data"], msgspec.NODEFAULT),
        ("rows", rows, msgspec.field(default_factory=list)),
        ("data", rows, msgspec.field(default_factory=list)),
        *((key, Any, None) for key in OTHERS),
    ]
    return decoder(msgspec.defstruct("Page", types, rename={"rows": name}))
