"""Parquet load files by dlt's own writer, which writes what the engine's writer does not: other types, other settings. It takes
Arrow tables too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.data_writers import DataWriter

from headrace._normalize.parquet_rows import RowCheck
from headrace._normalize.written_tables import TableWriter
from headrace._parquet import is_complete, writer_options

_SAMPLE_ROWS = 400


@cache
def parquet_writer(base: type[DataWriter]) -> type[ParquetTables]:
    """The writer class, taking Arrow tables."""
    return type(base.__name__, (ParquetTables, base), {})


class ParquetTables(TableWriter):
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
