"""Parquet and ORC of other writers: DuckDB, Polars, pyarrow 0.7, Hive, ORC's C++ library. Values against other readers'."""

import datetime
import gzip
import math
import random
from decimal import Decimal
from pathlib import Path

import duckdb
import headrace.sources.filesystem as files
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from files_reading import read, run
from headrace.exceptions import ResourceFailed
from oracle import read_tables

DATA = Path(pa.__file__).parent / "tests" / "data"  # files of others that pyarrow comes with
N_ROWS = 5000

# What DuckDB writes of each of its types, with nulls, by the row's number `i`.
TYPES = {
    "boolean": "i % 3 = 0",
    "tinyint": "(i % 256 - 128)::tinyint",
    "smallint": "(i * 13 % 65536 - 32768)::smallint",
    "integer": "(i * 858993 % 4294967296 - 2147483648)::integer",
    "bigint": "(hash(i) >> 1)::bigint - 4611686018427387904",
    "utinyint": "(i % 256)::utinyint",
    "usmallint": "(i % 65536)::usmallint",
    "uinteger": "(hash(i) >> 32)::uinteger",
    "ubigint": "hash(i)",
    "real": "(i / 7.0)::float",
    "double": "exp(i / 100.0)::double",
    "small_decimal": "(i / 100.0)::decimal(9, 2)",
    "decimal": "(i * 1234567.891)::decimal(18, 3)",
    "large_decimal": "(hash(i)::decimal(38, 0) * 10)::decimal(38, 5)",
    "text": "repeat(chr((97 + i % 26)::integer), (i % 40)::integer)",
    "unicode": "'ü' || i || '🦆'",
    "blob": "encode('\\x00' || i)",
    "date": "date '1900-01-01' + i::integer * 20",
    "time": "time '00:00:00' + to_microseconds(i * 1234567 % 86400000000)",
    "timestamp": "timestamp '1900-01-01' + to_microseconds(i * 123456789012)",
    "timestamptz": "timestamptz '2024-01-01 00:00:00+00' + to_seconds(i)",
    "timestamp_ns": "make_timestamp_ns(i * 1000000007)",
    "enum": "(['red', 'green', 'blue'])[i % 3 + 1]::enum('red', 'green', 'blue')",
    "list": "range(i % 5)",
    "list_of_lists": "[range(i % 3), null, []]",
    "struct": "{'a': i, 'b': {'c': 'x' || i, 'd': null::integer}}",
    "list_of_structs": "[{'k': i, 'v': 'v' || i}, null]",
    "map": "map {'a' || i % 3: i, 'b': null}",
    "nothing": "null::integer",
}
COMPRESSIONS = ("uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw")


