"""dlt's own load file writers, which take Arrow tables too: rows that dlt made and rows of the engine share a file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.data_writers import BufferedDataWriter, DataWriter
from dlt.common.data_writers.writers import CsvWriter, JsonlWriter, ParquetDataWriter
from dlt.common.json import json
from dlt.common.storages.data_item_storage import DataItemStorage

# What `ParquetDataWriter._create_writer` of dlt 1.31 hands to pyarrow.
_WRITER_SETTINGS = (
    "flavor",
    "version",
    "compression",
    "data_page_size",
    "coerce_timestamps",
    "allow_truncated_timestamps",
    "use_compliant_nested_type",
    "write_page_index",
    "use_content_defined_chunking",
)
_FIRST_WITH_CHUNKING = 21  # of pyarrow
_SAMPLE_ROWS = 400


def take_tables(storage: DataItemStorage) -> None:
    """Makes the storage's writers take Arrow tables among the rows. For writers of the format "object"."""
    if "_get_writer" not in vars(storage):
        storage._get_writer = partial(_get_writer, storage, storage._get_writer)  # type: ignore[method-assign]


def _get_writer(storage: DataItemStorage, get: Any, *args: str) -> BufferedDataWriter[DataWriter]:
    writer: BufferedDataWriter[DataWriter] = get(*args)
    if writer.writer_cls is storage.writer_cls:
        writer.writer_cls = _with_tables(storage.writer_cls)
    return writer


@cache
def _with_tables(base: type[DataWriter]) -> type[DataWriter]:
    """The writer class, taking Arrow tables."""
    mixin = _ParquetTables if issubclass(base, ParquetDataWriter) else _RowsOfTables
    return type(base.__name__, (mixin, base), {})


class _Tables(DataWriter):
    """Splits what is written into rows and tables."""

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

    def write_data(self, items: Sequence[Any]) -> None:
        """Writes rows and tables."""
        if self.writer is None:
            first = next((item for item in items if isinstance(item, pa.Table)), None)
            self._open(None if first is None else _repeating_columns(first))
        super().write_data(items)

    def write_footer(self) -> None:
        """Ends the file; an empty one too."""
        if self.writer is None:
            self._open(None)
        super().write_footer()

    def _create_writer(self, schema: pa.Schema) -> Any:
        return None  # put off until the first rows tell which columns repeat their values

    def _open(self, dictionary: list[str] | None) -> None:
        """Opens the file with dlt's settings, and dictionaries for these columns; None: as dlt does, for all."""
        settings = {
            name: getattr(self.parquet_format, name) for name in _WRITER_SETTINGS if name in self.parquet_format
        }
        if dictionary is None or len(settings) < len(_WRITER_SETTINGS):
            self.writer = super()._create_writer(self.schema)  # type: ignore[misc]
            return
        if hasattr(pa, "__version__") and int(pa.__version__.split(".")[0]) < _FIRST_WITH_CHUNKING:
            settings.pop("use_content_defined_chunking")
        self.writer = pq.ParquetWriter(self._f, self.schema, use_dictionary=dictionary, **settings)

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


class _RowsOfTables(_Tables):
    """Text formats: the table's rows as dlt's normalizer would hand them over."""

    def write_header(self, columns_schema: Any) -> None:
        """Remembers the columns."""
        self._naive = {name for name, column in columns_schema.items() if _is_naive(column, self._caps)}
        self._json_columns = {name for name, column in columns_schema.items() if column.get("data_type") == "json"}
        super().write_header(columns_schema)

    def _write_table(self, table: pa.Table) -> None:
        table = self._in_zone(table)
        names = table.column_names
        columns = [
            [_from_json(value) for value in column.to_pylist()] if name in self._json_columns else column.to_pylist()
            for name, column in zip(names, table.columns, strict=True)
        ]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        if isinstance(self, (JsonlWriter, CsvWriter)):
            rows = [{name: value for name, value in row.items() if value is not None} for row in rows]
        super().write_data(rows)

    def _in_zone(self, table: pa.Table) -> pa.Table:
        """The table with the timestamps of naive columns without their zone."""
        for index, field in enumerate(table.schema):
            if field.name in self._naive and pa.types.is_timestamp(field.type):
                table = table.set_column(index, field.name, table.column(index).cast(pa.timestamp("us")))
        return table


def _is_naive(column: Any, caps: Any) -> bool:
    """Whether a timestamp column holds wall clocks, as `JsonLItemsNormalizer` decides it."""
    if caps is not None and getattr(caps, "supports_tz_aware_datetime", True) is False:
        return True
    if caps is not None and getattr(caps, "supports_naive_datetime", True) is False:
        return False
    return column.get("timezone", True) is False


def _from_json(text: str | None) -> Any:
    """The value of a JSON cell. Text that is no JSON is a string, which dlt leaves as it is."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


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
