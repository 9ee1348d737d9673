"""Relational tables of nested Arrow and Parquet, where it is asked for: `nested()` of a resource, or the setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from dlt.extract.extractors import ImportFileMeta
from dlt.extract.hints import HintsMeta
from dlt.extract.items import DataItemWithMeta, TableNameMeta
from dlt.extract.resource import DltResource
from dlt.extract.source import DltSource

from headrace import _install
from headrace.config import setting, settings
from headrace.exceptions import ResourceFailed

AnyNested = TypeVar("AnyNested", DltResource, DltSource)


KEEP = {b"headrace.nested": b"keep"}  # in a table's metadata: its nested columns stay as they are, whatever is marked


class Mark:
    """A step of a resource's pipe that says that its Arrow tables become relational tables. Files of Parquet that are to be
    imported are read instead.
    """

    def __call__(self, item: Any, meta: Any = None) -> Any:
        return _read_file(meta) if isinstance(meta, ImportFileMeta) and not is_kept(item) else item


def nested(resource: AnyNested) -> AnyNested:
    """Makes relational tables of what a resource yields as Arrow: struct fields become columns, lists become child tables.

    The tables are those that dlt makes of the same data as dicts, ids and links included; values keep their Arrow types.

    Args:
        resource: The resource, or a source: all of its resources. It yields pyarrow tables or record batches, pandas or
            polars frames, or `dlt.mark.with_file_import` of Parquet files (these are read, not linked).

    Returns:
        The same object.

    Raises:
        TypeError: It is no resource.
        UnsupportedDltVersion: dlt is older or newer than what headrace was tested with.
    """
    _install.place_nested()
    if isinstance(resource, DltSource):
        for one in resource.resources.values():
            nested(one)
        return resource
    if not isinstance(resource, DltResource):
        raise TypeError(f"nested() takes a dlt resource or source, not `{type(resource).__name__}`")
    if not is_marked(resource):
        resource._pipe.append_step(Mark())
    return resource


def is_marked(resource: DltResource) -> bool:
    """Whether `nested` was asked for it."""
    return any(isinstance(step, Mark) for step in resource._pipe.steps)


def is_kept(item: Any) -> bool:
    """Whether the Arrow table says that its nested columns stay as they are."""
    metadata = getattr(getattr(item, "schema", None), "metadata", None)
    return isinstance(metadata, dict) and metadata.items() >= KEEP.items()


def is_set() -> bool:
    """Whether the setting asks for it, for all resources."""
    config = settings()
    if config.nested_arrow not in ("", "tables"):
        raise ValueError(f'[headrace] nested_arrow = "{config.nested_arrow}": "tables", or nothing')
    return config.nested_arrow == "tables" and _install.is_wanted()


def _read_file(meta: ImportFileMeta) -> Iterator[Any]:
    """The file's rows as tables of about a batch."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if meta.file_format != "parquet":
        raise ResourceFailed(
            f"normalize: `{meta.file_path}` is imported as {meta.file_format}: nested() reads only Parquet files"
        )
    table_meta: Any = HintsMeta(meta.hints, meta.create_table_variant) if meta.hints else None  # no file is meant now
    with pq.ParquetFile(meta.file_path, pre_buffer=False) as file:
        n_bytes = sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
        n_rows = max(file.metadata.num_rows * setting("batch_bytes") // max(n_bytes, 1), 1)
        for batch in file.iter_batches(batch_size=n_rows):
            table = pa.Table.from_batches([batch])
            yield DataItemWithMeta(table_meta, table)
            if table_meta is not None and meta.create_table_variant:
                table_meta = TableNameMeta(str(meta.hints["table_name"]))
            else:
                table_meta = None
