"""dlt's item storage with writers that take rows of the engine too: rows that dlt made and rows of the engine share a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dlt.common.data_writers import BufferedDataWriter, DataWriter
from dlt.common.data_writers.writers import ParquetDataWriter
from dlt.common.storages.data_item_storage import DataItemStorage

from headrace._normalize import parquet_files as _parquet_files


def take_rows(storage: DataItemStorage, settle: Callable[[bool], None]) -> None:
    """Makes the storage's writers take `Rows` among the rows. For writers of the format "object".

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
        if _is_parquet(storage):
            _parquet_files.take_rows(writer, storage, args[-1])
        else:
            from headrace._normalize import text_files  # and pyarrow with it, which Parquet does without

            text_files.take_rows(writer, storage.writer_cls)
    return writer


def _is_parquet(storage: DataItemStorage) -> bool:
    """Whether its files are."""
    return issubclass(storage.writer_cls, ParquetDataWriter)


def why_rows(storage: DataItemStorage, caps: Any) -> str | None:
    """Why text files are written from Python rows; None: they are not."""
    if _is_parquet(storage):
        return None
    from headrace._normalize import text_files

    return text_files.why_rows(storage, caps)
