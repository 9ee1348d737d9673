"""Row ids of nested Arrow tables: dlt's own (dlt-semantics rules 41, 42)."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.json import json
from dlt.common.normalizers.json.helpers import get_row_hash

from headrace import _core

_ID_CHARS = 14


def _ids(data: bytes) -> pa.Array:
    n_rows = len(data) // _ID_CHARS
    offsets = pa.arange(0, len(data) + 1, _ID_CHARS) if hasattr(pa, "arange") else range(0, len(data) + 1, _ID_CHARS)
    return pa.Array.from_buffers(
        pa.string(), n_rows, [None, pa.array(offsets).cast(pa.int32()).buffers()[1], pa.py_buffer(data)]
    )


def random_ids(n_rows: int) -> pa.Array:
    """Ids of rows that are identified by nothing else."""
    return _ids(_core.random_ids(n_rows))


def nested_ids(table: str, parent_ids: pa.Array, places: pa.Array) -> pa.Array:
    """Ids of a child table's rows, of their parents' ids and their places in their lists: both without nulls, from row 0
    of their buffers.
    """
    n_rows = len(parent_ids)
    _, offsets, text = parent_ids.buffers()
    at = parent_ids.offset
    offsets = offsets.slice(4 * at, 4 * (n_rows + 1))
    indices = places.buffers()[1].slice(8 * places.offset, 8 * n_rows)
    return _ids(_core.nested_ids(table, offsets, b"" if text is None else text, indices))


def key_hashes(columns: dict[str, pa.Array], n_rows: int) -> pa.Array:
    """Ids of rows that their primary key identifies (merge strategies upsert, insert-only)."""
    return row_hashes(pa.table(columns) if columns else pa.table({"": pa.nulls(n_rows)}).select([]))


def row_hashes(records: pa.Table | pa.Array) -> pa.Array:
    """Ids of rows that all they hold identifies (merge strategy scd2): the hash of the record as dlt's JSON path would read
    it, so that values become Python objects here.
    """
    items = json.loadb(json.typed_dumpb(records.to_pylist()))
    hashes = [get_row_hash(item if isinstance(item, dict) else {"value": item}) for item in items]
    return pa.array(hashes, pa.string())


def with_own(own: pa.Array | None, made: pa.Array) -> pa.Array:
    """Ids that came with the data, and where there is none, those that were made."""
    if own is None:
        return made
    own = own.cast(pa.string())
    return pc.if_else(pc.fill_null(pc.not_equal(own, ""), False), own, made)
