"""CSV bodies as JSON lines: columns at a time, by Arrow and the engine's `write_text`."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from dlt.common.json import json

from headrace._nested.text import Cell, NoText, written
from headrace._rest_api.body_text import is_html, utf8
from headrace._rest_api.option_values import known, number, one_of, texts
from headrace.exceptions import ConfigurationError, engine_error

_KEYS = ("delimiter", "quote", "escape", "header", "skip_rows", "encoding", "nulls", "types")
_BLOCK = 32 << 20  # bytes that Arrow parses at a time
_HEAD = 1 << 20  # bytes in which the header must end
_ROW = re.compile(r"Row #(\d+)")
# What is a number in JSON too, whole columns of it: 007, +1 and 1,5 stay text.
_INTEGER, _DOUBLE = r"^-?(0|[1-9][0-9]{0,17})$", r"^-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?([eE][-+]?[0-9]{1,2})?$"
_BOOL = r"^(true|false|True|False|TRUE|FALSE)$"
_KINDS = ((_INTEGER, pa.int64(), "bigint"), (_DOUBLE, pa.float64(), "double"), (_BOOL, pa.bool_(), "bool"))


@dataclass(frozen=True)
class CsvRules:
    """How CSV text is read.

    Attributes:
        delimiter, quote, escape: A character each; quote and escape may be "" for none.
        header: The columns' names; True: in the first row.
        skip_rows: Lines before the header that are left out.
        encoding: Of the text; a byte order mark counts for more.
        nulls: Unquoted texts that are null.
        infer: Whether columns of which each value is a number or a truth value become such.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    header: tuple[str, ...] | bool = True
    skip_rows: int = 0
    encoding: str = "utf-8"
    nulls: tuple[str, ...] = ("",)
    infer: bool = True

    @classmethod
    def of(cls, given: Any, where: str) -> CsvRules:
        """What the configuration says."""
        own = known(given, _KEYS, where)
        header = own.get("header", True)
        if header is not True:
            header = texts(header, f"{where}.header", "true (the first row) or a list of names", least=1)
        encoding = own.get("encoding", "utf-8")
        try:
            codecs.lookup(encoding)
        except (LookupError, TypeError):
            raise ConfigurationError(
                f"`{where}.encoding` is not known: {encoding!r}. It must be one of Python's, such as utf-8 or cp1252"
            ) from None
        return cls(
            delimiter=_character(own.get("delimiter", ","), f"{where}.delimiter"),
            quote=_character(own.get("quote", '"'), f"{where}.quote", may_be_none=True),
            escape=_character(own.get("escape", ""), f"{where}.escape", may_be_none=True),
            header=header,
            skip_rows=int(number(own.get("skip_rows", 0), f"{where}.skip_rows")),
            encoding=encoding,
            nulls=texts(own.get("nulls", [""]), f"{where}.nulls"),
            infer=one_of(own.get("types", "infer"), ("infer", "text"), f"{where}.types") == "infer",
        )

    def text(self, body: bytes) -> bytes:
        """JSON lines of the rows: objects, a null where a field is null. Raises `Error` SYNTAX, ENCODING or LIMIT."""
        body = utf8(body, self.encoding)
        if is_html(body):
            raise engine_error("SYNTAX", "expected CSV, found an HTML page")
        names = self.header if isinstance(self.header, tuple) else self._names(body)
        if not names:
            return b""
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise engine_error(
                "SYNTAX", f"the header has `{twice}` twice: give other names in `csv.header`, and skip_rows: 1"
            )
        table = self._table(body, names)
        found = [self._typed(column) for column in table.columns]
        labels = [json.dumpb(name) + b":" for name in names]
        made = pa.Table.from_arrays([array for array, _ in found], names=[str(at) for at in range(len(names))])
        pieces: list[bytes] = []
        try:
            for batch in made.to_batches():
                cells = map(Cell, labels, batch.columns, (kind for _, kind in found))
                pieces.append(written(list(cells), "{", "}\n"))
        except NoText as error:
            raise engine_error("INTERNAL", f"CSV cannot be written as JSON here: {error}") from error
        return b"".join(pieces)

    def _names(self, body: bytes) -> tuple[str, ...]:
        """The header's."""
        head = body[:_HEAD].decode("utf-8", "replace")
        options: Any = {"delimiter": self.delimiter, "escapechar": self.escape or None}
        options |= {"quotechar": self.quote} if self.quote else {"quoting": csv.QUOTE_NONE}
        lines = io.StringIO(head, newline="")
        for _ in range(self.skip_rows):
            lines.readline()
        rows = csv.reader(lines, **options)
        try:
            return tuple(next((row for row in rows if row), ()))
        except csv.Error as error:
            raise engine_error("SYNTAX", f"the header cannot be read: {error}") from error

    def _table(self, body: bytes, names: tuple[str, ...]) -> pa.Table:
        is_named = isinstance(self.header, tuple)
        try:
            return pacsv.read_csv(
                pa.BufferReader(body),
                read_options=pacsv.ReadOptions(
                    column_names=list(names) if is_named else None,
                    skip_rows=self.skip_rows,
                    block_size=max(min(len(body) + 1, _BLOCK), 1),
                    use_threads=False,
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=self.delimiter,
                    quote_char=self.quote or False,
                    double_quote=bool(self.quote),
                    escape_char=self.escape or False,
                    newlines_in_values=True,
                ),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    null_values=list(self.nulls),
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            code = "ENCODING" if "UTF8" in str(error) else "SYNTAX"
            found = engine_error(code, str(error)[:300])
            if row := _ROW.search(str(error)):
                found.record = int(row[1]) - (1 if is_named else 2) - self.skip_rows
            raise found from error

    def _typed(self, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
        if self.infer and column.null_count < len(column):
            for pattern, kind, name in _KINDS:
                if pc.all(pc.match_substring_regex(column, pattern)).as_py():
                    return pc.cast(pc.ascii_lower(column) if name == "bool" else column, kind), name
        return column, "text"


def _character(given: Any, where: str, may_be_none: bool = False) -> str:
    if given == "" and may_be_none:
        return ""
    if not isinstance(given, str) or len(given) != 1 or not given.isascii() or given in "\r\n":
        raise ConfigurationError(f"`{where}` must be one ASCII character, not {given!r}")
    return given
