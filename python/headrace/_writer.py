"""Parquet files written beside the extract thread: child tables' in the open load package (dlt-semantics 2.6), and root
tables' that dlt imports.
"""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from copy import deepcopy
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.configuration import resolve_configuration
from dlt.common.configuration.container import Container
from dlt.common.data_writers.buffered import BufferedDataWriter
from dlt.common.data_writers.writers import ArrowToParquetWriter
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.libs.pyarrow import normalize_py_arrow_item
from dlt.common.schema import Schema
from dlt.common.storages.load_package import LoadPackageStateInjectableContext, PackageStorage
from dlt.common.utils import uniq_id
from dlt.extract.extractors import with_file_import

from headrace import _core, _schema
from headrace._parquet import writer_options
from headrace.exceptions import write_error

_PENDING_BYTES = 8 << 20  # of tables that wait to be written, beside one: about a batch
_MAX_LANES = 4  # files of a root table at once: two of them write more than four cores read
_DICTIONARY_COLUMNS = ("_dlt_load_id",)
_TURN_BYTES = 2 << 20  # at least go to a file before the next one's turn: what is small stays in order
_END_BYTES = 12 << 20  # of the last tables: a core that is done waits for no more than another's piece (guessed)
_DICTIONARY_BYTES = 1 << 20  # what Parquet's writers let a dictionary have
# Of a column, rows that are looked at: among 2048 of 128 Ki different values some repeat, but for one time in 10^7.
_RUN_ROWS = 32
_N_RUNS = 64
# Arrow's pool keeps what a write used, and the next write takes other memory of it: 94 MB resident for 10 in use. Giving
# it back after each write costs a tenth of extract's CPU (pages are cleared anew), after so many bytes nothing measurable.
_RELEASE_BYTES = 16 << 20


