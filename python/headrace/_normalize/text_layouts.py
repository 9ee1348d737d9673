"""What dlt's text writers put around and into values, as layouts of the engine's `write_text`.

A layout is made from what dlt's (and Python's and orjson's) own functions give for each character and each type, so it is
theirs in every version; then a table of edge values goes through dlt's writer and the engine, and a layout whose text is
not dlt's byte for byte is not used.
"""

from __future__ import annotations

import csv
import datetime
import io
import struct
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from itertools import accumulate
from typing import Any

import pendulum
import pyarrow as pa
from dlt.common.data_writers import escape
from dlt.common.data_writers.writers import CsvWriter, DataWriter, InsertValuesWriter, JsonlWriter
from dlt.common.json import json

from headrace import _core
from headrace._normalize import dlt_versions as _dlt_versions

# The literals of dlt's destinations: each maps single characters, which is what a layout can say.
_LITERALS = (
    "escape_redshift_literal",
    "escape_postgres_literal",
    "escape_duckdb_literal",
    "escape_lancedb_literal",
    "escape_mssql_literal",
    "escape_snowflake_literal",
    "escape_databricks_literal",
    "escape_clickhouse_literal",
    "escape_bigquery_literal",
)
_ASCII = [chr(code) for code in range(128)]
_MARK = "\u4e2d"  # passes every writer as it is
_BYTES = b"\xab\xcd\xef"
_HEX, _BASE64, _UTF8 = 1, 2, 3  # hr_text_bytes
_NUMBERS = ("bigint", "double", "decimal", "bool")
_TIMES = ("timestamp", "date", "time")
_MOMENT = datetime.datetime(2024, 2, 29, 23, 59, 58, 123456, datetime.timezone.utc)


class NoLayout(Exception):
    """The writer's text is not one that a layout can describe; the argument says why."""


def layout_of(writer: DataWriter) -> _core.TextLayout:
    """The layout of a writer's rows. Raises `NoLayout`."""
    if isinstance(writer, InsertValuesWriter):
        return _of_insert_values(writer)
    if isinstance(writer, JsonlWriter):
        return json_layout()
    if isinstance(writer, CsvWriter):
        return _of_csv(writer)
    raise NoLayout(f"the writer {type(writer).__name__} is none of dlt's")


def columns_of(
    writer: DataWriter, columns: dict[str, Any], naive: set[str], table: pa.Schema
) -> list[_core.TextColumn]:
    """The cells of a row: of all columns of the file, or for JSON of those that the table has."""
    children = {name: index for index, name in enumerate(table.names)}
    if isinstance(writer, JsonlWriter):
        return [
            (json.dumpb(name) + b":", child, _shown_as(columns[name]), name in naive)
            for name, child in children.items()
        ]
    return [(b"", children.get(name, -1), _shown_as(column), name in naive) for name, column in columns.items()]


def _shown_as(column: Any) -> str:
    """The data type whose layout the column's cells have: a Wei is a Decimal."""
    return "decimal" if column["data_type"] == "wei" else str(column["data_type"])


# ---------------------------------------------------------------------------------------------------- checking


def rows_of(table: pa.Table, types: dict[str, str], keep_nulls: bool) -> list[dict[str, Any]]:
    """The rows as dlt's normalizer would hand them to its writers. `types`: data types of the columns by name."""
    names = table.column_names
    columns = [_values(column, types.get(name)) for name, column in zip(names, table.columns, strict=True)]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if keep_nulls:
        return rows
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _values(column: pa.ChunkedArray, data_type: str | None) -> list[Any]:
    values: list[Any] = _moments(column) if pa.types.is_timestamp(column.type) else column.to_pylist()
    if data_type == "json":
        return [_from_json(value) for value in values]
    if data_type == "timestamp" and _dlt_versions.KEEPS_OFFSETS:  # rows hold pendulum's, which are shown without Z
        return [value if value is None else pendulum.instance(value, tz=value.tzinfo) for value in values]
    if data_type in ("decimal", "wei") and column.type == pa.string():
        return [None if value is None else Decimal(value) for value in values]
    return values


