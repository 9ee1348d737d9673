"""Child tables' Parquet files, written into the open load package (dlt-semantics 2.6) beside the extract thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.configuration.container import Container
from dlt.common.destination.capabilities import DestinationCapabilitiesContext
from dlt.common.schema import Schema
from dlt.common.storages.load_package import LoadPackageStateInjectableContext, PackageStorage
from dlt.common.utils import uniq_id

from headrace import _core, _schema
from headrace.exceptions import write_error

_MAX_PENDING = 2  # tables waiting to be written; each is at most a batch
_DICTIONARY_COLUMNS = ("_dlt_load_id",)
# Arrow's pool keeps what a write used, and the next write takes other memory of it: 94 MB resident for 10 in use. Giving
# it back after each write costs a tenth of extract's CPU (pages are cleared anew), after so many bytes nothing measurable.
_RELEASE_BYTES = 32 << 20


class PackageWriter:
    """One open file a table; a table that gains columns gets another file (dlt's normalize makes them equal)."""

    def __init__(self) -> None:
        context = Container()[LoadPackageStateInjectableContext]
        self._storage = context.storage
        self._load_id = context.load_id
        self._writers: dict[str, tuple[pa.Schema, pq.ParquetWriter]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="headrace-writer")
        self._pending: deque[Future[None]] = deque()
        self._n_unreleased = 0  # bytes; two threads add to it, one sum lost matters little

    def write(self, name: str, table: pa.Table) -> None:
        """Queues rows of a table. Raises what an earlier write raised."""
        while len(self._pending) >= _MAX_PENDING:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._try_write, name, table))

    def _path(self, name: str) -> str:
        file_name = PackageStorage.build_job_file_name(name, uniq_id(5)) + ".parquet"
        path = self._storage.get_job_file_path(self._load_id, PackageStorage.NEW_JOBS_FOLDER, file_name)
        return str(self._storage.storage.make_full_path(path))

    def _try_write(self, name: str, table: pa.Table) -> None:
        try:
            self._write(name, table)
        except OSError as error:
            raise write_error(name, error) from error

    def _write(self, name: str, table: pa.Table) -> None:
        schema, writer = self._writers.get(name, (None, None))
        if schema is None or not schema.equals(table.schema):
            if writer is not None:
                writer.close()
            options: dict[str, Any] = {
                "compression": "snappy",
                "use_dictionary": [c for c in _DICTIONARY_COLUMNS if c in table.schema.names],
            }
            writer = pq.ParquetWriter(self._path(name), table.schema, **options)
            self._writers[name] = (table.schema, writer)
        assert writer is not None
        writer.write_table(table)
        self.written(table.nbytes)

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
                self._pending.popleft().result()
            for name, (_, writer) in self._writers.items():
                try:
                    writer.close()
                except OSError as error:
                    raise write_error(name, error) from error
        finally:
            self._writers.clear()
            self._pool.shutdown(wait=True)

    def abort(self) -> None:
        """Gives up: the package is discarded by dlt."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for _, writer in self._writers.values():
            with suppress(OSError):  # the disk may be full: the first error is the one to tell
                writer.close()
        self._writers.clear()


def root_tables(
    schema: Schema, caps: DestinationCapabilitiesContext, writer: PackageWriter, batches: list[_core.TableBatch]
) -> Iterator[pa.Table]:
    """Tells dlt's schema of the batches, gives the root's rows, which dlt is to have before it goes on, and then writes
    the child tables' into their files.
    """
    for batch in batches:
        _schema.tell(schema, caps, batch)
    for batch in batches:  # the root is the first
        if not batch.n_rows:
            continue
        table = pa.Table.from_batches([pa.record_batch(batch)])
        if batch.parent is not None:
            writer.write(batch.name, table)
            continue
        columns = deepcopy(schema.tables[batch.name]["columns"])
        n_bytes = table.nbytes
        yield table
        # dlt's extractor writes what it reads from the Arrow schema over these; ours are what its JSON path makes
        schema.tables[batch.name]["columns"].update(columns)
        del table  # dlt has it, or is done with it
        writer.written(n_bytes)
