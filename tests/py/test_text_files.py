"""Load files of text formats, written by the engine: dlt's own writers are the oracle, byte for byte."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import random
import re
import sys
import types
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import dlt
import headrace
import pyarrow as pa
import pytest
from arrow_rows import rows_of
from dlt.common.data_writers import BufferedDataWriter, escape
from dlt.common.data_writers.exceptions import InvalidDataItem
from dlt.common.data_writers.writers import CsvWriter, DataWriter, InsertValuesWriter, JsonlWriter
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.json import json
from dlt.common.storages.data_item_storage import DataItemStorage
from headrace import _core
from headrace._normalize import dlt_versions as _dlt_versions
from headrace._normalize import load_files as _load_files
from headrace._normalize import text_files as _text_files
from headrace._normalize import text_layouts as _text_layouts
from headrace._normalize.dlt_versions import dlt_version
from pendulum import Time

CHARACTERS: list[str] = [
    *(chr(code) for code in range(128)),
    *"'\"\\\n\r\t\x00,;|{}[]:/ ",
    "\x7f\x85\u2028\u2029é\u4e2d\U0001f600\U0010ffff\uf026\uf02e\ufeff",
]
LITERALS = [name for name in _text_layouts._LITERALS if hasattr(escape, name)]
CSV = [
    {"quoting": quoting, "delimiter": delimiter, "lineterminator": end}
    for quoting in ("quote_all", "quote_needed", "quote_minimal", "quote_none")
    for delimiter, end in ((",", "\n"), (";", "\r\n"), ("|", "||"), ("\t", "\n"), (".", "\n"), ("e", "x"))
    if quoting != "quote_none" or delimiter not in ".e"
]


@pytest.fixture(autouse=True)
def _sql_server() -> Iterator[None]:
    """The constant that dlt asks its SQL Server destination for, whose driver is not here."""
    module = types.ModuleType("dlt.destinations.impl.mssql.mssql")
    vars(module)["VARBINARY_MAX_N"] = 8000
    with mock.patch.dict(sys.modules, {module.__name__: module}):
        yield


# ---------------------------------------------------------------------------------------------------- tables


def text(rng: random.Random, forbidden: str = "") -> str:
    """Text of odd characters, now and then long."""
    size = rng.choice([0, 1, 2, 7, 8, 9, 30]) if rng.random() < 0.97 else 3000
    alphabet = CHARACTERS if rng.random() < 0.5 else ["a", "b", "é"]
    return "".join(char for char in rng.choices(alphabet, k=size) if char not in forbidden)


def value(rng: random.Random, kind: str, utf8_only: bool, forbidden: str) -> Any:
    """A value of an Arrow column of the dlt type."""
    if kind == "text":
        return text(rng, forbidden)
    if kind == "json":
        return json.dumps(rng.choice([[], {}, [1]] if forbidden else [[text(rng)], {text(rng): [1.5, None, True]}, []]))
    if kind == "bigint":
        return rng.choice([0, -1, 10, 2**63 - 1, -(2**63), rng.randrange(-(10**6), 10**6)])
    if kind == "double":
        return rng.choice(
            [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e16, 1e-5, 5e-324, rng.uniform(-1e9, 1e9)]
        )
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "timestamp":
        return rng.choice([0, -1, 1, -62135596800000000, 253402300799999999, rng.randrange(-(10**16), 10**16), 10**15])
    if kind == "date":
        return rng.choice([0, -1, -719162, 2932896, rng.randrange(-700000, 2900000)])
    if kind == "time":
        return rng.choice([0, 1, 86399999999, rng.randrange(86400000000), rng.randrange(86400) * 1000000])
    if kind == "decimal":
        digits = rng.choice([0, 1, -1, 10**37, -(10**38) + 1, rng.randrange(10 ** rng.randrange(1, 38))])
        return Decimal(f"{digits}E-9")
    size = rng.choice([0, 1, 2, 3, 4, 5, 100]) if rng.random() < 0.95 else rng.choice([8000, 8001])
    return text(rng, forbidden).encode() if utf8_only else rng.randbytes(size)


ARROW = {
    "text": pa.string(),
    "json": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "decimal": pa.decimal128(38, 9),
    "binary": pa.binary(),
}


def make_table(rng: random.Random, columns: dict[str, Any], utf8_only: bool, forbidden: str) -> pa.Table:
    """A table of some of the columns, in several chunks, each a slice."""
    names = [name for name in columns if rng.random() < 0.9] or list(columns)
    chunks = []
    for _ in range(rng.randrange(1, 4)):
        arrays = []
        n_rows = rng.randrange(12)
        for name in names:
            kind = columns[name]["data_type"]
            nulls = rng.choice([0, 0, 0.3, 1])
            values = [
                None if rng.random() < nulls else value(rng, kind, utf8_only, forbidden) for _ in range(n_rows + 9)
            ]
            arrays.append(pa.array(values, type=ARROW[kind]).slice(rng.randrange(10), n_rows))
        chunks.append(pa.record_batch(arrays, names=names))
    return pa.Table.from_batches(chunks).slice(rng.randrange(3))


def make_columns(rng: random.Random, forbidden: str) -> dict[str, Any]:
    """A file's columns; timestamps with and without a zone."""
    kinds = [*ARROW, *rng.choices(list(ARROW), k=4)]
    rng.shuffle(kinds)
    columns: dict[str, Any] = {}
    for number, kind in enumerate(kinds):
        name = f"c{number}" if forbidden else rng.choice(['c{}"', "c{}", "ä{}", "c'{}\\"]).format(number)
        columns[name] = {"name": name, "data_type": kind, "nullable": True}
        if kind == "timestamp" and rng.random() < 0.5:
            columns[name]["timezone"] = False
    return columns