def _moments(column: pa.ChunkedArray) -> list[Any]:
    """Timestamps as datetimes. For them `to_pylist` would import pandas, where that is installed, and `cast` imports
    pyarrow.compute.
    """
    if column.type.unit != "us" or column.type.tz not in (None, "UTC"):
        return column.to_pylist()  # type: ignore[no-any-return]
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc if column.type.tz else None)
    numbers = [number for chunk in column.chunks for number in chunk.view(pa.int64()).to_pylist()]
    return [None if number is None else start + datetime.timedelta(microseconds=number) for number in numbers]


def _from_json(text: str | None) -> Any:
    """The value of a JSON cell. Text that is no JSON is a string, which dlt leaves as it is."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _edge_values(layout: _core.TextLayout) -> pa.Table:
    """A table with edge values of every type that the layout has."""
    plain = [char for char in _ASCII if char not in layout["refused"]]
    texts = ["", "".join(plain), *plain, "é\u4e2d\U0001f600\uf026", None]
    moments = [0, -1, 1, 951782400000000, -62135596800000000, 253402300799999999, None]
    of_type: dict[str, tuple[pa.DataType, list[Any]]] = {
        "text": (pa.string(), texts),
        "json": (
            pa.string(),
            [json.dumps([text]) for text in texts if not layout["refused"]] + ["[1,2.5]", "{}", None],
        ),
        "bigint": (pa.int64(), [0, -1, 2**63 - 1, -(2**63), None]),
        "double": (
            pa.float64(),
            [0.0, -0.0, 1e16, 1e-7, 5e-324, 0.1, -1.5, float("nan"), float("inf"), float("-inf"), None],
        ),
        "bool": (pa.bool_(), [True, False, None]),
        "timestamp": (pa.timestamp("us", tz="UTC"), moments),
        "date": (pa.date32(), [0, -1, -719162, 2932896, None]),
        "time": (pa.time64("us"), [0, 1, 86399999999, None]),
        "decimal": (pa.decimal128(38, 9), [0, 1_500_000_000, -1, (10**29 - 1) * 10**9, None]),
        "binary": (pa.binary(), [b"", b"a", b"ab", b"abc", b"abcd", None]),
    }
    if layout["refused"]:
        of_type["json"] = (pa.string(), ["[]", "{}", "[1]", None])
    wanted = [name for name in of_type if name in layout["cells"]]
    n_rows = max(len(of_type[name][1]) for name in wanted)
    columns = [_array(of_type[name][0], (of_type[name][1] * n_rows)[:n_rows]) for name in wanted]
    return pa.table(columns, names=wanted)


def _array(arrow_type: pa.DataType, values: list[Any]) -> pa.Array:
    """The values (texts, bytes, bools, floats, else scaled integers) as an array. `pa.array` would import pandas where
    that is installed, which takes longer than all else of a small load.
    """
    has_text = pa.types.is_string(arrow_type) or pa.types.is_binary(arrow_type)
    texts = [value.encode() if isinstance(value, str) else value or b"" for value in values] if has_text else []
    if has_text:
        buffers = [struct.pack(f"={len(texts) + 1}i", *accumulate(map(len, texts), initial=0)), b"".join(texts)]
    elif pa.types.is_boolean(arrow_type):
        buffers = [_bits(values)]
    elif pa.types.is_floating(arrow_type):
        buffers = [struct.pack(f"={len(values)}d", *(0.0 if value is None else value for value in values))]
    else:
        width = arrow_type.bit_width // 8
        buffers = [b"".join((value or 0).to_bytes(width, "little", signed=True) for value in values)]
    validity = _bits([value is not None for value in values])
    return pa.Array.from_buffers(arrow_type, len(values), [pa.py_buffer(buffer) for buffer in (validity, *buffers)])


def _bits(values: list[Any]) -> bytes:
    """A bit a value, the first the lowest."""
    return sum(bool(value) << index for index, value in enumerate(values)).to_bytes(-(-len(values) // 8), "little")


def check(writer: DataWriter, dlts: type[DataWriter], layout: _core.TextLayout) -> None:
    """Raises `NoLayout` when edge values become another text than by dlt's class. The writer has written nothing yet."""
    table = _edge_values(layout)
    columns: Any = {name: {"name": name, "data_type": name} for name in table.column_names}
    text = io.StringIO() if not writer.writer_spec().is_binary_format else None
    out: Any = io.BytesIO() if text is None else text
    copy = object.__new__(dlts)
    vars(copy).update(vars(writer), _f=out, encoding="utf-8")  # others are made of it
    copy.write_header(columns)
    start = out.tell()
    try:
        copy.write_data(
            rows_of(table, {name: name for name in table.column_names}, isinstance(writer, InsertValuesWriter))
        )
    except csv.Error as ex:
        raise NoLayout(f"CSV quoting {writer.quoting} with the delimiter `{writer.delimiter}`") from ex  # type: ignore[attr-defined]
    wanted = out.getvalue()[start:]
    ours: list[bytes] = []
    (batch,) = table.combine_chunks().to_batches()
    _core.write_text(batch, layout, columns_of(writer, columns, set(), table.schema), False, ours.append)
    if b"".join(ours) != (wanted.encode() if isinstance(wanted, str) else wanted):
        raise NoLayout("this version of dlt writes some values in another way")


