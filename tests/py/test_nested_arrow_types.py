"""Values of nested Arrow that JSON cannot hold, and arrays laid out oddly: kept exactly, in struct members and list elements,
as Parquet and in DuckDB.
"""

from __future__ import annotations

import contextlib
import datetime
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import headrace
import nestedgen
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from dlt.common.json import json as dlt_json
from dlt.common.normalizers.json.helpers import get_row_hash
from headrace._nested.ids import row_hashes
from headrace._nested.tables import fields_of, plain
from headrace._nested.text import NoText, record_texts
from oracle import make_pipeline, read_tables

# a type, values, the Arrow type they leave with if that is another (Parquet has no seconds)
EXACT: list[tuple[pa.DataType, list[Any], pa.DataType | None]] = [
    (pa.int8(), [-128, 127], None),
    (pa.int32(), [-(2**31), 2**31 - 1], None),
    (pa.uint64(), [2**64 - 1, 0], None),
    (pa.float16(), [0.5, 65504.0], None),
    (pa.float32(), [0.1, -3.4e38], None),
    (pa.float64(), [float("inf"), 5e-324], None),
    (pa.decimal128(38, 9), [Decimal("12345678901234567890123456789.123456789"), Decimal("-0.000000001")], None),
    (pa.decimal128(5, 2), [Decimal("999.99"), Decimal("-0.01")], None),
    (pa.decimal256(76, 20), [Decimal("1" * 56 + "." + "2" * 20), Decimal(1)], None),
    (pa.timestamp("s", "UTC"), [0, 10**9], pa.timestamp("ms", "UTC")),
    (pa.timestamp("ms", "UTC"), [1, -1], None),
    (pa.timestamp("us", "+02:00"), [1, -1], pa.timestamp("us", "UTC")),
    (pa.timestamp("us", "Europe/Berlin"), [10**15, 1], pa.timestamp("us", "UTC")),
    (pa.timestamp("ns", "UTC"), [1_000, 10**18 + 1_000], None),
    (pa.date32(), [0, 20_000], None),
    (pa.date64(), [86_400_000, 0], None),
    (pa.time32("s"), [1, 86_399], pa.time32("ms")),
    (pa.time32("ms"), [1, 86_399_999], None),
    (pa.time64("us"), [1, 86_399_999_999], None),
    (pa.time64("ns"), [1_000, 86_399_999_999_000], None),
    (pa.binary(), [b"\0\xff", b""], None),
    (pa.large_binary(), [b"\0\xff", b""], None),
    (pa.binary(4), [b"abcd", b"\0\0\0\0"], None),
    (pa.large_string(), ["x", ""], None),
    (pa.string_view(), ["a text that is longer than twelve bytes", ""], pa.string()),
    (pa.binary_view(), [b"some bytes that are longer than twelve", b""], pa.binary()),
    (pa.dictionary(pa.int8(), pa.string()), ["x", "y"], None),
    (pa.uuid(), [b"0123456789abcdef", b"\0" * 16], pa.string()),
    (pa.bool8(), [1, 0], pa.bool_()),
    (pa.json_(), ['{"a": 1}', "[]"], pa.string()),
]  # fmt: skip


