"""Rows of the engine as an item of dlt's writers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace import _core

if TYPE_CHECKING:
    import pyarrow as pa


class Rows:
    """A batch. dlt counts its rows as it does those of Arrow tables: by `shape` and `len`.

    Attributes:
        batch: It.
        n_bytes: Of its buffers.
    """

    __slots__ = ("batch", "n_bytes", "shape")

    def __init__(self, batch: _core.TableBatch) -> None:
        self.batch = batch
        self.n_bytes = batch.n_bytes
        self.shape = (batch.n_rows,)

    def __len__(self) -> int:
        return self.shape[0]

    def table(self) -> pa.Table:
        """The rows as a table. Once: it takes them."""
        import pyarrow as pa  # 0.15 s of CPU, and none of what is written as Parquet

        return pa.Table.from_batches([pa.record_batch(self.batch)])
