"""Parquet load files: by the engine's writer, without pyarrow, where the columns and dlt's settings are what it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import IO, TYPE_CHECKING, Any

from dlt.common.data_writers import BufferedDataWriter, DataWriter
from dlt.common.data_writers.writers import FileWriterSpec, ParquetDataWriter
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.storages.data_item_storage import DataItemStorage

from headrace import _core
from headrace._collector import collector_paused
from headrace._normalize.parquet_columns import native_columns, native_options, settings_of
from headrace._normalize.parquet_rows import RowCheck
from headrace._normalize.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace._normalize.parquet_tables import ParquetTables

_LARGE_BYTES = 1 << 20  # rows worth a row group of their own
_ADVICE = {  # by the native writer's code
    "NULL_VALUE": "Take `nullable: False` off the column in the resource's `columns` hints, or mend the source",
    "RANGE": "Give the column a greater `precision` in the resource's `columns` hints, or the type `text`",
    "LIMIT": "Write another file format (`loader_file_format`)",
}


def take_rows(writer: BufferedDataWriter[DataWriter], storage: DataItemStorage, table: str) -> None:
    """Makes dlt's writer of a table take `Rows`. The storage's attribute `origin`, a function, says of the row that is written
    next where its record stands.
    """
    check = RowCheck(table, writer._caps, lambda: vars(storage)["origin"]())
    writer.write_data_item = partial(_write_item, writer, writer.write_data_item, check)  # type: ignore[method-assign]
    writer.writer_cls = partial(ParquetFile, storage.writer_cls, check, partial(_settings, storage))  # type: ignore[assignment]


def _settings(storage: DataItemStorage, caps: DestinationCapabilitiesContext) -> tuple[Any, str | None]:
    """dlt resolves them for each file, which takes it milliseconds."""
    known = vars(storage)
    found: tuple[Any, str | None] = known.get("parquet_settings") or settings_of(caps)
    known["parquet_settings"] = found
    return found


def _write_item(writer: BufferedDataWriter[DataWriter], write: Any, check: RowCheck, item: Any, columns: Any) -> int:
    """Writes rows of the engine, or a row. Many are not kept with others: their memory serves the next batch."""
    if isinstance(item, dict):
        check.look(item, columns)
    n_rows = int(write(item, columns))
    if isinstance(item, Rows) and item.n_bytes >= _LARGE_BYTES and not (writer.file_max_items or writer.file_max_bytes):
        writer._flush_items()  # dlt looks at limits after its own flushes
    return n_rows


class ParquetFile(DataWriter):
    """A file of rows (dicts, which dlt's writer makes Arrow tables of) and of `Rows`."""

    def __init__(
        self,
        by_dlt: type[DataWriter],
        check: RowCheck,
        settings: Callable[[DestinationCapabilitiesContext], tuple[Any, str | None]],
        f: IO[Any],
        caps: DestinationCapabilitiesContext,
    ) -> None:
        super().__init__(f, caps)
        self._by_dlt = by_dlt
        self._check = check
        self._settings = settings
        self._columns: Any = None
        self._native: _core.ParquetWriter | None = None
        self._dlts: ParquetTables | None = None  # writes the file, or makes tables of rows for the native writer

    def write_header(self, columns_schema: Any) -> None:
        """Opens the file. Raises what dlt's writer raises of its settings."""
        self._columns = columns_schema
        settings, timezone = self._settings(self._caps)
        options = native_options(settings)
        columns = None if options is None else native_columns(columns_schema, self._caps, timezone)
        if columns is None or options is None:
            self._dlts = self._open_dlts()
        else:
            self._native = _core.ParquetWriter(columns, self._f.write, **options)

    def write_data(self, items: Sequence[Any]) -> None:
        """Writes rows and `Rows` in their order."""
        if self._native is None:
            assert self._dlts is not None
            self._dlts.write_data([item.table() if isinstance(item, Rows) else item for item in items])
            self.items_count = self._dlts.items_count
            return
        for are_rows, group in groupby(items, lambda item: isinstance(item, Rows)):
            if are_rows:
                for rows in group:
                    self._write_rows(self._native, rows)
                    self.items_count += len(rows)
            else:
                dicts = list(group)
                self._table_maker(self._native).write_data(dicts)
                self.items_count += len(dicts)

    def _write_rows(self, native: _core.ParquetWriter, rows: Rows) -> None:
        try:
            native.write(rows.batch)
        except _core.Error as error:
            if error.code != "UNSUPPORTED":
                raise _as_arrows(error, self._check.table) from error
            from headrace._normalize.parquet_tables import to_schema

            table = to_schema(rows.table(), self._table_maker(native).schema)
            self._natively(native).write_table(table)

    def _table_maker(self, native: _core.ParquetWriter) -> ParquetTables:
        """dlt's writer in front of the native one."""
        if self._dlts is None:
            self._dlts = self._open_dlts()
            self._dlts.writer = self._natively(native)
        return self._dlts

    def _natively(self, native: _core.ParquetWriter) -> _Natively:
        return _Natively(native, self._check.table)

    def _open_dlts(self) -> ParquetTables:
        with collector_paused():
            from headrace._normalize.parquet_tables import parquet_writer

            writer = parquet_writer(self._by_dlt)(self._f, caps=self._caps)
        writer.check = self._check
        writer.write_header(self._columns)
        return writer

    def write_footer(self) -> None:
        """Ends the file; an empty one too."""
        if self._native is not None:
            self._native.finish()
        elif self._dlts is not None:
            self._dlts.write_footer()

    @classmethod
    def writer_spec(cls) -> FileWriterSpec:
        """That of dlt's."""
        return ParquetDataWriter.writer_spec()

    def close(self) -> None:
        """Lets go of what wrote it."""
        if self._dlts is not None:
            self._dlts.close()
        self._native = self._dlts = None


def _as_arrows(error: _core.Error, table: str) -> Exception:
    """What pyarrow raises of a value that a column does not hold."""
    import pyarrow as pa

    advice = f". {_ADVICE[error.code]}" if error.code in _ADVICE else ""
    return pa.ArrowInvalid(f"table `{table}`: {error}{advice}")  # type: ignore[no-any-return]


class _Natively:
    """The native writer with the methods of `pyarrow.parquet.ParquetWriter` that dlt's writer calls."""

    def __init__(self, native: _core.ParquetWriter, table: str) -> None:
        self._native = native
        self._table = table

    def write_table(self, table: pa.Table, row_group_size: int | None = None) -> None:
        """Writes the table, in row groups of the native writer's size. Raises `pyarrow.ArrowInvalid`, as pyarrow does."""
        for batch in table.combine_chunks().to_batches():
            try:
                self._native.write(batch)
            except _core.Error as error:
                raise _as_arrows(error, self._table) from error

    def close(self) -> None:
        """Nothing: the file's writer ends it."""