# ---------------------------------------------------------------------------------------------------- what dlt gives


def _around(text: str, value: str) -> tuple[str, str]:
    """What stands before and behind the value."""
    before, found, behind = text.partition(value)
    if not found:
        raise NoLayout(f"`{value}` is written as `{text}`")
    return before, behind


def _escapes(write: Callable[[str], str]) -> dict[str, str]:
    """What each ASCII character becomes between others, where that is not itself."""
    out = {}
    for char in _ASCII:
        try:
            written = write(_MARK + char + _MARK)
        except Exception as ex:  # that of databricks in dlt 1.28 and 1.29, for NUL
            raise NoLayout(f"dlt's own literal of the character {char!r} fails") from ex
        text = _around(_around(written, _MARK)[1][::-1], _MARK)[1][::-1]
        if text != char:
            out[char] = text
    return out


def set_times(layout: _core.TextLayout, text: str) -> None:
    """How moments are shown, given the text of `_MOMENT` without what stands around it."""
    day, time = "2024-02-29", "23:59:58.123456"
    between, zone = text[len(day) : len(day) + 1], text[len(day) + 1 + len(time) :]
    if text != day + between + time + zone or len(zone) > 16:
        raise NoLayout(f"a timestamp is written as `{text}`")
    layout["date_time"], layout["zone"] = ord(between), zone


_PLAIN: _core.TextLayout = {
    "row_open": "",
    "row_between": "",
    "row_close": "",
    "cell_between": ",",
    "null": "",
    "skip_null": 0,
    "cells": {},
    "escapes": {},
    "quoted": "",
    "refused": "",
    "true": "True",
    "false": "False",
    "orjson_doubles": 0,
    "bytes": _BASE64,
    "bytes_max": 0,
    "size_close": "",
    "date_time": ord("T"),
    "zone": "+00:00",
}

# ---------------------------------------------------------------------------------------------------- INSERT values


def _of_insert_values(writer: InsertValuesWriter) -> _core.TextLayout:
    literal: Callable[[Any], str] = writer._caps.escape_literal
    name = getattr(literal, "__name__", "")
    if name not in _LITERALS or getattr(escape, name, None) is not literal:
        raise NoLayout(f"the literals of {getattr(literal, '__module__', '')}.{name or repr(literal)}")
    cells = {
        "text": ("escaped", *_around(literal(_MARK), _MARK)),
        "json": ("escaped", *_around(literal([_MARK]), f'["{_MARK}"]')),
        "date": ("wrapped", *_around(literal(_MOMENT.date()), "2024-02-29")),
        "time": ("wrapped", *_around(literal(_MOMENT.time()), "23:59:58.123456")),
        **{kind: ("wrapped", "", "") for kind in _NUMBERS},
    }
    quote, behind = _around(literal(_MOMENT), "2024-02-29")
    cells["timestamp"] = ("wrapped", quote, behind[-len(quote) :])
    layout: _core.TextLayout = {
        **_PLAIN,
        "row_open": writer.pre,
        "row_between": writer.sep,
        "row_close": writer.post,
        "null": literal(None),
        "cells": cells,
        "escapes": _escapes(literal),
        "true": literal(True),
        "false": literal(False),
    }
    set_times(layout, literal(_MOMENT)[len(quote) : -len(quote)])
    with suppress(ImportError):  # of the destination's driver: dlt cannot write bytes without it, and says so
        _binary(literal, layout)
    return layout