def plain(value):
    """A value as it can be compared: a NaN is a NaN, a map its pairs, seconds of a time zone none."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value.astimezone(datetime.timezone.utc) if isinstance(value, datetime.datetime) and value.tzinfo else value


def rows_of(table):
    return {
        name: [plain(one) for one in table[name].cast(_without_ns(table[name].type)).to_pylist()]
        for name in table.column_names
    }


def _without_ns(type_):
    """Python has no nanoseconds: as numbers."""
    return pa.int64() if pa.types.is_timestamp(type_) and type_.unit == "ns" else type_


def ours_of(folder, name):
    tables = read(files._read_parquet, folder, name, nested="keep")
    return pa.concat_tables([table.replace_schema_metadata(None) for table in tables])


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_duckdb_writes(tmp_path, compression, version):
    types = {name: value for name, value in TYPES.items() if name != "uinteger" or version == "v1"}  # else: see below
    columns = ", ".join(f"case when i % 11 <> 0 then {value} end as {name}" for name, value in types.items())
    path = tmp_path / "a.parquet"
    duckdb.sql("set threads = 1")
    duckdb.sql(
        f"copy (select i, {columns} from range({N_ROWS}) t(i)) to '{path}'"
        f" (format parquet, compression {compression}, parquet_version {version}, row_group_size 2048)"
    )
    found = ours_of(tmp_path, "*.parquet")
    assert found.num_rows == N_ROWS and found.column_names == ["i", *types]
    duckdbs = duckdb.sql(f"from read_parquet('{path}')").to_arrow_table()
    for name, values in rows_of(found).items():
        others = [rows_of(table)[name] for table in (duckdbs.select([name]), pq.read_table(path, columns=[name]))]
        assert values == others[0] == others[1], name
        assert sum(value is None for value in values) == (N_ROWS if name == "nothing" else 455 if name != "i" else 0)


def test_what_arrow_does_not_read_is_an_error_with_its_place(tmp_path):
    """Unsigned numbers of 32 bits as DuckDB 2.0 packs them in pages of version 2."""
    path = tmp_path / "a.parquet"
    duckdb.sql(
        f"copy (select {TYPES['uinteger']} as n from range(9) t(i)) to '{path}' (format parquet, parquet_version v2)"
    )
    expected = [n for (n,) in duckdb.sql(f"select n from read_parquet('{path}')").fetchall()]
    try:
        pq.read_table(path)
    except OSError:
        with pytest.raises(ResourceFailed, match=r"a\.parquet, row group 0, row 0: OSError: Unexpected end of stream"):
            ours_of(tmp_path, "*.parquet")
    else:  # an Arrow that does
        assert ours_of(tmp_path, "*.parquet")["n"].to_pylist() == expected


@pytest.mark.parametrize("compression", ["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_what_polars_writes(tmp_path, compression):
    rng = random.Random(5)
    frame = pl.DataFrame(
        {
            "id": range(N_ROWS),
            "int8": pl.Series([i % 256 - 128 if i % 7 else None for i in range(N_ROWS)], dtype=pl.Int8),
            "uint64": pl.Series([rng.getrandbits(64) for _ in range(N_ROWS)], dtype=pl.UInt64),
            "double": [rng.random() if i % 5 else float("nan") for i in range(N_ROWS)],
            "text": [None if i % 9 == 0 else f"text {i % 50} ü" for i in range(N_ROWS)],
            "category": pl.Series([f"c{i % 4}" for i in range(N_ROWS)], dtype=pl.Categorical),
            "binary": [bytes([i % 256]) * (i % 5) for i in range(N_ROWS)],
            "date": [datetime.date(1970, 1, 1) + datetime.timedelta(i * 3 - 4000) for i in range(N_ROWS)],
            "at": pl.Series([i * 1_234_567_890 for i in range(N_ROWS)]).cast(pl.Datetime("us", "UTC")),
            "naive": pl.Series([i * 1_234_567 for i in range(N_ROWS)]).cast(pl.Datetime("ms")),
            "time": pl.Series([i * 1_000_000 for i in range(N_ROWS)]).cast(pl.Time),
            "decimal": pl.Series([Decimal(i) / 1000 for i in range(N_ROWS)], dtype=pl.Decimal(20, 3)),
            "lists": [list(range(i % 4)) if i % 6 else None for i in range(N_ROWS)],
            "structs": [{"a": i, "b": [{"c": f"{i}"}] * (i % 3)} for i in range(N_ROWS)],
        }
    )
    path = tmp_path / "a.parquet"
    frame.write_parquet(path, compression=compression, row_group_size=1000, statistics="full")
    found = ours_of(tmp_path, "*.parquet")
    assert rows_of(found.drop_columns(["time"])) == rows_of(pq.read_table(path).drop_columns(["time"]))
    for name in frame.columns:
        assert [plain(one) for one in pl.from_arrow(found[name]).to_list()] == [
            plain(one) for one in frame[name].to_list()
        ], name


def test_nested_columns_of_other_writers_become_tables(tmp_path):
    """The same rows by DuckDB, Polars and pyarrow make the same tables."""
    lines = "[{'sku': 's' || x, 'n': x} for x in range(i % 4)]"
    rows = duckdb.sql(f"select i as id, {{'city': 'c' || i % 3}} as place, {lines} as lines from range(500) t(i)")
    made = []
    for name in ("duckdb", "polars", "pyarrow"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "duckdb":
            rows.write_parquet(str(folder / "a.parquet"))
        elif name == "polars":
            pl.from_arrow(rows.to_arrow_table()).write_parquet(folder / "a.parquet")
        else:
            pq.write_table(rows.to_arrow_table(), folder / "a.parquet")
        tables = read_tables(run(files, "read_parquet", folder, tmp_path / f"work_{name}", "*.parquet"))
        assert len(tables["t"]) == 500 and len(tables["t__lines"]) == 750
        kept = [(row["id"], row["place__city"]) for row in sorted(tables["t"], key=lambda row: row["id"])]
        made.append((kept, sorted((row["sku"], row["n"], row["_dlt_list_idx"]) for row in tables["t__lines"])))
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("name", ["", ".all-named-index", ".column-metadata-handling", ".some-named-index"])
def test_parquet_of_pyarrow_0_7(name):
    folder, file = DATA / "parquet", f"v0.7.1{name}.parquet"
    found = ours_of(folder, file)
    assert found.num_rows > 0 and found.equals(pq.read_table(folder / file).replace_schema_metadata(None))


def json_of(path):
    """The records that ORC's project has beside its files; numbers as they are written."""
    with gzip.open(path) as file:
        return [orjson.loads(line) for line in file if line.strip()]


def orc_rows(name):
    return [row for table in read(files._read_orc, DATA / "orc", name, nested="keep") for row in table.to_pylist()]


def test_orc_decimals_of_hive():
    found = [row["_col0"] for row in orc_rows("decimal.orc")]
    expected = json_of(DATA / "orc" / "decimal.jsn.gz")
    assert len(found) == 6000 and all(isinstance(one, Decimal) for one in found if one is not None)
    assert [None if one is None else float(one) for one in found] == [row["_col0"] for row in expected]


def test_orc_dates_of_1900():
    found, expected = (
        orc_rows("TestOrcFile.testDate1900.orc"),
        json_of(DATA / "orc" / "TestOrcFile.testDate1900.jsn.gz"),
    )
    assert len(found) == len(expected) == 70_000
    assert [row["date"].isoformat() for row in found] == [row["date"] for row in expected]
    assert {row["time"].strftime("%Y-%m-%d") for row in found} <= {
        f"{year}-{day}" for year in range(1899, 1971) for day in ("05-05", "05-04", "05-06")
    }


def test_orc_of_every_type():
    (first, second), expected = orc_rows("TestOrcFile.test1.orc"), json_of(DATA / "orc" / "TestOrcFile.test1.jsn.gz")
    for row, told in zip((first, second), expected, strict=True):
        assert list(row.pop("bytes1")) == told.pop("bytes1")
        pairs = [[one["key"], one["value"]] for one in told.pop("map")]
        assert [[key, value] for key, value in row.pop("map")] == pairs
        assert row == told


def test_an_orc_file_without_rows():
    assert orc_rows("TestOrcFile.emptyFile.orc") == []
