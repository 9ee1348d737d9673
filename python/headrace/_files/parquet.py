"""Parquet: `read_parquet`. Columns and row groups are pushed down; types and nested columns stay Arrow's.

A file is read row group by row group in batches of `[headrace] batch_bytes`. Nested columns become child tables
(docs/nested-arrow.md), or stay as they are; a local file that nothing is to be changed of is linked into the load package.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dlt.common.configuration import configspec
from dlt.extract.extractors import with_file_import

from headrace._files.arguments import check_arguments
from headrace._files.opened import SeekableFile
from headrace._files.skips import Position
from headrace._files.stores import local_path
from headrace._files.tables import Configured, batch_rows, marked, path_of, read_tables, size_of
from headrace._nested.arrow import Mark
from headrace.config import setting


@configspec
class ConfiguredParquet(Configured):
    """As dlt's reader, and `on_error`."""

    chunksize: int | None = None
    use_pyarrow: bool = False


_MAGIC = b"PAR1"
_SMALLEST = 12  # bytes: the magic twice and the footer's size


def _read_parquet(
    items: Iterable[Any],
    chunksize: int | None = None,
    use_pyarrow: bool = False,
    *,
    columns: Sequence[str] | None = None,
    filters: Any = None,
    nested: str | None = None,
    on_error: str = "raise",
) -> Iterator[Any]:
    """Reads Parquet files.

    Args:
        items: A page of files.
        chunksize: Most rows that go to the steps behind the reader at once; None: as many as `[headrace] batch_bytes` hold.
        use_pyarrow: As dlt's option of this name: the rows stay Arrow, without ids, as with `nested="keep"`.
        columns: Only these columns; `a.b` takes a member of a struct (not with `filters`).
        filters: Only rows for which this holds: a `pyarrow.compute.Expression`, or `[("column", ">", value), ...]` as
            pyarrow has them. Row groups that cannot have such rows are not read.
        nested: "tables": nested columns become columns and child tables as those of dicts do, and rows get ids; "keep":
            they stay what they are, without ids. None: "tables", but "keep" with `use_pyarrow`.
        on_error: `raise` or `skip_file` (`skip_row` is the same here): what happens with a file that is no Parquet, or corrupt.
    """
    given = {"chunksize": chunksize, "use_pyarrow": use_pyarrow, "columns": columns, "filters": filters}
    check_arguments("read_parquet", {**given, "nested": nested})
    nested = nested or ("keep" if use_pyarrow else "tables")
    needed = _needed(columns, filters)
    expression = pq.filters_to_expression(filters) if isinstance(filters, list) else filters
    is_whole = columns is None and expression is None and chunksize is None

    def read(file: SeekableFile, position: Position, item: Any) -> Iterator[Any]:
        path = local_path(item)
        with _opened(file, path) as parquet:
            # a compressed file is not the one that lies at the path
            if nested == "keep" and is_whole and path is not None and path == path_of(file) and _is_last_step():
                n_rows = parquet.metadata.num_rows
                yield with_file_import(path, "parquet", n_rows, marked(parquet.schema_arrow.empty_table(), nested))
                position.read += n_rows
                return
            for table in _tables(file, parquet, position, columns, needed, expression, chunksize):
                yield marked(table, nested)

    yield from read_tables(items, "read_parquet", on_error, read)


def _opened(file: SeekableFile, path: str | None) -> pq.ParquetFile:
    """The file with its footer read. Raises `ValueError` for what is no Parquet file."""
    size = size_of(file)
    if size == 0:
        raise ValueError("the file is empty: 0 bytes, a Parquet file has 12 at least")
    start = file.read(4)
    if start == b"PARE":
        raise ValueError("the file's footer is encrypted (it begins with PARE): headrace takes no keys")
    if start != _MAGIC:
        raise ValueError(f"no Parquet file: expected PAR1 at byte 0, found {start!r}")
    end = b""
    if size >= _SMALLEST:
        file.seek(size - 4)
        end = file.read(4)
    if end != _MAGIC:
        raise ValueError(f"the file is cut: expected PAR1 at byte {max(size - 4, 0)}, its end, found {end!r}")
    file.seek(0)
    is_local = path is not None and path == path_of(file)
    return pq.ParquetFile(pa.OSFile(path) if is_local else file, pre_buffer=not is_local)


def _is_last_step() -> bool:
    """Whether nothing behind the reader looks at its rows."""
    try:
        pipe: Any = dlt.current.pipe()
    except Exception:
        return False
    return all(isinstance(step, Mark) or step is pipe.gen for step in pipe.steps)