class PackageWriter:
    """One open file a table; a table that gains columns gets another file (dlt's normalize makes them equal)."""

    def __init__(self) -> None:
        context = Container()[LoadPackageStateInjectableContext]
        self._storage = context.storage
        self._load_id = context.load_id
        self._files: dict[str, _EngineFile | _TableFile] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="headrace-writer")
        self._pending: deque[tuple[Future[None], int]] = deque()  # with the bytes of the table
        self._pending_bytes = 0
        self._n_unreleased = 0  # bytes; two threads add to it, one sum lost matters little

    def write(self, name: str, rows: pa.Table | _core.TableBatch) -> None:
        """Queues rows of a table. Raises what an earlier write raised."""
        n_bytes = rows.n_bytes if isinstance(rows, _core.TableBatch) else rows.nbytes
        while self._pending and self._pending_bytes + n_bytes > _PENDING_BYTES:
            self._wait()
        self._pending.append((self._pool.submit(self._try_write, name, rows), n_bytes))
        self._pending_bytes += n_bytes

    def _wait(self) -> None:
        written, n_bytes = self._pending.popleft()
        self._pending_bytes -= n_bytes
        written.result()

    def _path(self, name: str) -> str:
        file_name = PackageStorage.build_job_file_name(name, uniq_id(5)) + ".parquet"
        path = self._storage.get_job_file_path(self._load_id, PackageStorage.NEW_JOBS_FOLDER, file_name)
        return str(self._storage.storage.make_full_path(path))

    def _try_write(self, name: str, rows: pa.Table | _core.TableBatch) -> None:
        try:
            self._write(name, rows)
        except OSError as error:
            raise write_error(name, error) from error

    def _write(self, name: str, rows: pa.Table | _core.TableBatch) -> None:
        file = self._files.get(name)
        if file is not None and not file.takes(rows):
            file.close()
            file = None
        if file is None:
            made = _EngineFile if isinstance(rows, _core.TableBatch) else _TableFile
            file = self._files[name] = made(self._path(name), rows)
        file.write(rows)
        if isinstance(rows, pa.Table):
            self.written(rows.nbytes)

    def written(self, n_bytes: int) -> None:
        """Bytes of a table that was written, here or by dlt: now and then what Arrow keeps of it is given back."""
        self._n_unreleased += n_bytes
        if self._n_unreleased >= _RELEASE_BYTES:
            self._n_unreleased = 0
            pa.default_memory_pool().release_unused()

    def close(self) -> None:
        """Waits for all writes and completes the files."""
        try:
            while self._pending:
                self._wait()
            for name, file in self._files.items():
                try:
                    file.close()
                except OSError as error:
                    raise write_error(name, error) from error
        finally:
            self._pool.shutdown(wait=True)
            self._forget()

    def abort(self) -> None:
        """Gives up: the package is discarded by dlt."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._forget()

    def _forget(self) -> None:
        for file in self._files.values():
            with suppress(OSError):  # the disk may be full: the first error is the one to tell
                file.abandon()
        self._files.clear()


class _EngineFile:
    """A Parquet file of the engine's rows."""

    def __init__(self, path: str, first: _core.TableBatch) -> None:
        self._columns = first.columns
        self._file: IO[bytes] = open(path, "wb")  # noqa: SIM115 - closed by `abandon`
        self._writer = _core.ParquetWriter(self._columns, self._file.write)

    def takes(self, batch: _core.TableBatch) -> bool:
        """Whether the rows' columns are the file's."""
        return batch.columns == self._columns

    def write(self, batch: _core.TableBatch) -> None:
        """Rows more."""
        self._writer.write(batch)

    def close(self) -> None:
        """Completes the file."""
        try:
            self._writer.finish()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Lets go of the file as it is."""
        self._file.close()


class _TableFile:
    """A Parquet file of Arrow tables."""

    def __init__(self, path: str, first: pa.Table) -> None:
        self._schema = first.schema
        dictionary = [name for name in _DICTIONARY_COLUMNS if name in first.schema.names]
        self._writer = pq.ParquetWriter(path, first.schema, compression="snappy", use_dictionary=dictionary)

    def takes(self, table: pa.Table) -> bool:
        """Whether the table's columns are the file's."""
        return bool(self._schema.equals(table.schema))

    def write(self, table: pa.Table) -> None:
        """Rows more."""
        self._writer.write_table(table)

    def close(self) -> None:
        """Completes the file."""
        self._writer.close()

    abandon = close


def _repeating(table: pa.Table) -> list[str]:
    """Columns that are worth a dictionary: their values repeat in runs of rows all over the table, or are few. A dictionary
    of others is given up when it is full: a tenth of the CPU of reading a CSV file of 12 columns and writing it.
    """
    return [
        name for name in table.column_names if table[name].nbytes < _DICTIONARY_BYTES or _repeats(table[name].chunk(0))
    ]


def _repeats(column: pa.Array) -> bool:
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_string(column.type)):
        return True
    starts = range(0, len(column), _RUN_ROWS)
    starts = random.Random(0).sample(starts, min(len(starts), _N_RUNS))  # type: ignore[assignment]
    values = [value for start in starts for value in column.slice(start, _RUN_ROWS).to_pylist() if value is not None]
    return len(set(values)) < len(values) or len(values) < _RUN_ROWS


class _RootParquet(ArrowToParquetWriter):
    """dlt's writer with dlt's settings, but for dictionaries of what hardly repeats, and statistics of ids."""

    def __init__(self, file: IO[bytes], caps: DestinationCapabilitiesContext, repeating: list[str]) -> None:
        super().__init__(file, caps)
        self._repeating = repeating

    def _create_writer(self, schema: pa.Schema) -> pq.ParquetWriter:
        options = writer_options(getattr(self, "parquet_format", self))  # where dlt keeps its settings, by version
        columns = [name for name in schema.names if name != "_dlt_id"]
        return pq.ParquetWriter(self._f, schema, use_dictionary=self._repeating, write_statistics=columns, **options)


class _RootFile:
    """One open file of a table's rows, written by dlt's writer as dlt's settings say."""

    def __init__(self, path: str, first: pa.Table, columns: Any, caps: DestinationCapabilitiesContext) -> None:
        self.path = path
        self.schema = first.schema
        self.n_rows = 0
        self.n_bytes = 0
        self._file: IO[bytes] = open(path, "wb")  # noqa: SIM115 - closed by `close`
        self._writer = _RootParquet(self._file, caps, _repeating(first))
        self._writer.write_header(columns)

    def write(self, table: pa.Table) -> None:
        """Rows more. Any thread, one at a time."""
        self._writer.write_data([table])
        self.n_bytes = self._file.tell()

    def close(self) -> None:
        """Completes the file."""
        try:
            self._writer.close()
        finally:
            self._file.close()


