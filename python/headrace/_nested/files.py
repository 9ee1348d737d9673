"""The child tables of nested Arrow: rows are collected and written to files of the open load package."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from headrace._writer import PackageWriter


class ChildFiles:
    """Holds rows of child tables until there are enough for a row group, then hands them to the writer's thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._writer = PackageWriter()
        self._held: dict[str, list[pa.Table]] = {}
        self._held_bytes = 0
        self._types: dict[tuple[str, str], pa.DataType] = {}

    def complete(self, name: str, table: pa.Table, columns: dict[str, Any]) -> pa.Table:
        """The table with those of the columns that earlier rows had and these do not, of the same Arrow types."""
        for field in table.schema:
            self._types[name, field.name] = field.type
        for column in columns:
            kind = self._types.get((name, column))
            if kind is not None and column not in table.schema.names:
                table = table.append_column(column, pa.nulls(table.num_rows, kind))
        return table

    def write(self, name: str, table: pa.Table) -> None:
        """Takes rows of a child table. Raises what an earlier write raised."""
        held = self._held.setdefault(name, [])
        if held and not held[-1].schema.equals(table.schema):
            self._flush(name)
            held = self._held.setdefault(name, [])
        held.append(table)
        self._held_bytes += table.nbytes
        if self._held_bytes >= self._max_bytes:
            self._flush_all()

    def _flush_all(self) -> None:
        for name in list(self._held):
            self._flush(name)
        self._held_bytes = 0

    def _flush(self, name: str) -> None:
        tables = self._held.pop(name)
        self._writer.write(name, pa.concat_tables(tables))

    def close(self) -> None:
        """Completes the files."""
        try:
            self._flush_all()
        except BaseException:
            self._writer.abort()
            raise
        self._writer.close()

    def abort(self) -> None:
        """Gives up: dlt discards the package."""
        self._held.clear()
        self._writer.abort()

    def close_with(self, storage: Any) -> None:
        """Completes the files, or gives them up, when dlt does so with its own of the extraction."""
        close_writers = storage.close_writers

        def closing(load_id: str, skip_flush: bool = False) -> None:
            del storage.close_writers  # the class's again
            try:
                if skip_flush:
                    self.abort()
                else:
                    self.close()
            finally:
                close_writers(load_id, skip_flush=skip_flush)

        storage.close_writers = closing