def _tables(
    file: SeekableFile,
    parquet: pq.ParquetFile,
    position: Position,
    columns: Sequence[str] | None,
    needed: Sequence[str] | None,
    expression: pc.Expression | None,
    chunksize: int | None,
) -> Iterator[pa.Table]:
    metadata = parquet.metadata
    _check_columns(parquet, columns)
    groups = list(range(metadata.num_row_groups))
    before = [0]
    for number in groups:
        before.append(before[-1] + metadata.row_group(number).num_rows)
    if expression is not None:
        groups = _wanted_groups(file, expression)
    if not groups:
        yield _empty(parquet, columns)
        return
    if path_of(file) is None:
        file.expect(_column_ranges(metadata, groups, columns if expression is None else needed))
    if expression is not None:
        for number in groups:
            position.move(f"row group {number}, row {before[number]}", before[number] / max(before[-1], 1))
            group = metadata.row_group(number)
            n_rows = chunksize or batch_rows(group.num_rows, group.total_byte_size)
            for batch in _matching(parquet, number, columns, needed, expression, n_rows):
                yield pa.Table.from_batches([batch])
        return
    for run in _runs(metadata, groups):
        row = before[run[0]]
        position.place = _place(before, row)
        try:
            for batch in _batches(parquet, run, columns, chunksize):
                yield pa.Table.from_batches([batch])
                row += batch.num_rows
                position.move(_place(before, row), row / before[-1])
        except (OSError, pa.ArrowException):
            if len(run) == 1 or row > before[run[0]]:
                raise
            for number in run:  # up to the group that is at fault
                position.place = _place(before, before[number])
                for batch in _batches(parquet, [number], columns, chunksize):
                    yield pa.Table.from_batches([batch])


def _column_ranges(
    metadata: pq.FileMetaData, groups: list[int], columns: Sequence[str] | None
) -> Iterator[tuple[int, int]]:
    """Where the bytes of these row groups' columns are, in the order in which they are read."""
    for number in groups:
        group = metadata.row_group(number)
        for chunk in map(group.column, range(group.num_columns)):
            path = chunk.path_in_schema
            if columns is None or any(path == name or path.startswith(f"{name}.") for name in columns):
                start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
                yield start, start + chunk.total_compressed_size


def _place(before: list[int], row: int) -> str:
    """Where a row is, by the numbers of rows before each group."""
    return f"row group {max(bisect.bisect_right(before, row) - 1, 0)}, row {row}"


def _runs(metadata: pq.FileMetaData, groups: list[int]) -> Iterator[list[int]]:
    """Row groups that are read together, of about `batch_bytes`: many small ones cost more one by one."""
    run: list[int] = []
    n_bytes, most = 0, setting("batch_bytes")
    for number in groups:
        size = metadata.row_group(number).total_byte_size
        if run and n_bytes + size > most:
            yield run
            run, n_bytes = [], 0
        run.append(number)
        n_bytes += size
    if run:
        yield run


def _batches(
    parquet: pq.ParquetFile, run: list[int], columns: Sequence[str] | None, chunksize: int | None
) -> Iterator[pa.RecordBatch]:
    groups = [parquet.metadata.row_group(number) for number in run]
    n_rows = batch_rows(sum(one.num_rows for one in groups), sum(one.total_byte_size for one in groups))
    wanted = None if columns is None else list(columns)
    yield from parquet.iter_batches(chunksize or n_rows, row_groups=run, columns=wanted)


def _check_columns(parquet: pq.ParquetFile, columns: Sequence[str] | None) -> None:
    """Raises `ValueError` for a column that the file does not have: pyarrow would leave it out."""
    known = parquet.schema_arrow.names
    for name in columns or ():
        if name not in known and name.partition(".")[0] not in known:
            raise ValueError(f"no column `{name}`; the file has {', '.join(known[:20])}{', ...' * (len(known) > 20)}")


def _fragment(file: SeekableFile) -> Any:
    import pyarrow.dataset as ds

    file.seek(0)
    return ds.ParquetFileFormat().make_fragment(file)


def _wanted_groups(file: SeekableFile, expression: pc.Expression) -> list[int]:
    """Row groups whose statistics do not rule such rows out."""
    groups = _fragment(file).subset(filter=expression).row_groups
    return [group.id for group in groups]


def _needed(columns: Sequence[str] | None, filters: Any) -> list[str] | None:
    """The columns to read; None: all, since an expression does not tell which it looks at."""
    if columns is None or (filters is not None and not isinstance(filters, list)):
        return None
    terms = filters or []
    if terms and isinstance(terms[0], list):
        terms = [term for part in terms for term in part]
    return list(dict.fromkeys([*columns, *(term[0] for term in terms)]))


def _matching(
    parquet: pq.ParquetFile,
    number: int,
    columns: Sequence[str] | None,
    needed: Sequence[str] | None,
    expression: pc.Expression,
    n_rows: int,
) -> Iterator[pa.RecordBatch]:
    """The rows of a group for which the expression holds."""
    for batch in parquet.iter_batches(n_rows, row_groups=[number], columns=needed):
        found = pa.Table.from_batches([batch]).filter(expression)
        if columns is not None:
            found = found.select(list(columns))
        yield from found.to_batches()


def _empty(parquet: pq.ParquetFile, columns: Sequence[str] | None) -> pa.Table:
    table = parquet.schema_arrow.empty_table()
    return table if columns is None else table.select([name for name in columns if name in table.column_names])
