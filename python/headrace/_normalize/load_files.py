"""dlt's own load file writers, which take Arrow tables too: rows that dlt made and rows of the engine share a file."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.data_writers import BufferedDataWriter, DataWriter
from dlt.common.data_writers.writers import CsvWriter, InsertValuesWriter, JsonlWriter, ParquetDataWriter
from dlt.common.storages.data_item_storage import DataItemStorage

from headrace import _core
from headrace._collector import collector_paused
from headrace._normalize import text_layouts as _text_layouts
from headrace._normalize.parquet_rows import RowCheck
from headrace._parquet import is_complete, writer_options

_SAMPLE_ROWS = 400
_LARGE_BYTES = 1 << 20  # a table worth a row group of its own


def take_tables(storage: DataItemStorage, settle: Callable[[bool], None]) -> None:
    """Makes the storage's writers take Arrow tables among the rows. For writers of the format "object". Its attribute
    `origin`, a function, says of the row that is written next where its record stands.

    `settle`: called before the writers are closed, to write what is not written yet (with true: to forget it).
    """
    if "_get_writer" not in vars(storage):
        storage._get_writer = partial(_get_writer, storage, storage._get_writer)  # type: ignore[method-assign]
        storage.close_writers = partial(_close_writers, storage.close_writers, settle)  # type: ignore[method-assign]


def _close_writers(close: Any, settle: Callable[[bool], None], load_id: str, skip_flush: bool = False) -> None:
    settle(skip_flush)
    close(load_id, skip_flush=skip_flush)


def _get_writer(storage: DataItemStorage, get: Any, *args: str) -> BufferedDataWriter[DataWriter]:
    writer: BufferedDataWriter[DataWriter] = get(*args)
    if writer.writer_cls is storage.writer_cls:
        check = None
        if issubclass(storage.writer_cls, ParquetDataWriter):
            check = RowCheck(args[-1], writer._caps, lambda: vars(storage)["origin"]())
            writer.write_data_item = partial(_looked_at, writer, writer.write_data_item, check)  # type: ignore[method-assign]
        elif writer.file_max_items or writer.file_max_bytes:
            writer.write_data_item = partial(_in_slices, writer.write_data_item, writer.buffer_max_items)  # type: ignore[method-assign]
        writer.writer_cls = partial(_open, _with_tables(storage.writer_cls), writer, check)  # type: ignore[assignment]
    return writer


def _looked_at(writer: BufferedDataWriter[DataWriter], write: Any, check: RowCheck, item: Any, columns: Any) -> int:
    """Writes a table or a row. A large table is not kept with others: its memory serves the next batch."""
    if isinstance(item, dict):
        check.look(item, columns)
    n_rows = int(write(item, columns))
    if (
        isinstance(item, pa.Table)
        and item.nbytes >= _LARGE_BYTES
        and not (writer.file_max_items or writer.file_max_bytes)
    ):
        writer._flush_items()  # dlt looks at limits after its own flushes
    return n_rows


def _in_slices(write: Any, n_rows: int, item: Any, columns: Any) -> int:
    """Writes a table as often as dlt would write so many rows, after each of which it looks at a file's limits."""
    if not isinstance(item, pa.Table):
        return int(write(item, columns))
    return sum(write(item.slice(start, n_rows), columns) for start in range(0, item.num_rows, n_rows))


def _open(
    cls: type[DataWriter], buffered: BufferedDataWriter[DataWriter], check: RowCheck | None, file: Any, caps: Any
) -> DataWriter:
    with collector_paused():  # the first one imports what dlt writes Parquet with
        writer = cls(file, caps=caps)
    if isinstance(writer, _Tables):
        writer.buffered = buffered
    if isinstance(writer, _ParquetTables):
        writer.check = check
    return writer


@cache
def _with_tables(base: type[DataWriter]) -> type[DataWriter]:
    """The writer class, taking Arrow tables."""
    mixin = _ParquetTables if issubclass(base, ParquetDataWriter) else _TextTables
    return type(base.__name__, (mixin, base), {})


class _Tables(DataWriter):
    """Splits what is written into rows and tables."""

    buffered: BufferedDataWriter[DataWriter]  # its newest columns are those of the table, also when the file has fewer

    def write_data(self, items: Sequence[Any]) -> None:
        """Writes rows (dicts) and Arrow tables in their order."""
        for is_table, group in groupby(items, lambda item: isinstance(item, pa.Table)):
            if not is_table:
                super().write_data(list(group))
                continue
            for table in group:
                self._write_table(table)

    def _write_table(self, table: pa.Table) -> None:
        raise NotImplementedError


class _ParquetTables(_Tables):
    """Parquet: the table as it is, in the file's columns."""

    schema: pa.Schema
    writer: Any
    parquet_format: Any
    check: RowCheck | None = None  # of rows

    def write_data(self, items: Sequence[Any]) -> None:
        """Writes rows and tables."""
        if self.writer is None:
            first = next((item for item in items if isinstance(item, pa.Table)), None)
            self._open(None if first is None else _repeating_columns(first))
        try:
            super().write_data(items)
        except (ArithmeticError, ValueError, TypeError) as ex:
            if self.check is not None:
                self.check.tell(ex)
            raise

    def write_footer(self) -> None:
        """Ends the file; an empty one too."""
        if self.writer is None:
            self._open(None)
        super().write_footer()

    def _create_writer(self, schema: pa.Schema) -> Any:
        return None  # put off until the first rows tell which columns repeat their values

    def _open(self, dictionary: list[str] | None) -> None:
        """Opens the file with dlt's settings, and dictionaries for these columns; None: as dlt does, for all."""
        if dictionary is None or not is_complete(self.parquet_format):
            self.writer = super()._create_writer(self.schema)  # type: ignore[misc]
            return
        options = writer_options(self.parquet_format)
        self.writer = pq.ParquetWriter(self._f, self.schema, use_dictionary=dictionary, **options)

    def _write_table(self, table: pa.Table) -> None:
        self.writer.write_table(to_schema(table, self.schema), row_group_size=self.parquet_format.row_group_size)
        self.items_count += table.num_rows


def _repeating_columns(table: pa.Table) -> list[str]:
    """The columns whose values repeat in the first rows. A dictionary of the others costs more than the rest of the file."""
    sample = table.slice(0, _SAMPLE_ROWS)
    return [
        name
        for name, column in zip(sample.column_names, sample.columns, strict=True)
        if column.type not in (pa.bool_(),) and len(column.unique()) * 2 <= len(column)
    ]


class _TextTables(_Tables):
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
    if issubclass(storage.writer_cls, ParquetDataWriter):
        return None
    return _checked_layout(_with_tables(storage.writer_cls)(io.BytesIO(), caps=caps))[1]


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
            _text_layouts.check(writer, type(writer).__bases__[1], layout)  # see `_with_tables`
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


def to_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the schema's columns in its order: what it lacks is null, types are cast as dlt converts values
    (timestamps are cut to their precision, a value that does not fit fails).
    """
    if table.schema.equals(schema):
        return table
    columns = []
    for field in schema:
        index = table.schema.get_field_index(field.name)
        if index < 0:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(index)
        if column.type != field.type:
            cut = pa.types.is_timestamp(field.type) or pa.types.is_time(field.type)
            column = column.cast(field.type, safe=not cut)
        columns.append(column)
    return pa.table(columns, schema=schema)