class RootWriter:
    """Rows of one root table in several files at once, one a core: a Parquet writer takes one core, and dlt's extract thread
    has one. dlt imports the files when they are complete.

    Attributes:
        is_at_end: Whether nothing is left to be read: tables are cut, and a piece goes to the file that is done first.
    """

    def __init__(self, schema: Schema, caps: DestinationCapabilitiesContext, table: str) -> None:
        context = Container()[LoadPackageStateInjectableContext]
        storage: PackageStorage = context.storage
        folder = storage.get_package_path(context.load_id)
        self._folder = str(storage.storage.make_full_path(folder))  # where a link into new_jobs is no copy
        self._schema = schema
        self._caps = caps
        self._table = table
        self.is_at_end = False
        self._n_lanes = min(max(os.cpu_count() or 1, 1), _MAX_LANES)
        self._lanes: list[_RootFile | None] = [None] * self._n_lanes
        self._writes: list[Future[None] | None] = [None] * self._n_lanes
        self._lane = 0  # whose turn it is
        self._turn_bytes = 0  # that it got in this turn
        self._files: list[_RootFile] = []
        self._pool = ThreadPoolExecutor(self._n_lanes, thread_name_prefix="headrace-root")

    @staticmethod
    def is_wanted() -> bool:
        """False where dlt is to count a file's rows or bytes."""
        config = resolve_configuration(BufferedDataWriter.BufferedDataWriterConfiguration())
        return config.file_max_items is None and config.file_max_bytes is None

    def write(self, table: pa.Table) -> None:
        """Takes rows. Waits while as many tables are at work as there are files. Raises what an earlier write raised."""
        columns = self._schema.get_table_columns(self._table)
        table = normalize_py_arrow_item(table, columns, self._schema.naming, self._caps)
        n_pieces = table.nbytes // _END_BYTES + 1 if self.is_at_end else 1
        n_rows = -(-table.num_rows // n_pieces)
        for first in range(0, table.num_rows, n_rows):
            self._write(table.slice(first, n_rows), columns)

    def _write(self, table: pa.Table, columns: Any) -> None:
        if self._turn_bytes >= _TURN_BYTES:
            self._turn_bytes = 0
            self._lane = (self._lane + 1) % self._n_lanes
            if self.is_at_end:
                self._lane = self._free_lane()
        self._turn_bytes += table.nbytes
        lane = self._lane
        self._wait(lane)
        file = self._lanes[lane]
        most = self._caps.recommended_file_size
        if file is None or not file.schema.equals(table.schema) or (most and file.n_bytes >= most):
            path = os.path.join(self._folder, f"headrace-{uniq_id(5)}.parquet")
            try:
                file = _RootFile(path, table, columns, self._caps)
            except OSError as error:
                raise write_error(self._table, error) from error
            self._files.append(file)
            self._lanes[lane] = file
        file.n_rows += table.num_rows
        self._writes[lane] = self._pool.submit(self._try_write, file, table)

    def _free_lane(self) -> int:
        """The next of those where nothing is at work. Waits for one."""
        writes = [write for write in self._writes if write is not None]
        if len(writes) == self._n_lanes:
            wait(writes, return_when=FIRST_COMPLETED)
        by_turns = sorted(range(self._n_lanes), key=lambda lane: (lane - self._lane) % self._n_lanes)
        return next(lane for lane in by_turns if (write := self._writes[lane]) is None or write.done())

    def _try_write(self, file: _RootFile, table: pa.Table) -> None:
        try:
            file.write(table)
        except OSError as error:
            raise write_error(self._table, error) from error

    def _wait(self, lane: int) -> None:
        write, self._writes[lane] = self._writes[lane], None
        if write is not None:
            write.result()

    def files(self) -> Iterator[Any]:
        """Completes the files and gives them to dlt; its columns stay what they are in the schema."""
        for lane in range(self._n_lanes):
            self._wait(lane)
        self._pool.shutdown(wait=True)
        for file in self._files:
            try:
                file.close()
            except OSError as error:
                raise write_error(self._table, error) from error
        for file in self._files:
            # Not `schema.empty_table()`, which imports pandas where it is installed: 0.2 s.
            empty = pa.Table.from_batches([], file.schema)
            yield from _kept(
                self._schema,
                self._table,
                with_file_import(file.path, "parquet", file.n_rows, empty),
            )
            os.unlink(file.path)
        self._files.clear()

    def abort(self) -> None:
        """Gives up what dlt has not imported."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for file in self._files:
            with suppress(Exception):  # the first error is the one to tell
                file.close()
            with suppress(OSError):
                os.unlink(file.path)
        self._files.clear()


def _kept(schema: Schema, name: str, item: Any) -> Iterator[Any]:
    """The item, given to dlt. Its extractor writes what it reads from the Arrow schema over the table's columns; ours are what
    its JSON path makes.
    """
    columns = deepcopy(schema.tables[name]["columns"])
    yield item
    schema.tables[name]["columns"].update(columns)


def root_tables(
    schema: Schema,
    caps: DestinationCapabilitiesContext,
    writer: PackageWriter,
    batches: list[_core.TableBatch],
    roots: RootWriter | None = None,
) -> Iterator[pa.Table]:
    """Tells dlt's schema of the batches, gives the root's rows, which dlt is to have before it goes on (or writes them into
    files that it gets at the end), and then writes the child tables' into their files.
    """
    for batch in batches:
        _schema.tell(schema, caps, batch)
    for batch in batches:  # the root is the first
        if not batch.n_rows:
            continue
        if batch.parent is not None:
            writer.write(batch.name, batch)
            continue
        table = pa.Table.from_batches([pa.record_batch(batch)])
        n_bytes = table.nbytes
        if roots is None:
            yield from _kept(schema, batch.name, table)
        else:
            roots.write(table)
        del table  # dlt has it, or is done with it
        writer.written(n_bytes)
