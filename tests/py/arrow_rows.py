"""Arrow types by their formats, and Arrow batches as the engine gives its rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from headrace._normalize.rows import Rows

_TYPES = {
    "b": pa.bool_(),
    "l": pa.int64(),
    "g": pa.float64(),
    "u": pa.string(),
    "z": pa.binary(),
    "tdD": pa.date32(),
    "ttu": pa.time64("us"),
    "tsu:UTC": pa.timestamp("us", tz="UTC"),
    "tsu:": pa.timestamp("us"),
}
FORMATS = [*_TYPES, "d:1,0", "d:2,1", "d:3,0", "d:18,5", "d:19,0", "d:38,9", "d:38,38"]


def arrow_type(fmt: str) -> pa.DataType:
    """Of a format that the engine emits."""
    if fmt.startswith("d:"):
        return pa.decimal128(*(int(number) for number in fmt[2:].split(",")))
    return _TYPES[fmt]


class _Batch:
    """What the engine gives of a table."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch, self.n_rows, self.n_bytes = batch, batch.num_rows, batch.nbytes

    def __arrow_c_array__(self, requested_schema: object | None = None) -> Any:
        return self._batch.__arrow_c_array__(requested_schema)


def rows_of(**columns: Any) -> Rows:
    """A batch as an item of dlt's writers."""
    return Rows(_Batch(pa.record_batch(columns)))  # type: ignore[arg-type]
