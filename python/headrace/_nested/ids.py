"""Row ids of nested Arrow tables: dlt's own (dlt-semantics rules 41, 42)."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.json import json
from dlt.common.utils import digest128b

from headrace import _core
from headrace._nested.text import NoText, record_texts

_ID_BYTES, _ID_CHARS = 10, 14


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


def row_hashes(members: dict[str, pa.Array], n_rows: int) -> pa.Array:
    """Ids of rows that these members identify: the primary key (merge strategies upsert, insert-only) or all that a record
    holds (scd2). The same as of the record as a dict; values that the engine does not write become Python objects here.
    """
    try:
        texts = record_texts(members, n_rows)
    except NoText:
        rows = pa.table(members).to_pylist()
        return pa.array([digest128b(json.dumpb(row, sort_keys=True), _ID_BYTES) for row in _as_read(rows)], pa.string())
    _, offsets, text = texts.buffers()
    offsets = offsets.slice(4 * texts.offset, 4 * (n_rows + 1))
    return _ids(_core.text_ids(offsets, b"" if text is None else text))


def _as_read(rows: list[dict[str, Any]]) -> Any:
    """The records as dlt's JSON path reads them from its files."""
    return json.loadb(json.typed_dumpb(rows))


def with_own(own: pa.Array | None, made: pa.Array) -> pa.Array:
    """Ids that came with the data, and where there is none, those that were made."""
    if own is None:
        return made
    own = own.cast(pa.string())
    return pc.if_else(pc.fill_null(pc.not_equal(own, ""), False), own, made)
