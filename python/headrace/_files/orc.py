"""ORC: `read_orc`, through pyarrow. Types are exact; a file is read stripe by stripe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import pyarrow as pa

from headrace._files.arguments import check_arguments
from headrace._files.skips import Position
from headrace._files.tables import batch_rows, library, marked, read_tables, size_of

_MAGIC = b"ORC"


def _read_orc(
    items: Iterable[Any],
    *,
    columns: Sequence[str] | None = None,
    nested: str = "tables",
    on_error: str = "raise",
) -> Iterator[Any]:
    """Reads ORC files.

    Args:
        items: A page of files.
        columns: Only these columns.
        nested: "tables": nested columns become columns and child tables; "keep": they stay as they are.
        on_error: `raise` or `skip_file` (`skip_row` is the same here): what happens with a file that is no ORC, or corrupt.
    """
    check_arguments("read_orc", {"columns": columns, "nested": nested})
    orc = library("pyarrow.orc", "read_orc", "orc")

    def read(file: IO[bytes], position: Position, item: Any) -> Iterator[pa.Table]:
        for table in _tables(orc, file, position, columns):
            yield marked(table, nested)

    yield from read_tables(items, "read_orc", on_error, read)


def _tables(orc: Any, file: IO[bytes], position: Position, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    if size_of(file) == 0:
        raise ValueError("the file is empty: 0 bytes, an ORC file begins with ORC")
    start = file.read(3)
    if start != _MAGIC:
        raise ValueError(f"no ORC file: expected ORC at byte 0, found {start!r}")
    file.seek(0)
    opened = orc.ORCFile(file)
    known = opened.schema.names
    for name in columns or ():
        if name.partition(".")[0] not in known:
            raise ValueError(f"no column `{name}`; the file has {', '.join(known[:20])}{', ...' * (len(known) > 20)}")
    if opened.nstripes == 0:
        table = opened.schema.empty_table()
        yield table if columns is None else table.select(list(columns))
    for number in range(opened.nstripes):
        position.move(f"stripe {number} of {opened.nstripes}", number / opened.nstripes)
        table = pa.Table.from_batches([opened.read_stripe(number, columns=columns)])
        n_rows = batch_rows(table.num_rows, table.nbytes)
        for first in range(0, table.num_rows, n_rows):
            yield table.slice(first, n_rows)