def _binary(literal: Callable[[Any], str], layout: _core.TextLayout) -> None:
    """Bytes, SQL Server's with their number."""
    text = literal(_BYTES)
    layout["bytes"] = _HEX if _BYTES.hex() in text else _BASE64
    before, behind = _around(text, _BYTES.hex() if layout["bytes"] == _HEX else "q83v")
    if "(3)" in before:
        from dlt.destinations.impl.mssql.mssql import VARBINARY_MAX_N

        before, layout["size_close"] = before.split("3")
        layout["bytes_max"] = VARBINARY_MAX_N
    layout["cells"]["binary"] = ("wrapped", before, behind)


# ---------------------------------------------------------------------------------------------------- JSON lines


def json_layout() -> _core.TextLayout:
    """The layout of lines of JSON. Raises `NoLayout`."""
    if json._impl_name != "orjson":
        raise NoLayout(f"JSON by {json._impl_name}")
    quotes = ("wrapped", '"', '"')
    layout: _core.TextLayout = {
        **_PLAIN,
        "row_open": "{",
        "row_close": "}\n",
        "skip_null": 1,
        "cells": {
            "text": ("escaped", '"', '"'),
            **{kind: quotes for kind in (*_TIMES, "decimal", "binary")},
            **{kind: ("wrapped", "", "") for kind in ("bigint", "double", "bool", "json")},
        },
        "escapes": _escapes(lambda text: json.dumps(text)),
        "true": "true",
        "false": "false",
        "orjson_doubles": 1,
    }
    set_times(layout, json.dumps(pendulum.instance(_MOMENT))[1:-1])  # before dlt 1.29 others have a Z
    return layout


# ---------------------------------------------------------------------------------------------------- CSV

_NUMBER_CHARACTERS = set("0123456789+-.eEinfaTrueFls")


def _of_csv(writer: CsvWriter) -> _core.TextLayout:
    if not (writer.delimiter + writer.lineterminator).isascii():
        raise NoLayout("a CSV delimiter or line end that is not ASCII")
    if writer.bytes_encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        raise NoLayout(f"bytes in {writer.bytes_encoding}")

    def row(*fields: str, quoting: Any) -> str:
        out = io.StringIO()
        kwargs = {"delimiter": writer.delimiter, "lineterminator": writer.lineterminator, "quoting": quoting}
        csv.writer(out, csv.unix_dialect, **kwargs).writerow(fields)  # as `CsvWriter.write_header`
        return out.getvalue()

    quoted = "".join(char for char in _ASCII if '"' in row(_MARK + char + _MARK, _MARK, quoting=csv.QUOTE_MINIMAL))
    layout: _core.TextLayout = {
        **_PLAIN,
        "row_close": writer.lineterminator,
        "cell_between": writer.delimiter,
        "escapes": _escapes(lambda text: row(text, quoting=csv.QUOTE_ALL)),
        "quoted": quoted,
        "bytes": _UTF8,
    }
    set_times(layout, str(_MOMENT))
    always, needed = ("escaped", '"', '"'), ("quoted", '"', '"')
    texts = ("text", "json", "binary", *_TIMES)
    if writer.quoting in ("quote_all", "quote_needed"):
        bare = needed if _NUMBER_CHARACTERS.intersection(quoted) else ("wrapped", "", "")
        numbers = always if writer.quoting == "quote_all" else bare
        layout["cells"] = {**dict.fromkeys(texts, always), **dict.fromkeys(_NUMBERS, numbers)}
        layout["null"] = '""'
    elif writer.quoting in ("quote_minimal", "quote_none"):
        layout["cells"] = dict.fromkeys((*texts, *_NUMBERS), needed)
        layout["refused"] = quoted if writer.quoting == "quote_none" else ""
    else:
        raise NoLayout(f"CSV quoting {writer.quoting}")
    return layout