# ---------------------------------------------------------------------------------------------------- both sides


def write(
    cls: type[DataWriter], items: list[Any], columns: Any, caps: Any = None, **settings: Any
) -> tuple[bytes, int]:
    """What the writer makes of the items, each written for itself, and what it counts."""
    out: Any = io.BytesIO() if cls.writer_spec().is_binary_format else io.StringIO()
    writer = cls(out, caps=caps, **settings)
    if issubclass(cls, _text_files.TextTables):
        writer.buffered = types.SimpleNamespace(_current_columns=columns)  # type: ignore[attr-defined]
    writer.write_header(columns)
    for item in items:
        writer.write_data(item)
    writer.write_footer()
    writer.close()
    written = out.getvalue()
    return (written.encode() if isinstance(written, str) else written), writer.items_count


def rows(cls: type[DataWriter], table: pa.Table, columns: Any) -> list[dict[str, Any]]:
    """The rows as dlt's normalizer hands them over."""
    for index, name in enumerate(table.column_names):
        if columns[name].get("timezone") is False:
            table = table.set_column(index, name, table.column(index).cast(pa.timestamp("us")))
    types = {name: column["data_type"] for name, column in columns.items()}
    out = _text_layouts.rows_of(table, types, issubclass(cls, InsertValuesWriter))
    for row in out:
        for name, cell in row.items():
            if (
                type(cell) is datetime.time
            ):  # orjson 3.13.0 loses the zero of .012345; times that dlt makes go another way
                row[name] = Time(cell.hour, cell.minute, cell.second, cell.microsecond)
    return out


