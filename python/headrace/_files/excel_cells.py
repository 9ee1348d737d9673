"""Columns of spreadsheet cells: their letters, their types, merged ranges."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_DURATION = re.compile(r"^PT(?:([\d.]+)H)?(?:([\d.]+)M)?(?:([\d.]+)S)?$")
_EXACT = float(1 << 53)  # doubles below it are whole numbers exactly
_EPOCHS = (datetime.date(1899, 12, 30), datetime.date(1899, 12, 31), datetime.date(1904, 1, 1))


def column_letters(index: int) -> str:
    """The letters of a column, small, from 0: "a", ..., "z", "aa"."""
    letters = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        letters = chr(97 + digit) + letters
    return letters


def typed(table: pa.Table, is_generated: Sequence[bool]) -> pa.Table:
    """The columns with the types that their cells look like: whole numbers are int64 (a file has only doubles), times of a
    day time64, durations seconds, columns without a value of type null. Columns that have neither a name nor a value are left
    out.
    """
    arrays, names = [], []
    for name, column, generated in zip(table.column_names, table.columns, is_generated, strict=True):
        is_null = column.null_count == len(column)
        if is_null and generated:
            continue
        names.append(name)
        arrays.append(pa.nulls(len(column), pa.null()) if is_null else _typed(column))
    return pa.table(arrays, names=names)


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_floating(kind):
        whole = pc.and_(pc.equal(column, pc.trunc(column)), pc.less(pc.abs(column), _EXACT))
        return column.cast(pa.int64()) if pc.all(whole, min_count=0).as_py() else column
    if pa.types.is_timestamp(kind):
        span = pc.min_max(column).as_py()
        if any(span["min"].date() <= span["max"].date() == epoch == span["min"].date() for epoch in _EPOCHS):
            return column.cast(pa.timestamp("us")).cast(pa.time64("us"))
        return column
    if pa.types.is_duration(kind):
        return pc.divide(column.cast(pa.duration("ms")).cast(pa.int64()).cast(pa.float64()), 1000.0)
    return column


def with_durations(column: pa.ChunkedArray, cells: Sequence[Any]) -> pa.ChunkedArray:
    """The column, with the durations of its cells where it has nulls."""
    values = column.to_pylist()
    is_duration = pa.types.is_duration(column.type)
    for row, cell in enumerate(cells[: len(values)]):
        if values[row] is None and (found := _duration(cell)) is not None:
            values[row] = found if is_duration else str(cell)
    return pa.chunked_array([values], column.type)


def _duration(cell: Any) -> datetime.timedelta | None:
    """The duration that calamine gives for a cell: a time, or beyond a day ISO 8601's text, "PT27H17M54S"."""
    if isinstance(cell, datetime.time):
        return datetime.datetime.combine(datetime.date.min, cell) - datetime.datetime.min
    match = _DURATION.match(cell) if isinstance(cell, str) else None
    if match is None:
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return datetime.timedelta(hours=hours, minutes=minutes, seconds=seconds)


def fill_merged(
    table: pa.Table, columns: Sequence[int], first_row: int, ranges: Sequence[tuple[tuple[int, int], tuple[int, int]]]
) -> pa.Table:
    """Gives all cells of merged ranges the value of their first.

    Args:
        table: The sheet's rows.
        columns: The sheet's column of each of the table's, from 0.
        first_row: The sheet's row of the first record, from 0.
        ranges: ((row, column), (row, column)): the first and the last cell, from 0.
    """
    place = {column: i for i, column in enumerate(columns)}
    for (top, left), (bottom, right) in ranges:
        first, last = top - first_row, bottom - first_row
        if first < 0 or left not in place:
            continue
        for column in range(left, right + 1):
            if column not in place or first >= table.num_rows:
                continue
            i, source = place[column], table.column(place[left])
            rows = pa.array(range(table.num_rows), pa.int64())
            inside = pc.and_(pc.greater_equal(rows, first), pc.less_equal(rows, last))
            filled = source.take(pc.if_else(inside, first, rows))
            if column != left:
                own = table.column(i)
                if own.type != source.type:
                    kind = source.type if own.null_count == len(own) else pa.string()
                    own, filled = own.cast(kind), filled.cast(kind)
                filled = pc.if_else(inside, filled, own)
            table = table.set_column(i, table.column_names[i], filled)
    return table
