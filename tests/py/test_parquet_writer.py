"""`_core.ParquetWriter`: what pyarrow, DuckDB and Polars read from its files is what was written, and its statistics are pyarrow's."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arrow_rows import FORMATS, arrow_type
from headrace import _core


def value_of(rng: random.Random, data_type: pa.DataType) -> Any:
    """Any, those at the type's edges more often."""
    if pa.types.is_boolean(data_type):
        return rng.random() < 0.5
    if pa.types.is_floating(data_type):
        return rng.choice([0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, rng.random(), rng.uniform(-1e300, 1e300)])
    if pa.types.is_string(data_type):
        return rng.choice(
            ["", "a", "\0", "é😀", "x" * 300, f"{rng.random()}", chr(rng.randrange(32, 0xD7FF)) * rng.randrange(20)]
        )
    if pa.types.is_binary(data_type):
        return rng.randbytes(rng.choice([0, 1, 7, 8, 9, 40]))
    if pa.types.is_decimal(data_type):
        most = 10**data_type.precision - 1
        with_sign = rng.choice(
            [0, 1, -1, most, -most, rng.randint(-most, most), rng.randint(-most, most) // 10 ** rng.randrange(20)]
        )
        return Decimal((with_sign < 0, tuple(int(digit) for digit in str(abs(with_sign))), -data_type.scale))
    if pa.types.is_date(data_type):
        return rng.choice([0, -1, -719162, 2932896, rng.randrange(20000)])
    if pa.types.is_time(data_type):
        return rng.choice([0, 1, 86399999999, rng.randrange(86400000000)])
    if pa.types.is_timestamp(data_type):  # of Python's years
        return rng.choice([0, 1, -1, -62135596800000000, 253402300799999999, rng.randrange(2 * 10**15)])
    return rng.choice([0, 1, -1, 2**63 - 1, -(2**63), rng.randrange(-(2**40), 2**40)])


def column_of(rng: random.Random, data_type: pa.DataType, n_rows: int, nullable: bool) -> pa.Array:
    """Values that are all new, that repeat anywhere, or in runs; with no, few or only nulls."""
    null_share = rng.choice([0, 0, 0.01, 0.5, 0.99, 1]) if nullable else 0
    few = [value_of(rng, data_type) for _ in range(rng.choice([1, 2, 3, 9, 300]))]
    kind = rng.randrange(3)
    values: list[Any] = []
    while len(values) < n_rows:
        value = value_of(rng, data_type) if kind == 0 else rng.choice(few)
        values += [value if rng.random() >= null_share else None] * (1 if kind < 2 else rng.randrange(1, 40))
    return pa.array(values[:n_rows], data_type)


def written(table: pa.Table | pa.RecordBatch, formats: list[str], **options: Any) -> bytes:
    """The file of the batches of a table."""
    out = io.BytesIO()
    columns = [(field.name, fmt, field.nullable) for field, fmt in zip(table.schema, formats, strict=True)]
    writer = _core.ParquetWriter(columns, out.write, **options)
    for batch in table.to_batches() if isinstance(table, pa.Table) else [table]:
        writer.write(batch)
    writer.finish()
    return out.getvalue()


def told(file: bytes) -> list[Any]:
    """What the statistics say, by row group and column."""
    metadata = pq.ParquetFile(io.BytesIO(file)).metadata
    out = []
    for g in range(metadata.num_row_groups):
        for c in range(metadata.num_columns):
            statistics = metadata.row_group(g).column(c).statistics
            has = statistics is not None and statistics.has_min_max
            out.append(
                (
                    g,
                    c,
                    statistics.null_count,
                    repr(statistics.min) if has else None,
                    repr(statistics.max) if has else None,
                )
            )
    return out


def random_table(rng: random.Random, formats: list[str]) -> pa.Table:
    """One batch, cut out of a larger one at any row."""
    n_rows = rng.choice([1, 2, 7, 8, 9, 63, 64, 65, 511, 513, 3000])
    before = rng.choice([0, 0, 1, 5, 8, 64, 77])
    fields, columns = [], []
    for number, fmt in enumerate(formats):
        nullable = rng.random() < 0.8
        fields.append(pa.field(f"c{number}", arrow_type(fmt), nullable=nullable))
        columns.append(column_of(rng, arrow_type(fmt), before + n_rows, nullable))
    return pa.table(columns, schema=pa.schema(fields)).slice(before)


@pytest.mark.parametrize("seed", range(60))
def test_readers_read_what_was_written(seed: int) -> None:
    rng = random.Random(seed)
    formats = rng.choices(FORMATS, k=rng.randrange(1, 9))
    table = random_table(rng, formats)
    options = {
        "page_bytes": rng.choice([1, 40, 1000, 1 << 20]),
        "group_rows": rng.choice([1 << 20, 1 << 20, 700]),
        "compress": rng.random() < 0.7,
    }
    file = written(table, formats, **options)
    back = pq.read_table(io.BytesIO(file))
    assert back.schema.equals(table.schema)
    assert repr(back.to_pylist()) == repr(table.to_pylist())  # NaN and both zeros too
    back.validate(full=True)
    by_pyarrow = io.BytesIO()
    pq.write_table(table, by_pyarrow, row_group_size=options["group_rows"])
    assert told(file) == told(by_pyarrow.getvalue())


@pytest.mark.parametrize("seed", range(20))
def test_duckdb_and_polars_read_what_they_read_of_pyarrows(seed: int, tmp_path: Path) -> None:
    rng = random.Random(1000 + seed)
    formats = rng.choices(FORMATS, k=6)
    table = random_table(rng, formats)
    (tmp_path / "ours.parquet").write_bytes(written(table, formats, page_bytes=rng.choice([100, 1 << 20])))
    pq.write_table(table, tmp_path / "theirs.parquet")
    rows = [
        duckdb.sql(f"select * from read_parquet('{tmp_path}/{name}.parquet')").fetchall() for name in ("ours", "theirs")
    ]
    assert repr(rows[0]) == repr(rows[1]) and len(rows[0]) == table.num_rows
    types = [
        duckdb.sql(f"describe select * from read_parquet('{tmp_path}/{name}.parquet')").fetchall()
        for name in ("ours", "theirs")
    ]
    assert types[0] == types[1]
    frames = [polars.read_parquet(tmp_path / f"{name}.parquet") for name in ("ours", "theirs")]
    assert frames[0].schema == frames[1].schema
    assert repr(frames[0].to_dicts()) == repr(frames[1].to_dicts())


def metadata_of(file: bytes, column: int = 0) -> Any:
    """Of a column's chunk in the first row group."""
    return pq.ParquetFile(io.BytesIO(file)).metadata.row_group(0).column(column)


def test_a_dictionary_is_made_of_what_repeats_and_compression_is_of_what_it_makes_smaller() -> None:
    rng = random.Random(7)
    n = 20_000
    table = pa.table(
        {
            "id": [rng.randbytes(12).hex() for _ in range(n)],
            "state": rng.choices(["open", "closed"], k=n),
            "load": ["1730000000.25"] * n,
            "text": ["the same words in " + str(number) for number in range(n)],
            "noise": [rng.randbytes(12) for _ in range(n)],
            "number": rng.choices(range(100), k=n),
        }
    )
    file = written(table, ["u", "u", "u", "u", "z", "l"])
    encodings = {name: "RLE_DICTIONARY" in metadata_of(file, c).encodings for c, name in enumerate(table.column_names)}
    assert encodings == {"id": False, "state": True, "load": True, "text": False, "noise": False, "number": True}
    codecs = {name: metadata_of(file, c).compression for c, name in enumerate(table.column_names)}
    assert codecs["text"] == "SNAPPY" and codecs["noise"] == "UNCOMPRESSED"
    by_pyarrow = io.BytesIO()
    pq.write_table(table, by_pyarrow)
    assert len(file) <= len(by_pyarrow.getvalue())
    assert {
        metadata_of(written(table, ["u", "u", "u", "u", "z", "l"], compress=False), c).compression for c in range(6)
    } == {"UNCOMPRESSED"}


def test_a_dictionary_that_grows_too_large_is_given_up() -> None:
    rng = random.Random(3)
    few = [f"{number}" * 30 for number in range(40)]
    # Each place that is looked at repeats, the chunk does not: a megabyte of other values stands between.
    values = [
        text for part in range(12) for text in rng.choices(few, k=1000) + [rng.randbytes(60).hex() for _ in range(1000)]
    ]
    file = written(pa.table({"a": values}), ["u"])
    assert pq.read_table(io.BytesIO(file))["a"].to_pylist() == values


def test_columns_are_found_by_name_and_may_be_missing_when_they_may_be_null() -> None:
    out = io.BytesIO()
    writer = _core.ParquetWriter([("a", "l", True), ("b", "u", True), ("c", "b", True)], out.write)
    writer.write(pa.record_batch({"b": ["x", None], "a": [1, 2]}))
    writer.write(pa.record_batch({"c": [True] * 100}))
    writer.write(pa.record_batch({"a": pa.array([], pa.int64())}))
    writer.finish()
    table = pq.read_table(io.BytesIO(out.getvalue()))
    assert (
        table.to_pylist()
        == [{"a": 1, "b": "x", "c": None}, {"a": 2, "b": None, "c": None}] + [{"a": None, "b": None, "c": True}] * 100
    )
    assert pq.ParquetFile(io.BytesIO(out.getvalue())).metadata.num_row_groups == 2


def test_what_does_not_fit_is_refused_before_anything_is_written() -> None:
    out = io.BytesIO()
    writer = _core.ParquetWriter([("a", "l", True), ("d", "d:10,2", True)], out.write)
    unfit = [
        ({"a": ["text"]}, "column a has the Arrow format u"),
        ({"a": [1], "x": [1]}, "a column that is not in the file"),
        ({"d": pa.array([Decimal("1.5")], pa.decimal128(10, 1))}, "column d has the Arrow format d:10,1"),
        ({"a": pa.array(["1", "1"]).dictionary_encode()}, "column a has the Arrow format"),
    ]
    for columns, message in unfit:
        with pytest.raises(_core.Error, match=message) as error:
            writer.write(pa.record_batch(columns))
        assert error.value.code == "UNSUPPORTED"
    assert out.getvalue() == b""
    writer.write(pa.record_batch({"a": [1]}))
    writer.finish()
    assert pq.read_table(io.BytesIO(out.getvalue())).to_pylist() == [{"a": 1, "d": None}]
    for fmt in ("i", "U", "tsn:UTC", "tdm", "d:39,0", "d:5,6", "d:0,0", "d:5", "d:5,", "d:,5", "d:5,1,256", "+l", ""):
        with pytest.raises(_core.Error, match="column a: Parquet of the Arrow format"):
            _core.ParquetWriter([("a", fmt, True)], out.write)


def test_a_null_where_none_may_be_and_a_decimal_that_is_too_long_fail() -> None:
    writer = _core.ParquetWriter([("a", "l", False)], bytes)
    with pytest.raises(_core.Error, match="Column 'a' is declared non-nullable but contains nulls") as error:
        writer.write(pa.record_batch({"a": [1, None]}))
    assert error.value.code == "NULL_VALUE"
    for call in (writer.finish, lambda: writer.write(pa.record_batch({"a": [1]}))):
        with pytest.raises(ValueError, match="complete, or failed"):
            call()
    # Arrow does not hold a decimal's digits against its type.
    wide = pa.array([Decimal(10) ** 20], pa.decimal128(38, 0))
    lying = pa.Array.from_buffers(pa.decimal128(5, 0), 1, wide.buffers())
    writer = _core.ParquetWriter([("d", "d:5,0", True)], bytes)
    with pytest.raises(_core.Error, match="column d: a decimal of more than 5 digits"):
        writer.write(pa.RecordBatch.from_arrays([lying], ["d"]))


def test_an_empty_file_has_its_columns() -> None:
    out = io.BytesIO()
    _core.ParquetWriter([("a", "l", False), ("naïve", "tsu:", True)], out.write).finish()
    assert pq.read_schema(io.BytesIO(out.getvalue())).equals(
        pa.schema([pa.field("a", pa.int64(), nullable=False), ("naïve", pa.timestamp("us"))])
    )


def test_what_the_disk_says_is_raised() -> None:
    def full(_: bytes) -> Iterator[None]:
        raise OSError(28, "No space left on device")

    writer = _core.ParquetWriter([("a", "l", True)], full)
    with pytest.raises(OSError, match="No space"):
        writer.write(pa.record_batch({"a": [1]}))
    with pytest.raises(ValueError, match="complete, or failed"):
        writer.finish()


def test_nothing_else_writes_while_one_call_does() -> None:
    def again(_: bytes) -> None:
        writer.write(batch)

    batch = pa.record_batch({"a": [1]})
    writer = _core.ParquetWriter([("a", "l", True)], again)
    with pytest.raises(ValueError, match="another call"):
        writer.write(batch)


def test_values_that_collide_in_the_table_give_a_right_file() -> None:
    values = [number << 32 for number in range(3000)] * 3
    file = written(pa.table({"a": values}), ["l"])
    assert pq.read_table(io.BytesIO(file))["a"].to_pylist() == values