def check(seed: int, cls: type[DataWriter], caps: Any = None, forbidden: str = "", **settings: Any) -> None:
    """The engine writes random tables as dlt's writer writes their rows, tables and rows of dlt's taking turns."""
    rng = random.Random(seed)
    columns = make_columns(rng, forbidden)
    tables = [make_table(rng, columns, cls is CsvWriter, forbidden) for _ in range(3)]
    with_tables = _text_files.text_writer(cls)
    assert _text_files._checked_layout(with_tables(io.BytesIO(), caps=caps, **settings))[1] is None
    items: list[Any] = [[tables[0]], rows(cls, tables[1], columns), [tables[2], tables[0]]]
    with mock.patch.object(_text_layouts, "rows_of", side_effect=AssertionError("rows were made")):
        ours = write(with_tables, items, columns, caps, **settings)
    dlts: list[Any] = [rows(cls, tables[index], columns) for index in (0, 1, 2, 0)]
    want = write(cls, dlts, columns, caps, **settings)
    same = next((at for at, pair in enumerate(zip(ours[0], want[0], strict=False)) if pair[0] != pair[1]), 0)
    assert ours == want, (
        f"seed {seed}: {ours[0][max(same - 50, 0) : same + 50]!r}, {want[0][max(same - 50, 0) : same + 50]!r}"
    )


def sql_caps(literal: str, writer_type: str = "default") -> DestinationCapabilitiesContext:
    """Capabilities with this literal."""
    caps = DestinationCapabilitiesContext.generic_capabilities()
    caps.escape_literal = getattr(escape, literal)
    caps.escape_identifier = escape.escape_postgres_identifier
    caps.insert_values_writer_type = writer_type
    return caps


@pytest.mark.every_dlt
@pytest.mark.parametrize("literal", LITERALS)
@pytest.mark.parametrize("writer_type", ["default", "select_union"])
def test_insert_values_are_dlts(literal: str, writer_type: str) -> None:
    if literal == "escape_databricks_literal" and dlt_version() in ((1, 28), (1, 29)):
        pytest.skip("it fails for NUL")
    for seed in range(8):
        check(seed, InsertValuesWriter, sql_caps(literal, writer_type))


@pytest.mark.every_dlt
def test_json_lines_are_dlts() -> None:
    for seed in range(40):
        check(seed, JsonlWriter)


@pytest.mark.every_dlt
@pytest.mark.parametrize("settings", CSV, ids=str)
def test_csv_is_dlts(settings: dict[str, Any]) -> None:
    forbidden = (
        '"\\\r\n' + settings["delimiter"] + settings["lineterminator"] if settings["quoting"] == "quote_none" else ""
    )
    for seed in range(8):
        check(seed, CsvWriter, forbidden=forbidden, **settings)


@pytest.mark.parametrize("include_header", [True, False])
def test_csv_of_one_column_says_where_a_row_is_empty(include_header: bool) -> None:
    columns: Any = {"a": {"name": "a", "data_type": "text"}}
    table = pa.table({"a": pa.array(["", None, "x"])})
    for quoting in ("quote_minimal", "quote_needed"):
        settings = {"quoting": quoting, "include_header": include_header}
        want = write(CsvWriter, [rows(CsvWriter, table, columns)], columns, **settings)
        assert write(_text_files.text_writer(CsvWriter), [[table]], columns, **settings) == want


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("kind", "bad", "settings", "error"),
    [
        ("binary", b"\xff", {}, InvalidDataItem),
        ("binary", b"\xed\xa0\x80", {}, InvalidDataItem),
        ("binary", b"\xc0\x80", {}, InvalidDataItem),
        ("binary", b"\xf4\x90\x80\x80", {}, InvalidDataItem),
        ("text", 'say "a"', {"quoting": "quote_none"}, csv.Error),
        ("text", "a,b", {"quoting": "quote_none"}, csv.Error),
    ],
)
def test_what_csv_cannot_hold_fails_as_with_dlt(kind: str, bad: Any, settings: Any, error: Any) -> None:
    columns: Any = {name: {"name": name, "data_type": kind} for name in "ab"}
    good = b"good" if kind == "binary" else "good"
    table = pa.table({"a": pa.array([good] * 5 + [bad], type=ARROW[kind])})
    with pytest.raises(error) as ours:
        write(_text_files.text_writer(CsvWriter), [[table]], columns, **settings)
    with pytest.raises(error) as dlts:
        write(CsvWriter, [rows(CsvWriter, table, columns)], columns, **settings)
    assert str(ours.value) == str(dlts.value)