def values_of(kind: pa.DataType, values: list[Any]) -> pa.Array:
    """The values and a null."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, values_of(kind.storage_type, values))
    if pa.types.is_dictionary(kind):
        return pa.array([*values, None], kind.value_type).dictionary_encode().cast(kind)
    if pa.types.is_time(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return pa.array([*values, None], pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    return pa.array([*values, None], kind)


def as_files(folder: Path, table: pa.Table, **settings: Any) -> dict[str, pa.Table]:
    """The tables as they lie as Parquet files in a bucket."""
    bucket = dlt.destinations.filesystem(bucket_url=str(folder / "bucket"))
    pipeline = dlt.pipeline("p", pipelines_dir=str(folder / "pipelines"), destination=bucket, dataset_name="data")
    pipeline.run(headrace.nested(dlt.resource([table], name="t")), loader_file_format="parquet")
    return {
        path.name: pa.concat_tables([pq.read_table(file, partitioning=None) for file in sorted(path.glob("*.parquet"))])
        for path in (folder / "bucket" / "data").iterdir()
        if not path.name.startswith("_dlt") and path.is_dir()
    }


@pytest.mark.parametrize(("kind", "values", "leaves_as"), EXACT, ids=lambda value: str(value).replace("/", "_")[:40])
def test_values_are_exact_as_parquet(
    tmp_path: Path, kind: pa.DataType, values: list[Any], leaves_as: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_WRITER__VERSION", "2.6")  # nanoseconds in the root's file
    array = values_of(kind, values)
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3, 3], pa.int32()), array)
    structs = pa.StructArray.from_arrays([array], names=["v"])
    found = as_files(tmp_path, pa.table({"s": structs, "l": lists}))
    want = array if leaves_as is None else None
    if leaves_as == pa.string() and kind == pa.uuid():
        want = pa.array(["30313233-3435-3637-3839-616263646566", "00000000-0000-0000-0000-000000000000", None])
    elif leaves_as is not None:
        want = (array.storage if isinstance(kind, pa.BaseExtensionType) else array).cast(leaves_as)
    of_struct, of_list = found["t"]["s__v"].combine_chunks(), found["t__l"]["value"].combine_chunks()
    for got in (of_struct, of_list):
        got_plain = got.dictionary_decode() if pa.types.is_dictionary(got.type) else got
        want_plain = want.dictionary_decode() if pa.types.is_dictionary(want.type) else want
        assert got_plain.equals(want_plain.cast(pa.date32()) if kind == pa.date64() else want_plain), (got, want)


def test_row_hashes_are_dlts() -> None:
    n_native = 0
    for seed in range(150):
        for table in nestedgen.loads(seed, n_loads=1)[0]:
            members = {field.key: field.array for field in fields_of(table)}
            want = [get_row_hash(record) for record in dlt_json.loadb(dlt_json.typed_dumpb(table.to_pylist()))]
            assert row_hashes(members, table.num_rows).to_pylist() == want, seed
            with contextlib.suppress(NoText):
                record_texts(members, table.num_rows)
                n_native += 1
    assert n_native > 100  # of 300; the others have UUIDs


@pytest.mark.parametrize(("kind", "values", "leaves_as"), EXACT, ids=lambda value: str(value).replace("/", "_")[:40])
def test_row_hashes_of_types(kind: pa.DataType, values: list[Any], leaves_as: Any) -> None:
    array = values_of(kind, values)
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3, 3], pa.int32()), array)
    try:
        records = pa.table({"é": array, "l": lists}).slice(1).to_pylist()
        want = [get_row_hash(record) for record in dlt_json.loadb(dlt_json.typed_dumpb(records))]
    except (ValueError, TypeError) as error:
        pytest.skip(f"not in Python: {error}")
    assert row_hashes({"é": array.slice(1), "l": lists.slice(1)}, 2).to_pylist() == want


def test_values_are_exact_in_duckdb(tmp_path: Path) -> None:
    utc = datetime.timezone.utc
    columns = {
        "d": pa.array([Decimal("12345678901234567890123456789.123456789")], pa.decimal128(38, 9)),
        "t": pa.array([1_700_000_000_123_456], pa.timestamp("us", "+02:00")),
        "b": pa.array([b"\0\xff"]),
        "i": pa.array([2**53 + 1]),
        "f": pa.array([0.1]),
        "day": pa.array([datetime.date(2024, 2, 29)]),
        "at": pa.array([datetime.time(23, 59, 59, 999_999)]),
        "small": pa.array([7], pa.int8()),
        "half": pa.array([0.5], pa.float16()),
    }
    struct = pa.StructArray.from_arrays(list(columns.values()), names=list(columns))
    table = pa.table({"s": struct, "l": pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), struct)})
    pipeline = make_pipeline(tmp_path, "p")
    pipeline.run(headrace.nested(dlt.resource([table], name="t")), loader_file_format="parquet")
    want = {
        "d": Decimal("12345678901234567890123456789.123456789"),
        "t": datetime.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=utc),
        "b": b"\0\xff",
        "i": 2**53 + 1,
        "f": 0.1,
        "day": datetime.date(2024, 2, 29),
        "at": datetime.time(23, 59, 59, 999_999),
        "small": 7,
        "half": 0.5,
    }
    tables = read_tables(pipeline)
    assert {name: tables["t"][0][f"s__{name}"] for name in want} == want
    assert {name: tables["t__l"][0][name] for name in want} == want


def rows_of(folder: Path, table: pa.Table) -> dict[str, list[Any]]:
    """The tables' rows without dlt's own columns but the place in the list."""
    pipeline = make_pipeline(folder, "p")
    pipeline.run(headrace.nested(dlt.resource([table], name="t")), loader_file_format="parquet")
    return {
        name: [{k: v for k, v in row.items() if k[:4] != "_dlt" or k == "_dlt_list_idx"} for row in rows]
        for name, rows in read_tables(pipeline).items()
    }


def test_what_lies_under_nulls_is_nothing(tmp_path: Path) -> None:
    values = pa.array([1, 2, 3, 4, 5])
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 4, 5], pa.int32()), values, mask=pa.array([False, True, False]))
    structs = pa.StructArray.from_arrays(
        [pa.array([7, 8, 9]), lists], names=["x", "l"], mask=pa.array([False, False, True])
    )
    found = rows_of(tmp_path, pa.table({"l": lists, "s": structs}))
    assert found["t"] == [{"s__x": 7}, {"s__x": 8}, {"s__x": None}]
    assert found["t__l"] == [{"value": v, "_dlt_list_idx": i} for v, i in ((1, 0), (2, 1), (5, 0))]
    assert found["t__s__l"] == [{"value": v, "_dlt_list_idx": i} for v, i in ((1, 0), (2, 1))]


def test_null_and_empty(tmp_path: Path) -> None:
    kind = pa.schema(
        [
            ("l", pa.list_(pa.struct([("v", pa.int64())]))),
            ("n", pa.null()),
            ("e", pa.list_(pa.null())),
            ("s", pa.struct([])),
        ]
    )
    table = pa.Table.from_pylist([{"l": [None, {"v": None}], "e": [None]}, {"l": []}, {"l": None, "s": {}}], kind)
    found = rows_of(tmp_path, table)
    assert found["t"] == [{}, {}, {}]
    assert found["t__l"] == [{"v": None, "_dlt_list_idx": 0}, {"v": None, "_dlt_list_idx": 1}]
    assert found["t__e"] == [{"_dlt_list_idx": 0}]
    assert set(rows_of(tmp_path / "none", table.slice(1))) == {"t"}


def test_maps_are_lists_of_key_and_value(tmp_path: Path) -> None:
    kind = pa.map_(pa.string(), pa.struct([("x", pa.int64())]))
    maps = pa.array([[("z", {"x": 0})], [("a", {"x": 1}), ("b", None)], None, []], kind)
    found = rows_of(tmp_path, pa.table({"m": maps}).slice(1))
    assert found["t__m"] == [
        {"key": "a", "value__x": 1, "_dlt_list_idx": 0},
        {"key": "b", "value__x": None, "_dlt_list_idx": 1},
    ]


def test_lists_of_lists_of_structs(tmp_path: Path) -> None:
    table = pa.table({"l": [[[{"v": 1}], None, []], [[{"v": 2}, {"v": 3}]]]})
    found = rows_of(tmp_path, table)
    assert found["t__l"] == [{"_dlt_list_idx": i} for i in (0, 1, 2, 0)]
    assert found["t__l__list"] == [{"v": v, "_dlt_list_idx": i} for v, i in ((1, 0), (2, 0), (3, 1))]


def test_encodings_of_nested_values(tmp_path: Path) -> None:
    structs = pa.array([{"v": [1]}, {"v": [2, 3]}])
    coded = pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), structs)
    runs = pc.run_end_encode(pa.array(["x", "x", "y"]))
    table = pa.table({"d": pa.chunked_array([coded]), "r": pa.chunked_array([runs])})
    found = rows_of(tmp_path, table.slice(1))
    assert found["t"] == [{"r": "x"}, {"r": "y"}]
    assert found["t__d__v"] == [{"value": 1, "_dlt_list_idx": 0}]
    tensor = pa.fixed_shape_tensor(pa.int64(), [2])
    tensors = pa.ExtensionArray.from_storage(tensor, pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)))
    found = rows_of(tmp_path / "tensor", pa.table({"t": tensors}))
    assert [row["value"] for row in found["t__t"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("part", [slice(0, 3), slice(2, 5), slice(5, 5), slice(0, 6)])
def test_uuids_of_a_part_of_an_array(part: slice) -> None:
    """dlt's own function, with numpy, takes the buffer for as long as the array."""
    values = [None if n == 1 else uuid.UUID(int=n << 64 | n).bytes for n in range(6)]
    array = pa.array(values, pa.uuid())[part]
    assert plain(array).to_pylist() == [
        None if value is None else str(uuid.UUID(bytes=value)) for value in values[part]
    ]


