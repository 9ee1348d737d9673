"""A writer of dlt's that takes Arrow tables among its rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
from dlt.common.data_writers import BufferedDataWriter, DataWriter


class TableWriter(DataWriter):
    """Splits what is written into rows and tables.

    Attributes:
        buffered: What writes into it. Its newest columns are those of the table, also when the file has fewer.
    """

    buffered: BufferedDataWriter[DataWriter]

    def write_data(self, items: Sequence[Any]) -> None:
        """Writes rows (dicts) and Arrow tables in their order."""
        for is_table, group in groupby(items, lambda item: isinstance(item, pa.Table)):
            if not is_table:
                super().write_data(list(group))
                continue
            for table in group:
                self._write_table(table)

    def _write_table(self, table: pa.Table) -> None:
        raise NotImplementedError