@pytest.mark.skipif(_dlt_versions.KEEPS_OFFSETS, reason="before dlt 1.31 CSV files are always UTF-8")
@pytest.mark.parametrize(
    "settings",
    [{"encoding": "utf-16"}, {"encoding": "cp1252", "encoding_errors": "backslashreplace"}, {"encoding": "cp1252"}],
)
def test_csv_in_other_encodings_is_dlts(settings: dict[str, Any]) -> None:
    columns: Any = {name: {"name": name, "data_type": "text"} for name in "ab"}
    table = pa.table({"a": pa.array(["é", "b", "ü" * 3000])})
    ours = _text_files.text_writer(CsvWriter)
    want = write(CsvWriter, [rows(CsvWriter, table, columns)], columns, **settings)
    assert write(ours, [[table]], columns, **settings) == want
    bad = pa.table({"a": pa.array(["é", "\u4e2d"])})
    if len(settings) == 1 and settings["encoding"] == "cp1252":
        with pytest.raises(InvalidDataItem, match="cannot be encoded with the configured `cp1252` encoding"):
            write(ours, [[bad]], columns, **settings)
    else:
        want = write(CsvWriter, [rows(CsvWriter, bad, columns)], columns, **settings)
        assert write(ours, [[bad]], columns, **settings) == want


@pytest.mark.parametrize(
    ("cls", "settings", "why"),
    [
        (CsvWriter, {"delimiter": "§"}, "a CSV delimiter or line end that is not ASCII"),
        (CsvWriter, {"bytes_encoding": "latin-1"}, "bytes in latin-1"),
        (CsvWriter, {"quoting": "quote_none", "delimiter": ":"}, "CSV quoting quote_none with the delimiter `:`"),
        (InsertValuesWriter, {}, "the literals of test_text_files.own_literal"),
    ],
)
def test_what_is_not_described_by_a_layout_goes_as_rows(cls: Any, settings: Any, why: str) -> None:
    caps = DestinationCapabilitiesContext.generic_capabilities()
    caps.escape_literal = own_literal
    ours = _text_files.text_writer(cls)
    assert _text_files._checked_layout(ours(io.BytesIO(), caps=caps, **settings)) == (None, why)
    columns: Any = {name: {"name": name, "data_type": "text"} for name in "ab"}
    table = pa.table({"a": pa.array(["x", None, "é"]), "b": pa.array(["1", "2", "3"])})
    want = write(cls, [rows(cls, table, columns)], columns, caps, **settings)
    assert write(ours, [[table]], columns, caps, **settings) == want


def own_literal(value: Any) -> str:
    """A destination's own way."""
    return f"<{value}>"


def test_a_literal_that_changed_goes_as_rows() -> None:
    def duckdb(value: Any) -> str:
        return "E'three'" if value == "aaa" or (isinstance(value, int) and value < -5) else before(value)

    before = escape.escape_duckdb_literal
    duckdb.__name__ = before.__name__
    with mock.patch.object(escape, "escape_duckdb_literal", duckdb):
        why = _text_files._checked_layout(
            _text_files.text_writer(InsertValuesWriter)(io.StringIO(), caps=sql_caps("escape_duckdb_literal"))
        )[1]
    assert why == "this version of dlt writes some values in another way"


@pytest.mark.every_dlt
def test_a_literal_that_fails_goes_as_rows() -> None:
    """That of databricks fails for NUL in dlt 1.28 and 1.29: only a row with one is to fail."""

    def databricks(value: Any) -> str:
        if isinstance(value, str) and "\0" in value:
            raise KeyError("\0")
        return before(value)

    before = escape.escape_databricks_literal
    databricks.__name__ = before.__name__
    with mock.patch.object(escape, "escape_databricks_literal", databricks):
        caps = sql_caps("escape_databricks_literal")
        writer = _text_files.text_writer(InsertValuesWriter)(io.StringIO(), caps=caps)
        assert _text_files._checked_layout(writer)[1] == "dlt's own literal of the character '\\x00' fails"