def test_dictionaries_that_differ_between_chunks(tmp_path: Path) -> None:
    pieces = [pa.array(values).dictionary_encode() for values in (["a", "b"], ["c", "b"])]
    lists = [pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), piece) for piece in pieces]
    table = pa.table({"k": pa.chunked_array(pieces), "l": pa.chunked_array(lists)})
    found = rows_of(tmp_path, table)
    assert [row["k"] for row in found["t"]] == ["a", "b", "c", "b"]
    assert [row["value"] for row in found["t__l"]] == ["a", "b", "c", "b"]


def test_one_name_for_several_members(tmp_path: Path) -> None:
    kind = pa.schema(
        [
            ("a__b", pa.int64()),
            ("a", pa.struct([("b", pa.int64())])),
            ("l", pa.list_(pa.int64())),
            ("L", pa.list_(pa.int64())),
        ]
    )
    rows = [
        {"a__b": 1, "a": {"b": 2}, "l": [1], "L": [2, 3]},
        {"a__b": 3, "a": None, "l": [4], "L": None},
        {"a__b": 5, "a": {"b": None}, "l": None, "L": []},
    ]
    pipelines = [make_pipeline(tmp_path / name, name) for name in ("dicts", "arrow")]
    pipelines[0].run(dlt.resource([rows], name="t"), loader_file_format="parquet")
    table = pa.Table.from_pylist(rows, kind)
    pipelines[1].run(headrace.nested(dlt.resource([table], name="t")), loader_file_format="parquet")
    plain = [
        {
            name: sorted(str({k: v for k, v in row.items() if k[:4] != "_dlt"}) for row in found)
            for name, found in read_tables(p).items()
        }
        for p in pipelines
    ]
    assert plain[0] == plain[1]
