"""Records in Arrow arrays as the JSON text that dlt hashes for row ids: keys sorted, what JSON does not have as dlt's typed
text. Made of whole arrays by the engine's `write_text`, without an object a value.
"""

from __future__ import annotations

import datetime
import struct
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.json import json

from headrace import _core
from headrace._nested.tables import elements, is_list, plain
from headrace._normalize import text_layouts as _text_layouts

_MOMENT = datetime.datetime(2024, 2, 29, 23, 59, 58, 123456, datetime.timezone.utc)
_SAMPLES = {
    "timestamp": _MOMENT,
    "date": _MOMENT.date(),
    "time": _MOMENT.time(),
    "decimal": Decimal("1.5"),
    "binary": b"x",
}


class NoText(Exception):
    """Values of which the engine does not write dlt's text: others than these, Python has to."""


class _Cell(NamedTuple):
    label: bytes
    array: pa.Array
    data_type: str
    naive: bool


def record_texts(members: dict[str, pa.Array], n_rows: int) -> pa.Array:
    """The records of these members as text: `json.dumps(record, sort_keys=True)` of what dlt's typed JSON gives. Raises
    `NoText`.
    """
    cells = [_cell(json.dumpb(key) + b":", members[key]) for key in sorted(members, key=str.encode)]
    return _lines(cells, "{", "}\n") if cells else pa.repeat("{}", n_rows)


def _texts(array: pa.Array) -> pa.Array:
    """Each value as text."""
    kind = array.type
    if pa.types.is_null(kind):
        return pa.repeat("null", len(array))
    if pa.types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        if len(set(names)) != len(names):
            raise NoText("a key that comes twice")
        texts = record_texts(dict(zip(names, array.flatten(), strict=True)), len(array))
    elif pa.types.is_map(kind):
        raise NoText("a map")
    elif is_list(kind):
        values, offsets = elements(array)
        lists = pa.ListArray.from_arrays(offsets.cast(pa.int32()), _texts(plain_or_no_text(values)))
        texts = pc.binary_join_element_wise("[", pc.binary_join(lists, ","), "]", "")
    else:
        return _lines([_cell(b"", array)], "", "\n")
    return pc.if_else(array.is_valid(), texts, "null") if array.null_count else texts


def plain_or_no_text(array: pa.Array) -> pa.Array:
    """The array without its encoding. Extension types may be objects of their own in Python: no text."""
    if isinstance(array.type, pa.BaseExtensionType):
        raise NoText(str(array.type))
    return plain(array)


def _cell(label: bytes, array: pa.Array) -> _Cell:
    array = plain_or_no_text(array)
    types, kind = pa.types, array.type
    if types.is_dictionary(kind):
        array = array.cast(kind.value_type)
        kind = array.type
    if types.is_struct(kind) or is_list(kind) or types.is_null(kind):
        return _Cell(label, _texts(array), "json", False)
    if types.is_boolean(kind):
        return _Cell(label, array, "bool", False)
    if types.is_integer(kind) and kind != pa.uint64():
        return _Cell(label, array.cast(pa.int64()), "bigint", False)
    if types.is_floating(kind):
        return _Cell(label, array.cast(pa.float64()), "double", False)
    if types.is_string(kind) or types.is_large_string(kind):
        return _Cell(label, array.cast(pa.string()), "text", False)
    if types.is_timestamp(kind) and kind.unit != "ns" and kind.tz in (None, "UTC"):
        return _Cell(label, array.cast(pa.timestamp("us", "UTC")), "timestamp", kind.tz is None)
    if types.is_date(kind):
        return _Cell(label, array.cast(pa.date32()), "date", False)
    if types.is_time(kind) and kind.unit != "ns":
        return _Cell(label, array.cast(pa.time64("us")), "time", False)
    if types.is_decimal128(kind) and kind.scale >= 0:
        return _Cell(label, array, "decimal", False)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return _Cell(label, array.cast(pa.binary()), "binary", False)
    raise NoText(str(kind))


@lru_cache(maxsize=1)
def _layout() -> _core.TextLayout:
    """How dlt writes typed JSON."""
    try:
        layout = _text_layouts.json_layout()
    except _text_layouts.NoLayout as error:
        raise NoText(str(error)) from error
    layout["skip_null"], layout["null"] = 0, "null"
    for kind, sample in _SAMPLES.items():
        typed = json.loads(json.typed_dumps(sample))
        layout["cells"][kind] = ("wrapped", '"' + typed[0], '"')
        if kind == "timestamp":
            _text_layouts.set_times(layout, typed[1:])
    return layout


def _lines(cells: list[_Cell], row_open: str, row_close: str) -> pa.Array:
    """The rows as an array of texts."""
    layout: Any = {**_layout(), "row_open": row_open, "row_close": row_close}
    batch = pa.RecordBatch.from_arrays([cell.array for cell in cells], names=[str(i) for i in range(len(cells))])
    columns = [(cell.label, i, cell.data_type, cell.naive) for i, cell in enumerate(cells)]
    pieces: list[bytes] = []
    try:
        _core.write_text(batch, layout, columns, False, pieces.append)
    except _core.Error as error:
        raise NoText(str(error)) from error
    text = b"".join(pieces)
    if len(text) >= 1 << 31:
        raise NoText("text beyond 2 GiB")
    whole = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("=ii", 0, len(text))), pa.py_buffer(text)]
    )
    return pc.split_pattern(whole, "\n").flatten().slice(0, batch.num_rows)