# ---------------------------------------------------------------------------------------------------- files


class Storage(DataItemStorage):
    """dlt's item storage in a folder."""

    def __init__(self, cls: type[DataWriter], folder: Path, **settings: Any) -> None:
        super().__init__(cls.writer_spec())
        path = self._get_data_item_path_template("", "", str(folder / "t"))
        self.buffered_writers["l.s.t"] = BufferedDataWriter(self.writer_spec, path, **settings)

    def _get_data_item_path_template(self, load_id: str, schema_name: str, table_name: str) -> str:
        return f"{table_name}.%s"


@pytest.mark.parametrize("cls", [InsertValuesWriter, JsonlWriter, CsvWriter])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("limits", [{}, {"file_max_items": 100}, {"file_max_bytes": 4000}], ids=str)
def test_files_are_cut_and_compressed_as_configured(cls: Any, compressed: bool, limits: Any, tmp_path: Path) -> None:
    caps = sql_caps("escape_duckdb_literal")
    columns: Any = {name: {"name": name, "data_type": "bigint"} for name in "ab"}
    numbers = {"a": list(range(1000)), "b": list(range(1000, 2000))}
    storage = Storage(cls, tmp_path, buffer_max_items=50, disable_compression=not compressed, _caps=caps, **limits)
    _load_files.take_rows(storage, lambda is_forgotten: None)
    storage.write_data_item("l", "s", "t", rows_of(**numbers), columns)
    storage.write_data_item("l", "s", "t", {"a": -1, "b": -2}, columns)
    storage.close_writers("l")
    files = storage.closed_files("l")
    counted = [file.items_count // (2 if cls is CsvWriter else 1) for file in files]
    assert sum(counted) == 1001
    if limits:
        assert len(files) > 2
    if "file_max_items" in limits:
        assert max(counted) == (50 if cls is CsvWriter else 100)  # dlt's CSV counts cells
    texts = [
        gzip.open(file.file_path, "rt").read() if compressed else Path(file.file_path).read_text() for file in files
    ]
    want = [{"a": number, "b": 1000 + number} for number in range(1000)] + [{"a": -1, "b": -2}]
    if cls is JsonlWriter:
        assert [json.loads(line) for one in texts for line in one.splitlines()] == want
    elif cls is CsvWriter:
        found = [row for one in texts for row in csv.DictReader(io.StringIO(one))]
        assert [{name: int(cell) for name, cell in row.items()} for row in found] == want
    else:
        lines = [line for one in texts for line in one.split("VALUES\n")[1].splitlines()]
        assert [line[:-1] for line in lines] == [f"({row['a']},{row['b']})" for row in want]
        assert all(one.startswith('INSERT INTO {}("a","b")\nVALUES\n(') and one.endswith(");") for one in texts)


def test_errors_name_the_row_and_what_came_before_is_written() -> None:
    layout = _text_layouts.layout_of(JsonlWriter(io.BytesIO()))
    batch = pa.record_batch({"a": pa.array([1, 2, 300000000000], type=pa.timestamp("s")).cast(pa.timestamp("us"))})
    pieces: list[bytes] = []
    with pytest.raises(_core.Error, match="not of the years 1 to 9999") as caught:
        _core.write_text(batch, layout, [(b'"a":', 0, "timestamp", True)], False, pieces.append)
    assert (caught.value.code, caught.value.record) == ("RANGE", 2)
    assert b"".join(pieces) == b'{"a":"1970-01-01T00:00:01"}\n{"a":"1970-01-01T00:00:02"}\n'
    with pytest.raises(_core.Error, match="column a of type text has the Arrow format tsu:"):
        _core.write_text(batch, layout, [(b'"a":', 0, "text", True)], False, pieces.append)
    with pytest.raises(_core.Error, match="no such column"):
        _core.write_text(batch, layout, [(b'"a":', 1, "text", True)], False, pieces.append)
    with pytest.raises(KeyError, match="the layout has no row_open"):
        _core.write_text(batch, {}, [], False, pieces.append)  # type: ignore[typeddict-item]
    with pytest.raises(OSError, match="full"):
        _core.write_text(batch, layout, [(b'"a":', -1, "text", True)], False, mock.Mock(side_effect=OSError("full")))


def test_large_tables_leave_in_pieces() -> None:
    layout = _text_layouts.layout_of(JsonlWriter(io.BytesIO()))
    batch = pa.record_batch({"a": ["é" * 1000] * 5000 + ["x" * 10_000_000]})
    pieces: list[bytes] = []
    _core.write_text(batch, layout, [(b'"a":', 0, "text", False)], False, pieces.append)
    assert sorted(map(len, pieces))[-2] < (1 << 20) + 3000
    assert b"".join(pieces).decode().splitlines() == [f'{{"a":"{cell}"}}' for cell in batch.column(0).to_pylist()]


def text_of_load_files(folder: Path, file_format: str) -> list[str]:
    """The lines of a table's load files after the normalize step, in what is not random."""
    pipeline = dlt.pipeline(
        "p", pipelines_dir=str(folder), destination=dlt.destinations.filesystem(str(folder / "out"))
    )
    if file_format == "insert_values":
        pipeline = dlt.pipeline("p", pipelines_dir=str(folder), destination="duckdb")
    scalars = ['"text"', "5", '"[1, 2]"', " true", "1.50", '["a", 1.50]', ' {"b": null}', "no JSON"]
    decimals = [
        Decimal(text) for text in ("1.50", "-0.0", "1E+3", "0E-12", "5", "0.1234567890123456789012345678901234567890")
    ]
    records = [{"j": scalar, "n": number, "d": None} for number, scalar in enumerate(scalars * 3)]
    records += [{"j": [1], "n": 100 + number, "d": decimal} for number, decimal in enumerate(decimals)]
    records += [{"n": 200, "d": "2.50", "at": "2024-01-01T00:00:00.5+02:00", "raw": b"\x00\xff"}]
    columns: Any = {"j": {"data_type": "json"}, "d": {"data_type": "decimal"}}
    pipeline.extract(dlt.resource(records, name="t", columns=columns), loader_file_format=file_format)  # type: ignore[arg-type]
    pipeline.normalize()
    (path,) = (folder / "p" / "load" / "normalized").rglob(f"t.*.{file_format}.gz")
    lines = gzip.open(path, "rt").read().splitlines()
    if file_format == "jsonl":
        rows = [json.loads(line) for line in lines]
        return [str(sorted((k, v) for k, v in row.items() if not k.startswith("_dlt"))) for row in rows]
    return [re.sub(r"E'[A-Za-z0-9+/]{14}'|E'\d{10}\.\d+'", "?", line) for line in lines]


@pytest.mark.parametrize("file_format", ["insert_values", "jsonl"])
def test_decimals_and_json_stand_as_they_were_given(file_format: str, tmp_path: Path) -> None:
    """Decimals have the digits they came with, and JSON text of a scalar is not taken for text or a list."""
    headrace.uninstall()
    by_dlt = text_of_load_files(tmp_path / "dlt", file_format)
    headrace.install()
    try:
        ours = text_of_load_files(tmp_path / "ours", file_format)
        tables = list(headrace.status().values())[-1]["tables"]
    finally:
        headrace.uninstall()
    assert ours == by_dlt
    assert tables["t"]["native"]
    assert tables["t"]["by_rows"] is None
