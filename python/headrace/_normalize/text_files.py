"""Load files of text: dlt's own writers, whose Arrow tables the engine writes as they would their rows."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pyarrow as pa
from dlt.common.data_writers import BufferedDataWriter, DataWriter
from dlt.common.data_writers.writers import CsvWriter, InsertValuesWriter, JsonlWriter
from dlt.common.storages.data_item_storage import DataItemStorage

from headrace import _core
from headrace._normalize import text_layouts as _text_layouts
from headrace._normalize.rows import Rows
from headrace._normalize.written_tables import TableWriter


def take_rows(writer: BufferedDataWriter[DataWriter], base: type[DataWriter]) -> None:
    """Makes dlt's writer take `Rows`."""
    writer.write_data_item = partial(_write_item, writer, writer.write_data_item)  # type: ignore[method-assign]
    writer.writer_cls = partial(_open, text_writer(base), writer)  # type: ignore[assignment]


def _write_item(writer: BufferedDataWriter[DataWriter], write: Callable[..., int], item: Any, columns: Any) -> int:
    """Writes rows of the engine, where a file has limits as often as dlt would write so many: it looks at them after each."""
    if not isinstance(item, Rows):
        return int(write(item, columns))
    table = item.table()
    if not (writer.file_max_items or writer.file_max_bytes):
        return int(write(table, columns))
    n_rows = writer.buffer_max_items
    return sum(write(table.slice(start, n_rows), columns) for start in range(0, table.num_rows, n_rows))


def _open(cls: type[TextTables], buffered: BufferedDataWriter[DataWriter], file: Any, caps: Any) -> TextTables:
    writer = cls(file, caps=caps)
    writer.buffered = buffered
    return writer


@cache
def text_writer(base: type[DataWriter]) -> type[TextTables]:
    """The writer class, taking Arrow tables."""
    return type(base.__name__, (TextTables, base), {})


class TextTables(TableWriter):
    """Text formats: the engine writes the table's rows as dlt's writer would, or gives dlt's writer the rows."""

    def write_header(self, columns_schema: Any) -> None:
        """Remembers the columns."""
        self._columns = columns_schema
        self._layout = _checked_layout(self)[0]
        super().write_header(columns_schema)

    def _write_table(self, table: pa.Table) -> None:
        done = 0
        if self._layout is not None and not self._is_odd(table):
            done = self._write_natively(table, self._layout)
        if done < table.num_rows:
            self._write_rows(table.slice(done))

    def _is_odd(self, table: pa.Table) -> bool:
        """A column without a name is none for dlt, whose JSON has it all the same. A row of a CSV file of one column is
        quoted when it is empty.
        """
        alone = len(self._columns) == 1 and getattr(self, "quoting", None) in ("quote_minimal", "quote_none")
        return alone or "" in table.column_names

    def _write_natively(self, table: pa.Table, layout: _core.TextLayout) -> int:
        """Returns how many rows were written: not all when dlt's writer is to take one (and to fail with its own error)."""
        known = self.buffered._current_columns if isinstance(self, JsonlWriter) else self._columns
        columns = _text_layouts.columns_of(self, known, self._naive(), table.schema)
        write = _writes_bytes(self._f)
        done = 0
        for batch in table.to_batches():
            follows = done > 0 or getattr(self, "_chunks_written", 0) > 0
            try:
                _core.write_text(batch, layout, columns, follows, write)
            except (_core.Error, UnicodeEncodeError) as ex:
                self._count(table.slice(0, done + getattr(ex, "record", 0)))
                return done + getattr(ex, "record", 0)
            done += batch.num_rows
        self._count(table)
        return done

    def _count(self, table: pa.Table) -> None:
        """What dlt's writer counts."""
        if isinstance(self, CsvWriter):
            self.items_count += sum(len(column) - column.null_count for column in table.columns)
        else:
            self.items_count += table.num_rows
        if isinstance(self, InsertValuesWriter):
            self._chunks_written += table.num_rows > 0

    def _naive(self) -> set[str]:
        return {name for name, column in self.buffered._current_columns.items() if _is_naive(column, self._caps)}

    def _write_rows(self, table: pa.Table) -> None:
        naive, columns = self._naive(), self.buffered._current_columns
        for index, field in enumerate(table.schema):
            if field.name in naive and pa.types.is_timestamp(field.type):
                table = table.set_column(index, field.name, table.column(index).cast(pa.timestamp("us")))
        types = {name: str(column.get("data_type")) for name, column in columns.items()}
        super().write_data(_text_layouts.rows_of(table, types, isinstance(self, InsertValuesWriter)))


def why_rows(storage: DataItemStorage, caps: Any) -> str | None:
    """Why text files are written from Python rows; None: they are not."""
    return _checked_layout(text_writer(storage.writer_cls)(io.BytesIO(), caps=caps))[1]


_layouts: dict[Any, tuple[_core.TextLayout | None, str | None]] = {}
_CSV_SETTINGS = ("delimiter", "quoting", "lineterminator", "encoding", "encoding_errors", "bytes_encoding")


def _checked_layout(writer: DataWriter) -> tuple[_core.TextLayout | None, str | None]:
    """The layout of a writer that has written nothing, or why there is none."""
    key = (
        type(writer),
        *(getattr(writer, name, None) for name in _CSV_SETTINGS),
        *(getattr(writer._caps, name, None) for name in ("escape_literal", "insert_values_writer_type")),
    )
    if key not in _layouts:
        try:
            layout = _text_layouts.layout_of(writer)
            _text_layouts.check(writer, type(writer).__bases__[1], layout)  # see `text_writer`
            _layouts[key] = layout, None
        except _text_layouts.NoLayout as ex:
            _layouts[key] = None, str(ex)
    return _layouts[key]


def _writes_bytes(file: Any) -> Any:
    """What writes UTF-8 bytes into the file, which may take text, of another encoding too."""
    if not isinstance(file, io.TextIOBase):
        return file.write
    if isinstance(file, io.TextIOWrapper) and codecs.lookup(file.encoding).name == "utf-8":
        file.flush()
        return file.buffer.write
    decode = codecs.getincrementaldecoder("utf-8")().decode
    return lambda piece: file.write(decode(piece))


def _is_naive(column: Any, caps: Any) -> bool:
    """Whether a timestamp column holds wall clocks, as `JsonLItemsNormalizer` decides it."""
    if caps is not None and getattr(caps, "supports_tz_aware_datetime", True) is False:
        return True
    if caps is not None and getattr(caps, "supports_naive_datetime", True) is False:
        return False
    return column.get("timezone", True) is False
