"""Make records of the rows of a stream, as JSON text.

A page is decoded twice, without making objects of most of it: once into the types of the schema,
which checks every value, and once into the text of each column, of which records are put together.
Nearly every row conforms to its schema as it is. A column that does not is left out of the first
check from then on: it is checked by itself in each row, and made to conform.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tap_voucherify.records.conformance import Conformance, Schema, is_instant
from tap_voucherify.records.row_types import Instant, decoder, members, row_of, type_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

Record = msgspec.Raw
"""The JSON text of a record."""

PageDecoder = msgspec.json.Decoder[Any]
Check = Callable[[bytes | msgspec.Raw], Any]
"""Raises for text that does not conform."""

PAGING = ("id", "created_at", "updated_at", "date")
"""Members of a row that paging needs."""

OTHERS = ("total", "has_more", "more_starting_after")
"""Members of a page that paging needs beside the rows."""

NUL = b"\\u0000"
"""The character that loaders cannot store; JSON has no other way to write it."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class TextRow(dict[str, Any]):
    """The members that paging needs of a row that conforms as it is, apart from suspect columns.

    Attributes:
        columns: a struct with the text of each column.
        suspects: columns that are not checked yet.
    """

    __slots__ = ("columns", "suspects")

    columns: msgspec.Struct
    suspects: frozenset[str]


@dataclass(frozen=True, slots=True)
class PageDecoders:
    """How a page is checked and its rows taken apart.

    Attributes:
        check: takes a page only if its rows conform in all columns but the suspect ones.
        rows: gives the rows.
        suspects: columns that did not conform in some row.
        opened: columns with members inside that the schema does not name. These are decoded, since
            what they hold may not be readable.
    """

    check: PageDecoder
    rows: PageDecoder
    suspects: frozenset[str] = frozenset()
    opened: frozenset[str] = frozenset()


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
        fields = dict(zip(names, texts.__struct_fields__, strict=True))
        # What the tap sets needs no check, and times are checked where they are decoded for paging.
        times = {key for key in PAGING if type_of(chosen.get(key, {})) == Instant | None}
        self._checked = {key: chosen[key] for key in chosen if key not in {added, *times}}
        self._name, self._names = name, names
        conformance = Conformance(schema)
        self.nulled, self._conform = conformance.nulled, conformance.column
        self._decoders = self._decoders_for(frozenset(), frozenset())
        self._page_of_texts = self._decoders.rows
        self._text_row, self._check_row = decoder(texts), decoder(row_of(chosen)).decode
        self._checks = _checks(chosen, closed=False)
        self._paging = [(key, fields[key], key in times - {added}) for key in PAGING]
        self._hidden = [fields[key] for key in PAGING if key not in chosen]
        self._added, self._fields = added or "", fields

    def page(self, content: bytes) -> Any:
        """A decoded response; its rows as text if all conform, apart from suspect columns.

        Raises:
            ValueError: it is not JSON, or holds a number or a character that cannot be read.
        """
        if not _has_nul(content):
            # A line end between two values would end the message; inside a value it is escaped.
            content = content.replace(b"\n", b" ").replace(b"\r", b" ")
            with suppress(msgspec.ValidationError):
                return self._text_page(content)
        return decode(content)

    def _text_page(self, content: bytes) -> dict[str, Any]:
        """A page of rows as text.

        Raises:
            msgspec.ValidationError: it is of another form.
        """
        while True:
            decoders = self._decoders
            with suppress(msgspec.ValidationError):
                decoders.check.decode(content)
                return self._body(decoders.rows.decode(content), decoders.suspects)
            self._decoders = self._adapted(decoders, content)

    def _adapted(self, decoders: PageDecoders, content: bytes) -> PageDecoders:
        """The decoders for a page whose rows do not conform as those before did.

        Raises:
            msgspec.ValidationError: the reason is none of its columns.
        """
        rows = self._rows_of(self._page_of_texts.decode(content))
        suspects = decoders.suspects | self._failing(rows, self._checks)
        opened = (decoders.opened | self._failing(rows, self._closed_checks)) - suspects
        if (suspects, opened) == (decoders.suspects, decoders.opened):
            raise msgspec.ValidationError
        return self._decoders_for(suspects, opened)

    @cached_property
    def _closed_checks(self) -> dict[str, Check]:
        return _checks(self._checked, closed=True)

    def _failing(self, rows: list[Any], checks: Mapping[str, Check]) -> frozenset[str]:
        """The columns that a check refuses in some row."""
        return frozenset(
            key
            for key in self._checked
            for columns in rows
            if (text := getattr(columns, self._fields[key])) is not msgspec.UNSET
            and not _passes(checks[key], text)
        )

    def _decoders_for(self, suspects: frozenset[str], opened: frozenset[str]) -> PageDecoders:
        checked = {
            key: type_of(part, closed=key not in opened)
            for key, part in self._checked.items()
            if key not in suspects
        }
        columns = {key: Any if key in opened else msgspec.Raw for key in self._names}
        check, rows = (_page_decoder(self._name, members(each)) for each in (checked, columns))
        return PageDecoders(check, rows, suspects, opened)

    def _rows_of(self, page: Any) -> list[Any]:
        rows: list[Any] = page.rows if page.data_ref == self._name else page.data
        return rows

    def _body(self, page: Any, suspects: frozenset[str]) -> dict[str, Any]:
        body = {key: getattr(page, key) for key in ("data_ref", *OTHERS)}
        rows = [self._row(columns, suspects) for columns in self._rows_of(page)]
        return {**body, page.data_ref: rows}

    def _row(self, columns: Any, suspects: frozenset[str]) -> TextRow:
        row = TextRow()
        for key, field, is_time in self._paging:
            text = getattr(columns, field)
            if text is not msgspec.UNSET:
                row[key] = value = decode(text)
                if is_time and not (value is None or is_instant(value)):
                    raise msgspec.ValidationError
        for key in suspects:
            text = getattr(columns, self._fields[key])
            if text is not msgspec.UNSET:
                decode(text)  # to raise now what cannot be read
        row.columns, row.suspects = columns, suspects
        return row

    def record(self, row: dict[str, Any], added: str | None = None) -> Record:
        """The record of a row, without unknown columns.

        Args:
            row: of a page of this encoder, or any.
            added: the value of the column that the tap sets; `None` leaves it as it is.

        Raises:
            VoucherifyError: a required value has no form that the schema allows.
        """
        if isinstance(row, TextRow):
            columns: Any = row.columns
            self._check_columns(columns, row.suspects)
            row.suspects = frozenset()
        else:
            columns = self._conforming(row, added)
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
        if has_nul or not _passes(self._check_row, text):
            self._check_columns(columns, self._checks, has_nul=has_nul)
        return columns

    def _check_columns(self, columns: Any, names: Iterable[str], *, has_nul: bool = False) -> None:
        """Make the columns conform that do not."""
        for key in names:
            column = getattr(columns, self._fields[key])
            if column is msgspec.UNSET:
                continue
            if not _passes(self._checks[key], column) or (has_nul and _has_nul(bytes(column))):
                setattr(columns, self._fields[key], self._conform(key, decode(column)))


def _checks(columns: Mapping[str, Schema], *, closed: bool) -> dict[str, Check]:
    """What checks each column; closed, it also refuses members that the schema does not name."""
    return {key: decoder(type_of(part, closed=closed)).decode for key, part in columns.items()}


def _passes(check: Check, text: bytes | msgspec.Raw) -> bool:
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
